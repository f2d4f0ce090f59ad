//! The operating system: programs, files, locks, exit codes, users, the terminal.
//!
//! Uses no other layer.

pub mod command;
pub mod exit;
pub mod file;
mod flock;
pub mod lock;
pub mod log;
pub mod pager;
pub mod parallel;
pub mod process;
pub mod progress;
pub mod rooted;
pub mod temporary;
pub mod terminal;
pub mod user;
