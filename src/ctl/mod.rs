//! netnsctl: one file for each verb, with its arguments and what it does.

use anyhow::Result;
use clap::Subcommand;

use crate::root::Root;

mod attach;
mod create;
mod delete;
mod detach;
mod graph;
mod list;
mod publish;
mod rebind;
mod require;
mod status;
mod unpublish;

/// What netnsctl is asked to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Attach(attach::Attach),
    Create(create::Create),
    Delete(delete::Delete),
    Detach(detach::Detach),
    Graph(graph::Graph),
    List(list::List),
    Publish(publish::Publish),
    Rebind(rebind::Rebind),
    Require(require::Require),
    Status(status::Status),
    Unpublish(unpublish::Unpublish),
}

impl Verb {
    /// Does it, and gives the exit status.
    pub fn run(&self, root: &Root) -> Result<u8> {
        match self {
            Verb::Attach(verb) => verb.run(root),
            Verb::Create(verb) => verb.run(root),
            Verb::Delete(verb) => verb.run(root),
            Verb::Detach(verb) => verb.run(root),
            Verb::Graph(verb) => verb.run(root),
            Verb::List(verb) => verb.run(root),
            Verb::Publish(verb) => verb.run(root),
            Verb::Rebind(verb) => verb.run(root),
            Verb::Require(verb) => verb.run(root),
            Verb::Status(verb) => verb.run(root),
            Verb::Unpublish(verb) => verb.run(root),
        }
    }
}
