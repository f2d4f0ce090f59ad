//! Runs `tests/netnsctl/complete`, which tests the completion of shells.

use crate::{repository, sandbox};

#[test]
#[ignore = "needs root"]
fn shells_complete_types_names_and_options() {
    let script = repository("tests/netnsctl/complete");
    let output = sandbox(&format!("'{}' \"$NETNSCTL\"", script.display()));
    let stdout = String::from_utf8_lossy(&output.stdout);
    for shell in ["bash", "terminal", "fish", "zsh"] {
        assert!(stdout.contains(&format!("{shell} is done\n")), "{stdout}");
    }
}
