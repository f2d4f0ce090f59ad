//! Properties that hold for any input, for the property tests of `main.rs` and for cargo-fuzz (`fuzz/`).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::process::Command;

use clap::Parser;
use systemd_netns::cli::arguments::{Init, Update};
use systemd_netns::cli::netnsctl::Ctl;
use systemd_netns::container::cni::configuration::NetworkConfiguration;
use systemd_netns::container::netavark;
use systemd_netns::container::record::{Key, Locked};
use systemd_netns::container::variables::{self, BashValue, ContainerVariables};
use systemd_netns::instance::name::{Instance, NsName, NsType};
use systemd_netns::instance::paths::Root;
use systemd_netns::instance::phase::Side;
use systemd_netns::instance::resolv_conf::ResolvConf;
use systemd_netns::instance::types::Scope;
use systemd_netns::migrate::ConfigFormat;
use systemd_netns::namespace::netlink::parse;
use systemd_netns::phase::record::Record;
use systemd_netns::phase::script::{self, Outcome};
use systemd_netns::pods;
use systemd_netns::service::attach::dropin;
use systemd_netns::sys::command::Termination;
use systemd_netns::sys::terminal::{clean, cut, width};
use systemd_netns::systemd::change::Units;
use systemd_netns::systemd::unit::{self, UnitName};
use systemd_netns::update::requires::literal;

/// Panics if something does not hold for the input.
pub type Target = fn(&[u8]);

/// All targets, by the names of their directories in `fuzz/corpus`.
pub const ALL: [(&str, Target); 15] = [
    ("names", names),
    ("file_names", file_names),
    ("argv", argv),
    ("terminal", terminal),
    ("record", record),
    ("report", report),
    ("drop_in", drop_in),
    ("requires", requires),
    ("netlink", netlink),
    ("journal", journal),
    ("cni", cni),
    ("netavark", netavark),
    ("migrate", migrate),
    ("kept", kept),
    ("environment", environment),
];

/// Checks that a text cannot move the cursor, or change colours or the direction of text.
fn is_plain(text: &str) {
    let raw = |c: &char| {
        let bidi = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        bidi || (c.is_control() && *c != '\n' && *c != '\t')
    };
    assert_eq!(text.chars().find(raw), None, "{text:?}");
}

/// Checks that a valid name is a file name, a part of a unit name, and one word of a shell.
pub fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let root = Root::at("/root-of-a-test");
    let word = |name: &str, more: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        assert!(!name.is_empty() && name.chars().all(allowed), "{name:?}");
        assert!(
            !name.starts_with('-') && name != "." && name != "..",
            "{name:?}"
        );
    };
    match text.parse::<NsType>() {
        Ok(nstype) => word(nstype.as_str(), "_"),
        Err(error) => is_plain(&error.to_string()),
    }
    match text.parse::<Instance>() {
        Ok(instance) => {
            word(instance.nsname.as_str(), ":_.@-");
            assert_eq!(instance.to_string(), text);
            let paths = [
                (root.record(&instance), root.records_dir()),
                (root.instance_conf(&instance), root.conf_dir()),
                (root.netns(&instance.nsname), root.netns_dir()),
                (root.pin(&instance.nsname), root.pins_dir()),
            ];
            for (path, directory) in paths {
                assert_eq!(path.parent(), Some(&*directory), "{}", path.display());
            }
            for side in [Side::Outside, Side::Inside] {
                let parsed = UnitName::parse(&unit::of(side, &instance));
                assert_eq!(parsed, Some(UnitName::Instance(side, instance.clone())));
            }
        }
        Err(error) => is_plain(&error.to_string()),
    }
    if let Ok(name) = NsName::of_any(&text) {
        assert_eq!(root.netns(&name).parent(), Some(&*root.netns_dir()));
    }
    let _ = UnitName::parse(&text);
}

