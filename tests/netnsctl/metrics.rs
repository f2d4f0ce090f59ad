//! `netnsctl metrics` on real namespaces, checked by promtool.

use std::process::Command;

use crate::{repository, sandbox};

/// A namespace with traffic, a listening socket and a tracked connection, and others with odd names, of which two look
/// the same.
const HOST: &str = r#"
    ip link set lo up
    netnsctl create web 2>/dev/null
    ip netns add $'a"b\\c\nd'
    ip netns add $'odd\xff'
    ip netns add $'odd\xfe'
    ip link add to-web type veth peer name eth0 netns web
    ip address add 192.0.2.1/24 dev to-web
    ip link set to-web up
    ip -n web address add 192.0.2.2/24 dev eth0
    ip -n web link set eth0 up
    ip netns exec web nft 'add table t; add chain t c { type filter hook input priority 0; }; add rule t c ct state new'
    ip netns exec web busybox nc -ll -p 80 -e true &
    until (: </dev/tcp/192.0.2.2/80) 2>/dev/null; do sleep 0.1; done
"#;

fn stdout(script: &str) -> String {
    String::from_utf8(sandbox(&format!("{HOST} {script}")).stdout).unwrap()
}

/// The value of the sample with this name and labels.
fn value(metrics: &str, sample: &str) -> u64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(sample));
    let found = found.unwrap_or_else(|| panic!("no {sample} in {metrics}"));
    found.trim().parse().unwrap()
}

/// Fails unless promtool accepts the text.
fn check(metrics: &str) {
    let promtool = Command::new(repository("tests/support/promtool"))
        .output()
        .unwrap();
    assert!(
        promtool.status.success(),
        "{}",
        String::from_utf8_lossy(&promtool.stderr)
    );
    let promtool = String::from_utf8(promtool.stdout).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), metrics).unwrap();
    let checked = Command::new(promtool.trim())
        .args(["check", "metrics"])
        .stdin(file.reopen().unwrap())
        .output()
        .unwrap();
    let complaints = [checked.stdout, checked.stderr].concat();
    let complaints = String::from_utf8_lossy(&complaints);
    assert!(
        checked.status.success() && complaints.is_empty(),
        "{complaints}\n{metrics}"
    );
}

#[test]
#[ignore = "needs root"]
fn metrics_are_what_the_kernel_counts() {
    let printed = stdout(
        "netnsctl metrics; echo ---
         ip netns exec web cat /sys/class/net/eth0/statistics/{rx_bytes,tx_packets}",
    );
    let (metrics, counted) = printed.split_once("---\n").unwrap();
    let counted: Vec<u64> = counted.lines().map(|n| n.parse().unwrap()).collect();
    check(metrics);
    let eth0 = r#"{namespace="web",link="eth0"}"#;
    let received = value(metrics, &format!("netns_link_receive_bytes_total{eth0}"));
    let sent = value(metrics, &format!("netns_link_transmit_packets_total{eth0}"));
    // Neighbour discovery may send packets in between.
    assert!(
        (100..=counted[0]).contains(&received),
        "{received} {counted:?}"
    );
    assert!((3..=counted[1]).contains(&sent), "{sent} {counted:?}");
    for (sample, expected) in [
        // Names that are not UTF-8 are shown differently.
        ("netns_unreadable", 2),
        (
            r#"netns_link_up{namespace="web",link="eth0",kind="veth"}"#,
            1,
        ),
        (
            r#"netns_link_up{namespace="web",link="lo",kind="loopback"}"#,
            0,
        ),
        (r#"netns_processes{namespace="web"}"#, 1),
        (r#"netns_namespace_present{namespace="a\"b\\c\nd"}"#, 1),
        (r#"netns_conntrack_entries{namespace="a\"b\\c\nd"}"#, 0),
    ] {
        assert_eq!(value(metrics, sample), expected, "{sample}");
    }
    let listening = |family| {
        let sample =
            format!(r#"netns_sockets{{namespace="web",protocol="tcp",family="{family}"}}"#);
        value(metrics, &sample)
    };
    assert_eq!(listening("inet") + listening("inet6"), 1);
    assert!(value(metrics, r#"netns_conntrack_entries{namespace="web"}"#) >= 1);
}

#[test]
#[ignore = "needs root"]
fn the_status_shows_the_counters() {
    let status = stdout("netnsctl status web");
    assert!(status.contains("\n  eth0  received "), "{status}");
    assert!(status.contains("\n  sockets  1 tcp/IPv"), "{status}");
    assert!(status.contains("\n  tracked connections  "), "{status}");
    let json = crate::json(
        &sandbox(&format!("{HOST} netnsctl status web --json")),
        "status.json",
    );
    let links = json["counters"]["links"].as_array().unwrap();
    let eth0 = links.iter().find(|link| link["link"] == "eth0").unwrap();
    assert!(eth0["received"]["bytes"].as_u64().unwrap() > 100, "{eth0}");
}

#[test]
#[ignore = "needs root"]
fn a_file_is_replaced_at_once() {
    let printed = stdout(
        "umask 077; cd /run; echo old >netns.prom; exec 3<netns.prom
         netnsctl metrics --output netns.prom
         cat <&3; stat -c %a netns.prom; grep -c '^netns_link_up' netns.prom; ls -A | grep prom
         if netnsctl metrics --output /run/none/netns.prom; then exit 1; fi",
    );
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["old", "644"]);
    assert!(lines[2].parse::<u32>().unwrap() >= 3, "{printed}");
    assert_eq!(lines[3..], ["netns.prom"]);
}

#[test]
#[ignore = "needs root"]
fn others_than_root_get_what_they_may_read() {
    let metrics = stdout(
        "cp $NETNSCTL /run/netnsctl; setpriv --reuid 65534 --clear-groups /run/netnsctl metrics",
    );
    check(&metrics);
    assert!(value(&metrics, "netns_unreadable") > 0);
    assert_eq!(
        value(&metrics, r#"netns_namespace_present{namespace="web"}"#),
        1
    );
}

#[test]
#[ignore = "needs root"]
fn requests_are_answered() {
    let request = |request: &str| {
        stdout(&format!(
            "systemd-socket-activate --listen 127.0.0.1:9975 --accept --inetd $NETNSCTL metrics --http &
             until exec 3<>/dev/tcp/127.0.0.1/9975; do sleep 0.1; done 2>/dev/null
             printf '{request}' >&3; cat <&3"
        ))
    };
    let response = request(r"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{head}"
    );
    check(body);
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let response = request(&format!(r"GET /metrics HTTP/1.1\r\n{accept}\r\n\r\n"));
    assert!(response.ends_with("\n# EOF\n"), "{response}");
    assert!(request(r"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
}
