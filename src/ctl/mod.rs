//! netnsctl: one file for each verb, with its arguments and what it does.

use anyhow::Result;
use clap::Subcommand;

use crate::root::Root;

mod check;
mod complete;
mod create;
mod delete;
mod graph;
mod inspect;
mod list;
mod status;

/// What netnsctl is asked to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Check(check::Check),
    Complete(complete::Complete),
    Create(create::Create),
    Delete(delete::Delete),
    Graph(graph::Graph),
    Inspect(inspect::Inspect),
    List(list::List),
    Status(status::Status),
}

impl Verb {
    /// Does it, and gives the exit status.
    pub fn run(&self, root: &Root) -> Result<u8> {
        match self {
            Verb::Check(verb) => verb.run(root),
            Verb::Complete(verb) => verb.run(root),
            Verb::Create(verb) => verb.run(root),
            Verb::Delete(verb) => verb.run(root),
            Verb::Graph(verb) => verb.run(root),
            Verb::Inspect(verb) => verb.run(root),
            Verb::List(verb) => verb.run(root),
            Verb::Status(verb) => verb.run(root),
        }
    }
}
