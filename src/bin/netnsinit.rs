//! Runs one phase of one instance of a network namespace type.

use std::ffi::OsStr;
use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use nix::sys::stat::{Mode, umask};
use systemd_netns::cli::arguments::Init;
use systemd_netns::instance::name::Instance;
use systemd_netns::instance::paths::Root;
use systemd_netns::instance::phase::Phase;
use systemd_netns::phase::{self, PhaseRequest};
use systemd_netns::sys::exit::{self, Exit, OrExit};

fn main() -> ExitCode {
    exit::main("netnsinit", || {
        umask(Mode::from_bits_truncate(0o022));
        phase::run(&Root::default(), &request(Init::parse())?)
    })
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