/// Checks that the file of an instance is the one that is read for it.
pub fn file_names(input: &[u8]) {
    let root = Root::at("/root-of-a-test");
    if input.contains(&b'/') || input.contains(&0) {
        return;
    }
    let path = root.conf_dir().join(std::ffi::OsStr::from_bytes(input));
    match Scope::of(&path) {
        Ok(Some(Scope::Instance(instance))) => assert_eq!(root.instance_conf(&instance), path),
        Ok(Some(Scope::Type(nstype))) => {
            let [script, _] = root.scripts(&nstype);
            assert!(
                path == script || path == root.type_conf(&nstype),
                "{}",
                path.display()
            );
        }
        Ok(Some(Scope::All)) => assert_eq!(path, root.default_conf()),
        Ok(None) => {}
        Err(error) => is_plain(&clean(&format!("{error:#}"))),
    }
}

/// Splits words that each end with a NUL.
pub fn argv(input: &[u8]) {
    let words = input
        .split(|byte| *byte == 0)
        .map(std::ffi::OsStr::from_bytes);
    let words: Vec<_> = std::iter::once("program".as_ref()).chain(words).collect();
    let _ = Init::try_parse_from(&words);
    let _ = Update::try_parse_from(&words);
    let _ = Ctl::try_parse_from(&words);
}

pub fn terminal(input: &[u8]) {
    let text = clean(&String::from_utf8_lossy(input));
    is_plain(&text);
    for columns in [0, 1, 7, 80] {
        assert!(width(&cut(&text, columns)) <= columns.max(1), "{text:?}");
    }
}

/// Checks that the files of a record are in its directory.
pub fn record(input: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = Root::at(directory.path());
    let instance: Instance = "veth@web".parse().expect("a name");
    let record = root.record(&instance);
    fs::create_dir_all(&record).expect("a directory");
    fs::write(record.join("inside"), input).expect("a file");
    let _ = Record::of(&root, &instance).namespace();
    let locked = Record::of(&root, &instance).lock().expect("a lock");
    if let Ok(Some(sources)) = locked.sources(Side::Inside) {
        for source in &sources.files {
            assert_eq!(source.path.parent(), Some(&*record));
        }
    }
}

pub fn report(input: &[u8]) {
    for end in [
        Termination::Exited(0),
        Termination::Exited(6),
        Termination::Killed(9),
    ] {
        // A failed function is never reported as a success.
        assert!(Outcome::read(input, end).status() != 0 || end.success());
    }
}

