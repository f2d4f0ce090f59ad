//! The type `openvpn`, with a real server in a namespace of its own, which the host reaches by a veth pair.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::support::{expect_in, nothing_left, soon};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("a_tunnel_carries_both_families", tunnel),
    ("nothing_leaves_without_the_tunnel", no_leak),
    ("the_daemon_is_started_again", daemon_again),
    ("without_a_server_the_start_fails_or_waits", no_server),
    ("bad_files_are_refused", bad_files),
    ("what_the_server_pushes_is_not_trusted", hostile_server),
    ("a_password_and_an_ethernet_tunnel", tap_with_password),
    ("nothing_is_left_of_what_was_killed", killed),
];

/// Creates keys and certificates `ca`, `server` and `client` in the current directory.
const CERTIFICATES: &str = r#"
exec >openssl.log 2>&1; set -eux
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -subj "/CN=$1" "${@:2}"; }
new ca -x509 -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign -out ca.crt
for name in server client; do
    new $name -out $name.csr
    printf 'keyUsage=digitalSignature\nextendedKeyUsage=%sAuth\n' $name >ext
    openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile ext -out $name.crt
done
"#;

/// The configurations of a server and of a client, which looks for it at 192.0.2.2.
const CONFIGURATIONS: &str = r#"
cat >/root/server.conf <<END
dev tun
proto udp
port 1194
server 10.8.0.0 255.255.255.0
server-ipv6 fd08::/64
topology subnet
ca /root/ca.crt
cert /root/server.crt
key /root/server.key
dh none
keepalive 1 3
explicit-exit-notify 0
push "redirect-gateway def1 ipv6"
push "route 10.99.0.0 255.255.255.0"
push "route-ipv6 fd99::/64"
push "dhcp-option DNS 10.8.0.1"
push "dhcp-option DNS fd08::1"
push "dhcp-option DOMAIN vpn.example"
END
printf '%s\r\n' client 'dev tun # any' 'remote 192.0.2.2 1194 udp' nobind 'remote-cert-tls "server"' 'daemon' \
    'log /var/log/openvpn.log' 'ca keys/ca.crt' 'cert keys/client.crt' "key 'keys/client.key'" 'connect-retry 1 2' \
    >/etc/openvpn/client/a.conf
chmod 0644 /etc/openvpn/client/a.conf
"#;

/// The network of the server, of which the host has 192.0.2.1.
const NETWORK: &str = r#"
ip netns add server
ip link add up0 type veth peer name eth0 netns server
ip address add 192.0.2.1/24 dev up0; ip link set up0 up
ip -n server address add 192.0.2.2/24 dev eth0; ip -n server link set eth0 up; ip -n server link set lo up
# Networks that only the tunnel leads to.
ip -n server address add 10.99.0.1/24 dev lo; ip -n server address add fd99::1/64 dev lo
# And one that the host could reach without it.
ip route add default via 192.0.2.2; ip -n server address add 203.0.113.1/32 dev lo
netnsupdate --quiet
"#;

const SERVE: &str = "systemd-run --quiet --collect --unit=server --property=NetworkNamespacePath=/run/netns/server \
    openvpn --config /root/server.conf";
const PING: &str = "for to in 10.8.0.1 fd08::1 10.99.0.1 fd99::1 203.0.113.1; do ip netns exec a ping -c 1 -W 5 $to; done";
const UNIT: &str = "netns-openvpn@a";
const A_WHILE: Duration = Duration::from_secs(30);

/// Makes the files, and starts the server with more lines in its configuration.
fn prepare(machine: &Machine, more: &str) -> Result<()> {
    files(machine)?;
    machine.sh(NETWORK)?;
    machine.sh(&format!(
        "cat >>/root/server.conf <<'END'\n{more}\nEND\n{SERVE}"
    ))?;
    Ok(())
}

