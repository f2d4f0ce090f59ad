//! The exit codes of the programs.
//!
//! The numbers are those that systemd shows by name (systemd.exec(5), "Process exit codes").

use std::fmt;
use std::io;
use std::process::ExitCode;

use nix::errno::Errno;

use crate::sys::{log, process};

/// Why a program failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Any other failure.
    Failure = 1,
    /// INVALIDARGUMENT: the command line is wrong.
    Usage = 2,
    /// NOPERMISSION: the caller lacks the privilege.
    NotPermitted = 4,
    /// NOTINSTALLED: bash or another required program is missing.
    NotInstalled = 5,
    /// NOTCONFIGURED: a configuration file is missing, invalid or not trusted.
    Config = 6,
}

/// An error with an exit code.
#[derive(Debug)]
struct Coded {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Coded {}

/// Attaches an exit code to an error.
pub trait OrExit<T> {
    /// On error, makes the program exit with `exit`.
    fn or_exit(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            anyhow::Error::new(Coded { exit, error })
        })
    }
}

/// The exit code of `error`: the one attached to it, or the one that its errno stands for.
pub fn code(error: &anyhow::Error) -> Exit {
    if let Some(coded) = error.downcast_ref::<Coded>() {
        return coded.exit;
    }
    let refused = error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let errno = cause.downcast_ref::<Errno>();
        io == Some(io::ErrorKind::PermissionDenied)
            || matches!(errno, Some(Errno::EPERM | Errno::EACCES))
    });
    if refused {
        Exit::NotPermitted
    } else {
        Exit::Failure
    }
}

/// `error`, and that of the attempt to undo what was begun, if it failed, too.
pub fn after_undo<T>(error: anyhow::Error, undo: anyhow::Result<T>) -> anyhow::Error {
    match undo {
        Ok(_) => error,
        Err(undo) => error.context(format!("{undo:#}, after")),
    }
}

/// Runs `body` as the main function of `program`: prints its error and returns the exit status.
pub fn main(program: &'static str, body: impl FnOnce() -> anyhow::Result<u8>) -> ExitCode {
    process::reset_signals();
    log::set_program(program);
    match body() {
        Ok(status) => status.into(),
        Err(error) => {
            let exit = code(&error);
            let advice = match exit {
                Exit::NotPermitted if !process::is_root() => " (you are not root)",
                _ => "",
            };
            log::error(&format!("{error:#}{advice}"));
            (exit as u8).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_code_survives_further_context() {
        let result: anyhow::Result<()> = Err(anyhow!("no such file"));
        let error = result.or_exit(Exit::Config).context("reading x");
        let error = error.unwrap_err();
        assert_eq!(code(&error), Exit::Config);
        assert_eq!(format!("{error:#}"), "reading x: no such file");
    }

    #[test]
    fn a_refusal_of_the_kernel_is_not_permitted() {
        let error = anyhow::Error::new(io::Error::from_raw_os_error(libc_eacces()));
        assert_eq!(code(&error.context("opening y")), Exit::NotPermitted);
        assert_eq!(code(&anyhow::Error::new(Errno::EPERM)), Exit::NotPermitted);
        assert_eq!(code(&anyhow::Error::new(Errno::ENOSPC)), Exit::Failure);
    }

    fn libc_eacces() -> i32 {
        Errno::EACCES as i32
    }
}
