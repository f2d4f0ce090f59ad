//! netnsctl: a module for each verb, with its arguments. No verb uses another.

use std::ffi::OsString;

use anyhow::Result;
use clap::{Command, CommandFactory, Parser, Subcommand};

use crate::cli::arguments::{Init, Update, parse};
use crate::instance::paths::Root;

mod address;
mod attach;
mod check;
mod cni;
mod complete;
mod create;
mod delete;
mod detach;
mod down;
mod exec;
mod gc;
mod graph;
mod inspect;
mod list;
mod metrics;
mod migrate;
mod new;
mod nft_save;
mod pods;
mod publish;
mod rebind;
mod relay;
mod require;
mod resolv_conf;
mod status;
mod undo;
mod unpublish;
mod up;

/// Inspect and manage network namespaces
#[derive(Debug, Parser)]
#[command(
    name = "netnsctl",
    version,
    max_term_width = 80,
    after_help = "Without a verb, netnsctl lists the network namespaces.\n\nExample: netnsctl list"
)]
pub struct Ctl {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Address(address::Address),
    Attach(attach::Attach),
    Check(check::Check),
    Cni(cni::Cni),
    Complete(complete::Complete),
    Create(create::Create),
    Delete(delete::Delete),
    Detach(detach::Detach),
    Down(down::Down),
    Exec(exec::Exec),
    Gc(gc::Gc),
    Graph(graph::Graph),
    Inspect(inspect::Inspect),
    List(list::List),
    Metrics(metrics::Metrics),
    Migrate(migrate::Migrate),
    New(new::New),
    NftSave(nft_save::NftSave),
    Pods(pods::Pods),
    Publish(publish::Publish),
    Rebind(rebind::Rebind),
    Relay(relay::Relay),
    Require(require::Require),
    ResolvConf(resolv_conf::SetResolvConf),
    Status(status::Status),
    Undo(undo::Undo),
    Unpublish(unpublish::Unpublish),
    Up(up::Up),
}

impl Verb {
    /// Parses the command lines that are run most often; `None` for any other. This saves building the
    /// options of all verbs for clap, which takes longer than the rest.
    fn plain(words: &[OsString]) -> Option<Self> {
        let exec = exec::Exec::plain(words).map(Verb::Exec);
        exec.or_else(|| create::Create::of_unit(words).map(Verb::Create))
            .or_else(|| delete::Delete::of_unit(words).map(Verb::Delete))
    }
}

impl Ctl {
    /// Parses the command line of this process, or exits with a usage error.
    pub fn parse_command_line() -> Self {
        let words: Vec<OsString> = std::env::args_os().skip(1).collect();
        match Verb::plain(&words) {
            None => parse(),
            verb => Self { verb },
        }
    }

    /// Runs the verb and returns the exit status.
    pub fn run(self, root: &Root) -> Result<u8> {
        match self
            .verb
            .unwrap_or_else(|| Verb::List(list::List::default()))
        {
            Verb::Address(verb) => verb.run(root),
            Verb::Attach(verb) => verb.run(root),
            Verb::Check(verb) => verb.run(root),
            Verb::Cni(verb) => verb.run(root),
            Verb::Complete(verb) => verb.run(root, program),
            Verb::Create(verb) => verb.run(root),
            Verb::Delete(verb) => verb.run(root),
            Verb::Detach(verb) => verb.run(root),
            Verb::Down(verb) => verb.run(root),
            Verb::Exec(verb) => verb.run(root),
            Verb::Gc(verb) => verb.run(root),
            Verb::Graph(verb) => verb.run(root),
            Verb::Inspect(verb) => verb.run(root),
            Verb::List(verb) => verb.run(root),
            Verb::Metrics(verb) => verb.run(root),
            Verb::Migrate(verb) => verb.run(root),
            Verb::New(verb) => verb.run(root),
            Verb::NftSave(verb) => verb.run(root),
            Verb::Pods(verb) => verb.run(root),
            Verb::Publish(verb) => verb.run(root),
            Verb::Rebind(verb) => verb.run(root),
            Verb::Relay(verb) => verb.run(),
            Verb::Require(verb) => verb.run(root),
            Verb::ResolvConf(verb) => verb.run(root),
            Verb::Status(verb) => verb.run(root),
            Verb::Undo(verb) => verb.run(root),
            Verb::Unpublish(verb) => verb.run(root),
            Verb::Up(verb) => verb.run(root),
        }
    }
}

/// The command line definition of a program, for completion and manual pages; `None` if there is no
/// program of this name.
pub fn program(name: &str) -> Option<Command> {
    let mut command = match name {
        "netnsctl" => Ctl::command(),
        "netnsinit" => Init::command(),
        "netnsupdate" | "netns-update" => Update::command(),
        _ => return None,
    };
    command.build();
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_command_lines_are_parsed_as_clap_parses_them() {
        let mut plain = 0;
        for line in [
            "exec a true",
            "exec a -- true",
            "exec a -- -x",
            "exec a -- --",
            "exec a true -- -x --user b",
            "exec a true --help",
            "exec a --",
            "exec a",
            "exec -- a true",
            "exec --user b a true",
            "exec a --user b true",
            "exec a -h",
            "exec a/b true",
            "exec",
            "list a true",
            "create --unit a@b",
            "create --unit -a",
            "create --unit a/b",
            "create --unit",
            "create a --unit",
            "delete --unit --force a@b",
            "delete --unit --force --",
            "delete --unit a",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let Some(found) = Verb::plain(&words) else {
                continue;
            };
            plain += 1;
            let all = std::iter::once(OsString::from("netnsctl")).chain(words);
            let by_clap = Ctl::try_parse_from(all).unwrap();
            let found = Some(found);
            assert_eq!(
                format!("{found:?}"),
                format!("{:?}", by_clap.verb),
                "{line}"
            );
        }
        assert_eq!(plain, 8);
    }
}
