//! NSTYPE nat: masquerading, and published ports only.

use anyhow::{Result, ensure};

use super::support::*;
use super::type_support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("out_to_the_lan", out_to_the_lan),
    ("published_ports", published_ports),
    ("denied_by_default", denied_by_default),
    ("what_is_opened", what_is_opened),
    ("fifty_at_once", fifty_at_once),
    ("addresses_of_ones_own", addresses_of_ones_own),
    ("bad_input", bad_input),
    ("switches_of_the_host", switches_of_the_host),
    ("subnets_stay_and_avoid_the_host", subnets_stay_and_avoid),
    ("a_copy_of_the_type", a_copy_of_the_type),
];

fn out_to_the_lan(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate")?;
    make_lan(machine)?;
    let before = look(machine)?;
    machine.run("systemctl enable --now netns-nat@web")?;
    let reaches = |machine: &Machine| -> Result<()> {
        machine.sh("ip netns exec web ping -c 1 -W 2 198.51.100.2
             ip netns exec web ping -c 1 -W 2 2001:db8:1::2
             ip netns exec web ping -c 1 -W 2 127.0.0.1")?;
        let seen = get(machine, "web", "198.51.100.2")?;
        expect(&seen, "seen 198.51.100.1", "IPv4")?;
        let seen = get(machine, "web", "[2001:db8:1::2]")?;
        expect(&seen, "seen 2001:db8:1::1", "IPv6")?;
        let said = echo(machine, "web", 4, "198.51.100.2:7")?;
        expect(&said, "echo hello", "UDP")
    };
    reaches(machine)?;
    let addresses =
        "ip -n web -oneline address show dev na-web1 scope global | cut -d' ' -f2-9 | sort";
    let had = machine.run(addresses)?.stdout;
    machine.run("systemctl restart netns-nat@web")?;
    reaches(machine)?;
    let has = machine.run(addresses)?.stdout;
    expect(&has, &had, "addresses after a restart")?;

    machine.run("systemctl stop netns-nat@web")?;
    looks_like(machine, &before)?;
    // The subnet is kept, for the next start.
    machine.reboot()?;
    make_lan(machine)?;
    expect_instance(machine, "nat", "web", [UP, UP, UP])?;
    reaches(machine)?;
    let has = machine.run(addresses)?.stdout;
    expect(&has, &had, "addresses after a reboot")
}

fn published_ports(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.write(
        "/etc/conf.d/netns/nat-web.conf",
        "NAT_PUBLISH=(8080:80/tcp 5300:53/udp 127.0.0.1:8081:80 [2001:db8:1::1]:8082:80/tcp)\n",
    )?;
    machine.write("/etc/conf.d/netns/nat-other.conf", "NAT_PUBLISH=8095:80\n")?;
    machine.run("netnsupdate")?;
    let before = look(machine)?;
    machine.run("systemctl start netns-nat@web netns-nat@other")?;
    serve(machine, "web", 80, 53)?;
    serve(machine, "other", 80, 53)?;
    // From the LAN, with the client's own address.
    for (from, to, seen) in [
        ("lan", "198.51.100.1:8080", "seen 198.51.100.2"),
        ("lan", "[2001:db8:1::1]:8080", "seen 2001:db8:1::2"),
        ("lan", "[2001:db8:1::1]:8082", "seen 2001:db8:1::2"),
        ("", "127.0.0.1:8080", "seen 100.64."),
        ("", "127.0.0.1:8081", "seen 100.64."),
        ("", "[::1]:8080", "seen fd"),
        ("", "127.0.0.1:8095", "seen 100.64."),
        ("", "[::1]:8095", "seen fd"),
        ("", "198.51.100.1:8080", "seen 1"),
        ("", "[2001:db8:1::1]:8080", "seen 2001:db8:1::1"),
        ("other", "198.51.100.1:8080", "seen 100.64."),
        ("web", "198.51.100.1:8080", "seen 100.64."),
        ("web", "[2001:db8:1::1]:8080", "seen fd"),
    ] {
        let got = get(machine, from, to)?;
        ensure!(got.starts_with(seen), "from '{from}' to {to}: {got}");
    }
    for (from, family, to) in [
        ("lan", 4, "198.51.100.1:5300"),
        ("lan", 6, "[2001:db8:1::1]:5300"),
        ("", 4, "127.0.0.1:5300"),
        ("", 6, "[::1]:5300"),
        ("other", 4, "198.51.100.1:5300"),
    ] {
        let said = echo(machine, from, family, to)?;
        expect(&said, "echo hello", &format!("from '{from}' to {to}"))?;
    }
    for (from, to) in [
        ("lan", "198.51.100.1:8081"),
        ("", "[::1]:8081"),
        ("lan", "198.51.100.1:8082"),
    ] {
        let got = get(machine, from, to)?;
        ensure!(got.starts_with("curl: ("), "from '{from}' to {to}: {got}");
    }
    // A port can be published only once.
    machine.write(
        "/etc/conf.d/netns/nat-third.conf",
        "NAT_PUBLISH=9000:80/tcp\n",
    )?;
    refuses(
        machine,
        "nat@third",
        "NAT_PUBLISH='9000:80 8080:80'",
        "NAT_PUBLISH: 8080/tcp is already published by nat@web",
    )?;
    machine.run("systemd-run --quiet --unit=taken socat TCP6-LISTEN:8090,fork PIPE; sleep 0.3")?;
    refuses(
        machine,
        "nat@third",
        "NAT_PUBLISH=8090:80",
        "NAT_PUBLISH: 8090/tcp is in use by a service of the host",
    )?;
    machine.run("systemctl stop taken serve-web echo-web netns-nat@web netns-nat@other")?;
    looks_like(machine, &before)
}

fn denied_by_default(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate")?;
    make_lan(machine)?;
    machine.run("systemctl start netns-nat@a netns-nat@b")?;
    serve(machine, "a", 80, 7)?;
    serve(machine, "b", 80, 7)?;
    machine.sh("systemd-run --quiet socat TCP6-LISTEN:7000,fork PIPE
         systemd-run --quiet socat TCP4-LISTEN:7001,bind=127.0.0.1,fork PIPE
         ip -n lan route add 100.64.0.0/10 via 198.51.100.1
         ip -n lan route add fc00::/7 via 2001:db8:1::1")?;
    let address = |nsname: &str, family: &str| -> Result<String> {
        let shown = machine.run(&format!(
            "ip -n {nsname} {family} -brief address show scope global dev na-{nsname}1"
        ))?;
        let word = shown.stdout.split_whitespace().nth(2).unwrap_or_default();
        Ok(word.split('/').next().unwrap_or_default().to_owned())
    };
    let (v4, v6) = (address("a", "-4")?, address("a", "-6")?);
    // Only the host can reach it.
    for (from, to, reached) in [
        ("", v4.clone(), true),
        ("", format!("[{v6}]"), true),
        ("b", v4.clone(), false),
        ("b", format!("[{v6}]"), false),
        ("lan", v4.clone(), false),
        ("lan", format!("[{v6}]"), false),
    ] {
        let got = get(machine, from, &to)?;
        ensure!(
            got.starts_with("seen") == reached,
            "from '{from}' to {to}: {got}"
        );
    }
    // Nor does the namespace reach the host's services, by any of its addresses.
    let gateway = machine.run("ip -n a -4 route show default | cut -d' ' -f3")?;
    for to in [gateway.stdout.trim(), "198.51.100.1", "[2001:db8:1::1]"] {
        let tried = machine.try_run(&format!(
            "echo x | ip netns exec a socat -t 1 - TCP:{to}:7000,connect-timeout=2"
        ))?;
        ensure!(tried.status != Some(0), "a reached the host: {tried}");
    }
    machine.run(&format!(
        "ip netns exec a ping -c 1 -W 2 {}",
        gateway.stdout.trim()
    ))?;
    // Nor services on the host's loopback, even with route_localnet.
    machine.sh(&format!(
        "ip netns exec a sysctl -qw net.ipv4.conf.all.route_localnet=1
         ip -n a address delete 127.0.0.1/8 dev lo
         ip -n a route add 127.0.0.1/32 via {} src {v4}
         (! echo x | ip netns exec a socat -t 1 - TCP4:127.0.0.1:7001,bind={v4},connect-timeout=2)",
        gateway.stdout.trim()
    ))?;
    // Nor the LAN under an address that it does not have.
    machine.sh("ip -n b address add 198.51.100.77/32 dev na-b1
         (! ip netns exec b ping -c 1 -W 1 -I 198.51.100.77 198.51.100.2)")?;
    Ok(())
}

fn what_is_opened(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.write(
        "/etc/conf.d/netns/nat-a.conf",
        "NAT_ACCEPT_TRAFFIC=yes NAT_HOST_ACCESS='7000/tcp 7002/udp' NAT_POOL=10.99.0.0/24\n",
    )?;
    machine.write("/etc/conf.d/netns/nat-b.conf", "NAT_HOST_ACCESS=yes\n")?;
    machine.run("netnsupdate; systemctl start netns-nat@a netns-nat@b")?;
    serve(machine, "a", 80, 7)?;
    machine.sh("systemd-run --quiet socat TCP6-LISTEN:7000,fork PIPE
         systemd-run --quiet socat TCP6-LISTEN:7001,fork PIPE
         ip -n lan route add 10.99.0.0/24 via 198.51.100.1; sleep 0.3")?;
    expect(
        &get(machine, "lan", "10.99.0.2")?,
        "seen 198.51.100.2",
        "a from the LAN",
    )?;
    for (from, port, reached) in [("a", 7000, true), ("a", 7001, false), ("b", 7001, true)] {
        for to in ["198.51.100.1", "[2001:db8:1::1]"] {
            let tried = machine.try_run(&format!(
                "echo x | ip netns exec {from} socat -t 1 - TCP:{to}:{port},connect-timeout=2"
            ))?;
            ensure!((tried.status == Some(0)) == reached, "{from}: {tried}");
        }
    }
    Ok(())
}

fn fifty_at_once(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate")?;
    let before = look(machine)?;
    machine.run("systemctl start $(printf 'netns-nat@n%d ' {1..50})")?;
    let distinct = machine.run(
        "for n in {1..50}; do ip -n n$n -4 -oneline address show dev na-n${n}1; done | awk '{print $4}' | sort -u | wc -l
         for n in {1..50}; do ip -n n$n -6 -oneline address show scope global dev na-n${n}1; done | awk '{print $4}' | sort -u | wc -l
         ip -4 route show root 100.64.0.0/10 | sort -u | wc -l",
    )?;
    expect(&distinct.stdout, "50\n50\n50\n", "subnets")?;
    machine.sh("ping -c 1 -W 2 $(ip -n n50 -4 -oneline address show dev na-n501 | awk '{sub(\"/.*\", \"\", $4); print $4}')
         systemctl stop 'netns-nat@*'")?;
    looks_like(machine, &before)
}

fn addresses_of_ones_own(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    // As in the sample configuration of the shell package.
    machine.write(
        "/etc/conf.d/netns/nat-old.conf",
        "IPADDR_OUTSIDE=10.66.0.1/24\nIPADDR=10.66.0.2/24\nGATEWAY=10.66.0.1\n\
         MACADDR=02:00:00:00:66:02\nNAT_ACCEPT_TRAFFIC=no\n",
    )?;
    machine.write(
        "/etc/conf.d/netns/nat-new.conf",
        "NAT_IFADDR_OUTSIDE=(10.77.0.1 2001:db8:77::1/64)\n\
         NAT_IFADDR_INSIDE=(10.88.0.2 '2001:db8:77::2/64 nodad' 2001:db8:78::2)\n\
         NAT_IFNAME=n- NAT_IFNAME_INSIDE=eth0 NAT_MTU=1400\n\
         NAT_MAC_INSIDE=02:00:00:00:77:02 NAT_MAC_OUTSIDE=02:00:00:00:77:01\n",
    )?;
    machine.run("netnsupdate")?;
    let before = look(machine)?;
    machine.run("systemctl start netns-nat@old netns-nat@new")?;
    machine.sh("ip -n old link show na-old1 | grep 02:00:00:00:66:02
         ip -n old route | grep 'default via 10.66.0.1'
         ip -n new link show eth0 | grep 'mtu 1400'
         ip -n new link show eth0 | grep 02:00:00:00:77:02
         ip link show n-new0 | grep 02:00:00:00:77:01
         ip link show n-new0 | grep 'mtu 1400'
         ping -c 1 -W 2 10.66.0.2; ping -c 1 -W 2 10.88.0.2; sleep 1.5
         ping -c 1 -W 2 2001:db8:77::2; ping -c 1 -W 2 2001:db8:78::2")?;
    for from in ["old", "new"] {
        expect(
            &get(machine, from, "198.51.100.2")?,
            "seen 198.51.100.1",
            from,
        )?;
    }
    expect(
        &get(machine, "new", "[2001:db8:1::2]")?,
        "seen 2001:db8:1::1",
        "IPv6",
    )?;
    machine.run("systemctl stop netns-nat@old netns-nat@new")?;
    looks_like(machine, &before)
}

fn bad_input(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.write(
        "/etc/conf.d/netns/nat-web.conf",
        "IPADDR_OUTSIDE=10.66.0.1/24 IPADDR=10.66.0.2/24\n",
    )?;
    machine.run("netnsupdate")?;
    for (line, text) in [
        ("IPADDR=", "Variable NAT_IFADDR_INSIDE is not set!"),
        ("IPADDR=10.66.0.300", "IPADDR=10.66.0.300: "),
        (
            "IPADDR_OUTSIDE=198.51.100.1/24",
            "lan0 already has the address 198.51.100.1",
        ),
        (
            "IPADDR=198.51.100.9/24",
            "198.51.100.9 is in a subnet of the host",
        ),
        ("GATEWAY=10.66.0.1/24", "GATEWAY=10.66.0.1/24: "),
        ("MACADDR=1:2", "MACADDR=1:2: "),
        ("NAT_MTU=x", "NAT_MTU=x: "),
        (
            "NAT_IFNAME_INSIDE=longer-than-fifteen",
            "NAT_IFNAME_INSIDE=longer-than-fifteen: ",
        ),
        (
            "NAT_IFNAME=longer-than-it-may-be",
            "NAT_IFNAME_OUTSIDE=longer-than-it-may-beweb0: ",
        ),
        (
            "NAT_IFNAME_OUTSIDE=lan0",
            "NAT_IFNAME_OUTSIDE=lan0: the interface already exists",
        ),
        ("NAT_PUBLISH=80:80/icmp", "NAT_PUBLISH: 80:80/icmp is not"),
        ("NAT_PUBLISH=70000", "NAT_PUBLISH: 70000 has a port"),
        (
            "NAT_PUBLISH=1.2.3.400:80:80",
            "NAT_PUBLISH: 1.2.3.400:80:80 has an invalid address",
        ),
        (
            "NAT_ACCEPT_TRAFFIC=perhaps",
            "NAT_ACCEPT_TRAFFIC=perhaps: must be yes or no",
        ),
        ("NAT_HOST_ACCESS=53/icmp", "NAT_HOST_ACCESS=53/icmp: "),
        (
            "IPADDR= IPADDR_OUTSIDE= NAT_POOL=10.0.0.1/8",
            "NAT_POOL=10.0.0.1/8: ",
        ),
        (
            "IPADDR= IPADDR_OUTSIDE= NAT_POOL=198.51.100.0/28",
            "NAT_POOL=198.51.100.0/28: no free /30",
        ),
    ] {
        refuses(machine, "nat@web", line, text)?;
    }
    Ok(())
}

fn switches_of_the_host(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate")?;
    make_lan(machine)?;
    // Other parameters that enabling and disabling forwarding would change.
    machine.sh("echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects
         echo 1 >/proc/sys/net/ipv4/conf/lan0/forwarding
         echo 1 >/proc/sys/net/ipv6/conf/lan0/accept_ra")?;
    let before = look(machine)?;
    machine.run("systemctl start netns-nat@a netns-nat@b")?;
    let journal = machine.run("journalctl --boot --no-pager")?.stdout;
    ensure!(
        journal
            .matches("sysctl net.ipv4.ip_forward: changed from 0 to 1")
            .count()
            == 1,
        "{journal}"
    );
    machine.sh("[[ $(</proc/sys/net/ipv6/conf/lan0/accept_ra) == 2 ]]
         [[ $(</proc/sys/net/ipv6/conf/na-a0/accept_ra) == 0 ]]
         systemctl stop netns-nat@a")?;
    expect_instance(machine, "nat", "a", [DOWN, DOWN, DOWN])?;
    machine.sh("[[ $(</proc/sys/net/ipv4/ip_forward) == 1 ]]
         [[ $(</proc/sys/net/ipv6/conf/all/forwarding) == 1 ]]
         (! nft list table inet netns-nat-a)
         nft list table inet netns-nat-b
         systemctl stop netns-nat@b")?;
    looks_like(machine, &before)?;
    expect_in(
        &machine.run("journalctl --boot --no-pager")?.stdout,
        "sysctl net.ipv4.ip_forward: restored to 0",
    )?;
    // A parameter that already had the value is not changed.
    machine.sh("echo 1 >/proc/sys/net/ipv4/ip_forward
         systemctl start netns-nat@a; systemctl stop netns-nat@a netns_outside-nat@a
         [[ $(</proc/sys/net/ipv4/ip_forward) == 1 ]]
         echo 0 >/proc/sys/net/ipv4/ip_forward")?;
    // Somebody else deletes the namespace.
    let before = look(machine)?;
    machine.sh("systemctl start netns-nat@a; ip netns delete a; systemctl stop netns-nat@a")?;
    looks_like(machine, &before)
}

fn subnets_stay_and_avoid(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate")?;
    let subnet = |nsname: &str| -> Result<String> {
        Ok(machine
            .run(&format!("cat /var/lib/systemd-netns/subnets/nat@{nsname}"))?
            .stdout)
    };
    machine.sh(
        "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
         ip address add 100.64.0.9/29 dev v0
         ip route add 100.64.0.0/30 dev v1 table 77
         systemctl start netns-nat@a netns-nat@b",
    )?;
    let mut found = [subnet("a")?, subnet("b")?];
    found.sort();
    expect(
        &found.concat(),
        "100.64.0.16/30\n100.64.0.4/30\n",
        "subnets",
    )?;
    // A subnet that the host uses now is released.
    let a = subnet("a")?;
    machine.sh(&format!(
        "systemctl stop netns-nat@a netns_outside-nat@a; ip route add {} dev v1; systemctl start netns-nat@a",
        a.trim()
    ))?;
    expect(&subnet("a")?, "100.64.0.20/30\n", "the new subnet")?;
    expect_in(&machine.journal("netns_outside-nat@a")?, "cannot use ")?;
    // Another firewall, which our own rules cannot open.
    machine.sh("nft add table ip other
         nft add chain ip other forward '{ type filter hook forward priority 0; policy drop; }'
         systemctl start netns-nat@c")?;
    expect_in(
        &machine.journal("netns_outside-nat@c")?,
        "table ip other drops forwarded packets unless it has rules for na-c0",
    )
}

fn a_copy_of_the_type(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    let before = look(machine)?;
    machine.sh("mkdir -p /etc/conf.d/netns; cd /etc/conf.d/netns
         sed s/configure_nat_/configure_out_/ /usr/share/systemd-netns/nat.sh >out.sh
         echo NAT_PUBLISH=8080:80 >out-web.conf; echo NAT_PUBLISH=8080:80 >nat-web.conf
         echo NAT_PUBLISH=8081:80 >nat-two.conf; echo 'NAT_IFNAME=x- NAT_PUBLISH=8082:80; configure_out_up_inside() { :; }' >out-two.conf
         netnsupdate; systemctl start netns-out@web netns-nat@two netns-out@two
         nft list table inet netns-out-web; nft list table inet netns-nat-two; nft list table inet netns-out-two
         ip netns exec web ping -c 1 -W 2 198.51.100.2")?;
    let start = machine.try_run("systemctl start netns-nat@web")?;
    ensure!(start.status != Some(0), "both have the port");
    machine.run("systemctl reset-failed")?;
    // In use, so nothing of it is left over; and one that is down takes nothing of the other along.
    machine.sh("netnsctl gc
         nft list table inet netns-out-web; ls /run/systemd-netns/nat/out@web
         systemctl stop netns-nat@two
         nft list table inet netns-out-two; ls /run/systemd-netns/nat/out@two
         systemctl stop netns-out@two netns-out@web; rm /etc/conf.d/netns/out.sh")?;
    looks_like(machine, &before)
}
