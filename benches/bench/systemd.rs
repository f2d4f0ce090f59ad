//! The times with a booted systemd, measured by `machine.bash` in a machine of each suite.

use std::collections::HashMap;
use std::env;
use std::process::{self, Command};

use anyhow::{Context, Result, ensure};

use crate::table::{Goal, Row, Samples, print};

const MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/machine");
const SCRIPT: &str = include_str!("machine.bash");

pub const ROWS: [&str; 6] = [
    "one",
    "hundred",
    "thousand",
    "pods",
    "thousand-pods",
    "update",
];

pub fn run(package: &str, rounds: usize, rows: &[&str]) -> Result<()> {
    let suites = env::var("SUITES").unwrap_or_else(|_| "bookworm trixie".to_owned());
    for suite in suites.split_whitespace() {
        let machine = Machine::start(suite, package)?;
        let version = machine.exec(&["systemctl", "--version"])?;
        let version = version.split_whitespace().nth(1).unwrap_or_default();
        let rounds = rounds.div_ceil(8).to_string();
        let mut words = vec!["bash", "-c", SCRIPT, "bench", &rounds];
        words.extend_from_slice(rows);
        let samples = read(&machine.exec(&words)?)?;
        report(&samples, version, rows);
    }
    Ok(())
}

fn read(text: &str) -> Result<HashMap<String, Samples>> {
    let mut found: HashMap<String, Samples> = HashMap::new();
    for line in text.lines() {
        let (what, time) = line.rsplit_once(' ').context("a sample has three words")?;
        let time = time.parse().with_context(|| format!("sample '{line}'"))?;
        found.entry(what.to_owned()).or_default().wall.push(time);
    }
    Ok(found)
}

fn report(samples: &HashMap<String, Samples>, version: &str, rows: &[&str]) {
    let pair = |row: &str, what: &str, baseline: &str, goal: f64| {
        let of = |who: &str| samples.get(&format!("{row} {who}")).cloned();
        print(&Row {
            what: &format!("systemd {version}: {what}"),
            ours: &of("ours").unwrap_or_default(),
            baseline: (baseline, &of("baseline").unwrap_or_default()),
            goal: Goal::Ratio(goal),
        });
    };
    let units = "units with /bin/true";
    if rows.contains(&"one") {
        pair("one", "one start and stop", units, 1.25);
    }
    if rows.contains(&"hundred") {
        pair("hundred-start", "start of 100", units, 1.25);
        pair("hundred-stop", "stop of 100", units, 1.25);
    }
    let each = |what: &str, row: &str, count: u32, ten: &str, goal: Goal| {
        let of = |row: &str, count: u32| {
            let mut samples = samples.get(&format!("{row} ours")).cloned();
            let times = samples.iter_mut().flat_map(|samples| &mut samples.wall);
            times.for_each(|time| *time /= f64::from(count));
            samples.unwrap_or_default()
        };
        print(&Row {
            what: &format!("systemd {version}: {what} {count}, each"),
            ours: &of(row, count),
            baseline: ("each of 10", &of(ten, 10)),
            goal,
        });
    };
    if rows.contains(&"thousand") {
        each("start of", "thousand", 1000, "ten", Goal::Ratio(1.5));
    }
    let pods = [
        ("pods", 250, Goal::Ratio(1.5)),
        ("thousand-pods", 1000, Goal::None),
    ];
    for (name, count, goal) in pods {
        if !rows.contains(&name) {
            continue;
        }
        for what in ["create", "delete"] {
            let row = |count: u32| format!("pods-{what}-{count}");
            each(&format!("pods {what}"), &row(count), count, &row(10), goal);
        }
    }
    if rows.contains(&"update") {
        let what = "netnsupdate, 200 types, nothing to do";
        pair("update-none", what, "systemctl call", 1.3);
        let what = "netnsupdate, 200 types, new";
        pair("update-new", what, "400 files, reload", 1.3);
    }
}

struct Machine {
    name: String,
}

impl Machine {
    fn start(suite: &str, package: &str) -> Result<Self> {
        let name = format!("bench-{suite}-{}", process::id());
        let mut start = Command::new(MACHINE);
        start.args(["start", &name, suite, package]);
        // The machine must end with an interrupted run.
        start.env("NETNS_TEST_OWNER", process::id().to_string());
        ensure!(start.status()?.success(), "booting {suite} failed");
        Ok(Self { name })
    }

    fn exec(&self, words: &[&str]) -> Result<String> {
        let mut exec = Command::new(MACHINE);
        exec.args(["exec", &self.name, "--"]).args(words);
        let output = exec.output().context("running tests/system/machine")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "in {}: {stderr}", self.name);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new(MACHINE).args(["kill", &self.name]).status();
    }
}