/// Makes the keys and configurations of a server, and of a client in `/etc/openvpn/client`.
pub fn files(machine: &Machine) -> Result<()> {
    let keys = tempfile::tempdir()?;
    let made = Command::new("bash")
        .args(["-c", CERTIFICATES])
        .current_dir(&keys)
        .status()?;
    let log = || fs::read_to_string(keys.path().join("openssl.log")).unwrap_or_default();
    ensure!(made.success(), "openssl: {}", log());
    let read = |name: &str| fs::read_to_string(keys.path().join(name)).context(name.to_owned());
    for name in ["ca.crt", "server.crt", "server.key"] {
        machine.write(&format!("/root/{name}"), &read(name)?)?;
    }
    for name in ["ca.crt", "client.crt", "client.key"] {
        machine.write(&format!("/etc/openvpn/client/keys/{name}"), &read(name)?)?;
    }
    machine.sh("chmod 0600 /root/server.key /etc/openvpn/client/keys/client.key")?;
    machine.sh(CONFIGURATIONS)?;
    Ok(())
}

/// Stops everything, and checks that nothing is left.
fn all_gone(machine: &Machine) -> Result<()> {
    machine.sh("systemctl stop server; ip netns delete server; ip link delete up0 || :")?;
    nothing_left(machine)?;
    let left = machine.sh("ls -d /etc/netns || :; pgrep openvpn || :")?;
    ensure!(left.stdout.is_empty(), "left: {}", left.stdout);
    Ok(())
}

fn tunnel(machine: &Machine) -> Result<()> {
    prepare(machine, "")?;
    machine.run(&format!("systemctl start {UNIT}"))?;
    machine.sh(PING)?;
    let seen = machine.sh(
        "ip -n a route show default; ip -n a -6 route show default; ip -n a route show 10.99.0.0/24
         ip -n a -brief address show dev tun0 | grep -o -e '10.8.0.[0-9]*/24' -e 'fd08::[0-9a-f]*/64' | wc -l
         grep -v '#' /etc/netns/a/resolv.conf; ip netns exec a grep -c vpn.example /etc/resolv.conf",
    )?;
    let expected = "default dev tun0 scope link \ndefault dev tun0 metric 1024 pref medium\n\
        10.99.0.0/24 dev tun0 scope link \n2\n\
        nameserver 10.8.0.1\nnameserver fd08::1\nsearch vpn.example\n1\n";
    ensure!(seen.stdout == expected, "{seen}");
    // The interface is inside, the encrypted packets leave on the host, and the host is as it was.
    let host = machine
        .run("ip -brief link; ip route; ss -Hun; cat /etc/resolv.conf 2>/dev/null || :")?
        .stdout;
    ensure!(
        !host.contains("tun") && !host.contains("ovpn") && !host.contains("10.8.0."),
        "{host}"
    );
    let inside = machine
        .run("ip -n a -brief link; ip netns exec a ss -Huna")?
        .stdout;
    ensure!(
        !inside.contains("1194") && inside.lines().count() == 2,
        "{inside}"
    );
    machine.run("[[ ! -e /var/log/openvpn.log ]]")?;

    machine.run(&format!("systemctl restart {UNIT}"))?;
    machine.sh(PING)?;
    // The output of netnsctl and status.
    machine.run("netnsctl status a | grep tun0")?;
    machine.run(&format!("systemctl stop {UNIT}"))?;
    all_gone(machine)
}

