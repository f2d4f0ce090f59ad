//! NSTYPE nft: the namespace is closed until its rules are loaded, and if they are refused.

use anyhow::{Context, Result, ensure};

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
    ("tables_of_others_stay", tables_of_others_stay),
    ("functions_of_the_user", functions_of_the_user),
    ("functions_without_systemd", functions_without_systemd),
    ("save_survives_faults", save_survives_faults),
];

/// A veth pair between the host and the namespace `web`, which keeps it when nft is stopped.
fn veth(machine: &Machine) -> Result<()> {
    machine.write(
        "/etc/conf.d/netns/veth-web.conf",
        "VETH_IFADDR_OUTSIDE=(192.0.2.1/30 '2001:db8::1/64 nodad')\n\
         VETH_IFADDR_INSIDE=(192.0.2.2/30 '2001:db8::2/64 nodad')\n",
    )?;
    machine.run("netnsupdate; systemctl start netns-veth@web")?;
    Ok(())
}

/// Fails unless the host and the namespace can reach each other, or cannot, with both families.
fn reached(machine: &Machine, expected: bool) -> Result<()> {
    for command in [
        "ping 192.0.2.2",
        "ping 2001:db8::2",
        "ip netns exec web ping 192.0.2.1",
        "ip netns exec web ping 2001:db8::1",
    ] {
        // Any answer counts: the first packet may wait for neighbour discovery.
        let tried = machine.try_run(&format!("{command} -c 3 -i 0.3 -W 1"))?;
        ensure!((tried.status == Some(0)) == expected, "{tried}");
    }
    machine
        .run("ip netns exec web ping -c 1 -W 1 127.0.0.1; ip netns exec web ping -c 1 -W 1 ::1")?;
    Ok(())
}

/// Fails unless the host reaches the namespace by both families, or by none.
fn pinged(machine: &Machine, expected: bool) -> Result<()> {
    // An address that has not answered is not asked again at once.
    let tries = if expected { 10 } else { 1 };
    let found = machine.run(&format!(
        "for to in 192.0.2.2 2001:db8::2; do
             for i in {{1..{tries}}}; do ping -c 1 -W 1 $to >/dev/null && echo yes && break; done
         done | wc -l || :"
    ))?;
    expect(
        &found.stdout,
        if expected { "2\n" } else { "0\n" },
        "answers",
    )
}

