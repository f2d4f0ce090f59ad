//! The command lines of netnsinit, netnsupdate and netnsctl, and the verbs of netnsctl.
//!
//! Uses every module but `bin`.

pub mod arguments;
pub mod netnsctl;
mod output;