/// Packets of the namespace reach the network of the host at no time: not while the server is away, nor
/// openvpn, nor both.
fn no_leak(machine: &Machine) -> Result<()> {
    prepare(machine, "")?;
    machine.run(&format!("systemctl start {UNIT}"))?;
    machine.sh(PING)?;
    machine.sh(
        "systemd-run --quiet --unit=capture tcpdump -i up0 -n -l -Q out --immediate-mode \
             'not arp and not ip6 multicast and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 136) and not udp port 1194'
         systemd-run --quiet --unit=talk ip netns exec a bash -c 'while :; do
             ping -c 1 -W 1 203.0.113.1; ping -c 1 -W 1 fd99::1; echo >/dev/udp/10.8.0.1/53; sleep 0.1; done'
         sleep 1; systemctl stop server; sleep 5",
    )?;
    machine.run("(! ip netns exec a ping -c 1 -W 1 203.0.113.1)")?;
    // Nothing asks the name servers of the host.
    machine.run("ip netns exec a grep -x 'nameserver 10.8.0.1' /etc/resolv.conf")?;
    machine.sh("for i in 1 2 3; do pkill -KILL -x openvpn || :; sleep 0.7; done")?;
    let without = machine.sh("ip -n a -brief link")?.stdout;
    ensure!(!without.contains("tun0"), "{without}");
    machine.fails("ip netns exec a ping -c 1 -W 1 203.0.113.1", 2)?;
    machine.run("ip netns exec a grep -x 'nameserver 10.8.0.1' /etc/resolv.conf")?;
    machine.sh(SERVE)?;
    machine.wait_until("it is connected again", A_WHILE, |m| {
        Ok(m.try_run(PING)?.status == Some(0))
    })?;
    // The capture works: it sees this packet of the host.
    machine.sh("ping -c 1 -W 1 203.0.113.1; sleep 0.5; systemctl stop talk capture")?;
    let seen = machine
        .run("journalctl --unit=capture --output=cat | grep ' > '")?
        .stdout;
    ensure!(
        seen.lines().count() == 1 && seen.contains("192.0.2.1 > 203.0.113.1: ICMP"),
        "{seen}"
    );
    machine.run(&format!("systemctl stop {UNIT}"))?;
    all_gone(machine)
}

