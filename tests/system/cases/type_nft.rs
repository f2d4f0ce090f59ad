//! NSTYPE nft: closed until the rules are in force, and when they do not come into force.

use anyhow::{Result, ensure};

use super::support::*;
use super::type_support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("default_drops_all_but_loopback", default_drops),
    ("rules_of_the_namespace", rules_of_the_namespace),
    ("closed_after_a_syntax_error", closed_after_a_syntax_error),
    ("no_gap_in_a_restart", no_gap_in_a_restart),
    ("saved_and_loaded", saved_and_loaded),
    ("save_by_hand", save_by_hand),
    ("units_of_lo", units_of_lo),
];

/// A cable between the host and the namespace `web`, which something else than nft keeps alive.
fn veth(machine: &Machine) -> Result<()> {
    machine.write(
        "/etc/conf.d/netns/veth-web.conf",
        "VETH_IFADDR_OUTSIDE=(192.0.2.1/30 '2001:db8::1/64 nodad')\n\
         VETH_IFADDR_INSIDE=(192.0.2.2/30 '2001:db8::2/64 nodad')\n",
    )?;
    machine.run("netnsupdate; systemctl start netns-veth@web")?;
    Ok(())
}

/// Fails unless the host reaches the namespace, or does not, in both directions and families.
fn reached(machine: &Machine, expected: bool) -> Result<()> {
    for command in [
        "ping 192.0.2.2",
        "ping 2001:db8::2",
        "ip netns exec web ping 192.0.2.1",
        "ip netns exec web ping 2001:db8::1",
    ] {
        // Any answer counts: the first packet waits for its neighbour, which has just come up.
        let tried = machine.try_run(&format!("{command} -c 3 -i 0.3 -W 1"))?;
        ensure!((tried.status == Some(0)) == expected, "{tried}");
    }
    machine
        .run("ip netns exec web ping -c 1 -W 1 127.0.0.1; ip netns exec web ping -c 1 -W 1 ::1")?;
    Ok(())
}

fn default_drops(machine: &Machine) -> Result<()> {
    let before = look(machine)?;
    veth(machine)?;
    reached(machine, true)?;
    machine.run("systemctl enable --now netns-nft@web netns-veth@web")?;
    reached(machine, false)?;
    expect_instance(machine, "lo", "web", [UP, UP, UP])?;
    machine.run("systemctl restart netns-nft@web")?;
    reached(machine, false)?;
    // Nothing of ours remains.
    machine.run("systemctl stop netns-nft@web")?;
    let rules = machine.run("ip netns exec web nft list ruleset")?.stdout;
    expect(&rules, "", "rules after the stop")?;
    reached(machine, true)?;
    machine.run("systemctl stop netns-lo@web netns-veth@web")?;
    looks_like(machine, &before)?;
    machine.reboot()?;
    expect_instance(machine, "nft", "web", [UP, UP, UP])?;
    reached(machine, false)
}

