//! Container networks: offers every NSTYPE as a CNI and a netavark plugin, and runs the CNI plugins of
//! others for NSTYPE cni.
//!
//! Uses `lifecycle`, `check`, `inventory`, `namespace`, `instance` and `sys`.

pub mod abandoned;
pub mod chain;
pub mod cni;
pub mod facts;
mod interface;
pub mod netavark;
mod plugin;
pub mod record;
mod report;
pub mod variables;

pub use facts::Port;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::unistd::{dup, dup2_stdout};

use crate::instance::paths::Root;
use crate::sys::{log, process};

/// The main function of `netns-cni`: the netavark plugin if there are arguments, otherwise the CNI
/// plugin, which is controlled by environment variables.
pub fn main(root: &Root) -> ExitCode {
    process::reset_signals();
    log::set_program("netns-cni");
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let answer = claim_stdout().and_then(|stdout| {
        let (success, answer) = match words.is_empty() {
            true => cni::answer(root),
            false => netavark::answer(root, &words),
        };
        print(stdout, &answer).map(|()| success)
    });
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Reserves stdout for the answer: redirects the output of functions to stderr.
fn claim_stdout() -> Result<std::fs::File> {
    let stdout = dup(io::stdout()).context("duplicating stdout")?;
    dup2_stdout(io::stderr()).context("redirecting stdout")?;
    process::close_from(3)?;
    Ok(stdout.into())
}

fn print(mut stdout: std::fs::File, answer: &str) -> Result<()> {
    match answer.is_empty() {
        true => Ok(()),
        false => writeln!(stdout, "{answer}").context("writing to stdout"),
    }
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut input = Vec::new();
    io::stdin()
        .read_to_end(&mut input)
        .context("reading stdin")?;
    Ok(input)
}
