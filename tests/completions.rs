//! Runs `tests/completions`, which drives the shells.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs root"]
fn shells_complete_types_names_and_options() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = tempfile::tempdir().unwrap();
    let output = Command::new(root.join("tests/support/sandbox"))
        .arg(tree.path())
        .arg(root.join("tests/completions"))
        .arg(env!("CARGO_BIN_EXE_netnsctl"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("bash is done\nterminal is done"),
        "{stdout}"
    );
    // A shell that is not installed is told there.
    print!("{stdout}{stderr}");
}
