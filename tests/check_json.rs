//! What `netnsctl check --json` prints, against its schema.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use boon::{Compiler, Schemas};
use serde_json::Value;

#[test]
#[ignore = "needs root"]
fn check_keeps_to_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut schemas = Schemas::new();
    let schema = root.join("docs/schema/check.json");
    let schema = Compiler::new()
        .compile(schema.to_str().unwrap(), &mut schemas)
        .unwrap();
    let mut kinds = BTreeSet::new();
    for case in [
        "03-functions",
        "04-variables",
        "06-subnets",
        "07-declarations",
    ] {
        let output = Command::new(root.join("tests/support/sandbox"))
            .arg(root.join("tests/check").join(case))
            .args([
                "sh",
                "-c",
                "chown -R 0:0 /etc/conf.d; chmod -R go-w /etc/conf.d; \"$0\" check --json; exit 0",
            ])
            .arg(env!("CARGO_BIN_EXE_netnsctl"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{case}: {error}: {stderr}"));
        if let Err(error) = schemas.validate(&report, schema) {
            panic!("{case}: {error:#}\n{report:#}");
        }
        let findings = report["findings"].as_array().unwrap();
        kinds.extend(findings.iter().map(|finding| finding["kind"].to_string()));
    }
    assert!(kinds.len() > 5, "{kinds:?}");
}
