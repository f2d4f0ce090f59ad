//! The type `wireguard`, by wireguard-go, as the machines have the kernel of their host.
//! With the kernel's own: `tests/vm/type-wireguard`.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("a_tunnel_carries_both_families", tunnel),
    ("both_are_back_after_a_reboot", reboot),
    ("one_name_in_two_namespaces", one_name),
    ("nothing_leaves_without_the_daemon", no_leak),
    ("the_daemon_is_started_again", daemon_again),
    ("a_changed_address_of_the_peer", changed_address),
    ("bad_files_are_refused", bad_files),
    ("no_key_reaches_the_journal", no_key_in_journal),
    ("somebody_elses_interface_stays", not_ours),
];

/// Keys and files of the peers a and b, whose packets meet at 127.0.0.1 of the host.
pub const PEERS: &str = r#"
umask 077; mkdir -p /etc/wireguard; cd /etc/wireguard
echo 127.0.0.1 peer.example >>/etc/hosts
wg genkey >a.key; wg genkey >b.key; wg genpsk >psk
cat >a.conf <<END
[Interface]
PrivateKey = $(<a.key)
Address = 10.66.0.1/24, fd66::1/64
ListenPort = 5001
DNS = 10.66.0.2, fd66::2, vpn.example
MTU = 1400
SaveConfig = true

[Peer]
PublicKey = $(wg pubkey <b.key)
PresharedKey = $(<psk)
Endpoint = peer.example:5002
AllowedIPs = 0.0.0.0/0, ::/0
END
printf '%s\r\n' '[interface]' "privatekey=$(<b.key) # mine" 'Address = 10.66.0.2' 'Address=fd66::2' \
    ListenPort=5002 '[PEER]' "PublicKey = $(wg pubkey <a.key)" "PresharedKey=$(<psk)" \
    'AllowedIPs = 10.66.0.1, fd66::1/128' >b.conf
netnsupdate --quiet
"#;

/// A handshake that meets another is repeated after 5 seconds.
const PING: &str = "for to in 10.66.0.2 fd66::2; do ip netns exec a ping -c 1 -w 15 $to; done";
const BOTH: &str = "netns-wireguard@a netns-wireguard@b";

