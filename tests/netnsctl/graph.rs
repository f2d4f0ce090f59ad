//! Compares the diagrams of an invented host with those in tests/golden.
//!
//! With `NETNS_BLESS=1` in the environment, the latter are written: look at them before you commit.

use systemd_netns::inventory::graph::{Diagram, dot, svg, text};
use systemd_netns::inventory::{
    Endpoint, Link, Location, Namespace, NamespaceState, Service, TypeState,
};
use systemd_netns::sys::terminal::{self, Terminal};

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
    let mut namespace = Namespace::new(name.map(str::to_owned), NamespaceState::Present);
    namespace.links = links;
    namespace
}

fn types(nstype: &str, state: &str) -> Vec<TypeState> {
    vec![TypeState {
        nstype: nstype.to_owned(),
        state: state.to_owned(),
        started_by: Some("systemd"),
    }]
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

fn diagram() -> Diagram {
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
    web.types = types("veth", "active");
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
    db.types = types("veth", "activating");
    let mut macvlan = link(2, "mv0", "macvlan", &["203.0.113.77/24", "2001:db8::77/64"]);
    macvlan.lower = end(Location::Host, 2, "eth0");
    let mut edge = namespace(Some("edge <\"ünï\" #1 & [x]>"), Some(vec![lo(), macvlan]));
    edge.types = types("macvlan", "failed");
    let mut gone = namespace(Some("gone"), None);
    gone.state = NamespaceState::Missing;
    gone.types = types("lo", "active");
    let empty = namespace(Some("日本\u{1b}[31m"), Some(vec![lo()]));
    Diagram::of(&host, &[db, edge, gone, web, empty])
}

fn compare(file: &str, drawn: &str) {
    let path = repository("tests/golden").join(file);
    if std::env::var_os("NETNS_BLESS").is_some() {
        std::fs::write(&path, drawn).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == drawn, "{file} differs: it is now\n{drawn}");
}

fn look(width: Option<usize>) -> Terminal {
    let colours = false;
    Terminal { width, colours }
}

#[test]
fn each_format_is_as_it_was() {
    let graph = diagram();
    compare("graph.txt", &text::draw(&graph, look(None)));
    compare("graph-40.txt", &text::draw(&graph, look(Some(40))));
    compare("graph.dot", &dot::draw(&graph));
    compare("graph.svg", &svg::draw(&graph));
}

#[test]
fn many_namespaces_are_drawn_in_columns() {
    let mut host = vec![link(1, "lo", "loopback", &[])];
    let mut named = Vec::new();
    for n in 0..500 {
        let name = format!("ns{n:03}");
        let outside = link(n + 2, &format!("ve-{n}"), "veth", &[]);
        host.push(veth(outside, end(in_namespace(&name), 2, "eth0")));
        let inside = link(2, "eth0", "veth", &["10.0.0.2/24"]);
        let inside = veth(inside, end(Location::Host, n + 2, &format!("ve-{n}")));
        named.push(namespace(Some(&name), Some(vec![inside])));
    }
    let drawn = svg::draw(&Diagram::of(&namespace(None, Some(host)), &named));
    let size = |name: &str| {
        let (_, rest) = drawn.split_once(&format!(" {name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse::<u32>().unwrap()
    };
    let (width, height) = (size("width"), size("height"));
    assert!(width < 2 * height && height < 2 * width, "{width}x{height}");
    assert!(drawn.contains("host:ve-499") && drawn.contains("ns499:eth0"));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let graph = diagram();
    for width in [20, 40, 80, 200] {
        let drawn = text::draw(&graph, look(Some(width)));
        let widths: Vec<usize> = drawn.lines().map(terminal::width).collect();
        assert!(widths.iter().all(|line| *line <= width), "{width}\n{drawn}");
        // All lines of a frame have the same length.
        assert!(
            widths.iter().all(|line| *line == widths[0]),
            "{width}\n{drawn}"
        );
    }
}

#[test]
fn nothing_commands_the_terminal() {
    let graph = diagram();
    let drawings = [
        text::draw(&graph, look(None)),
        dot::draw(&graph),
        svg::draw(&graph),
    ];
    for drawn in drawings {
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
    }
}

#[test]
fn a_pair_is_one_line() {
    let graph = diagram();
    // Three pairs, two links on eth0, two members of br0.
    assert_eq!(graph.lines.len(), 7, "{:?}", graph.lines);
}
