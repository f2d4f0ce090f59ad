//! The command lines of the three programs, and the verbs of netnsctl.
//!
//! Uses every other room but `bin`.

pub mod arguments;
pub mod netnsctl;
mod output;