/// Waits for the namespaces, which go after the stop, and looks for anything left.
fn all_gone(machine: &Machine) -> Result<()> {
    machine.wait_until("the namespaces are gone", Duration::from_secs(10), |m| {
        Ok(m.run("ls /run/netns")?.stdout.is_empty())
    })?;
    let left = machine.sh("ip -oneline link | grep -v ' lo:' || :
         ls -d /etc/netns /run/systemd-netns/instances/* /run/wireguard/* 2>/dev/null || :
         ps -C wireguard-go -o stat= | grep -v Z || :")?;
    ensure!(left.stdout.is_empty(), "left: {}", left.stdout);
    Ok(())
}

/// bullseye has neither wireguard-go nor the module: the start fails with a clear message.
fn neither(machine: &Machine) -> Result<bool> {
    if machine.suite() != "bullseye" {
        return Ok(false);
    }
    machine.sh(PEERS)?;
    let unit = "netns_outside-wireguard@a";
    ensure!(machine.try_run("systemctl start netns-wireguard@a")?.status != Some(0));
    ensure!(machine.unit_state(unit)?.result == "exit-code");
    let status = machine.run(&format!("systemctl show -P ExecMainStatus {unit}"))?;
    ensure!(status.stdout == "5\n", "{status}");
    let journal = machine.journal(unit)?;
    ensure!(journal.contains("no WireGuard in this kernel"), "{journal}");
    all_gone(machine)?;
    Ok(true)
}

fn tunnel(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.run(&format!("systemctl start {BOTH}"))?;
    machine.sh(PING)?;
    let seen = machine.sh("ip -n a route show default; ip -n a -6 route show default
         ip -n b route show; ip -n b -6 route show fd66::1
         cat /etc/netns/a/resolv.conf; ls /etc/netns
         ip -n a -o link show wg-a | grep -o 'mtu 1400'; ip -n a -o link show lo | grep -o ,UP,
         group=$(systemctl show -P ControlGroup netns_outside-wireguard@a)
         for pid in $(cat \"/sys/fs/cgroup$group/cgroup.procs\"); do cat /proc/$pid/comm; done | grep -c '^wireguard-go'")?;
    let words: Vec<&str> = seen.stdout.split_whitespace().collect();
    let words = words.join(" ");
    let expected = "default dev wg-a scope link default dev wg-a metric 1024 pref medium \
        10.66.0.1 dev wg-b scope link fd66::1 dev wg-b metric 1024 pref medium \
        # Written by systemd-netns, which removes it and its directory. # wireguard@a \
        nameserver 10.66.0.2 nameserver fd66::2 search vpn.example a mtu 1400 ,UP, 1";
    ensure!(words == expected, "{seen}");
    // Only the encrypted packets are sent by the host.
    let host = machine.run("ip -oneline link; ss -Hlun")?.stdout;
    ensure!(!host.contains("wg-") && host.contains(":5001"), "{host}");
    // The age of the handshake and the traffic, by the key of the peer.
    machine.sh(
        r#"key=$(wg pubkey </etc/wireguard/b.key); labels="{namespace=\"a\",link=\"wg-a\",public_key=\"$key\"}"
        value() { netnsctl metrics | grep --fixed-strings "netns_wireguard_$1$labels" | cut -d' ' -f2; }
        age=$(($(date +%s) - $(value last_handshake_timestamp_seconds)))
        ((age >= 0 && age < 60 && $(value transmit_bytes_total) > 100))
        netnsctl status a | grep --fixed-strings "wg-a  peer $key  last handshake""#,
    )?;

    machine.run("systemctl restart netns-wireguard@a")?;
    machine.sh(PING)?;
    machine.run(&format!("systemctl stop {BOTH}"))?;
    all_gone(machine)
}

fn reboot(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.run(&format!("systemctl enable {BOTH}"))?;
    machine.reboot()?;
    machine.sh(PING)?;
    Ok(())
}

/// With all variables, on two instances at once, one of a long name.
fn one_name(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.sh("cd /etc/conf.d/netns
         echo 'PostUp = iptables -F' | sed -i '3r /dev/stdin' /etc/wireguard/b.conf
         cat >wireguard-a.conf <<END
WIREGUARD_IFNAME=wg0
WIREGUARD_IFADDR=(10.77.0.1/24 fd77::1/64)
WIREGUARD_DNS=off.example
WIREGUARD_MTU=1380
WIREGUARD_ROUTES='10.66.0.0/24 10.77.0.0/24 fd66::/64'
END
         cat >wireguard-b-of-a-long-name.conf <<END
WIREGUARD_IFNAME=wg0
WIREGUARD_CONFIG=/etc/wireguard/b.conf
WIREGUARD_HOOKS=ignore
WIREGUARD_DNS=192.0.2.53
NETNS_DNS=192.0.2.54
END
         sed -i 's/^AllowedIPs.*/AllowedIPs = 10.77.0.1, fd77::1/' /etc/wireguard/b.conf")?;
    let both = "netns-wireguard@a netns-wireguard@b-of-a-long-name";
    machine.run(&format!("systemctl start {both}"))?;
    machine.sh(PING)?;
    let seen = machine.sh(
        "ip -n a route; ip -n a -6 route show fd66::/64; ip -n a -o link show wg0 | grep -o 'mtu 1380'
         tail -n 1 /etc/netns/a/resolv.conf /etc/netns/b-of-a-long-name/resolv.conf | grep -v =
         ip -n b-of-a-long-name -6 route show fd77::1",
    )?;
    let expected = "10.66.0.0/24 dev wg0 scope link \n\
        10.77.0.0/24 dev wg0 proto kernel scope link src 10.77.0.1 \n\
        fd66::/64 dev wg0 metric 1024 pref medium\nmtu 1380\nsearch off.example\n\n\
        nameserver 192.0.2.53\nfd77::1 dev wg0 metric 1024 pref medium\n";
    ensure!(seen.stdout == expected, "{seen}");
    machine.run(&format!("systemctl stop {both}"))?;
    all_gone(machine)
}

fn no_leak(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.run(&format!("systemctl start {BOTH}"))?;
    machine.sh(PING)?;
    // So that it is not started again in the middle of this.
    machine.run(
        "systemctl kill --signal=STOP netns_outside-wireguard@a; pkill -KILL -x wireguard-go",
    )?;
    machine.wait_until("the interface is gone", Duration::from_secs(5), |m| {
        Ok(m.try_run("ip -n a link show wg-a")?.status != Some(0))
    })?;
    // The address is one of the host, which the namespace cannot reach.
    machine.sh("ip link add v0 type veth peer name v1
         ip address add 10.66.0.2/32 dev v0; ip link set v0 up; ping -c 1 10.66.0.2")?;
    for address in ["10.66.0.2", "fd66::2"] {
        let ping = machine.try_run(&format!("ip netns exec a ping -c 1 -W 1 {address}"))?;
        ensure!(ping.status == Some(2), "{ping}");
    }
    machine.run("systemctl restart netns-wireguard@a")?;
    machine.run("ip netns exec a ping -c 1 -w 15 fd66::2")?;
    machine.run(&format!("ip link delete v0; systemctl stop {BOTH}"))?;
    all_gone(machine)
}

fn daemon_again(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.run(&format!("systemctl start {BOTH}"))?;
    machine.sh(PING)?;
    let look = "for n in a b; do ip -n $n -brief address; ip -n $n route; ip -n $n -6 route; done | sed 's/fe80[^ ]*//'";
    let before = machine.sh(look)?.stdout;
    // Twice, as the second time it is a child of another shell.
    for _ in 0..2 {
        machine.run("pkill -KILL -x wireguard-go")?;
        machine.wait_until("it is back", Duration::from_secs(20), |m| {
            Ok(m.try_run(look)?.stdout == before && m.try_run(PING)?.status == Some(0))
        })?;
    }
    let journal = machine.run("journalctl --boot --no-pager")?.stdout;
    ensure!(
        journal.contains("wireguard@a: wireguard-go exited with status 137; restarting it"),
        "{journal}"
    );
    machine.run("pkill -KILL -x wireguard-go")?;
    machine.run(&format!("systemctl stop {BOTH}"))?;
    all_gone(machine)
}

/// The name server of the host gives another address for the peer.
fn changed_address(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.sh("sed -i 's/peer.example:/peer.test:/' /etc/wireguard/a.conf
         echo WIREGUARD_RERESOLVE_INTERVAL=1 >/etc/conf.d/netns/wireguard-a.conf
         mkdir /run/names; echo 192.0.2.77 peer.test >/run/names/hosts
         systemd-run --quiet --collect --unit=names dnsmasq --keep-in-foreground --conf-file=/dev/null \
             --no-resolv --no-hosts --addn-hosts=/run/names/hosts --listen-address=127.0.0.1 --bind-interfaces
         echo nameserver 127.0.0.1 >/run/names/resolv.conf
         touch /etc/resolv.conf; mount --bind /run/names/resolv.conf /etc/resolv.conf
         for i in {1..50}; do ! getent hosts peer.test || break; sleep 0.1; done")?;
    machine.run(&format!("systemctl start {BOTH}"))?;
    let address = |expected: &str| {
        machine.wait_until(expected, Duration::from_secs(10), |m| {
            let shown = m.run("wg show wg-a endpoints")?.stdout;
            Ok(shown.trim_end().ends_with(expected))
        })
    };
    address("192.0.2.77:5002")?;
    machine.run("(! ip netns exec a ping -c 1 -W 1 10.66.0.2)")?;
    machine.run("echo 127.0.0.1 peer.test >/run/names/hosts; systemctl kill --signal=HUP names")?;
    address("127.0.0.1:5002")?;
    machine.sh(PING)?;
    let journal = machine.run("journalctl --boot --no-pager")?.stdout;
    ensure!(
        journal.contains("wireguard@a: peer.test is now at 127.0.0.1"),
        "{journal}"
    );
    // The endpoint of a peer that answers is not changed.
    machine.run(
        "echo 192.0.2.78 peer.test >/run/names/hosts; systemctl kill --signal=HUP names; sleep 4",
    )?;
    address("127.0.0.1:5002")?;
    machine.sh(PING)?;
    // If it is disabled, no process runs.
    machine.run(
        "systemctl restart netns-wireguard@a; pgrep -x sleep >/root/with
         echo WIREGUARD_RERESOLVE_INTERVAL=no >/etc/conf.d/netns/wireguard-a.conf
         systemctl restart netns-wireguard@a; sleep 1; (! pgrep -x sleep)",
    )?;
    machine.run(&format!(
        "systemctl stop {BOTH} names; umount /etc/resolv.conf"
    ))?;
    all_gone(machine)
}

/// A command that breaks the configuration, and the expected message.
const BAD: &[(&str, &str)] = &[
    (
        "rm F",
        "WIREGUARD_CONFIG=/etc/wireguard/a.conf: no such file",
    ),
    (
        "chmod 640 F",
        "WIREGUARD_CONFIG=/etc/wireguard/a.conf: other users can read the keys: run \
         chmod 600 '/etc/wireguard/a.conf'",
    ),
    ("chown nobody F", "chown root '/etc/wireguard/a.conf'"),
    ("sed -i 2d F", "has no PrivateKey"),
    ("sed -i '2s/=$//' F", "line 2: PrivateKey is not a key"),
    (
        "sed -i '2s/^/X/' F",
        "line 2: unknown key XPrivateKey in [interface]",
    ),
    (
        "sed -i 2iPostUp=true F",
        "line 2: PostUp would not be run: remove it, or set WIREGUARD_HOOKS",
    ),
    ("sed -i 2iTable=7 F", "line 2: Table=7: must be auto or off"),
    (
        "sed -i 2iAddress=10.0.0.300 F",
        "line 2: Address: '10.0.0.300' is not an IP address",
    ),
    (
        "sed -i s,::/0,::/129, F",
        "AllowedIPs: '::/129' is not an IP address",
    ),
    (
        "sed -i /^Address/d F",
        "WIREGUARD_IFADDR='': is not set, and WIREGUARD_CONFIG has no",
    ),
    (
        "sed -i s/MTU.*/MTU=70000/ F",
        "WIREGUARD_MTU=70000: must be a number",
    ),
    (
        "sed -i 's/^DNS.*/DNS=a;b/' F",
        "WIREGUARD_DNS=' a;b': 'a;b' is neither",
    ),
    (
        "echo WIREGUARD_IFNAME=wg-of-sixteen-ch >C",
        "WIREGUARD_IFNAME=wg-of-sixteen-ch: an interface",
    ),
    (
        "echo WIREGUARD_ROUTES=10.0.0.0/33 >C",
        "WIREGUARD_ROUTES=10.0.0.0/33: '10.0.0.0/33' is not",
    ),
    (
        "echo WIREGUARD_HOOKS=run >C",
        "WIREGUARD_HOOKS=run: may only be 'ignore'",
    ),
    (
        "echo NETNS_DNS=1.2.3 >C",
        "NETNS_DNS=1.2.3: '1.2.3' is not an IP address",
    ),
    (
        "ip link add wg-a type veth peer name x",
        "wg-a, the name of the interface before it is moved, already exists",
    ),
    (
        "timeout 1 nc -u -l 5001 </dev/null &>/dev/null & sleep 0.3; true F",
        "ListenPort=5001: the port is already in use",
    ),
    (
        "sleep 1; sed -i 's/5001/50x/' F",
        "line 4: ListenPort=50x: not a port number",
    ),
];

fn bad_files(machine: &Machine) -> Result<()> {
    machine.sh(PEERS)?;
    machine
        .sh("ip netns add a; cp /etc/wireguard/a.conf /root/good; ls -l /etc/wireguard/a.conf")?;
    for (spoil, line) in BAD {
        let spoil = spoil
            .replace(" F", " /etc/wireguard/a.conf")
            .replace(">C", ">/etc/conf.d/netns/wireguard-a.conf");
        let run = machine.try_run(&format!(
            "{spoil}; netnsinit wireguard a up outside; status=$?
             netnsinit --undo wireguard a down outside
             ip link delete wg-a 2>/dev/null; rm -f /etc/conf.d/netns/wireguard-a.conf
             cp --remove-destination /root/good /etc/wireguard/a.conf; exit $status"
        ))?;
        ensure!(run.status == Some(6), "{run}");
        ensure!(run.stderr.contains(line), "'{line}' is not in\n{run}");
        let made = machine.sh(
            "ip -oneline link | grep -v ' lo:' || :; ls /etc/netns /run/wireguard 2>/dev/null || :
             ip -n a -oneline link | grep -v ' lo:' || :; pgrep wireguard-go || :",
        )?;
        ensure!(made.stdout.is_empty(), "made: {}", made.stdout);
    }
    Ok(())
}

fn no_key_in_journal(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.write("/etc/conf.d/netns/default.conf", "NETNS_TRACE=1\n")?;
    machine.run("systemctl start netns-wireguard@a; systemctl restart netns-wireguard@a")?;
    // wg quotes a line that it does not know.
    machine.run("sed -i 's/^Endpoint.*/Endpoint = nowhere/' /etc/wireguard/a.conf")?;
    machine.try_run("systemctl restart netns-wireguard@a")?;
    machine.run("sed -i '2s/=$/x/' /etc/wireguard/a.conf")?;
    machine.try_run("systemctl restart netns-wireguard@a")?;
    let found = machine.sh(
        "journalctl --boot --no-pager >/root/journal; grep -c 'ip link set dev lo up' /root/journal
         cd /etc/wireguard; for key in *.key psk; do
             grep -F \"$(head -c 40 $key)\" /root/journal || :
         done",
    )?;
    ensure!(found.stdout.trim() == "2", "{found}");
    all_gone(machine)
}

/// An existing interface of the same name, on the host or in the namespace, is neither used nor deleted.
fn not_ours(machine: &Machine) -> Result<()> {
    if neither(machine)? {
        return Ok(());
    }
    machine.sh(PEERS)?;
    machine.run("wireguard-go wg-a; ip link show wg-a")?;
    ensure!(machine.try_run("systemctl start netns-wireguard@a")?.status != Some(0));
    machine.run("ip link show wg-a && wg show wg-a && pgrep wireguard-go")?;
    machine.run("ip link delete wg-a")?;
    machine.sh("ip netns add x; ip -n x link add wg-x type veth peer name y
         ip -n x link set wg-x alias 'systemd-netns wireguard@xy'
         cp /etc/wireguard/a.conf /etc/wireguard/x.conf")?;
    let run = machine.try_run("netnsinit wireguard x up outside")?;
    ensure!(
        run.status == Some(6) && run.stderr.contains("already exists in x"),
        "{run}"
    );
    machine.run("netnsinit wireguard x down outside; ip -n x link show wg-x; ip netns del x")?;
    all_gone(machine)
}
