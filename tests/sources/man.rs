//! The manual pages and the help say what there is, all of it, and nothing else.
//!
//! What a page says of options and verbs is generated from clap's help. With `NETNS_BLESS=1` in the
//! environment it is written anew.

use std::collections::BTreeSet;
use std::process::Command as Process;
use std::{env, fs};

use clap::{Arg, Command};
use systemd_netns::cli::netnsctl;
use systemd_netns::instance::paths::Root;
use systemd_netns::sys::exit::Exit;

use crate::repository;

const PROGRAMS: [&str; 3] = ["netnsctl", "netnsinit", "netnsupdate"];
const OTHERS: [&str; 2] = ["netns.conf.5", "systemd-netns.7"];

/// Variables that are read when the programs are built, and by which parts of ours talk.
const NOT_FOR_USERS: [&str; 5] = [
    "NETNS_PREFIX",
    "NETNS_SYSCONFDIR",
    "NETNS_DHCP_FAMILY",
    "NETNS_DHCP_MTU",
    "NETNS_DHCP_ROUTES",
];

fn page(name: &str) -> String {
    let path = repository("man").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A page as it reads: hyphens are hyphens, and fonts are gone.
fn plain(page: &str) -> String {
    let mut plain = page.replace("\\-", "-").replace("\\&", "");
    for font in ["\\fR", "\\fB", "\\fI"] {
        plain = plain.replace(font, "");
    }
    plain
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let dots = |line: &str| line.starts_with(['.', '\'']);
    let lines = text.lines().map(|line| {
        if dots(line) {
            format!("\\&{line}")
        } else {
            line.into()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Options and arguments as a list, then what the help says at its end.
fn generated_of(command: &Command) -> String {
    let mut text = String::new();
    // What all verbs have is told once, with the program.
    let is_verb = !PROGRAMS.contains(&command.get_name());
    let common = |arg: &&Arg| ["help", "version"].contains(&arg.get_id().as_str());
    let visible = |arg: &&Arg| !(arg.is_hide_set() || is_verb && common(arg));
    let options = command.get_arguments().filter(|arg| !arg.is_positional());
    for arg in command.get_positionals().chain(options).filter(visible) {
        let value = arg.get_value_names().and_then(|names| names.first());
        let value = value.map(|name| name.to_string()).unwrap_or_default();
        let takes = arg.get_action().takes_values();
        let mut names = Vec::new();
        names.extend(arg.get_short().map(|short| format!("-{short}")));
        names.extend(arg.get_long().map(|long| format!("--{long}")));
        text += &match (names.is_empty(), takes) {
            (true, _) => format!(".TP\n.I {}\n", escaped(&value)),
            (false, true) => format!(
                ".TP\n.BI \"{} \" {}\n",
                escaped(&names.join(", ")),
                escaped(&value)
            ),
            (false, false) => format!(".TP\n.B \"{}\"\n", escaped(&names.join(", "))),
        };
        let help = arg
            .get_long_help()
            .or(arg.get_help())
            .map(ToString::to_string);
        let help = help.unwrap_or_default();
        let paragraphs = help.trim_end_matches('.').split("\n\n").map(escaped);
        let paragraphs: Vec<String> = paragraphs.collect();
        text += &format!("{}.\n", paragraphs.join(".\n.IP\n"));
        let default = arg.get_default_values().first().filter(|_| takes);
        if let Some(default) = default {
            text += &format!(
                "If it is not given: {}.\n",
                escaped(&default.to_string_lossy())
            );
        }
        let possible = arg.get_possible_values();
        let possible: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
        if takes && !possible.is_empty() && !arg.is_hide_possible_values_set() {
            text += &format!("One of: {}.\n", escaped(&possible.join(", ")));
        }
    }
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        text += &after_help(&after.to_string());
    }
    text
}

/// Paragraphs, and examples as they would be typed.
fn after_help(text: &str) -> String {
    let mut out = String::new();
    let mut example = false;
    for line in text.lines() {
        if let Some(first) = line.strip_prefix("Example: ") {
            out += &format!(".PP\nExample:\n.PP\n.EX\n{}\n", escaped(first));
            example = true;
        } else if example && line.starts_with(' ') {
            out += &format!("{}\n", escaped(line.trim_start()));
        } else if line.is_empty() {
            out += if std::mem::take(&mut example) {
                ".EE\n"
            } else {
                ""
            };
        } else {
            let paragraph = out.is_empty() || out.ends_with(".EE\n");
            out += &format!(
                "{}{}\n",
                if paragraph { ".PP\n" } else { "" },
                escaped(line)
            );
        }
    }
    out + if example { ".EE\n" } else { "" }
}

fn generated(program: &str) -> String {
    let mut command = netnsctl::program(program).unwrap();
    if !command.has_subcommands() {
        return generated_of(&command);
    }
    let options = command.clone().after_help("");
    let mut text = format!(".SH OPTIONS\n{}.SH VERBS\n", generated_of(&options));
    let verbs: Vec<String> = visible_verbs(&command);
    for verb in verbs {
        let verb = command.find_subcommand_mut(&verb).unwrap();
        let usage = verb.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").trim_end();
        text += &format!(".SS \"{}\"\n", escaped(usage));
        let about = verb.get_long_about().or(verb.get_about()).unwrap();
        let about = about.to_string().replace("\n\n", ".\n.PP\n");
        let about: Vec<String> = about
            .lines()
            .map(|line| {
                if line == ".PP" {
                    line.to_owned()
                } else {
                    escaped(line)
                }
            })
            .collect();
        text += &format!("{}.\n", about.join("\n").trim_end_matches('.'));
        text += &generated_of(verb);
    }
    text
}

fn visible_verbs(command: &Command) -> Vec<String> {
    let verbs = command.get_subcommands();
    let visible = verbs.filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
    visible.map(|verb| verb.get_name().to_owned()).collect()
}

#[test]
fn the_generated_parts_are_current() {
    for program in PROGRAMS {
        let name = format!("{program}.8");
        let page = page(&name);
        let (begin, end) = (
            format!(".\\\" begin generated: {program}\n"),
            ".\\\" end generated\n",
        );
        let (before, rest) = page.split_once(&begin).expect("the part has a begin");
        let (part, after) = rest.split_once(end).expect("the part has an end");
        let current = generated(program);
        if env::var_os("NETNS_BLESS").is_some() {
            let text = format!("{before}{begin}{current}{end}{after}");
            fs::write(repository("man").join(&name), text).unwrap();
        } else {
            assert_eq!(
                part, current,
                "man/{name}: NETNS_BLESS=1 cargo test --test sources man::"
            );
        }
    }
}

/// All words of a text that begin so.
fn words<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let hyphens = begin.starts_with('-');
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (hyphens && c == '-');
    let words = text.split(|c: char| !part(c));
    words
        .filter(|word| word.starts_with(begin) && word.len() > begin.len())
        .collect()
}

#[test]
fn options_and_verbs_are_those_that_there_are() {
    let mut all = BTreeSet::from(["now".to_owned()]); // of systemctl
    for program in PROGRAMS {
        let command = netnsctl::program(program).unwrap();
        let page = plain(&page(&format!("{program}.8")));
        let commands = std::iter::once(&command).chain(command.get_subcommands());
        for one in commands.filter(|one| !one.is_hide_set() && one.get_name() != "help") {
            for option in one.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let Some(long) = option.get_long() else {
                    continue;
                };
                all.insert(long.to_owned());
                assert!(
                    page.contains(&format!("--{long}")),
                    "{program}(8): --{long} is missing"
                );
            }
        }
        for verb in visible_verbs(&command) {
            assert!(
                page.contains(&format!("\n.SS \"{program} {verb}")),
                "{program} {verb}"
            );
        }
    }
    let pages = PROGRAMS.map(|program| format!("{program}.8"));
    for name in pages.iter().map(String::as_str).chain(OTHERS) {
        let page = plain(&page(name));
        for option in words(&page, "--") {
            assert!(all.contains(&option[2..]), "{name}: there is no {option}");
        }
    }
}

/// The files below a directory of the crate.
fn sources(directory: &str) -> Vec<String> {
    let output = Process::new("find")
        .arg(repository(directory))
        .args(["-type", "f", "!", "-name", "*.md"])
        .output()
        .unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    list.lines()
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .collect()
}

#[test]
fn variables_are_documented_and_exist() {
    let pages = PROGRAMS.map(|program| format!("{program}.8"));
    let pages: Vec<String> = pages
        .iter()
        .map(String::as_str)
        .chain(OTHERS)
        .map(page)
        .collect();
    let documented = pages
        .iter()
        .flat_map(|page| words(page, "NETNS_"))
        .collect::<BTreeSet<_>>();
    let sources: Vec<String> = ["src", "contrib/types"]
        .into_iter()
        .flat_map(sources)
        .collect();
    // Tests within the sources make up names.
    let sources = sources
        .iter()
        .map(|text| text.split("#[cfg(test)]").next().unwrap());
    let used: BTreeSet<&str> = sources.flat_map(|text| words(text, "NETNS_")).collect();
    for variable in used
        .iter()
        .filter(|variable| !NOT_FOR_USERS.contains(variable))
    {
        assert!(documented.contains(variable), "{variable} is in no page");
    }
    for variable in documented {
        assert!(used.contains(variable), "there is no {variable}");
    }
}

#[test]
fn exit_codes_are_documented() {
    let codes = [
        Exit::Failure,
        Exit::Usage,
        Exit::NotPermitted,
        Exit::NotInstalled,
        Exit::Config,
    ];
    for name in [
        "netnsctl.8",
        "netnsinit.8",
        "netnsupdate.8",
        "systemd-netns.7",
    ] {
        let page = page(name);
        let (_, section) = page
            .split_once(".SH \"EXIT STATUS\"")
            .expect("there is a section");
        let section = section.split("\n.SH").next().unwrap();
        for code in codes {
            let code = (code as u8).to_string();
            let mut words = section.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(words.any(|word| word == code), "{name}: {code}");
        }
    }
}

#[test]
fn files_are_documented() {
    let root = Root::default();
    let page = plain(&page("systemd-netns.7"));
    let (_, files) = page.split_once(".SH FILES").expect("there is a section");
    for path in [
        root.conf_dir(),
        root.share_dir(),
        root.template_dir(),
        root.unit_dir(),
        root.netns_dir(),
        root.state_dir(),
        root.path("/etc/netns"),
    ] {
        assert!(files.contains(path.to_str().unwrap()), "{}", path.display());
    }
    for entry in fs::read_dir(repository("systemd")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            !name.ends_with(".service") || files.contains(&name),
            "{name}"
        );
    }
}

#[test]
fn pages_are_well_formed() {
    for entry in fs::read_dir(repository("man")).unwrap() {
        let path = entry.unwrap().path();
        let output = Process::new("man")
            .args(["--warnings", "--encoding=utf8", "--local-file"])
            .arg(&path)
            .envs([
                ("MANWIDTH", "80"),
                ("LC_ALL", "C.UTF-8"),
                ("MANROFFSEQ", ""),
            ])
            .output()
            .expect("man(1) is there: package man-db");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{}: {stderr}",
            path.display()
        );
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.lines().count() > 20, "{}: {text}", path.display());
        let stem = path.file_stem().unwrap().to_string_lossy();
        let section = path.extension().unwrap().to_string_lossy();
        let title = format!("{}({section})", stem.to_uppercase());
        assert!(text.starts_with(&title), "{title}: {text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", path.display());
        }
    }
}

#[test]
fn help_fits_a_terminal_and_has_an_example() {
    for program in PROGRAMS {
        let mut command = netnsctl::program(program).unwrap();
        let verbs: Vec<String> = command
            .get_subcommands()
            .map(|v| v.get_name().to_owned())
            .collect();
        let mut helps = vec![(program.to_owned(), command.render_long_help())];
        for verb in verbs.iter().filter(|verb| *verb != "help") {
            let verb_command = command.find_subcommand_mut(verb).unwrap();
            helps.push((format!("{program} {verb}"), verb_command.render_long_help()));
            helps.push((format!("{program} {verb}"), verb_command.render_help()));
        }
        for (name, help) in helps {
            let help = help.to_string();
            assert!(
                help.contains("\nExample: "),
                "{name} has no example:\n{help}"
            );
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
        }
    }
}
