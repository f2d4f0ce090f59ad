use anyhow::Result;
use clap::Args;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use crate::cli::output::{Paging, aligned, print_json, warn_unreadable};
use crate::instance::paths::Root;
use crate::inventory::{Inventory, Link, Namespace, NamespaceState, Owner};
use crate::sys::terminal::{self, Highlight, Terminal};
use crate::systemd::manager::Manager;
use crate::systemd::unit;

/// List network namespaces, their types, links and services
#[derive(Debug, Default, Args)]
#[command(after_help = "\
On a narrow terminal some columns are left out, and long lists are shortened.
'netnsctl status' and --json show everything.

Example: netnsctl list")]
pub struct List {
    /// Print JSON (docs/schema/list.json)
    #[arg(long)]
    json: bool,

    /// Do not print the column headings
    #[arg(long)]
    no_legend: bool,

    #[command(flatten)]
    paging: Paging,
}

/// The document that `--json` prints.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    namespaces: &'a [Namespace],
    unreadable: &'a [String],
}

impl List {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let inventory = Inventory::read(root, Manager::running(root)?.as_ref())?;
        let (namespaces, unreadable) = (&inventory.named, &inventory.unreadable);
        if self.json {
            print_json(&Listing {
                namespaces,
                unreadable,
            })?;
        } else {
            let table = table(namespaces, Terminal::of_stdout(), !self.no_legend);
            self.paging.print(&table)?;
            warn_unreadable(unreadable);
        }
        Ok(0)
    }
}

/// A column: its heading, the minimum width of the terminal for it to be shown, and its text.
type Column = (&'static str, usize, fn(&Namespace) -> String);

const COLUMNS: [Column; 7] = [
    ("NAME", 0, |namespace| terminal::clean(namespace.title())),
    ("TYPES", 0, types),
    ("OWNER", 100, owner),
    ("LINKS", 60, links),
    ("ADDRESSES", 40, addresses),
    ("PROCS", 80, processes),
    ("SERVICES", 80, services),
];

/// The table, as wide as `terminal` allows.
fn table(namespaces: &[Namespace], terminal: Terminal, legend: bool) -> String {
    if namespaces.is_empty() {
        return if legend {
            "no network namespaces\n"
        } else {
            ""
        }
        .to_owned();
    }
    let wide = terminal.width.unwrap_or(usize::MAX);
    let columns = COLUMNS
        .iter()
        .filter(|(_, narrowest, _)| *narrowest <= wide);
    let columns: Vec<&Column> = columns.collect();
    let headings = columns.iter().map(|(heading, ..)| (*heading).to_owned());
    let cells = |namespace| columns.iter().map(|(.., text)| text(namespace)).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    rows.extend(legend.then(|| headings.collect()));
    rows.extend(namespaces.iter().map(cells));
    let lines = match terminal.width {
        Some(width) => fitted(rows, width),
        None => aligned(&rows),
    };
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let line = line.trim_end();
        text += &match legend && number == 0 {
            true => terminal.paint(Highlight::Heading, line),
            false => states_painted(line, terminal),
        };
        text.push('\n');
    }
    text
}

/// The lines of a table at most `width` columns wide, with long cells on several lines.
fn fitted(rows: Vec<Vec<String>>, width: usize) -> Vec<String> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    // Names are not wrapped, so that they can be copied.
    let names = rows.iter().map(|cells| terminal::width(&cells[0]));
    let name = names.max().unwrap_or(0).min(width / 3).max(4);
    table.add_rows(rows);
    if let (Some(column), Ok(name)) = (table.column_mut(0), u16::try_from(name + 2)) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(name)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().collect()
}

/// Colours the states of a line of the finished table. The layout would count the colours as text.
fn states_painted(line: &str, terminal: Terminal) -> String {
    let piece = |piece: &str| {
        let word = piece.trim_end_matches([' ', ',']);
        let state = word.rsplit_once(':').map_or(word, |(_, state)| state);
        match terminal::highlight(state) {
            Highlight::Faint => piece.to_owned(),
            highlight => terminal.paint(highlight, word) + &piece[word.len()..],
        }
    };
    line.split_inclusive([' ', ',']).map(piece).collect()
}

fn owner(namespace: &Namespace) -> String {
    match namespace.owner {
        Owner::SystemdNetns => "systemd-netns".to_owned(),
        Owner::Other => "other".to_owned(),
        Owner::Unknown => unknown(namespace),
    }
}

fn types(namespace: &Namespace) -> String {
    let state = match namespace.state {
        NamespaceState::Present => None,
        NamespaceState::Leftover => Some("leftover".to_owned()),
        NamespaceState::Missing => Some("missing".to_owned()),
        NamespaceState::Inactive => Some("inactive".to_owned()),
    };
    let types = namespace.types.iter();
    let types = types.map(|t| format!("{}:{}", t.nstype, t.state));
    or_dash(&state.into_iter().chain(types).collect::<Vec<_>>())
}

fn links(namespace: &Namespace) -> String {
    if namespace.links.is_none() {
        return unknown(namespace);
    }
    let names = namespace.own_links();
    let names = names.map(|link| terminal::clean(&link.name));
    or_dash(&names.collect::<Vec<_>>())
}

fn addresses(namespace: &Namespace) -> String {
    if namespace.links.is_none() {
        return unknown(namespace);
    }
    let addresses = namespace.own_links().flat_map(Link::shown_addresses);
    or_dash(&addresses.cloned().collect::<Vec<_>>())
}

fn processes(namespace: &Namespace) -> String {
    match (namespace.processes.len(), &namespace.links) {
        // Users other than root see only the namespaces of their own processes.
        (0, None) => unknown(namespace),
        (count, _) => count.to_string(),
    }
}

fn services(namespace: &Namespace) -> String {
    let units = namespace.services.iter();
    let names = units.map(|service| terminal::clean(unit::short(&service.unit)));
    or_dash(&names.collect::<Vec<_>>())
}

fn unknown(namespace: &Namespace) -> String {
    match namespace.state {
        NamespaceState::Present => "?".to_owned(),
        _ => "-".to_owned(),
    }
}

/// The first few words and the number of the others, or a dash for none.
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
    fn long_lists_are_shortened() {
        let words = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
        assert_eq!(or_dash(&words(0)), "-");
        assert_eq!(or_dash(&words(5)), "0, 1, 2, 3, 4");
        assert_eq!(or_dash(&words(6)), "0, 1, 2, 3, +2");
    }

    #[test]
    fn states_have_colours_and_names_have_none() {
        let terminal = Terminal {
            width: None,
            colours: true,
        };
        let painted = states_painted("web  t:active, u:failed  eth0", terminal);
        assert_eq!(painted.matches("\u{1b}[0m").count(), 2, "{painted:?}");
        assert!(painted.starts_with("web  \u{1b}"), "{painted:?}");
    }
}
