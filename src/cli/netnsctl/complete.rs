use std::collections::BTreeSet;

use anyhow::Result;
use clap::{Arg, Args, Command};

use crate::instance::paths::Root;
use crate::instance::types::Types;
use crate::namespace;
use crate::sys::terminal::{self, clean};
use crate::systemd::instances::known;
use crate::systemd::manager::Manager;

/// Print the completions of a command line, for shells
///
/// The last word is the one to complete. Nothing is printed where a file name or a value of an unknown
/// kind is expected.
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "Example: netnsctl complete netnsctl status ''"
)]
pub struct Complete {
    /// Program and its words
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Complete {
    pub fn run(&self, root: &Root, program_of: fn(&str) -> Option<Command>) -> Result<u8> {
        let [program, words @ .., last] = self.words.as_slice() else {
            return Ok(0);
        };
        let program = program.rsplit('/').next().unwrap_or(program);
        let Some(command) = program_of(program) else {
            return Ok(0);
        };
        let system = System(root);
        let found = match command.get_name() {
            "netnsinit" if !last.starts_with('-') => system.phase(words),
            _ => system.candidates(&command, words, last),
        };
        // Names with control characters would break the lines, or control the terminal.
        let plain = |word: &&String| word.starts_with(last.as_str()) && clean(word) == **word;
        let matching = found.iter().filter(plain);
        terminal::print(&matching.map(|word| format!("{word}\n")).collect::<String>())?;
        Ok(0)
    }
}

/// The names on this system. Those that cannot be read are left out.
struct System<'a>(&'a Root);

impl System<'_> {
    /// NSTYPE NSNAME [PARAM...] up|down inside|outside
    fn phase(&self, words: &[String]) -> Vec<String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let words: Vec<&str> = words.into_iter().filter(|w| !w.starts_with("--")).collect();
        match words.as_slice() {
            [] => self.types(),
            [_] => self.names(),
            [_, _, .., "up" | "down"] => owned(&["outside", "inside"]),
            _ => owned(&["up", "down"]),
        }
    }

    fn candidates(&self, command: &Command, words: &[String], last: &str) -> Vec<String> {
        let mut command = command;
        let mut positional = 0;
        let mut pending: Option<&Arg> = None;
        let mut only_words = false;
        for word in words {
            if pending.take().is_some() {
                continue;
            }
            if word == "--" {
                only_words = true;
            } else if let Some(option) = word.strip_prefix('-').filter(|_| !only_words) {
                pending = option_named(command, option).filter(|arg| takes_value(arg));
            } else if let Some(verb) = command.find_subcommand(word) {
                command = verb;
            } else {
                positional += 1;
            }
        }
        if let Some(option) = pending {
            return self.values(option);
        }
        if let Some((option, _)) = last.split_once('=').filter(|_| last.starts_with("--")) {
            let found = option_named(command, &option[1..]);
            let values = found.map(|arg| self.values(arg)).unwrap_or_default();
            return values
                .iter()
                .map(|value| format!("{option}={value}"))
                .collect();
        }
        if last.starts_with('-') && !only_words {
            return options(command);
        }
        if command.has_subcommands() {
            let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
            return verbs.map(|verb| verb.get_name().to_owned()).collect();
        }
        let arguments: Vec<&Arg> = command.get_positionals().collect();
        let argument = arguments.get(positional).or_else(|| {
            let many = |arg: &&&Arg| arg.get_num_args().is_some_and(|n| n.max_values() > 1);
            arguments.last().filter(many)
        });
        argument.map(|arg| self.values(arg)).unwrap_or_default()
    }

    /// The values of an argument, chosen by its value name in the help.
    fn values(&self, argument: &Arg) -> Vec<String> {
        let possible = argument.get_possible_values();
        if !possible.is_empty() {
            return possible
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect();
        }
        let called = argument.get_value_names().and_then(|names| names.first());
        let called = called.map(|name| name.to_string()).unwrap_or_default();
        match called.as_str() {
            "NSNAME" => self.names(),
            "NSTYPE" => self.types(),
            "NSTYPE@NSNAME" => self.instances(),
            "NSTYPE[@NSNAME]" => [self.types(), self.instances()].concat(),
            "[NSTYPE@]NSNAME" => [self.names(), self.instances()].concat(),
            "NSTYPE@NSNAME|UNIT" => [self.instances(), self.services()].concat(),
            "SERVICE" => self.services(),
            _ => Vec::new(),
        }
    }

    fn types(&self) -> Vec<String> {
        let types = Types::find(self.0).unwrap_or_default();
        types.found.iter().map(ToString::to_string).collect()
    }

    fn instances(&self) -> Vec<String> {
        let known = known(self.0, self.manager().as_ref(), &mut Vec::new());
        known.iter().map(ToString::to_string).collect()
    }

    /// The namespaces that exist, and those of known instances.
    fn names(&self) -> Vec<String> {
        let files = namespace::files(self.0).unwrap_or_default();
        let files = files.iter().filter_map(|path| path.file_name()?.to_str());
        let mut names: BTreeSet<String> = files.map(str::to_owned).collect();
        let known = known(self.0, None, &mut Vec::new());
        names.extend(known.iter().map(|instance| instance.nsname.to_string()));
        names.into_iter().collect()
    }

    fn services(&self) -> Vec<String> {
        let services = self.manager().and_then(|manager| manager.services().ok());
        let services = services.unwrap_or_default().into_iter();
        services.filter(|name| !name.starts_with("netns")).collect()
    }

    fn manager(&self) -> Option<Manager> {
        Manager::running(self.0).ok()?
    }
}

/// An option, by its name without the first hyphen.
fn option_named<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let mut arguments = command.get_arguments();
    match name.strip_prefix('-') {
        Some(long) => arguments.find(|arg| arg.get_long() == Some(long)),
        None => arguments.find(|arg| arg.get_short().is_some_and(|s| name == s.to_string())),
    }
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn options(command: &Command) -> Vec<String> {
    let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let long = arguments.filter_map(|arg| arg.get_long());
    long.map(|name| format!("--{name}")).collect()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
