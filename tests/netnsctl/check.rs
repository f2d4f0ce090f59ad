//! Validates the output of `netnsctl check --json` against its schema.

use std::collections::BTreeSet;

use crate::{json, repository, sandbox_on};

#[test]
#[ignore = "needs root"]
fn json_keeps_to_its_schema() {
    let mut kinds = BTreeSet::new();
    for case in [
        "03-functions",
        "04-variables",
        "06-subnets",
        "07-declarations",
    ] {
        let checked = sandbox_on(
            &repository("tests/check").join(case),
            "chown -R 0:0 /etc/conf.d; chmod -R go-w /etc/conf.d; netnsctl check --json || exit 0",
        );
        let report = json(&checked, "check.json");
        let findings = report["findings"].as_array().unwrap();
        kinds.extend(findings.iter().map(|finding| finding["kind"].to_string()));
    }
    assert!(kinds.len() > 5, "{kinds:?}");
}
