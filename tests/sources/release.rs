//! What a release says of itself: version, changelog, bill of materials.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::licences::is_compatible;
use crate::repository;

fn sbom(arguments: &[&str]) -> String {
    let output = Command::new(repository("packaging/sbom"))
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .env("CARGO", env!("CARGO"))
        .current_dir("/")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    String::from_utf8(output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value:#}"))
}

#[test]
fn the_bill_of_materials_is_complete() {
    for (target, libc) in [
        ("x86_64-unknown-linux-gnu", "glibc"),
        ("x86_64-unknown-linux-musl", "musl"),
    ] {
        is_complete(target, libc);
    }
}

fn is_complete(target: &str, libc: &str) {
    let printed = sbom(&[target, "--static"]);
    assert_eq!(printed, sbom(&[target, "--static"]));
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    let packages = document["packages"].as_array().unwrap();
    let ids: BTreeSet<&str> = packages.iter().map(|p| text(p, "SPDXID")).collect();
    assert_eq!(ids.len(), packages.len(), "an identifier is used twice");
    let mut related = BTreeSet::new();
    for relation in document["relationships"].as_array().unwrap() {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            let id = text(relation, end);
            assert!(ids.contains(id), "{id} is no package");
            related.insert(id);
        }
    }
    assert_eq!(ids, related, "a package that nothing depends on");
    // Linked by a dependency alone, not linked at all, not on Linux.
    let names: BTreeSet<&str> = packages.iter().map(|p| text(p, "name")).collect();
    assert!(names.contains("linux-raw-sys"), "{names:?}");
    assert!(names.contains(libc), "{names:?}");
    assert!(
        names.is_disjoint(&["syn", "boon", "windows-sys"].into()),
        "{names:?}"
    );
    for package in packages {
        let name = text(package, "name");
        let ours = ["systemd-netns", "rust-std", libc].contains(&name);
        let licence = text(package, "licenseDeclared");
        assert!(
            name == "glibc" || is_compatible(licence),
            "{name}: {licence}"
        );
        let sum = package["checksums"][0]["checksumValue"].as_str();
        assert!(ours || sum.is_some_and(|sum| sum.len() == 64), "{name}");
    }
}

#[test]
fn the_changelog_begins_with_this_version() {
    let changelog = fs::read_to_string(repository("CHANGELOG.md")).unwrap();
    let mut headings = changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## "));
    let newest = headings.next().unwrap();
    let version = format!("[{}] - ", env!("CARGO_PKG_VERSION"));
    assert!(
        newest == "[Unreleased]" || newest.starts_with(&version),
        "{newest}"
    );
}
