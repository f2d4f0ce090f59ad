//! netnsctl without systemd: its JSON, its diagrams, the files that it writes, and completion.
//!
//! Tests that need root are ignored by default, and fail without root. Each has a private view of this
//! system, see `tests/support/sandbox`.

mod attach;
mod check;
mod completion;
mod graph;
mod inventory;
mod metrics;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boon::{Compiler, Schemas};
use serde_json::Value;

/// A path of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a bash script with the `netnsctl` of this build in a private view of this system.
/// Panics with its output at the first failing command.
fn sandbox(script: &str) -> Output {
    sandbox_on(tempfile::tempdir().unwrap().path(), script)
}

/// The same, with `etc` and `usr` of `tree` laid over those of the system.
fn sandbox_on(tree: &Path, script: &str) -> Output {
    // Without a last command, bash would become the one before it: PID 1 would be where that is.
    let script =
        format!("set -euo pipefail\nnetnsctl() {{ \"$NETNSCTL\" \"$@\"; }}\n{script}\nexit 0");
    let output = Command::new(repository("tests/support/sandbox"))
        .arg(tree)
        .args(["bash", "-c", &script])
        .env("NETNSCTL", env!("CARGO_BIN_EXE_netnsctl"))
        .env_remove("COLUMNS")
        .env_remove("JOURNAL_STREAM")
        .output()
        .unwrap();
    let printed = [&output.stdout[..], &output.stderr[..]].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(output.status.success(), "{}: {printed}", output.status);
    output
}

/// Parses the JSON that a script prints, and validates it against a schema of `docs/schema`.
fn json(output: &Output, schema: &str) -> Value {
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let path = repository("docs/schema").join(schema);
    let mut schemas = Schemas::new();
    let schema = Compiler::new()
        .compile(path.to_str().unwrap(), &mut schemas)
        .unwrap();
    if let Err(error) = schemas.validate(&value, schema) {
        panic!("{error:#}\n{value:#}");
    }
    value
}
