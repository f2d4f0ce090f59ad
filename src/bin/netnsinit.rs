//! Runs one phase of one instance of a network namespace type.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use systemd_netns::cli::arguments::{self, Init, usage_error};
use systemd_netns::instance::name::Instance;
use systemd_netns::instance::paths::Root;
use systemd_netns::instance::phase::Phase;
use systemd_netns::phase::{self, PhaseRequest};
use systemd_netns::sys::exit::{self, Exit, OrExit};

fn main() -> ExitCode {
    exit::main("netnsinit", || {
        phase::run(&Root::default(), &request(words())?)
    })
}

/// The command line. clap parses it only if there may be options: that takes longer than the rest.
fn words() -> Init {
    let mut words = std::env::args_os().skip(1).peekable();
    let undo = words.next_if(|word| word == "--undo").is_some();
    let words: Vec<OsString> = words.collect();
    match words.first() {
        Some(word) if !word.as_encoded_bytes().starts_with(b"-") => Init { undo, words },
        _ => arguments::parse(),
    }
}

fn request(Init { undo, words }: Init) -> Result<PhaseRequest> {
    let [nstype, nsname, parameters @ .., direction, side] = words.as_slice() else {
        usage_error::<Init>("expected NSTYPE, NSNAME, up or down, and inside or outside");
    };
    let phase = Phase {
        side: parse(side).unwrap_or_else(|error| usage_error::<Init>(error)),
        direction: parse(direction).unwrap_or_else(|error| usage_error::<Init>(error)),
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
        usage_error::<Init>(format!("'{}' is not UTF-8", word.to_string_lossy()));
    };
    text.parse()
}