pub fn drop_in(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(written) = dropin::read(&text) {
        assert_eq!(written.nsname.to_string().parse(), Ok(written.nsname));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let root = Root::at(directory.path());
    let name: NsName = "web".parse().expect("a name");
    let file = root.netns_etc(&name).join("resolv.conf");
    fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
    fs::write(&file, input).expect("a file");
    let conf = ResolvConf::of(&root, &name);
    // Adding and removing a section does not change text of others.
    if conf.set("veth@web", "nameserver 192.0.2.53\n").is_ok() {
        let part = conf.part("veth@web").expect("it can be read");
        assert!(part.is_none_or(|part| part.contains("192.0.2.53")));
    }
}

pub fn requires(input: &[u8]) {
    let _ = literal::read(&String::from_utf8_lossy(input));
}

pub fn netlink(input: &[u8]) {
    let _ = parse::link(input);
    let _ = parse::traffic(input);
    for route in parse::routes(input).unwrap_or_default() {
        is_plain(&route.destination);
    }
    let _ = parse::addresses(input);
}

/// Checks that an invalid journal of changes is an error, and changes nothing.
pub fn journal(input: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = Root::at(directory.path());
    fs::create_dir_all(root.unit_dir()).expect("a directory");
    // An object may be a journal, which is root's own.
    if input.trim_ascii_start().starts_with(b"{") {
        return;
    }
    fs::write(root.units_journal(), input).expect("a file");
    assert!(Units::lock(&root, None).is_err());
    assert!(Path::new(&root.units_journal()).exists());
}

/// Checks that the name of each variable is an identifier, and that no value becomes another variable.
fn are_variables(all: &ContainerVariables) {
    let mut words = 0;
    for (name, value) in all {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(name.chars().all(part) && !name.is_empty(), "{name:?}");
        words += match value {
            BashValue::Text(_) => 3,
            BashValue::List(items) => 2 + items.len(),
        };
    }
    let file = variables::file(all);
    assert_eq!(file.iter().filter(|byte| **byte == 0).count(), words);
}

/// Checks the variables that a CNI configuration sets.
pub fn cni(input: &[u8]) {
    let Ok(json) = serde_json::from_slice(input) else {
        return;
    };
    match NetworkConfiguration::read(json) {
        Ok(configuration) => {
            are_variables(&configuration.plan.variables);
            let key = Key::new("0123abcd", "eth0").expect("a key");
            let _ = configuration.facts(&key);
        }
        Err(error) => is_plain(&clean(&format!("{error:#}"))),
    }
}

/// Checks the variables and names in a request of netavark.
pub fn netavark(input: &[u8]) {
    if let Ok((key, plan, _)) = netavark::requested(input) {
        are_variables(&plan.variables);
        let word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        assert!(key.container().chars().all(word), "{key:?}");
        assert!(!key.ifname().contains(['/', ':']), "{key:?}");
    }
}

/// Checks that a migrated file becomes files below /etc, in which no value is code.
pub fn migrate(input: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = Root::at(directory.path());
    for name in ["a.json", "a.yaml", "a.toml", "a.ovpn", "a.conf", "netns-a"] {
        let file = directory.path().join(name);
        fs::write(&file, input).expect("a file");
        let format = ConfigFormat::of_name(&file).expect("a format");
        let Ok(plan) = format.plan(&root, &[file]) else {
            continue;
        };
        for draft in plan.drafts {
            let below = draft.path.strip_prefix(root.path("/etc"));
            let below = below.unwrap_or_else(|_| panic!("{}", draft.path.display()));
            let plain = |part| matches!(part, Component::Normal(_));
            assert!(below.components().all(plain), "{}", below.display());
            // Those for other programs are in their syntax.
            if !draft.path.starts_with(root.conf_dir()) || draft.secret {
                continue;
            }
            is_plain(&draft.text);
            for line in draft.text.lines().filter(|line| !line.starts_with('#')) {
                let (name, quoted) = line.split_once('=').expect("a variable");
                let words = shell_words::split(quoted).expect("a word");
                let [word] = words.as_slice() else {
                    panic!("{name}: {words:?}");
                };
                assert_eq!(shell_words::quote(word), quoted, "{name}");
            }
        }
    }
}

/// Checks that the record of a pod is written as it was read, and reads the record of an interface.
pub fn kept(input: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = Root::at(directory.path());
    let name: NsName = "web".parse().expect("a name");
    fs::create_dir_all(root.pods_dir()).expect("a directory");
    fs::write(root.pod(&name), input).expect("a file");
    if let Ok(Some(pod)) = pods::record::PodRecord::read(&root, &name) {
        pod.write(&root).expect("it can be written");
        let again = pods::record::PodRecord::read(&root, &name).expect("it can be read");
        assert_eq!(again, Some(pod));
    }
    let key = Key::new("0123abcd", "eth0").expect("a key");
    fs::create_dir_all(root.containers_dir()).expect("a directory");
    fs::write(root.containers_dir().join("0123abcd:eth0"), input).expect("a file");
    let locked = Locked::take(&root, &key).expect("a lock");
    if let Ok(Some(record)) = locked.record() {
        let _ = record.instance();
    }
}

/// Checks that bash runs no code from variables, each ended by a NUL, and gets no function, option or alias from them.
pub fn environment(input: &[u8]) {
    let variables = input.split(|byte| *byte == 0).filter_map(|word| {
        let equals = word.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&word[..equals], &word[equals + 1..]);
        // The dynamic linker is the unit's business.
        let is_name = !name.is_empty() && !name.starts_with(b"LD_") && name != b"PATH";
        let os = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        is_name.then(|| (os(name), os(value)))
    });
    let variables: Vec<(OsString, OsString)> = variables.collect();
    let script = "declare -F; alias; [[ $- != *[xv]* ]] && exit 7";
    let output = Command::new("/bin/bash")
        .args(["--noprofile", "--norc", "-c", script])
        .env_clear()
        .envs(script::environment(variables.into_iter()))
        .output()
        .expect("bash");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}
