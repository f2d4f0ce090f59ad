//! Hostile input: whatever comes in by a name, a file, a command line or the kernel, nothing is executed, nothing is
//! written elsewhere, and nothing raw gets to a terminal. `fuzz/` looks for more of it.

mod targets;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Bytes of all kinds, including those with a meaning for one of the targets.
fn input() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 52] = [
        "veth",
        "@",
        "web",
        "-",
        "..",
        "/",
        "\0",
        "\n",
        " ",
        "\x1b[31m",
        "\u{202e}",
        "default",
        ".conf",
        ".sh",
        "netns-",
        "netns_outside-",
        ".service",
        "$(id)",
        "`id`",
        ";",
        "'",
        "\"",
        "\\x2d",
        "%n",
        "namespace 4:1",
        "1-script 5\n",
        "4-instance 99999999999999999999\n",
        "outside",
        "NETNS_REQUIRES=",
        "(",
        ")",
        "--undo",
        "up",
        "{\"files\":[",
        "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"nstype\":\"veth\",\"variables\":{\"",
        "\":\"",
        "\",\"",
        "\\u0000",
        "\"}}",
        "{\"container_id\":\"c\",\"container_name\":\"n\",\"network\":{\"options\":{\"nstype\":\"veth\",\"",
        "{\"name\":\"vpn\",\"interfaces\":[{\"name\":\"wg0\",\"private-key\":\"",
        "name: vpn\ninterfaces:\n- name: ",
        "  address: [",
        "[Interface]\nPrivateKey = ",
        "Address = ",
        "PostUp = ",
        "remote ",
        "TYPES=veth\n",
        "POD_IFADDR=",
        "BASH_ENV=",
        "BASH_FUNC_id%%=() { :; }",
        "PS4=",
    ];
    let part = prop_oneof![
        3 => prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..24),
        1 => ".{0,12}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
}

fn holds(name: &str) {
    let (_, target) = targets::ALL
        .iter()
        .find(|(other, _)| *other == name)
        .expect("a target");
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&input(), |input| {
        target(&input);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

macro_rules! properties {
    ($($name:ident)*) => { $(#[test] fn $name() { holds(stringify!($name)); })* };
}

properties! { names file_names argv terminal record report drop_in requires netlink journal cni netavark migrate kept environment }

/// Inputs that fuzzing has found, and the initial ones.
#[test]
fn corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::ALL {
        let files =
            fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for file in files {
            target(&fs::read(file.expect("a file").path()).expect("it can be read"));
            count += 1;
        }
        assert!(count > 0, "no corpus of {name}");
    }
}

#[test]
fn every_target_can_be_fuzzed() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("it can be read");
    for (name, _) in targets::ALL {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
