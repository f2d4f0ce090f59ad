//! The pictures of a host that never was, compared with those that were looked at.
//!
//! With `NETNS_BLESS=1` in the environment they are written anew: look at them before you commit.

use systemd_netns::instance::phase::Side;
use systemd_netns::inventory::graph::{Diagram, dot, mermaid, svg, text};
use systemd_netns::inventory::{
    Endpoint, Inventory, Link, Location, Maker, Namespace, Presence, Service, Unit,
};
use systemd_netns::sys::terminal::{self, Look};

use crate::repository;

fn link(index: u32, name: &str, kind: &str, addresses: &[&str]) -> Link {
    Link {
        index,
        name: name.to_owned(),
        kind: kind.to_owned(),
        state: "up",
        mtu: 1500,
        mac: "02:00:00:00:00:01".to_owned(),
        master: None,
        peer: None,
        lower: None,
        addresses: addresses
            .iter()
            .map(|address| address.to_string())
            .collect(),
    }
}

fn end(place: Location, index: u32, link: &str) -> Option<Endpoint> {
    let link = (!link.is_empty()).then(|| link.to_owned());
    Some(Endpoint { place, index, link })
}

fn in_namespace(name: &str) -> Location {
    Location::Named(name.to_owned())
}

fn namespace(name: Option<&str>, links: Option<Vec<Link>>) -> Namespace {
    Namespace {
        name: name.map(str::to_owned),
        state: Presence::Present,
        made_by: Maker::Us,
        id: None,
        units: Vec::new(),
        links,
        processes: Vec::new(),
        services: Vec::new(),
    }
}

fn units(nstype: &str, nsname: &str, active: &str) -> Vec<Unit> {
    let unit = |prefix: &str, side| Unit {
        name: format!("{prefix}-{nstype}@{nsname}.service"),
        nstype: Some(nstype.to_owned()),
        side: Some(side),
        active: active.to_owned(),
        sub: "exited".to_owned(),
    };
    vec![
        unit("netns_outside", Side::Outside),
        unit("netns", Side::Inside),
    ]
}

fn service(unit: &str, processes: usize) -> Service {
    Service {
        unit: unit.to_owned(),
        active: None,
        processes,
    }
}

fn veth(mut link: Link, peer: Option<Endpoint>) -> Link {
    link.peer = peer;
    link
}

fn view() -> Inventory {
    let lo = || link(1, "lo", "loopback", &["127.0.0.1/8", "::1/128"]);
    let member = |index, name: &str, of: &str| {
        let mut member = link(index, name, "veth", &[]);
        member.master = Some("br0".to_owned());
        veth(member, end(in_namespace(of), 2, "eth0"))
    };
    let mut vlan = link(6, "eth0.5", "vlan", &["10.5.0.1/24"]);
    vlan.lower = end(Location::Host, 2, "eth0");
    let mut container = veth(link(7, "vc1", "veth", &[]), end(Location::Unknown, 9, ""));
    container.state = "down";
    let host = namespace(
        None,
        Some(vec![
            lo(),
            link(2, "eth0", "physical", &["203.0.113.5/24", "fe80::5/64"]),
            link(3, "br0", "bridge", &["192.168.7.1/24"]),
            member(5, "ve-web", "web"),
            member(4, "ve-db", "db"),
            vlan,
            container,
        ]),
    );
    let eth0 = |address: &str, there: u32, peer: &str| {
        let eth0 = link(2, "eth0", "veth", &[address]);
        veth(eth0, end(Location::Host, there, peer))
    };
    let mut web = namespace(
        Some("web"),
        Some(vec![
            lo(),
            eth0("192.168.7.2/24", 5, "ve-web"),
            veth(
                link(3, "side", "veth", &["10.0.0.1/30"]),
                end(in_namespace("db"), 3, "side"),
            ),
        ]),
    );
    web.units = units("veth", "web", "active");
    web.services = vec![service("nginx.service", 3), service("api.service", 1)];
    let mut db = namespace(
        Some("db"),
        Some(vec![
            lo(),
            eth0("192.168.7.3/24", 4, "ve-db"),
            veth(
                link(3, "side", "veth", &["10.0.0.2/30"]),
                end(in_namespace("web"), 3, "side"),
            ),
        ]),
    );
    db.units = units("veth", "db", "activating");
    let mut macvlan = link(2, "mv0", "macvlan", &["203.0.113.77/24", "2001:db8::77/64"]);
    macvlan.lower = end(Location::Host, 2, "eth0");
    let mut edge = namespace(Some("edge <\"ünï\" #1 & [x]>"), Some(vec![lo(), macvlan]));
    edge.units = units("macvlan", "edge", "failed");
    let mut gone = namespace(Some("gone"), None);
    gone.state = Presence::Missing;
    gone.units = units("lo", "gone", "active");
    let empty = namespace(Some("日本\u{1b}[31m"), Some(vec![lo()]));
    Inventory {
        host,
        named: vec![db, edge, gone, web, empty],
        unseen: Vec::new(),
    }
}

fn compare(file: &str, drawn: &str) {
    let path = repository("tests/golden").join(file);
    if std::env::var_os("NETNS_BLESS").is_some() {
        std::fs::write(&path, drawn).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == drawn, "{file} differs: it is now\n{drawn}");
}

fn look(width: Option<usize>) -> Look {
    let colours = false;
    Look { width, colours }
}

#[test]
fn each_format_is_as_it_was() {
    let graph = Diagram::of(&view());
    compare("graph.txt", &text::draw(&graph, look(None)));
    compare("graph-40.txt", &text::draw(&graph, look(Some(40))));
    compare("graph.dot", &dot::draw(&graph));
    compare("graph.mmd", &mermaid::draw(&graph));
    compare("graph.svg", &svg::draw(&graph));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let graph = Diagram::of(&view());
    for width in [20, 40, 80, 200] {
        let drawn = text::draw(&graph, look(Some(width)));
        let widths: Vec<usize> = drawn.lines().map(terminal::width).collect();
        assert!(widths.iter().all(|line| *line <= width), "{width}\n{drawn}");
        // A frame is a frame only if its lines are of one length.
        assert!(
            widths.iter().all(|line| *line == widths[0]),
            "{width}\n{drawn}"
        );
    }
}

#[test]
fn nothing_commands_the_terminal() {
    let graph = Diagram::of(&view());
    let drawings = [
        text::draw(&graph, look(None)),
        dot::draw(&graph),
        mermaid::draw(&graph),
        svg::draw(&graph),
    ];
    for drawn in drawings {
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
    }
}

#[test]
fn a_pair_is_one_line() {
    let graph = Diagram::of(&view());
    // Three pairs, two links on eth0, two members of br0.
    assert_eq!(graph.lines.len(), 7, "{:?}", graph.lines);
}