fn rules_of_the_namespace(machine: &Machine) -> Result<()> {
    veth(machine)?;
    let rules = "#!/usr/sbin/nft -f
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    icmp type echo-request accept
  }
}
";
    machine.write("/etc/conf.d/netns/nft.rules", rules)?;
    let here = |expected: &str| {
        machine.sh(&format!(
            "systemctl restart netns-nft@web
             [[ \"$(ip netns exec web nft list tables | tr '\\n' ' ')\" == '{expected}' ]]"
        ))
    };
    here("table inet filter ")?;
    machine.run("ping -c 1 -W 1 192.0.2.2; (! ping -c 1 -W 1 2001:db8::2)")?;
    // That of one namespace comes first.
    machine.write("/etc/conf.d/netns/nft-web.rules", "table ip own {\n}\n")?;
    here("table ip own ")?;
    machine.run("rm /etc/conf.d/netns/nft-web.rules")?;
    here("table inet filter ")?;
    machine.run("rm /etc/conf.d/netns/nft.rules")?;
    here("table inet netns_filter ")?;
    // Two namespaces have nothing to do with each other.
    machine.sh(
        "systemctl start netns-nft@other; systemctl stop netns-nft@other netns-lo@other
         ip netns exec web nft list table inet netns_filter",
    )?;
    Ok(())
}

fn closed_after_a_syntax_error(machine: &Machine) -> Result<()> {
    veth(machine)?;
    let closed = |machine: &Machine, text: &str| -> Result<()> {
        let start = machine.try_run("systemctl restart netns-nft@web")?;
        ensure!(start.status != Some(0), "it started");
        expect_states(machine, &[("netns-nft@web.service", FAILED)])?;
        let journal = machine.journal("netns-nft@web")?;
        expect_in(&journal, text)?;
        expect_in(&journal, "status=6/NOTCONFIGURED")?;
        reached(machine, false)
    };
    machine.write(
        "/etc/conf.d/netns/nft-web.rules",
        "table inet x {\n  chain input { typo filter; }\n}\n",
    )?;
    closed(machine, "/etc/conf.d/netns/nft-web.rules:2:")?;
    // What only the kernel can refuse.
    machine.write(
        "/etc/conf.d/netns/nft-web.rules",
        "table inet x {\n  chain input { type filter hook input priority 0; policy accept; jump nowhere; }\n}\n",
    )?;
    closed(machine, "nothing but loopback works in web from now on")?;
    machine.run("ln -sf nowhere /etc/conf.d/netns/nft-web.rules")?;
    closed(machine, "nft-web.rules is no file that can be read")?;
    let save = machine.try_run("netns-nft-save web")?;
    ensure!(save.status == Some(1), "{save}");
    // Good rules take over, from the closed state and from another set of good ones.
    machine.run("rm /etc/conf.d/netns/nft-web.rules")?;
    machine.write("/etc/conf.d/netns/nft-web.rules", "table inet open {\n}\n")?;
    machine.run("systemctl start netns-nft@web")?;
    reached(machine, true)?;
    machine.write("/etc/conf.d/netns/nft-web.rules", "table inet broken {\n")?;
    closed(machine, "nft-web.rules:")?;
    // With nobody else there, nothing stays.
    machine.run("systemctl stop netns-veth@web netns-lo@web; systemctl reset-failed")?;
    nothing_left(machine)?;
    machine.try_run("systemctl start netns-nft@web; systemctl stop netns-lo@web")?;
    machine.run("systemctl reset-failed")?;
    nothing_left(machine)
}

fn no_gap_in_a_restart(machine: &Machine) -> Result<()> {
    veth(machine)?;
    machine.sh("systemctl start netns-nft@web
         systemd-run --quiet --unit=pings bash -c 'ping -n -i 0.002 192.0.2.2 >/run/pings'
         for i in 1 2 3; do systemctl restart netns-nft@web; done
         systemctl kill --signal=INT pings; sleep 0.3
         grep ' 0 received' /run/pings")?;
    Ok(())
}

fn saved_and_loaded(machine: &Machine) -> Result<()> {
    veth(machine)?;
    machine.write("/etc/conf.d/netns/nft-web.conf", "NFT_AUTO_SAVE=yes\n")?;
    machine.sh("systemctl start netns-nft@web
         ip netns exec web nft insert rule inet netns_filter input icmp type echo-request counter accept
         ip netns exec web nft insert rule inet netns_filter output icmp type echo-reply accept
         ip netns exec web nft add table ip extra
         ip netns exec web nft add set ip extra addresses '{ type ipv4_addr; flags timeout; elements = { 192.0.2.9 timeout 1h }; }'
         ping -c 1 -W 1 192.0.2.2
         ip netns exec web nft --stateless list table inet netns_filter >/root/live
         systemctl stop netns-nft@web
         head -n 1 /etc/conf.d/netns/nft-web.rules | grep '^#!/usr/sbin/nft -f'
         systemctl start netns-nft@web
         ip netns exec web nft --stateless list table inet netns_filter | diff /root/live -
         ip netns exec web nft list set ip extra addresses | grep 192.0.2.9
         ping -c 1 -W 1 192.0.2.2")?;
    // Also on the way to a reboot, and by a restart.
    machine.sh("systemctl enable netns-veth@web netns-nft@web
         ip netns exec web nft add table ip third
         systemctl restart netns-nft@web
         ip netns exec web nft list table ip third
         ip netns exec web nft add table ip fourth")?;
    machine.reboot()?;
    machine.sh("ip netns exec web nft list table ip fourth; ping -c 1 -W 1 192.0.2.2")?;
    // Unset, nothing is saved.
    machine.sh("echo >/etc/conf.d/netns/nft-web.conf
         systemctl restart netns-nft@web
         ip netns exec web nft add table ip fifth
         systemctl restart netns-nft@web
         (! ip netns exec web nft list table ip fifth)")?;
    machine.write("/etc/conf.d/netns/nft-web.conf", "NFT_AUTO_SAVE=maybe\n")?;
    let start = machine.try_run("systemctl restart netns-nft@web")?;
    ensure!(start.status != Some(0), "it started");
    expect_in(
        &machine.journal("netns_outside-nft@web")?,
        "NFT_AUTO_SAVE=maybe: must be yes or no",
    )
}

fn save_by_hand(machine: &Machine) -> Result<()> {
    for (command, status, text) in [
        ("netns-nft-save", 2, "usage: netns-nft-save NSNAME"),
        ("netns-nft-save a b", 2, "usage: "),
        ("netns-nft-save ../a", 2, "usage: "),
        ("netns-nft-save --all", 2, "usage: "),
        (
            "netns-nft-save nowhere",
            1,
            "there is no network namespace 'nowhere'",
        ),
        ("setpriv --reuid=1 netns-nft-save a", 4, "only root"),
        ("netns-nft-save --help", 0, ""),
    ] {
        let tried = machine.try_run(command)?;
        ensure!(tried.status == Some(status), "{tried}");
        expect_in(&tried.stderr, text)?;
        ensure!(tried.stderr.lines().count() <= 1, "{tried}");
    }
    machine.sh(
        "netnsupdate; systemctl start netns-nft@a-b; netns-nft-save a-b
         file=/etc/conf.d/netns/nft-a-b.rules
         [[ $(stat -c %a $file) == 600 ]]
         chmod 0640 $file; netns-nft-save a-b; [[ $(stat -c %a $file) == 640 ]]
         # A file that is a link stays one.
         mv $file /root/rules; ln -s /root/rules $file
         ip netns exec a-b nft add table ip more; netns-nft-save a-b
         [[ -L $file ]]; grep 'table ip more' /root/rules
         # What it has written can be loaded twice.
         ip netns exec a-b nft -f $file; ip netns exec a-b nft -f $file
         [[ -z $(find /etc/conf.d/netns -name '.*') ]]
         chattr +i /root/rules 2>/dev/null || :",
    )?;
    // A namespace that is no unit's, and its empty set of rules.
    let empty = machine.run("ip netns add bare; netns-nft-save bare; ip netns delete bare")?;
    expect_in(&empty.stderr, "'bare' has no rules")
}

fn units_of_lo(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate; systemctl start netns-nft@a")?;
    expect_instance(machine, "lo", "a", [UP, UP, UP])?;
    machine.run("ip netns exec a ping -c 1 -W 1 127.0.0.1")?;
    machine.run("systemctl restart netns-lo@a")?;
    expect_instance(machine, "nft", "a", [UP, UP, UP])?;
    machine.run("ip netns exec a nft list table inet netns_filter")?;
    machine.run("systemctl stop netns-lo@a")?;
    expect_instance(machine, "nft", "a", [DOWN, DOWN, DOWN])?;
    nothing_left(machine)?;
    machine.run("systemd-analyze verify netns-nft@a.service")?;
    Ok(())
}