/// Fails unless the namespace has exactly these tables.
fn tables(machine: &Machine, expected: &str) -> Result<()> {
    let found = machine.run("ip netns exec web nft list tables | sort | paste -sd,")?;
    expect(found.stdout.trim(), expected, "tables")
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
    // The rules last as long as the namespace.
    machine.run("systemctl stop netns-nft@web")?;
    tables(machine, "table inet netns_filter")?;
    reached(machine, false)?;
    machine.run("ip netns exec web nft flush ruleset")?;
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
    // The file of the namespace takes precedence.
    machine.write("/etc/conf.d/netns/nft-web.rules", "table ip own {\n}\n")?;
    here("table ip own ")?;
    machine.run("rm /etc/conf.d/netns/nft-web.rules")?;
    here("table inet filter ")?;
    machine.run("rm /etc/conf.d/netns/nft.rules")?;
    here("table inet netns_filter ")?;
    // Namespaces do not affect each other.
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
    // An error that only the kernel detects.
    machine.write(
        "/etc/conf.d/netns/nft-web.rules",
        "table inet x {\n  chain input { type filter hook input priority 0; policy accept; jump nowhere; }\n}\n",
    )?;
    closed(
        machine,
        "only loopback works in web until its rules are loaded",
    )?;
    machine.write("/etc/conf.d/netns/nft-web.rules", "\n")?;
    closed(machine, "no table was loaded")?;
    machine.run("ln -sf nowhere /etc/conf.d/netns/nft-web.rules")?;
    closed(machine, "nft-web.rules cannot be read")?;
    let save = machine.try_run("netns-nft-save web")?;
    ensure!(save.status == Some(1), "{save}");
    // Good rules take over, from the closed state and from another set of good ones.
    machine.run("rm /etc/conf.d/netns/nft-web.rules")?;
    machine.write("/etc/conf.d/netns/nft-web.rules", "table inet open {\n}\n")?;
    machine.run("systemctl start netns-nft@web")?;
    reached(machine, true)?;
    machine.write("/etc/conf.d/netns/nft-web.rules", "table inet broken {\n")?;
    closed(machine, "nft-web.rules:")?;
    // Without another type, nothing is left.
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
         ip netns exec web nft delete table ip fifth
         (! grep fifth /etc/conf.d/netns/nft-web.rules)")?;
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
        (
            "netns-nft-save",
            2,
            "usage: netns-nft-save [--force] NSNAME",
        ),
        ("netns-nft-save a b", 2, "usage: "),
        ("netns-nft-save ../a", 2, "usage: "),
        ("netns-nft-save --all", 2, "usage: "),
        (
            "netns-nft-save nowhere",
            1,
            "no network namespace 'nowhere'",
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
    // An empty ruleset is saved only with --force.
    machine.sh("ip netns add bare; file=/etc/conf.d/netns/nft-bare.rules
         (! netns-nft-save bare); [[ ! -e $file ]]
         ip netns exec bare nft add table inet x; ip netns exec bare nft add chain inet x y
         (! netns-nft-save bare); [[ ! -e $file ]]
         netns-nft-save --force bare; grep 'chain y' $file
         ip netns exec bare nft flush ruleset
         (! netns-nft-save bare); grep 'chain y' $file
         netns-nft-save --force bare; (! grep 'chain y' $file)
         ip netns delete bare; rm $file")?;
    Ok(())
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
    machine.run("systemd-analyze verify --man=no netns-nft@a.service")?;
    Ok(())
}

fn tables_of_others_stay(machine: &Machine) -> Result<()> {
    veth(machine)?;
    machine.sh("echo 'configure_veth_up_inside() { nft add table ip theirs; }' >>/etc/conf.d/netns/veth-web.conf
         systemctl restart netns-veth@web
         ip netns exec web nft add table inet netns_filter
         ip netns exec web nft add chain inet netns_filter stale
         systemctl start netns-nft@web")?;
    tables(machine, "table inet netns_filter,table ip theirs")?;
    machine.run("(! ip netns exec web nft list chain inet netns_filter stale)")?;
    machine.run("systemctl restart netns-veth@web netns-nft@web")?;
    tables(machine, "table inet netns_filter,table ip theirs")?;
    // A file of other tables takes the place of the one before, whoever else has tables.
    machine.write(
        "/etc/conf.d/netns/nft-web.rules",
        "table inet a {\n  chain input { type filter hook input priority 0; counter accept; }\n}\n\
         add table ip b\n",
    )?;
    for _ in 0..2 {
        machine.run("systemctl restart netns-nft@web")?;
        tables(machine, "table inet a,table ip b,table ip theirs")?;
        let rules = machine.run("ip netns exec web nft list table inet a | grep -c counter")?;
        expect(&rules.stdout, "1\n", "rules")?;
    }
    // One of theirs that is added to while nft starts is not taken for ours either.
    machine.sh("systemctl stop netns-nft@web; systemctl reset-failed
         systemd-run --quiet --unit=adder bash -c 'for i in {1..20}; do ip netns exec web nft add table ip t$i; sleep 0.1; done'
         systemctl start netns-nft@web; while systemctl is-active adder; do sleep 0.1; done
         ip netns exec web nft list tables | sort >/root/before; grep 'ip t[0-9]' /root/before
         systemctl reset-failed; systemctl restart netns-nft@web
         ip netns exec web nft list tables | sort | diff /root/before -")?;
    Ok(())
}

/// Rules that accept only packets from the host.
const GOOD: &str = "table inet own {\n  chain input {\n\
    type filter hook input priority 0; policy drop; iif lo accept; ip saddr 192.0.2.1 accept;\n\
    meta l4proto icmpv6 accept; icmp type echo-reply accept;\n  }\n}\n";
const BAD: &str = "table inet own {\n  chain input { typo }\n}\n";

/// A start that fails, up to the end of what it undoes.
const FAILING_START: &str = "systemctl reset-failed; (! systemctl start netns-nft@web)
    while systemctl list-jobs | grep netns; do sleep 0.1; done; systemctl reset-failed";

/// Functions of the user that load rules, from outside and inside, and whether they do it with traps,
/// flushes, or in pieces.
const LOADERS: &[&str] = &[
    "configure_nft_up_outside() { ip netns exec $1 nft -f $F; }\nconfigure_nft_up_inside() { :; }",
    "configure_nft_up_outside() { ip netns exec $1 nft flush ruleset; ip netns exec $1 nft -f $F; }\n\
     configure_nft_up_inside() { :; }",
    "configure_nft_up_inside() { nft -f $F; }",
    "configure_nft_up_inside() { trap 'echo bye' EXIT; nft flush ruleset; nft -f $F; }",
    "configure_nft_up_inside() { nft -f $F; }\nconfigure_nft_down_inside() { nft flush ruleset; }",
    "configure_nft_up_inside() { nft -f $F; }\n\
     configure_nft_down_inside() { :; }\n\
     configure_nft_down_outside() { ip netns exec $1 nft flush ruleset; }",
    "configure_nft_up_inside() { (nft -f $F); exit; }\n\
     configure_nft_down_inside() { trap : EXIT; nft flush ruleset; }",
    "configure_nft_up_outside() { nft -c -f $F; }",
];

fn functions_of_the_user(machine: &Machine) -> Result<()> {
    veth(machine)?;
    for (number, functions) in LOADERS.iter().enumerate() {
        let context = || format!("with\n{functions}");
        let conf = ["nft.conf", "nft-web.conf"][number % 2];
        machine.write(
            &format!("/etc/conf.d/netns/{conf}"),
            &format!("F=/etc/conf.d/netns/nft-web.rules\n{functions}\n"),
        )?;
        machine.write("/etc/conf.d/netns/nft-web.rules", BAD)?;
        machine.run(FAILING_START)?;
        pinged(machine, false).with_context(context)?;
        machine
            .run("(! netns-nft-save web)")
            .with_context(context)?;
        machine.write("/etc/conf.d/netns/nft-web.rules", GOOD)?;
        machine
            .run("systemctl start netns-nft@web")
            .with_context(context)?;
        for _ in 0..2 {
            pinged(machine, true).with_context(context)?;
            tables(machine, "table inet own").with_context(context)?;
            machine
                .run("systemctl reset-failed; systemctl restart netns-nft@web")
                .with_context(context)?;
        }
        let rules = machine.run("ip netns exec web nft list ruleset | grep -c saddr")?;
        expect(&rules.stdout, "1\n", "rules").with_context(context)?;
        // After a stop, it is not more open than before.
        machine
            .sh("systemctl stop netns-nft@web
             ip netns exec web nft list ruleset | grep 'policy drop'")
            .with_context(context)?;
        machine.write("/etc/conf.d/netns/nft-web.rules", BAD)?;
        machine.run(FAILING_START)?;
        pinged(machine, false).with_context(context)?;
        machine.run(&format!(
            "rm /etc/conf.d/netns/{conf}; ip netns exec web nft flush ruleset"
        ))?;
    }
    // A file of the user that ends the run, and a killed function.
    for conf in [
        "exit 0",
        "configure_nft_up_inside() { nft flush ruleset; kill -KILL $$; }",
        "configure_nft_up_inside() { :; }",
    ] {
        machine.write("/etc/conf.d/netns/nft-web.conf", &format!("{conf}\n"))?;
        machine.run(FAILING_START).with_context(|| conf)?;
        pinged(machine, false).with_context(|| conf)?;
    }
    Ok(())
}

fn functions_without_systemd(machine: &Machine) -> Result<()> {
    machine.sh("ip netns add web
         ip link add v0 type veth peer name v1 netns web
         ip address add 192.0.2.1/30 dev v0; ip address add 2001:db8::1/64 dev v0 nodad; ip link set v0 up
         ip -n web address add 192.0.2.2/30 dev v1; ip -n web address add 2001:db8::2/64 dev v1 nodad
         ip -n web link set v1 up; ip -n web link set lo up; mkdir -p /etc/conf.d/netns")?;
    pinged(machine, true)?;
    for functions in &LOADERS[..3] {
        machine.write(
            "/etc/conf.d/netns/nft-web.conf",
            &format!("F=/etc/conf.d/netns/nft-web.rules\n{functions}\n"),
        )?;
        let up = "netnsinit nft web up outside && netnsinit nft web up inside";
        let down = "netnsinit nft web down inside && netnsinit nft web down outside";
        machine.write("/etc/conf.d/netns/nft-web.rules", BAD)?;
        machine.run(&format!("(! {{ {up}; }}); {down}"))?;
        pinged(machine, false)?;
        machine.write("/etc/conf.d/netns/nft-web.rules", GOOD)?;
        machine.run(&format!("{up}; {down}; {up}; netnsctl check || :"))?;
        pinged(machine, true)?;
        machine.run(down)?;
        pinged(machine, true)?;
        machine.sh("ip netns exec web nft list ruleset | grep 'policy drop'
             [[ $(ip netns exec web nft list ruleset | grep -c saddr) == 1 ]]")?;
    }
    Ok(())
}

fn save_survives_faults(machine: &Machine) -> Result<()> {
    machine.sh(
        "netnsupdate; mkdir /root/small; mount -t tmpfs -o size=8k,mode=755 none /root/small
         ip netns add web; echo 'table inet old {}' >/root/small/rules
         mkdir -p /etc/conf.d/netns; ln -s /root/small/rules /etc/conf.d/netns/nft-web.rules
         for i in {1..400}; do echo \"add rule inet new c tcp dport $i accept\"; done >/root/many
         ip netns exec web nft add table inet new
         ip netns exec web nft 'add chain inet new c { type filter hook input priority 0; }'
         ip netns exec web nft -f /root/many",
    )?;
    let unharmed = |what: &str| -> Result<()> {
        let left = machine
            .run("cat /root/small/rules; ls -A /root/small")?
            .stdout;
        expect(&left, "table inet old {}\nrules\n", what)
    };
    // A full file system.
    machine.run("(! netns-nft-save web)")?;
    unharmed("after ENOSPC")?;
    machine.run("(! (ulimit -f 1; netns-nft-save web))")?;
    unharmed("after EFBIG")?;
    machine.run("mount -o remount,size=1m /root/small")?;
    // nft that fails, or says nothing, in its first or its second run.
    machine.run("mkdir /root/bin")?;
    for (script, status) in [
        ("exit 1", 1),
        ("kill -KILL $$", 1),
        ("exit 0", 1),
        ("[[ $* != *-c* ]] || exit 1; /usr/sbin/nft \"$@\"", 1),
    ] {
        machine.write("/root/bin/nft", &format!("#!/bin/bash\n{script}\n"))?;
        let tried =
            machine.try_run("chmod 755 /root/bin/nft; PATH=/root/bin:$PATH netns-nft-save web")?;
        ensure!(tried.status == Some(status), "{script}: {tried}");
        unharmed(script)?;
    }
    // Killed at any time: the file is old or new, and the next run cleans up.
    machine.sh("for i in {1..40}; do
             timeout --signal=KILL 0.$(printf %03d $((i * 10))) netns-nft-save web || :
             [[ $(tail -n 1 /root/small/rules) == 'table inet old {}' || $(grep -c dport /root/small/rules) == 400 ]]
         done
         netns-nft-save web; [[ $(ls -A /root/small) == rules ]]
         for i in {1..8}; do netns-nft-save web & done; wait; [[ $(ls -A /root/small) == rules ]]
         [[ $(grep -c dport /root/small/rules) == 400 ]]")?;
    Ok(())
}
