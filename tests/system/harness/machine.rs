//! A booted machine, controlled through `tests/system/machine`.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/machine");

/// A Debian suite, booted, with the package installed. Killed when dropped.
pub struct Machine {
    name: String,
    suite: String,
    lowers: Vec<PathBuf>,
}

/// The result of a command. Displayed as a transcript.
pub struct Output {
    pub command: String,
    /// The exit status; `None` if a signal ended the command.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        for (mark, text) in [("", &self.stdout), ("! ", &self.stderr)] {
            for line in text.lines() {
                writeln!(f, "{mark}{line}")?;
            }
        }
        match self.status {
            Some(code) => write!(f, "exit code {code}"),
            None => write!(f, "ended by a signal"),
        }
    }
}

impl Output {
    /// Fails unless its stderr contains this.
    pub fn says(&self, part: &str) -> Result<()> {
        ensure!(
            self.stderr.contains(part),
            "'{part}' is not on stderr: {self}"
        );
        Ok(())
    }
}

/// The state of a unit, displayed as `active/running/success`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitState {
    pub active: String,
    pub sub: String,
    /// `success`, or how it failed (`exit-code`, `timeout`, …); empty for units that have no result.
    pub result: String,
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.active, self.sub, self.result)
    }
}

impl Machine {
    /// Boots a machine of the suite, with each directory laid over its tree. Building the tree, where it is
    /// missing, takes about a minute.
    pub fn start(suite: &str, lowers: &[PathBuf]) -> Result<Machine> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let machine = Machine {
            name: format!("{suite}-{}-{count}", process::id()),
            suite: suite.to_owned(),
            lowers: lowers.to_vec(),
        };
        let mut command = Command::new(SCRIPT);
        command.args(["start", &machine.name, suite]).args(lowers);
        // Drop does not run when the test program is interrupted.
        command.env("NETNS_TEST_OWNER", process::id().to_string());
        let started = transcript(&mut command, None)?;
        if started.status != Some(0) {
            bail!("booting {suite} failed\n{started}");
        }
        Ok(machine)
    }

    /// Boots a second machine like this one.
    pub fn another(&self) -> Result<Machine> {
        Machine::start(&self.suite, &self.lowers)
    }

    /// The suite.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Runs a bash script that ends at its first failing command, unset variable or failing pipe; that is an
    /// error that shows the transcript. A command with `!` fails only as the last one, or as `(! command)`.
    pub fn run(&self, script: &str) -> Result<Output> {
        self.checked("-euo", script)
    }

    /// The same, with the executed commands in the transcript of a failure.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.checked("-euxo", script)
    }

    fn checked(&self, options: &str, script: &str) -> Result<Output> {
        let mut command = self.exec(&["bash", options, "pipefail", "-c", script]);
        let mut output = transcript(&mut command, None)?;
        output.command = script.to_owned();
        ensure!(output.status == Some(0), "failed: {output}");
        Ok(output)
    }

    /// Runs a bash command line, which may fail. Of several commands, the status of the last one counts.
    pub fn try_run(&self, command: &str) -> Result<Output> {
        let mut output = transcript(&mut self.exec(&["bash", "-c", command]), None)?;
        output.command = command.to_owned();
        Ok(output)
    }

    /// Runs a bash command line that must exit with this status.
    pub fn fails(&self, command: &str, code: i32) -> Result<Output> {
        let output = self.try_run(command)?;
        ensure!(
            output.status == Some(code),
            "expected exit code {code}: {output}"
        );
        Ok(output)
    }

    /// Writes a file, mode 0644, and the directories it needs.
    pub fn write(&self, path: &str, content: &str) -> Result<()> {
        let script = r#"umask 022 && mkdir -p "$(dirname "$1")" && cat >"$1""#;
        let written = transcript(
            &mut self.exec(&["bash", "-c", script, "write", path]),
            Some(content),
        )?;
        ensure!(written.status == Some(0), "writing {path}: {written}");
        Ok(())
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> Result<String> {
        let read = transcript(&mut self.exec(&["cat", "--", path]), None)?;
        ensure!(read.status == Some(0), "reading {path}: {read}");
        Ok(read.stdout)
    }

    /// The state of a unit; that of an unknown one is `inactive/dead`.
    pub fn unit_state(&self, unit: &str) -> Result<UnitState> {
        let shown = transcript(
            &mut self.exec(&[
                "systemctl",
                "show",
                "--property=ActiveState,SubState,Result",
                "--",
                unit,
            ]),
            None,
        )?;
        ensure!(shown.status == Some(0), "state of {unit}: {shown}");
        let mut state = UnitState::default();
        for line in shown.stdout.lines() {
            match line.split_once('=') {
                Some(("ActiveState", value)) => state.active = value.to_owned(),
                Some(("SubState", value)) => state.sub = value.to_owned(),
                Some(("Result", value)) => state.result = value.to_owned(),
                _ => {}
            }
        }
        Ok(state)
    }

    /// Calls the closure every 50 ms until it returns `true` or an error.
    pub fn wait_until(
        &self,
        what: &str,
        timeout: Duration,
        mut is_so: impl FnMut(&Machine) -> Result<bool>,
    ) -> Result<()> {
        let end = Instant::now() + timeout;
        while !is_so(self).with_context(|| format!("waiting until {what}"))? {
            if Instant::now() >= end {
                bail!("waited {timeout:?} in vain until {what}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Reboots it cleanly and waits until it runs again, without failed units. What was written is kept,
    /// `/run` and `/tmp` as on any machine.
    pub fn reboot(&self) -> Result<()> {
        let rebooted = transcript(Command::new(SCRIPT).args(["reboot", &self.name]), None)?;
        ensure!(rebooted.status == Some(0), "reboot failed\n{rebooted}");
        Ok(())
    }

    /// What the unit, and systemd about it, have logged since this was last asked, or since the machine was
    /// booted: what an earlier start has logged is no evidence of the next one.
    pub fn journal(&self, unit: &str) -> Result<String> {
        let script = r#"journalctl --sync
            journalctl --no-pager --quiet --boot --unit="$1" --cursor-file="/run/journal-of-${1%.service}""#;
        let journal = transcript(
            &mut self.exec(&["bash", "-ec", script, "journal", unit]),
            None,
        )?;
        ensure!(journal.status == Some(0), "{journal}");
        Ok(journal.stdout)
    }

    /// For a failed test: the failed units and the end of the journal.
    pub fn post_mortem(&self) -> String {
        let mut story = format!("--- {} after the failure ---", self.name);
        for command in [
            "systemctl list-units --failed --no-legend --plain --no-pager",
            "journalctl --no-pager --quiet --boot --lines=60 --output=short-monotonic",
        ] {
            match self.try_run(command) {
                Ok(output) => story.push_str(&format!("\n{output}")),
                Err(error) => story.push_str(&format!("\n{command}: {error:#}")),
            }
        }
        story
    }

    fn exec(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SCRIPT);
        command.args(["exec", &self.name, "--"]).args(args);
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A machine that failed to start has removed itself.
        let _ = Command::new(SCRIPT)
            .args(["kill", &self.name])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Runs a command and collects its output.
fn transcript(command: &mut Command, input: Option<&str>) -> Result<Output> {
    let line = format!("{command:?}");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let mut child = command.spawn().with_context(|| format!("running {line}"))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // Written before anything is read: the command (cat to a file) has no output that could block it.
        stdin
            .write_all(input.as_bytes())
            .with_context(|| format!("writing to {line}"))?;
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("waiting for {line}"))?;
    Ok(Output {
        command: line,
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
