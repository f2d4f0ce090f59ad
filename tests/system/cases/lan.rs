//! A network for the types that join one: the machine's `eth9`, and in the namespace `lan` a router with the
//! addresses 192.0.2.1 and 2001:db8::1 that runs dnsmasq.

use anyhow::{Result, ensure};

use super::support::{SOON, add_type, comes_to};
use crate::harness::Machine;

/// Gives out addresses by DHCP and by announcements: dnsmasq's options.
pub const GIVES_ALL: &str = "--dhcp-range=192.0.2.100,192.0.2.150,1h --enable-ra \
    --dhcp-range=2001:db8::100,2001:db8::1ff,slaac,64,1h";
/// The same, but IPv6 addresses only by DHCP.
pub const GIVES_DHCPV6: &str = "--enable-ra --dhcp-range=2001:db8::100,2001:db8::1ff,64,1h";
/// The same, with an infinite lease.
pub const GIVES_FOR_EVER: &str = "--dhcp-range=192.0.2.100,192.0.2.150,infinite --enable-ra \
    --dhcp-range=2001:db8::100,2001:db8::1ff,slaac,64,infinite";
pub const GIVES_NOTHING: &str = "";

/// Makes the network, with a unit so that it is there after a reboot. `delay`, a number of seconds, is how
/// late `eth9` comes.
pub fn make(machine: &Machine, dnsmasq: &str, delay: &str) -> Result<()> {
    let serve = match dnsmasq {
        GIVES_NOTHING => String::new(),
        options => format!(
            "ip netns exec lan dnsmasq --no-ping --conf-file=/dev/null --interface=lan0 \
                --bind-interfaces --port=0 --pid-file= --dhcp-leasefile=/run/lan.leases \
                --dhcp-option=option:dns-server,192.0.2.53 --dhcp-option=option:mtu,1400 \
                --dhcp-option=option6:dns-server,[2001:db8::53] \
                --dhcp-option=option:domain-name,example.org {options}"
        ),
    };
    let script = format!(
        "#!/bin/bash -e
        ip netns add lan
        ip -n lan link set lo up
        {{
            sleep {delay}
            # At boot, links of earlier boots are no more.
            ip link add eth9 address 02:00:00:00:00:09 type veth peer name lan0 netns lan
            echo 0 >/proc/sys/net/ipv6/conf/eth9/accept_ra
            ip -n lan address add 192.0.2.1/24 dev lan0
            ip -n lan address add 2001:db8::1/64 dev lan0 nodad
            ip -n lan link set lan0 up
            ip link set eth9 up
            {serve}
        }} {background}
        ",
        background = if delay == "0" { "" } else { "&" },
    );
    machine.write("/usr/local/sbin/make-lan", &script)?;
    machine.write(
        "/etc/systemd/system/lan.service",
        "[Unit]\nBefore=network.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/sbin/make-lan\n\
         [Install]\nWantedBy=multi-user.target\n",
    )?;
    machine.run(
        "chmod 755 /usr/local/sbin/make-lan && systemctl daemon-reload && \
         systemctl enable --quiet --now lan",
    )?;
    machine.wait_until("eth9 is ready", SOON, |machine| {
        let address = "ip -oneline address show dev eth9 scope link -tentative | grep fe80";
        Ok(machine.try_run(address)?.status == Some(0))
    })
}

/// Writes `/etc/conf.d/netns/NSTYPE-NSNAME.conf` and has netnsupdate make the units.
pub fn configure(machine: &Machine, nstype: &str, nsname: &str, conf: &str) -> Result<()> {
    add_type(machine, &format!("{nstype}-{nsname}"), conf)
}

/// Everything that an instance may change and has to restore.
pub fn traces(machine: &Machine) -> Result<String> {
    let look = r#"
        # Indices and the numbers of namespaces are never the same again; carriers and IPv6 addresses
        # take their time.
        steady='s/^[0-9]+: //; s/@if[0-9]+/@/; s/ link-netns(id)? [^ ]+//; s/NO-CARRIER,|,LOWER_UP//
            s/ state [A-Z]+//; s/ qdisc [a-z]+//; s/ valid_lft.*//; s/ tentative//; s/ linkdown//'
        ip -oneline -details link | sed -E "$steady"
        { ip -oneline address; ip -4 route; ip -6 route; } | sed -E "$steady" | sort
        # /proc and not sysctl(8): all, and nothing else. What goes while it is looked at is not there.
        cd /proc/sys/net; { find ipv4 ipv6 -name '*forward*' -o -name 'accept_ra' -o -name 'arp_*' | sort |
            xargs grep -H .; } 2>/dev/null || :
        nft list ruleset
        for directory in /etc/netns /run/netns /run/systemd-netns; do
            [[ ! -e $directory ]] || find $directory -mindepth 1 ! -type d 2>/dev/null || :
        done | sort
        cat /etc/resolv.conf
        ps -e -o args= | grep udhcp | grep -v grep || :
    "#;
    Ok(machine.sh(look)?.stdout)
}

/// Fails unless everything is as before within [`SOON`].
pub fn expect_as_before(machine: &Machine, before: &str) -> Result<()> {
    comes_to(machine, before, traces)
}

/// Fails unless `netnsinit NSTYPE bad up outside`, with this configuration, exits with 6, says this, and
/// changes nothing.
pub fn expect_rejected(machine: &Machine, nstype: &str, conf: &str, says: &str) -> Result<()> {
    machine.write(&format!("/etc/conf.d/netns/{nstype}-bad.conf"), conf)?;
    let before = traces(machine)?;
    let output = machine.try_run(&format!("netnsinit {nstype} bad up outside"))?;
    ensure!(
        output.status == Some(6) && output.stderr.contains(says),
        "with\n{conf}\nexpected 6 and '{says}': {output}"
    );
    machine.run(&format!("netnsinit --undo {nstype} bad down outside"))?;
    expect_as_before(machine, &before)
}

/// Fails unless a ping from the namespace succeeds.
pub fn ping(machine: &Machine, nsname: &str, address: &str) -> Result<()> {
    // Tried for 5 seconds: IPv6 addresses are not usable in the first.
    let command = format!("ip netns exec {nsname} ping -q -c 1 -w 5 {address}");
    machine.run(&command)?;
    Ok(())
}
