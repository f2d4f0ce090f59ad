//! Everything that is linked into the programs may be used under the MIT licence's terms.

use std::process::Command;

use serde_json::Value;

/// The licences that `deny.toml` allows.
fn allowed() -> Vec<&'static str> {
    let (_, rest) = include_str!("../../deny.toml")
        .split_once("\nallow = [")
        .expect("a list of licences");
    let (list, _) = rest.split_once(']').expect("its end");
    let allowed: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert!(allowed.contains(&"MIT"));
    allowed
}

/// Whether an SPDX expression leaves a compatible choice. `AND` is taken to bind less than `OR`,
/// which errs on the side of refusal.
pub fn is_compatible(expression: &str) -> bool {
    let allowed = allowed();
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" AND ").all(|part| {
        part.split(" OR ")
            .any(|licence| allowed.contains(&licence.trim()))
    })
}

#[test]
fn all_dependencies_are_compatible() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    assert!(packages.len() > 10, "{} packages", packages.len());
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(
            is_compatible(licence),
            "{} is under {licence}",
            package["name"]
        );
    }
}

#[test]
fn choices_and_sums_are_told_apart() {
    assert!(is_compatible("MIT OR GPL-3.0-only"));
    assert!(is_compatible("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(is_compatible("MIT/Apache-2.0"));
    for bad in [
        "GPL-3.0-only",
        "MIT AND GPL-2.0-only",
        "none",
        "LGPL-3.0 OR GPL-3.0",
    ] {
        assert!(!is_compatible(bad), "{bad}");
    }
}
