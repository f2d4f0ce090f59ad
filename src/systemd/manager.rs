//! The system manager, systemd. Not running is a value, not an error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::instance::paths::Root;
use crate::sys::command;

/// The state of a unit, in the terms of systemctl(1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    pub name: String,
    pub active: String,
    pub sub: String,
}

/// Properties of a unit (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Parses lines KEY=VALUE.
    pub fn parse(lines: &str) -> Self {
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// The value of a property; empty if the unit does not have it.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// The result of starting or stopping a unit.
#[derive(Debug)]
pub struct JobResult {
    pub done: bool,
    /// The output of systemctl, in lines.
    pub said: Vec<String>,
}

/// The running systemd.
#[derive(Debug)]
pub struct Manager {
    systemctl: PathBuf,
}

impl Manager {
    /// Connects to the running systemd. `None` in a container without it, or in a build root.
    pub fn running(root: &Root) -> Result<Option<Self>> {
        // sd_booted(3)
        if !root.path("/run/systemd/system").is_dir() {
            return Ok(None);
        }
        let systemctl = command::find("systemctl")?;
        Ok(Some(Self { systemctl }))
    }

    /// Reloads all unit files.
    pub fn reload(&self) -> Result<()> {
        self.call("daemon-reload", &[])?;
        Ok(())
    }

    /// Restarts the units that match a pattern, and waits for them.
    pub fn restart(&self, pattern: &str) -> Result<()> {
        self.call("restart", &["--".to_owned(), pattern.to_owned()])?;
        Ok(())
    }

    /// Starts units, and waits for them.
    pub fn start(&self, units: &[String]) -> Result<()> {
        self.call("start", units)?;
        Ok(())
    }

    /// Stops those of these units that run, and waits for them. It is an error to systemctl to stop a
    /// unit that systemd does not know, such as one whose file is gone.
    pub fn stop(&self, units: &[String]) -> Result<()> {
        let running = match units {
            [] => Vec::new(),
            units => self.active(units)?,
        };
        if !running.is_empty() {
            self.call("stop", &running)?;
        }
        Ok(())
    }

    /// Resets the failed state of units that match a pattern.
    pub fn reset_failed(&self, patterns: &[String]) -> Result<()> {
        self.call("reset-failed", patterns)?;
        Ok(())
    }

    /// The units that match a pattern and are active, activating or deactivating.
    pub fn active(&self, patterns: &[String]) -> Result<Vec<String>> {
        self.in_state("active,reloading,activating,deactivating", patterns)
    }

    /// The units that match a pattern and have failed.
    pub fn failed(&self, patterns: &[String]) -> Result<Vec<String>> {
        self.in_state("failed", patterns)
    }

    fn in_state(&self, states: &str, patterns: &[String]) -> Result<Vec<String>> {
        let mut arguments = vec![
            "--plain".to_owned(),
            "--no-legend".to_owned(),
            "--full".to_owned(),
            format!("--state={states}"),
        ];
        arguments.extend_from_slice(patterns);
        let listing = self.call("list-units", &arguments)?;
        let names = listing
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    /// All loaded units that match the patterns, by one call of systemctl.
    pub fn units(&self, patterns: &[String]) -> Result<Vec<UnitState>> {
        let mut arguments = [
            "--all",
            "--plain",
            "--no-legend",
            "--no-pager",
            "--full",
            "--",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend_from_slice(patterns);
        Ok(unit_states(&self.call("list-units", &arguments)?))
    }

    /// Properties of units, in the order of the units.
    pub fn show(&self, units: &[String], properties: &[&str]) -> Result<Vec<Properties>> {
        // Without a unit, systemctl would show the properties of systemd itself.
        if units.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec![format!("--property={}", properties.join(","))];
        arguments.push("--no-pager".to_owned());
        arguments.push("--".to_owned());
        arguments.extend_from_slice(units);
        Ok(properties_of(&self.call("show", &arguments)?))
    }

    /// The services that are installed or loaded, without templates.
    pub fn services(&self) -> Result<Vec<String>> {
        let mut names = std::collections::BTreeSet::new();
        for verb in ["list-unit-files", "list-units"] {
            let arguments = [
                "--type=service",
                "--all",
                "--plain",
                "--no-legend",
                "--full",
            ];
            let listing = self.call(verb, &arguments.map(str::to_owned))?;
            let first = listing
                .lines()
                .filter_map(|line| line.split_whitespace().next());
            names.extend(first.map(str::to_owned));
        }
        Ok(names
            .into_iter()
            .filter(|name| !name.contains("@."))
            .collect())
    }

    /// Starts or stops a unit, as `systemctl VERB UNIT` does, and calls `tick` while it waits.
    ///
    /// # Errors
    /// With the message of systemctl.
    pub fn run_job(&self, verb: &str, unit: &str, tick: impl FnMut()) -> Result<JobResult> {
        let arguments = [verb, "--no-ask-password", "--", unit];
        let output = command::output_with(&self.systemctl, &arguments, tick)?;
        let said = String::from_utf8_lossy(&output.stderr);
        Ok(JobResult {
            done: output.status.success(),
            said: said.lines().map(str::to_owned).collect(),
        })
    }

    /// The last lines that a unit has logged since `since`, oldest first.
    pub fn log(&self, unit: &str, since: SystemTime, lines: u32) -> Result<Vec<String>> {
        let journalctl = command::find("journalctl")?;
        // Recent messages may not have arrived in the journal yet.
        let _ = command::try_output(&journalctl, &["--sync"]);
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = format!("--since=@{}.{:06}", since.as_secs(), since.subsec_micros());
        let (unit, lines) = (format!("--unit={unit}"), format!("--lines={lines}"));
        let shown = [
            "--no-pager",
            "--quiet",
            "--output=cat",
            &since,
            &unit,
            &lines,
        ];
        let log = command::output(&journalctl, &shown)?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    fn call(&self, verb: &str, arguments: &[String]) -> Result<String> {
        let words: Vec<&str> = std::iter::once(verb)
            .chain(arguments.iter().map(String::as_str))
            .collect();
        command::output(&self.systemctl, &words)
    }
}

/// Parses the table of `systemctl list-units`: UNIT LOAD ACTIVE SUB DESCRIPTION.
fn unit_states(table: &str) -> Vec<UnitState> {
    let state = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (name, load) = (words.next()?, words.next()?);
        let (active, sub) = (words.next()?, words.next()?);
        (load != "not-found" || active != "inactive").then_some(UnitState { name, active, sub })
    };
    table.lines().filter_map(state).collect()
}

/// Parses the output of `systemctl show`: lines KEY=VALUE, and an empty line between units.
fn properties_of(text: &str) -> Vec<Properties> {
    text.split("\n\n")
        .map(Properties::parse)
        .filter(|unit| *unit != Properties::default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_units_is_read() {
        let table = "\
netns-veth@web.service    loaded    active   exited Network namespace web: veth
netns_name@web.service    loaded    failed   failed Network namespace web
netns-gone@web.service    not-found inactive dead   netns-gone@web.service
";
        let states = unit_states(table);
        let shown: Vec<_> = states
            .iter()
            .map(|unit| (&*unit.name, &*unit.active))
            .collect();
        let expected = [
            ("netns-veth@web.service", "active"),
            ("netns_name@web.service", "failed"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn properties_are_read_unit_by_unit() {
        let units = properties_of("Id=a.service\nX=1=2\n\nId=b.service\nX=\n");
        assert_eq!(units.len(), 2);
        assert_eq!(units[0].get("X"), "1=2");
        assert_eq!(units[1].get("X"), "");
    }
}
