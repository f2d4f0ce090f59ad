//! netnsctl: one file for each verb, with its arguments and what it does.

use anyhow::Result;
use clap::Subcommand;

use crate::root::Root;

mod create;
mod delete;
mod graph;
mod list;
mod status;

/// What netnsctl is asked to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Create(create::Create),
    Delete(delete::Delete),
    Graph(graph::Graph),
    List(list::List),
    Status(status::Status),
}

impl Verb {
    /// Does it, and gives the exit status.
    pub fn run(&self, root: &Root) -> Result<u8> {
        match self {
            Verb::Create(verb) => verb.run(root),
            Verb::Delete(verb) => verb.run(root),
            Verb::Graph(verb) => verb.run(root),
            Verb::List(verb) => verb.run(root),
            Verb::Status(verb) => verb.run(root),
        }
    }
}
