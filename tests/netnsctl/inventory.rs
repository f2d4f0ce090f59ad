//! `netnsctl list`, `status` and `graph` on real namespaces.

use serde_json::Value;
use systemd_netns::sys::terminal::width;

use crate::sandbox;

/// Two namespaces that are connected to a bridge and to each other, one with a macvlan, and a leftover.
const HOST: &str = r#"
    ip link set lo up
    ip link add br0 type bridge
    ip address add 192.168.7.1/24 dev br0
    ip link set br0 up
    ip link add uplink type ifb
    ip link set uplink up
    netnsctl create web 2>/dev/null
    ip netns add db
    ip netns add 'ödd [*] name'
    touch /run/netns/leftover
    for name in web db; do
        ip link add ve-$name type veth peer name eth0 netns $name
        ip link set ve-$name master br0 up
        ip -n $name link set lo up
        ip -n $name link set eth0 up
    done
    ip -n web address add 192.168.7.2/24 dev eth0
    ip -n web address add 2001:db8::2/64 dev eth0 nodad
    ip -n web route add default via 192.168.7.1
    ip -n web route add blackhole 10.66.0.0/16
    ip -n db address add 192.168.7.3/24 dev eth0
    ip -n web link add to-db type veth peer name to-web netns db
    ip link add mv0 link uplink type macvlan mode bridge
    ip link set mv0 netns 'ödd [*] name'
"#;

fn stdout(script: &str) -> String {
    String::from_utf8(sandbox(script).stdout).unwrap()
}

/// The output of a script, validated against a schema of `docs/schema`.
fn json(script: &str, schema: &str) -> Value {
    crate::json(&sandbox(script), schema)
}

