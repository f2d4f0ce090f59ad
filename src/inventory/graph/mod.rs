//! A diagram of the namespaces of a host: frames with a row for each link, and lines between the rows.

use std::collections::HashMap;

use crate::inventory::{Endpoint, Link, Location, Namespace, NamespaceState};
use crate::sys::terminal::clean;

pub mod dot;
pub mod svg;
pub mod text;

/// The content of a diagram, in any format.
#[derive(Debug)]
pub struct Diagram {
    /// The host is the first.
    pub frames: Vec<Frame>,
    pub lines: Vec<Line>,
}

/// A namespace.
#[derive(Debug)]
pub struct Frame {
    pub title: String,
    pub health: Health,
    /// The states of the types, such as `veth active`, and remarks such as `no links`.
    pub notes: Vec<String>,
    pub rows: Vec<Row>,
    pub services: Vec<String>,
}

/// The state of a namespace, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// All its types are up.
    Active,
    /// A type is starting or stopping.
    Busy,
    /// A type has failed, or the namespace is gone.
    Failed,
    /// It has no types.
    Plain,
}

/// A link.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub kind: String,
    /// `up`, `down` or `no-carrier`.
    pub state: &'static str,
    pub addresses: Vec<String>,
    /// The number of bridges, bonds and VRFs above it.
    pub depth: usize,
    /// The links that it is connected to, such as `── host:eth0` or `on eth0`.
    pub ends: Vec<String>,
    /// The one of `ends` that has no line, because its namespace has no name.
    pub elsewhere: Option<String>,
}

impl Row {
    pub fn is_up(&self) -> bool {
        self.state == "up"
    }
}

/// The end of a line: the number of the frame and of the row.
pub type Point = (usize, usize);

/// A line between two links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub kind: LineKind,
    pub from: Point,
    pub to: Point,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// `from` and `to` are a pair.
    Pair,
    /// `from` is stacked on `to`.
    Lower,
    /// `from` is a member of `to`, a bridge, bond or VRF.
    Member,
}

impl Diagram {
    /// The diagram of the host's namespace and of `named`.
    pub fn of(host: &Namespace, named: &[Namespace]) -> Self {
        let namespaces: Vec<&Namespace> = std::iter::once(host).chain(named).collect();
        let mut frames = Vec::new();
        let mut points: HashMap<(Location, u32), Point> = HashMap::new();
        let mut links: Vec<Vec<&Link>> = Vec::new();
        for (number, namespace) in namespaces.iter().enumerate() {
            let ordered = in_order(namespace);
            for (row, (link, _)) in ordered.iter().enumerate() {
                points.insert((namespace.location(), link.index), (number, row));
            }
            frames.push(Frame {
                title: clean(namespace.title()),
                health: health(namespace),
                notes: notes(namespace),
                rows: ordered
                    .iter()
                    .map(|(link, depth)| row(link, *depth, namespace))
                    .collect(),
                services: services(namespace),
            });
            links.push(ordered.into_iter().map(|(link, _)| link).collect());
        }
        let mut lines = Vec::new();
        for (number, links) in links.iter().enumerate() {
            for (row, link) in links.iter().enumerate() {
                let from = (number, row);
                let to = |end: &Endpoint| points.get(&(end.place.clone(), end.index)).copied();
                let mut add = |kind, to: Option<Point>| {
                    // Both ends of a pair name their peer. Draw one line.
                    if let Some(to) = to.filter(|to| kind != LineKind::Pair || from < *to) {
                        lines.push(Line { kind, from, to });
                    }
                };
                add(LineKind::Pair, link.peer.as_ref().and_then(to));
                add(LineKind::Lower, link.lower.as_ref().and_then(to));
                let master = link.master.as_deref().and_then(|master| {
                    let row = links.iter().position(|link| link.name == master)?;
                    Some((number, row))
                });
                add(LineKind::Member, master);
            }
        }
        Self { frames, lines }
    }
}

/// The links except the loopback interface, with their depths: each bridge is followed by its members.
fn in_order(namespace: &Namespace) -> Vec<(&Link, usize)> {
    let mut children: HashMap<&str, Vec<&Link>> = HashMap::new();
    let mut tops = Vec::new();
    for link in namespace.own_links() {
        match link.master.as_deref() {
            Some(master) => children.entry(master).or_default().push(link),
            None => tops.push(link),
        }
    }
    // Order by the namespace of the other end, so that fewer lines cross.
    let key = |link: &&Link| {
        let end = link.peer.as_ref().or(link.lower.as_ref());
        let named = match end.map(|end| &end.place) {
            Some(Location::Named(name)) => Some(name.clone()),
            _ => None,
        };
        (named, link.index)
    };
    tops.sort_by_key(key);
    let mut ordered = Vec::new();
    let mut waiting: Vec<(&Link, usize)> = tops.into_iter().rev().map(|link| (link, 0)).collect();
    while let Some((link, depth)) = waiting.pop() {
        ordered.push((link, depth));
        let mut below = children.remove(link.name.as_str()).unwrap_or_default();
        below.sort_by_key(key);
        waiting.extend(below.into_iter().rev().map(|link| (link, depth + 1)));
    }
    ordered
}

fn row(link: &Link, depth: usize, namespace: &Namespace) -> Row {
    let place = namespace.location();
    let (mut ends, mut elsewhere) = (Vec::new(), None);
    for (word, end) in [("──", &link.peer), ("on", &link.lower)] {
        let Some(end) = end else { continue };
        let words = format!("{word} {}", clean(&end.seen_from(&place)));
        if end.place == Location::Unknown {
            elsewhere = Some(words.clone());
        }
        ends.push(words);
    }
    Row {
        name: clean(&link.name),
        kind: clean(&link.kind),
        state: link.state,
        addresses: link.shown_addresses().cloned().collect(),
        depth,
        ends,
        elsewhere,
    }
}

fn health(namespace: &Namespace) -> Health {
    let is = |state: &str| namespace.types.iter().any(|t| t.state == state);
    if namespace.state != NamespaceState::Present || is("failed") {
        Health::Failed
    } else if is("activating") || is("deactivating") || is("reloading") {
        Health::Busy
    } else if is("active") {
        Health::Active
    } else {
        Health::Plain
    }
}

fn notes(namespace: &Namespace) -> Vec<String> {
    let mut notes: Vec<String> = match namespace.state {
        NamespaceState::Present if namespace.links.is_none() => {
            vec!["links not readable".to_owned()]
        }
        NamespaceState::Present if namespace.own_links().next().is_none() => {
            vec!["no links".to_owned()]
        }
        NamespaceState::Present => Vec::new(),
        NamespaceState::Leftover => vec!["leftover file".to_owned()],
        NamespaceState::Missing => vec!["missing".to_owned()],
        NamespaceState::Inactive => vec!["inactive".to_owned()],
    };
    let types = namespace.types.iter();
    notes.extend(types.map(|t| format!("{} {}", t.nstype, t.state)));
    notes
}

fn services(namespace: &Namespace) -> Vec<String> {
    let services = namespace.services.iter();
    let services = services.map(|service| match service.processes {
        1 => clean(&service.unit),
        n => format!("{} ({n} processes)", clean(&service.unit)),
    });
    services.collect()
}
