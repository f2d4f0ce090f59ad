//! Runs one phase of one instance of a network namespace type.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use systemd_netns::cli::arguments::Init;
use systemd_netns::instance::name::Instance;
use systemd_netns::instance::paths::Root;
use systemd_netns::instance::phase::Phase;
use systemd_netns::phase::{self, PhaseRequest};
use systemd_netns::sys::exit::{self, Exit, OrExit};

fn main() -> ExitCode {
    exit::main("netnsinit", || {
        phase::run(&Root::default(), &request(arguments())?)
    })
}

/// The command line, which clap has to take apart only if there may be options.
fn arguments() -> Init {
    let mut words = std::env::args_os().skip(1).peekable();
    let undo = words.next_if(|word| word == "--undo").is_some();
    let words: Vec<OsString> = words.collect();
    match words.first() {
        Some(word) if !word.as_encoded_bytes().starts_with(b"-") => Init { undo, words },
        _ => Init::parse(),
    }
}

fn request(arguments: Init) -> Result<PhaseRequest> {
    let Init { undo, words } = arguments;
    let [nstype, nsname, parameters @ .., direction, side] = words.as_slice() else {
        usage("NSTYPE, NSNAME, up or down, and inside or outside are needed");
    };
    let phase = Phase {
        side: parse(side).unwrap_or_else(|error| usage(error)),
        direction: parse(direction).unwrap_or_else(|error| usage(error)),
    };
    let instance = Instance {
        nstype: parse(nstype).or_exit(Exit::Usage)?,
        nsname: parse(nsname).or_exit(Exit::Usage)?,
    };
    let parameters = parameters.to_vec();
    Ok(PhaseRequest {
        instance,
        parameters,
        phase,
        undo,
    })
}

fn parse<T: FromStr>(word: &OsStr) -> Result<T, T::Err> {
    let Some(text) = word.to_str() else {
        usage(format!("'{}' is not UTF-8", word.to_string_lossy()));
    };
    text.parse()
}

fn usage(error: impl Display) -> ! {
    Init::command().error(ErrorKind::InvalidValue, error).exit()
}