fn daemon_again(machine: &Machine) -> Result<()> {
    prepare(machine, "")?;
    machine.run(&format!("systemctl start {UNIT}"))?;
    let look = "ip -n a -brief address | grep -v ' fe80'; ip -n a route; ip -n a -6 route | grep -v fe80; cat /etc/netns/a/resolv.conf";
    let before = machine.sh(look)?.stdout;
    // Twice, as the second time it is a child of another shell.
    for _ in 0..2 {
        machine.run("pkill -KILL -f ^openvpn.--suppress")?;
        machine.wait_until("it is back", A_WHILE, |m| {
            Ok(m.try_run(PING)?.status == Some(0))
        })?;
    }
    // The link-local address differs each time.
    let words = |text: &str| {
        text.split_whitespace()
            .filter(|w| !w.starts_with("fe80"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let after = machine.sh(look)?.stdout;
    ensure!(words(&after) == words(&before), "{before}\n{after}");
    let journal = machine.run("journalctl --boot --no-pager")?.stdout;
    expect_in(
        &journal,
        "openvpn@a: openvpn exited with status 137; restarting it",
    )?;
    // The server comes back with other addresses, and openvpn opens another interface.
    machine.sh(&format!(
        "systemctl stop server; sed -i 's/^server .*/server 10.9.0.0 255.255.255.0/; s/10.8.0.1/10.9.0.1/' /root/server.conf; {SERVE}"
    ))?;
    machine.wait_until("the new address", A_WHILE, |m| {
        Ok(m.try_run("ip netns exec a ping -c 1 -W 1 10.9.0.1")?.status == Some(0))
    })?;
    machine.run("grep -x 'nameserver 10.9.0.1' /etc/netns/a/resolv.conf; (! grep 10.8.0.1 /etc/netns/a/resolv.conf)")?;
    machine.run("pkill -KILL -f ^openvpn.--suppress")?;
    machine.run(&format!("systemctl stop {UNIT}"))?;
    all_gone(machine)
}

fn no_server(machine: &Machine) -> Result<()> {
    prepare(machine, "")?;
    machine
        .run("systemctl stop server; echo OPENVPN_TIMEOUT=3 >/etc/conf.d/netns/openvpn-a.conf")?;
    machine.fails(&format!("systemctl start {UNIT}"), 1)?;
    let journal = machine.journal("netns_outside-openvpn@a")?;
    expect_in(&journal, "no tunnel within 3 seconds (OPENVPN_TIMEOUT)")?;
    expect_in(&journal, "(journalctl -t openvpn-a)")?;
    soon(
        machine,
        "! pgrep openvpn && [[ ! -e /run/netns/a && ! -e /etc/netns ]]",
    )?;
    // With a wrong certificate, the reason is reported.
    machine.sh(&format!(
        "echo OPENVPN_TIMEOUT=8 >/etc/conf.d/netns/openvpn-a.conf
         cp /root/server.crt /etc/openvpn/client/keys/ca.crt; {SERVE}"
    ))?;
    machine.fails(&format!("systemctl start {UNIT}"), 1)?;
    let journal = machine.journal("netns_outside-openvpn@a")?;
    expect_in(&journal, "(OPENVPN_TIMEOUT): ")?;
    machine.sh("cp /root/ca.crt /etc/openvpn/client/keys/ca.crt; systemctl stop server; systemctl reset-failed")?;
    // An option that openvpn does not know fails without waiting.
    machine
        .sh("echo nonsense >>/etc/openvpn/client/a.conf; rm /etc/conf.d/netns/openvpn-a.conf")?;
    machine.fails(&format!("timeout 20 systemctl start {UNIT}"), 1)?;
    let journal = machine.journal("netns_outside-openvpn@a")?;
    expect_in(
        &journal,
        "/etc/openvpn/client/a.conf: rejected by openvpn: Options error: Unrecognized option",
    )?;
    expect_in(&journal, "status=6/NOTCONFIGURED")?;
    machine.sh("sed -i '$d' /etc/openvpn/client/a.conf; systemctl reset-failed")?;
    // Without waiting, it is cut off until the server is there.
    machine.run("echo OPENVPN_TIMEOUT=0 >/etc/conf.d/netns/openvpn-a.conf")?;
    machine.run(&format!("systemctl start {UNIT}"))?;
    machine.fails("ip netns exec a ping -c 1 -W 1 203.0.113.1", 2)?;
    machine.sh("ip netns exec a bash -c '(! grep nameserver /etc/resolv.conf)'")?;
    machine.sh(SERVE)?;
    machine.wait_until("it connects", A_WHILE, |m| {
        Ok(m.try_run(PING)?.status == Some(0))
    })?;
    machine.sh("ip netns exec a grep -x 'nameserver 10.8.0.1' /etc/resolv.conf")?;
    machine.run(&format!("systemctl stop {UNIT}"))?;
    all_gone(machine)
}

/// A command that breaks the configuration, and the expected message. F is the file of openvpn, C ours.
const BAD: &[(&str, &str)] = &[
    (
        "rm F",
        "OPENVPN_CONFIG=/etc/openvpn/client/a.conf: no such file",
    ),
    (
        "chmod 666 F",
        "writable by other users: run chmod go-w '/etc/openvpn/client/a.conf'",
    ),
    ("chown nobody F", "not owned by root: run chown root"),
    (
        "chmod 640 K",
        "line 10: key: readable by other users: run chmod 600 '/etc/openvpn/client/keys/client.key'",
    ),
    (
        "chown nobody K",
        "line 10: key: not owned by root: run chown root",
    ),
    (
        "rm K",
        "line 10: key: no such file '/etc/openvpn/client/keys/client.key'",
    ),
    (
        "printf '<key>\\nx\\n</key>\\n' >>F",
        "has <key>, and is readable by other users: run chmod 600",
    ),
    (
        "chmod 600 F; printf '<key>\\nx\\n' >>F",
        "<key> is not closed",
    ),
    ("sed -i 2d F", "has no option dev"),
    ("sed -i '2s/tun/null/' F", "has no option dev"),
    (
        "sed -i 2idev-type\\ x F",
        "line 2: dev-type must be tun or tap",
    ),
    (
        "sed -i '2iup /bin/sh' F",
        "line 2: up would not be run: remove it, or set OPENVPN_HOOKS=ignore",
    ),
    (
        "sed -i '2i --plugin x.so' F",
        "line 2: plugin would not be run",
    ),
    ("sed -i '2i\"up\" x' F", "line 2: up would not be run"),
    (
        "sed -i '2isetenv opt route-up x' F",
        "line 2: route-up would not be run",
    ),
    (
        "sed -i '2iu\\\\p x' F",
        "line 2: has quotes or backslashes in a form that is not supported",
    ),
    (
        "sed -i '2i<connection>\\nup x\\n</connection>' F",
        "line 3: up would not be run",
    ),
    (
        "sed -i 2iconfig\\ other F",
        "line 2: config is not supported",
    ),
    (
        "sed -i 2iauth-user-pass F",
        "line 2: auth-user-pass would prompt for a password",
    ),
    (
        "sed -i '2iauth-user-pass /etc/hostname' F",
        "line 2: auth-user-pass: readable by other users",
    ),
    (
        "sed -i 2iaskpass F",
        "line 2: askpass would prompt for a password",
    ),
    (
        "echo OPENVPN_AUTH=/etc/hostname >C",
        "OPENVPN_AUTH=/etc/hostname: readable by other users: run chmod 600",
    ),
    (
        "echo OPENVPN_AUTH=pass >C",
        "OPENVPN_AUTH=pass: must be an absolute path",
    ),
    (
        "echo OPENVPN_IFNAME=tun-of-sixteen-c >C",
        "OPENVPN_IFNAME=tun-of-sixteen-c: an interface",
    ),
    (
        "echo OPENVPN_ROUTES=10.0.0.0/33 >C",
        "OPENVPN_ROUTES=10.0.0.0/33: '10.0.0.0/33' is not",
    ),
    ("echo 'OPENVPN_DNS=\"a;b\"' >C", "'a;b' is neither"),
    (
        "echo OPENVPN_DNS=10.0.0.300 >C",
        "OPENVPN_DNS=10.0.0.300: '10.0.0.300' is neither",
    ),
    (
        "echo 'OPENVPN_ROUTES=\"pushed off\"' >C",
        "'pushed' is not an IP address",
    ),
    (
        "echo OPENVPN_TIMEOUT=x >C",
        "OPENVPN_TIMEOUT=x: must be a number",
    ),
    (
        "echo OPENVPN_HOOKS=run >C",
        "OPENVPN_HOOKS=run: may only be 'ignore'",
    ),
    (
        "ip link add ovpn-a type veth peer name x",
        "ovpn-a, the name of the interface before it is moved, already exists",
    ),
    (
        "ip -n a link add tun0 type veth peer name x",
        "OPENVPN_IFNAME=tun0: already exists in a",
    ),
];

fn bad_files(machine: &Machine) -> Result<()> {
    prepare(machine, "")?;
    machine.sh("ip netns add a; cp -a /etc/openvpn /root/good; touch /etc/hostname; chmod 644 /etc/hostname")?;
    for (spoil, line) in BAD {
        let spoil = spoil
            .replace(">F", ">/etc/openvpn/client/a.conf")
            .replace(" F", " /etc/openvpn/client/a.conf")
            .replace(" K", " /etc/openvpn/client/keys/client.key")
            .replace(">C", ">/etc/conf.d/netns/openvpn-a.conf");
        let run = machine.try_run(&format!(
            "{spoil}; netnsinit openvpn a up outside; status=$?
             netnsinit --undo openvpn a down outside
             ip link delete ovpn-a 2>/dev/null; ip -n a link delete tun0 2>/dev/null
             rm -rf /etc/conf.d/netns/openvpn-a.conf /etc/openvpn; cp -a /root/good /etc/openvpn; exit $status"
        ))?;
        ensure!(run.status == Some(6), "{run}");
        ensure!(run.stderr.contains(line), "'{line}' is not in\n{run}");
        let made = machine.sh(
            "ip -oneline link | grep -v -e ' lo:' -e up0 || :; ls /etc/netns 2>/dev/null || :
             ip -n a -oneline link | grep -v ' lo:' || :; pgrep -f '^openvpn --suppress' || :",
        )?;
        ensure!(made.stdout.is_empty(), "made: {}", made.stdout);
    }
    // Ignored, scripts are not run, and neither key nor password reaches the journal.
    machine.sh(&format!(
        "ip netns delete a
         cd /etc/openvpn/client; {{ echo 'up \"/bin/touch /root/up-was-run\"'; echo 'down /bin/false'; echo script-security 3
             grep -v ^key a.conf; echo '<key>'; cat keys/client.key; echo '</key>'; }} >b.conf
         chmod 600 b.conf; printf 'OPENVPN_HOOKS=ignore\nOPENVPN_CONFIG=/etc/openvpn/client/b.conf\n' >/etc/conf.d/netns/openvpn-a.conf
         echo NETNS_TRACE=1 >/etc/conf.d/netns/default.conf
         systemctl start {UNIT}; {PING}; [[ ! -e /root/up-was-run ]]; systemctl stop {UNIT}
         journalctl --boot >/root/journal; grep 'ip link set dev lo up' /root/journal
         (! grep -F \"$(sed -n 2p keys/client.key)\" /root/journal)"
    ))?;
    all_gone(machine)
}

/// A server that wants more than a tunnel: what it pushes reaches no shell, and nothing but the namespace.
fn hostile_server(machine: &Machine) -> Result<()> {
    prepare(
        machine,
        "push \"setenv-safe IFNAME ../../evil\"\npush \"setenv-safe ROUTES $(touch${IFS}/root/evil)\"\n\
         push \"dhcp-option DNS $(touch${IFS}/root/evil)\"\npush \"dhcp-option DOMAIN `touch${IFS}/root/evil`\"\n\
         push \"dhcp-option DNS 10.8.0.1/8\"\npush \"route 192.0.2.0 255.255.255.0 net_gateway\"\n\
         push \"route 192.0.2.2 255.255.255.255 net_gateway\"",
    )?;
    let before = machine
        .run("ip route; ip -6 route | grep -v fe80 || :")?
        .stdout;
    machine.run(&format!("systemctl start {UNIT}"))?;
    machine.sh(PING)?;
    let after = machine
        .run("ip route; ip -6 route | grep -v fe80 || :")?
        .stdout;
    ensure!(before == after, "{before}{after}");
    machine.run("[[ ! -e /root/evil ]]; (! ls /root/* | grep evil)")?;
    let seen = machine
        .sh("grep -v '#' /etc/netns/a/resolv.conf; ip -n a route get 192.0.2.2 | head -n 1")?
        .stdout;
    expect_in(
        &seen,
        "nameserver 10.8.0.1\nnameserver fd08::1\nsearch vpn.example\n192.0.2.2 dev tun0",
    )?;
    machine.run(&format!("systemctl stop {UNIT}"))?;
    all_gone(machine)
}

/// Two instances at once: one with a password and of a long name, one with `dev tap`.
fn tap_with_password(machine: &Machine) -> Result<()> {
    prepare(machine, "")?;
    machine.sh(
        r#"systemctl stop server
         sed -i -e 's/^dev tun/dev tap/' -e '/^server-ipv6/d' -e '/fd..::/d' /root/server.conf
         printf '%s\n' 'script-security 2' 'auth-user-pass-verify /root/verify via-file' duplicate-cn >>/root/server.conf
         printf '%s\n' '#!/bin/bash' '[[ $(<"$1") == $'\''me\nsecret word'\'' ]]' >/root/verify; chmod +x /root/verify
         cd /etc/openvpn/client; sed -i -e 's/^dev tun/dev tap/' -e '1iauth-user-pass' a.conf; cp a.conf b.conf
         umask 077; printf '%s\n' me 'secret word' >a.auth; umask 022
         cd /etc/conf.d/netns; printf '%s\n' OPENVPN_AUTH=/etc/openvpn/client/a.auth >openvpn.conf
         printf '%s\n' OPENVPN_CONFIG=/etc/openvpn/client/b.conf OPENVPN_IFNAME=tap0 \
             OPENVPN_ROUTES=10.99.0.0/24 'OPENVPN_DNS="192.0.2.53 off.example"' >openvpn-b.of-a-long-name.conf
         netnsupdate"#,
    )?;
    machine.sh(SERVE)?;
    machine.run(&format!(
        "systemctl start {UNIT} netns-openvpn@b.of-a-long-name"
    ))?;
    let seen = machine.sh(
        "ip netns exec a ping -c 1 -W 5 203.0.113.1 >&2
         ip netns exec b.of-a-long-name ping -c 1 -W 5 10.99.0.1 >&2
         ip -n a route show default; ip -n b.of-a-long-name route show | grep -v kernel
         grep -hv '#' /etc/netns/*/resolv.conf; ip -brief link show | grep -v -e '^lo' -e up0 || :",
    )?;
    let expected = "default via 10.8.0.1 dev tap0 onlink \n10.99.0.0/24 via 10.8.0.1 dev tap0 onlink \n\
        nameserver 10.8.0.1\nsearch vpn.example\nnameserver 192.0.2.53\nsearch off.example\n";
    ensure!(seen.stdout == expected, "{seen}");
    // A wrong password is reported, but not printed.
    machine.sh("sed -i 's/word/wrong/' /etc/openvpn/client/a.auth; echo OPENVPN_TIMEOUT=5 >/etc/conf.d/netns/openvpn-a.conf")?;
    machine.fails(&format!("systemctl restart {UNIT}"), 1)?;
    let journal = machine.journal("netns_outside-openvpn@a")?;
    expect_in(&journal, "AUTH_FAILED")?;
    machine.run("(! journalctl --boot | grep 'secret w'); systemctl stop netns-openvpn@b.of-a-long-name; systemctl reset-failed")?;
    all_gone(machine)
}

/// A start that is killed, a namespace that is deleted, an odd name, and no systemd.
fn killed(machine: &Machine) -> Result<()> {
    prepare(machine, "")?;
    machine.sh(
        "systemctl stop server; systemctl start --no-block netns-openvpn@a
         for i in {1..100}; do ! pgrep -f '^openvpn --suppress' || break; sleep 0.1; done
         systemctl kill --signal=KILL netns_outside-openvpn@a",
    )?;
    soon(
        machine,
        "! pgrep openvpn && ! ip -oneline link | grep ovpn && ! systemctl is-active netns_name@a",
    )?;
    machine.run("systemctl reset-failed")?;
    machine.sh(SERVE)?;
    machine.run(&format!("systemctl start {UNIT}"))?;
    machine.sh(PING)?;
    machine.run("ip netns delete a; sleep 0.5")?;
    machine.run(&format!("systemctl stop {UNIT}"))?;
    // The command waits for the inside unit alone.
    soon(
        machine,
        "! pgrep -f '^openvpn --suppress' && [[ ! -e /etc/netns ]]",
    )?;

    machine.sh(
        "cd /etc/openvpn/client; cp a.conf odd:1.x@2-3.conf
         systemctl start netns-openvpn@odd:1.x@2-3; ip netns exec odd:1.x@2-3 ping -c 1 -W 5 10.8.0.1
         systemctl restart netns-openvpn@odd:1.x@2-3; systemctl restart netns-openvpn@odd:1.x@2-3
         ip netns exec odd:1.x@2-3 ping -c 1 -W 5 fd08::1; systemctl stop netns-openvpn@odd:1.x@2-3
         mkdir /run/systemd/hidden; mount --bind /run/systemd/hidden /run/systemd/system
         netnsctl up openvpn@a; netnsctl down openvpn@a; umount /run/systemd/system",
    )?;
    all_gone(machine)
}
