//! Cases with a script, `run`, and its transcript, `expected`.
//!
//! A case is a directory `tests/GROUP/NN-name`; its `etc` and `usr` are laid over those of the system. In
//! `expected`, `[..]` stands for anything within a line. With `NETNS_BLESS=1` in the environment `expected`
//! is written: compare it with the specification.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use libtest_mimic::{Arguments, Failed, Trial};

const ANYTHING: &str = "[..]";

const GROUPS: [&str; 5] = ["configs", "namespaces", "verbs", "check", "containers"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let asked = arguments.include_ignored || arguments.ignored;
    if asked && !arguments.list && !nix::unistd::geteuid().is_root() {
        eprintln!("these tests create namespaces and mounts: run them as root");
        return ExitCode::FAILURE;
    }
    let trials = GROUPS.into_iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test `GROUP/NN-name` for every case of a group.
fn trials(group: &str) -> Vec<Trial> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut cases: Vec<PathBuf> = fs::read_dir(tests.join(group))
        .unwrap_or_else(|error| panic!("reading tests/{group}: {error}"))
        .map(|entry| entry.expect("reading the cases").path())
        .filter(|path| path.is_dir())
        .collect();
    assert!(!cases.is_empty(), "tests/{group} has no cases");
    cases.sort();
    let trial = |case: PathBuf| {
        let name = case.strip_prefix(&tests).expect("a case is below tests");
        Trial::test(name.to_string_lossy().into_owned(), move || run(&case))
            .with_kind("needs root")
            .with_ignored_flag(true)
    };
    cases.into_iter().map(trial).collect()
}

fn run(case: &Path) -> Result<(), Failed> {
    let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support");
    let programs = Path::new(env!("CARGO_BIN_EXE_netnsinit"))
        .parent()
        .ok_or("a program has a directory")?;
    let output = Command::new(support.join("sandbox"))
        .arg(case)
        .arg(support.join("transcript"))
        .args([case, programs])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()?;
    let mut actual = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !output.stderr.is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        actual += &format!("the script itself: {}\n{stderr}", output.status);
    }
    let path = case.join("expected");
    if env::var_os("NETNS_BLESS").is_some() {
        fs::write(&path, &actual)?;
        return Ok(());
    }
    let expected = fs::read_to_string(&path)
        .map_err(|error| format!("reading {}: {error}", path.display()))?;
    let actual = generalised(&expected, &actual);
    if actual == expected {
        Ok(())
    } else {
        Err(difference(&path, &actual)?.into())
    }
}

/// Replaces each line of `actual` by the pattern in the same position, if that matches.
fn generalised(expected: &str, actual: &str) -> String {
    let mut patterns = expected.lines();
    let lines = actual.lines().map(|line| {
        let pattern = patterns.next().filter(|pattern| matches(pattern, line));
        format!("{}\n", pattern.unwrap_or(line))
    });
    lines.collect()
}

fn matches(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once(ANYTHING) else {
        return pattern == line;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    ends.into_iter().any(|at| matches(rest, &line[at..]))
}

fn difference(expected: &Path, actual: &str) -> Result<String, Failed> {
    let mut actual_file = tempfile::NamedTempFile::new()?;
    actual_file.write_all(actual.as_bytes())?;
    let output = Command::new("diff")
        .args(["-u", "--label", "expected", "--label", "actual"])
        .args([expected, actual_file.path()])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