fn by_name<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut items = list.as_array().unwrap().iter();
    items
        .find(|item| item["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

#[test]
#[ignore = "needs root"]
fn list_knows_what_there_is() {
    let listing = json(&format!("{HOST} netnsctl list --json"), "list.json");
    let namespaces = &listing["namespaces"];
    assert_eq!(namespaces.as_array().unwrap().len(), 4);
    assert_eq!(listing["unreadable"].as_array().unwrap().len(), 0);

    let web = by_name(namespaces, "web");
    assert_eq!(web["owner"], "systemd-netns");
    let eth0 = by_name(&web["links"], "eth0");
    assert_eq!(eth0["kind"], "veth");
    assert_eq!(eth0["state"], "up");
    assert_eq!(eth0["peer"]["in"], "host");
    assert_eq!(eth0["peer"]["link"], "ve-web");
    assert_eq!(eth0["addresses"][0], "192.168.7.2/24");
    assert_eq!(eth0["addresses"][1], "2001:db8::2/64");
    let to_db = by_name(&web["links"], "to-db");
    assert_eq!(to_db["state"], "down");
    assert_eq!(to_db["peer"]["namespace"], "db");
    assert_eq!(to_db["peer"]["link"], "to-web");

    let db = by_name(namespaces, "db");
    assert_eq!(db["owner"], "other");
    assert_eq!(by_name(&db["links"], "to-web")["peer"]["link"], "to-db");

    let odd = by_name(namespaces, "ödd [*] name");
    let macvlan = by_name(&odd["links"], "mv0");
    assert_eq!(macvlan["kind"], "macvlan");
    assert_eq!(macvlan["lower"]["in"], "host");
    assert_eq!(macvlan["lower"]["link"], "uplink");

    assert_eq!(by_name(namespaces, "leftover")["state"], "leftover");
}

#[test]
#[ignore = "needs root"]
fn list_fits_the_terminal() {
    for columns in [40, 80, 200] {
        let table = stdout(&format!("{HOST} COLUMNS={columns} netnsctl list"));
        assert!(
            table.lines().all(|line| width(line) <= columns),
            "{columns}\n{table}"
        );
        assert!(table.contains("192.168.7.2/24"), "{columns}\n{table}");
        assert!(table.contains("ödd [*] name"), "{columns}\n{table}");
    }
}

#[test]
#[ignore = "needs root"]
fn status_tells_all_of_one() {
    let listener = r#"
        mkdir -p /etc/netns/web
        echo nameserver 9.9.9.9 >/etc/netns/web/resolv.conf
        ip netns exec web perl -MIO::Socket::INET -e '
            $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 1) or die;
            print "ready\n"; close STDOUT; sleep 60' >/run/ready &
        timeout 10 sh -c 'until grep -q ready /run/ready; do sleep 0.02; done'
    "#;
    let prepared = format!("{HOST} {listener}");
    let web = json(
        &format!("{prepared} netnsctl status web --json"),
        "status.json",
    );
    let routes = web["routes"].as_array().unwrap();
    let default = routes
        .iter()
        .find(|route| route["destination"] == "default")
        .unwrap();
    assert_eq!(default["gateway"], "192.168.7.1");
    assert_eq!(default["link"], "eth0");
    assert!(routes.iter().any(|route| route["kind"] == "blackhole"));
    assert!(
        routes.iter().all(|route| route["table"] != 255),
        "{routes:?}"
    );
    assert_eq!(web["dns"]["servers"][0], "9.9.9.9");
    assert_eq!(web["listening"][0]["address"], "0.0.0.0:8080");
    assert_eq!(web["listening"][0]["process"]["name"], "perl");
    assert_eq!(web["processes"][0]["name"], "perl");

    for columns in [40, 80, 200] {
        let text = stdout(&format!("{prepared} COLUMNS={columns} netnsctl status web"));
        assert!(
            text.lines().all(|line| width(line) <= columns),
            "{columns}\n{text}"
        );
        for expected in [
            "host:ve-web",
            "db:to-web",
            "192.168.7.1",
            "0.0.0.0:8080",
            "9.9.9.9",
        ] {
            assert!(text.contains(expected), "{expected} in {columns}\n{text}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn status_finds_what_was_left_behind() {
    let web = json(
        "netnsctl create web 2>/dev/null
         ip netns exec web sleep 60 &
         until [[ $(readlink /proc/$!/ns/net) != $(readlink /proc/self/ns/net) ]]; do
             sleep 0.02
         done
         ip netns delete web
         ip netns add web
         netnsctl status web --json",
        "status.json",
    );
    assert_eq!(web["owner"], "other");
    assert_eq!(web["processes"].as_array().unwrap().len(), 0);
    assert_eq!(web["stale"][0]["name"], "sleep");
}

#[test]
#[ignore = "needs root"]
fn status_of_what_is_not_there_says_where_to_look() {
    let said = stdout("netnsctl status nowhere 2>&1 && exit 9; echo $?");
    let expected = "netnsctl: there is no network namespace 'nowhere': \
                    see 'netnsctl list'\n4\n";
    assert_eq!(said, expected);
}

#[test]
#[ignore = "needs root"]
fn status_tells_active_from_inactive() {
    let script = r#"
        mkdir -p /etc/conf.d/netns
        echo 'configure_t_up_inside() { [[ $1 != broken ]]; }' >/etc/conf.d/netns/t.conf
        touch /etc/conf.d/netns/t-later.conf
        ip netns add web
        touch /run/netns/leftover
        netnsctl up t@direct 2>/dev/null
        for name in web direct leftover later nowhere; do
            netnsctl status $name >/dev/null 2>&1 && echo "$name 0" || echo "$name $?"
        done
        netnsctl status >/dev/null && exit 9 || echo "all $?"
        rm /run/netns/leftover
        netnsctl status >/dev/null && echo "all 0"
    "#;
    let expected = "web 0\ndirect 0\nleftover 3\nlater 3\nnowhere 4\nall 3\nall 0\n";
    assert_eq!(stdout(script), expected);
}

#[test]
#[ignore = "needs root"]
fn status_without_a_name_shows_all() {
    let all = json(
        &format!("{HOST} netnsctl status --json || :"),
        "status.json",
    );
    assert_eq!(all["namespaces"].as_array().unwrap().len(), 4);
    let routes = by_name(&all["namespaces"], "web")["routes"]
        .as_array()
        .unwrap();
    assert!(!routes.is_empty());
    let bare = stdout(&format!("{HOST} netnsctl"));
    assert!(bare.starts_with("NAME "), "{bare}");
}

#[test]
#[ignore = "needs root"]
fn a_carrier_is_seen_at_once() {
    let states = stdout(
        r#"ip netns add web
        for i in {1..20}; do
            ip link add ve type veth peer name eth0 netns web
            ip link set ve up
            ip -n web link set eth0 up
            netnsctl list --json | grep '"state": "' | sort -u
            ip link delete ve
        done | sort -u"#,
    );
    assert!(!states.contains("no-carrier"), "{states}");
}

#[test]
#[ignore = "needs root"]
fn types_are_known_without_systemd() {
    let script = r#"
        mkdir -p /etc/conf.d/netns
        echo 'configure_t_up_inside() { :; }' >/etc/conf.d/netns/t.conf
        netnsctl up t@direct
        netnsctl create byhand
        NETNSINIT=${NETNSCTL%/*}/netnsinit
        "$NETNSINIT" t byhand up outside && "$NETNSINIT" t byhand up inside
        netnsctl up t@gone
        ip netns delete gone
        netnsctl list --json
    "#;
    let listing = json(&format!("{{ {script} }} 2>/dev/null"), "list.json");
    for (name, state, started_by) in [
        ("direct", "present", "netnsctl"),
        ("byhand", "present", "netnsinit"),
        ("gone", "missing", "netnsctl"),
    ] {
        let namespace = by_name(&listing["namespaces"], name);
        assert_eq!(namespace["state"], state, "{namespace:#}");
        assert_eq!(namespace["types"][0]["type"], "t", "{namespace:#}");
        assert_eq!(namespace["types"][0]["state"], "active", "{namespace:#}");
        assert_eq!(namespace["types"][0]["started_by"], started_by);
    }
}

#[test]
#[ignore = "needs root"]
fn long_output_on_a_terminal_is_paged() {
    let script = r#"
        for i in {1..60}; do echo "netns add ns$i"; done | ip -batch -
        terminal() { script -qec "stty rows 24 cols 120; $*" /dev/null </dev/null; }
        export SYSTEMD_PAGER='sed s/^/paged:/'
        terminal "$NETNSCTL" list | grep -c ^paged:ns
        terminal "$NETNSCTL" list --no-pager | grep -c ^ns
        terminal SYSTEMD_PAGER= "$NETNSCTL" list | grep -c ^ns
        terminal SUDO_UID=1 PATH=/nowhere "$NETNSCTL" list | grep -c ^ns
        "$NETNSCTL" list --no-legend | grep -c ^
    "#;
    assert_eq!(stdout(script), "60\n60\n60\n60\n60\n");
}

#[test]
#[ignore = "needs root"]
fn graph_draws_lines_between_links() {
    let text = stdout(&format!("{HOST} netnsctl graph"));
    for expected in [
        "├ ve-db",
        "└ ve-web",
        "── web:eth0",
        "── db:to-web",
        "on host:uplink",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let dot = stdout(&format!("{HOST} netnsctl graph --format dot"));
    // Three pairs, two members of the bridge, a macvlan.
    assert_eq!(dot.matches(" -- ").count(), 6, "{dot}");
    let svg = stdout(&format!("{HOST} netnsctl graph --format svg"));
    assert!(
        svg.contains("<title>host:ve-web – web:eth0</title>"),
        "{svg}"
    );
}

#[test]
#[ignore = "needs root"]
fn without_root_it_says_what_it_could_not_see() {
    let nobody = r#"
        cp "$NETNSCTL" /run/netnsctl
        cd /
        nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups -- /run/netnsctl "$@"; }
    "#;
    let listing = json(&format!("{HOST} {nobody} nobody list --json"), "list.json");
    let web = by_name(&listing["namespaces"], "web");
    assert_eq!(web["owner"], "unknown");
    assert!(web["links"].is_null());
    let unreadable = listing["unreadable"].as_array().unwrap();
    let links = "links and addresses of 3 namespaces: only root can enter them";
    assert!(
        unreadable.iter().any(|what| what == links),
        "{unreadable:?}"
    );

    // Every user can see the host's own links, and their peers.
    let text = stdout(&format!("{HOST} {nobody} nobody graph"));
    assert!(text.contains("── web:#2"), "{text}");
}

#[test]
#[ignore = "needs root"]
fn a_namespace_is_seen_from_another() {
    let listing = json(
        &format!("{HOST} ip netns exec web $NETNSCTL list --json"),
        "list.json",
    );
    let web = by_name(&listing["namespaces"], "web");
    let eth0 = by_name(&web["links"], "eth0");
    assert_eq!(eth0["peer"]["in"], "host");
    assert_eq!(eth0["peer"]["link"], "ve-web");
}

#[test]
#[ignore = "needs root"]
fn five_hundred_are_told_apart() {
    // A chain of namespaces, each connected to the next, in which all numbers and indexes are the same.
    let chain = r#"
        for i in {1..500}; do echo "netns add ns$i"; done | ip -batch -
        for i in {1..500}; do
            echo "link add ve$i type veth peer name eth0 netns ns$i"
        done | ip -batch -
        for i in {1..499}; do
            ip -n ns$i link add next type veth peer name last netns ns$((i + 1))
        done
        netnsctl list --json >/run/listing
        netnsctl list --json | head -1 >/run/first
        cat /run/listing
    "#;
    let listing = json(chain, "list.json");
    let namespaces = &listing["namespaces"];
    assert_eq!(namespaces.as_array().unwrap().len(), 500);
    for i in 1..=500 {
        let links = &by_name(namespaces, &format!("ns{i}"))["links"];
        assert_eq!(by_name(links, "eth0")["peer"]["link"], format!("ve{i}"));
        if i < 500 {
            let next = &by_name(links, "next")["peer"];
            assert_eq!(next["namespace"], format!("ns{}", i + 1));
            assert_eq!(next["link"], "last");
        }
    }
}
