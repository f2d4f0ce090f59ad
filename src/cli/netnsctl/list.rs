use anyhow::Result;
use clap::Args;
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use crate::cli::output::{json, maker, warn_unseen};
use crate::instance::paths::Root;
use crate::inventory::{Inventory, Namespace, Presence, type_states};
use crate::sys::terminal::{self, Look};
use crate::systemd::manager::Manager;

/// List the network namespaces and what is in them
#[derive(Debug, Args)]
#[command(after_help = "\
Columns that do not fit the terminal, and what there is a lot of, are left out;
'netnsctl status' and --json show all.

Example: netnsctl list")]
pub struct List {
    /// Print JSON (docs/schema/list.json)
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    namespaces: &'a [Namespace],
    unseen: &'a [String],
}

impl List {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let view = Inventory::read(root, Manager::running(root)?.as_ref())?;
        if self.json {
            let listing = Listing {
                namespaces: &view.named,
                unseen: &view.unseen,
            };
            terminal::print(&json(&listing)?)?;
        } else {
            terminal::print(&table(&view.named, Look::of_stdout()))?;
            warn_unseen(&view.unseen);
        }
        Ok(0)
    }
}

/// A column: its heading, the width of a terminal from which on it is shown, and its text.
struct Column {
    heading: &'static str,
    from: usize,
    text: fn(&Namespace) -> String,
}

const COLUMNS: [Column; 7] = [
    Column {
        heading: "NAME",
        from: 0,
        text: |namespace| terminal::clean(namespace.title()),
    },
    Column {
        heading: "TYPES",
        from: 0,
        text: types,
    },
    Column {
        heading: "MADE BY",
        from: 100,
        text: |namespace| maker(namespace.made_by).to_owned(),
    },
    Column {
        heading: "LINKS",
        from: 60,
        text: |namespace| links(namespace),
    },
    Column {
        heading: "ADDRESSES",
        from: 40,
        text: |namespace| addresses(namespace),
    },
    Column {
        heading: "PROCS",
        from: 80,
        text: |namespace| processes(namespace),
    },
    Column {
        heading: "SERVICES",
        from: 80,
        text: |namespace| services(namespace),
    },
];

/// The table, as wide as `look` allows.
fn table(namespaces: &[Namespace], look: Look) -> String {
    if namespaces.is_empty() {
        return "no network namespaces\n".to_owned();
    }
    let wide = look.width.unwrap_or(usize::MAX);
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| column.from <= wide)
        .collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    match look.width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table.set_header(columns.iter().map(|column| Cell::new(column.heading)));
    for namespace in namespaces {
        table.add_row(columns.iter().map(|column| (column.text)(namespace)));
    }
    // A name in pieces is no name any more.
    let names = namespaces
        .iter()
        .map(|namespace| terminal::width(namespace.title()));
    let name = names.max().unwrap_or(0).min(wide / 3).max(4);
    if let (Some(column), Ok(name)) = (table.column_mut(0), u16::try_from(name + 2)) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(name)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for (number, line) in table.lines().enumerate() {
        let line = line.trim_end();
        match number {
            0 => text += &look.paint(terminal::Tone::Heading, line),
            _ => text += &states_painted(line, look),
        }
        text.push('\n');
    }
    text
}

/// Colours the words for states, once the table is laid out: it would count colours as text.
fn states_painted(line: &str, look: Look) -> String {
    if !look.colours {
        return line.to_owned();
    }
    line.split_inclusive([' ', ','])
        .map(|piece| {
            let word = piece.trim_end_matches([' ', ',']);
            let state = word.rsplit_once(':').map_or(word, |(_, state)| state);
            let known = [
                "active",
                "failed",
                "activating",
                "deactivating",
                "missing",
                "leftover",
            ];
            match known.contains(&state) {
                true => look.paint(terminal::tone(state), word) + &piece[word.len()..],
                false => piece.to_owned(),
            }
        })
        .collect()
}

fn types(namespace: &Namespace) -> String {
    let mut words: Vec<String> = match namespace.state {
        Presence::Present => Vec::new(),
        Presence::Leftover => vec!["leftover".to_owned()],
        Presence::Missing => vec!["missing".to_owned()],
    };
    let states = type_states(&namespace.units);
    words.extend(
        states
            .iter()
            .map(|(nstype, state)| format!("{nstype}:{state}")),
    );
    or_dash(&words)
}

fn links(namespace: &Namespace) -> String {
    if namespace.links.is_none() {
        return unknown(namespace);
    }
    let names: Vec<String> = namespace
        .own_links()
        .map(|link| terminal::clean(&link.name))
        .collect();
    or_dash(&names)
}

fn addresses(namespace: &Namespace) -> String {
    if namespace.links.is_none() {
        return unknown(namespace);
    }
    let addresses = namespace.own_links().flat_map(|link| &link.addresses);
    // Every link has one of these, and nobody types them.
    let shown = addresses.filter(|address| !address.starts_with("fe80:"));
    or_dash(&shown.cloned().collect::<Vec<_>>())
}

fn processes(namespace: &Namespace) -> String {
    match (namespace.processes.len(), &namespace.links) {
        // Who may not look into it may not see its processes either, but their own.
        (0, None) => unknown(namespace),
        (count, _) => count.to_string(),
    }
}

fn services(namespace: &Namespace) -> String {
    let units = namespace.services.iter();
    let names = units.map(|service| terminal::clean(service.unit.trim_end_matches(".service")));
    or_dash(&names.collect::<Vec<_>>())
}

fn unknown(namespace: &Namespace) -> String {
    match namespace.state {
        Presence::Present => "?".to_owned(),
        Presence::Leftover | Presence::Missing => "-".to_owned(),
    }
}

/// As many as one cares to read.
fn or_dash(words: &[String]) -> String {
    const SHOWN: usize = 4;
    match words {
        [] => "-".to_owned(),
        words if words.len() > SHOWN + 1 => {
            let more = words.len() - SHOWN;
            format!("{}, +{more}", words[..SHOWN].join(", "))
        }
        words => words.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lot_is_not_shown_in_full() {
        let words = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
        assert_eq!(or_dash(&words(0)), "-");
        assert_eq!(or_dash(&words(5)), "0, 1, 2, 3, 4");
        assert_eq!(or_dash(&words(6)), "0, 1, 2, 3, +2");
    }

    #[test]
    fn states_have_colours_and_names_have_none() {
        let look = Look {
            width: None,
            colours: true,
        };
        let painted = states_painted("web  t:active, u:failed  eth0", look);
        assert_eq!(painted.matches("\u{1b}[0m").count(), 2, "{painted:?}");
        assert!(painted.starts_with("web  \u{1b}"), "{painted:?}");
    }
}
