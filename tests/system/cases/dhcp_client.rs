//! DHCP clients are restarted when they exit.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::lan::{self, configure, expect_as_before, ping, traces};
use super::support::{DOWN, comes_to, expect_in, expect_instance};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("a_killed_client_is_started_again", killed),
    ("a_killed_supervisor_leaves_nothing", supervisor_killed),
    ("without_systemd", without_systemd),
];

/// With DHCPv6 if busybox has a client.
fn conf(machine: &Machine) -> String {
    let families = match machine.suite() {
        "bullseye" | "bookworm" => "ipv4",
        _ => "both",
    };
    format!("MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP={families}\nMACVLAN_IFNAME=mv0\n")
}

const A_WHILE: Duration = Duration::from_secs(60);

const LEASES: &str = "--dhcp-range=192.0.2.100,192.0.2.150,2m --enable-ra \
    --dhcp-range=2001:db8::100,2001:db8::1ff,64,2m";

/// The addresses and routes of the network, without lifetimes.
const LOOK: &str = "ip -n web -oneline -4 address show dev mv0 | sed 's/valid_lft.*//'
    # A new DHCPv6 client is another one to the server, which may give it another address.
    ip -n web -oneline -6 address show dev mv0 scope global dynamic -tentative | grep -c inet6 || :; ip -n web route
    cat /etc/netns/web/resolv.conf";

/// For how many seconds the leases of each family are still valid: of several, the one that ends last.
fn lifetimes(machine: &Machine) -> Result<Vec<u32>> {
    let look = "for family in -4 -6; do
            ip -n web $family -oneline address show dev mv0 scope global dynamic |
                { grep -e 'inet ' -e '/128 ' || :; } | sed 's/.* valid_lft \\([0-9]*\\)sec.*/\\1/' | sort -n | tail -n 1
        done";
    let shown = machine.sh(look)?.stdout;
    let seconds = shown.lines().map(|line| line.trim().parse());
    Ok(seconds.collect::<Result<_, _>>()?)
}

fn killed(machine: &Machine) -> Result<()> {
    lan::make(machine, LEASES, "0")?;
    configure(machine, "macvlan", "web", &conf(machine))?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-macvlan@web")?;
    let up = machine.sh(LOOK)?.stdout;
    let resolv = machine.run("cat /etc/resolv.conf")?.stdout;
    let clients = machine.run("pgrep -f '[u]dhcpc6* -f'")?.stdout;
    // The addresses stay while there is no client, and there is soon another one, which renews them.
    // Later than the lease by some seconds, which tell whether it is renewed.
    machine.run("sleep 4; pkill -KILL -f '[u]dhcpc6* -f'")?;
    let same = machine.sh(LOOK)?.stdout;
    ensure!(same == up, "was\n{up}is\n{same}");
    let begin = lifetimes(machine)?;
    machine.wait_until("there are new clients", A_WHILE, |m| {
        let now = m.try_run("pgrep -f '[u]dhcpc6* -f'")?;
        Ok(now.stdout.lines().count() == clients.lines().count() && now.stdout != clients)
    })?;
    machine.wait_until("the addresses are renewed", A_WHILE, |m| {
        let now = lifetimes(m)?;
        Ok(now.len() == begin.len() && now.iter().zip(&begin).all(|(now, then)| now > then))
    })?;
    comes_to(machine, &up, |machine| Ok(machine.sh(LOOK)?.stdout))?;
    ping(machine, "web", "192.0.2.1")?;
    let journal = machine.run("journalctl --boot --no-pager")?.stdout;
    expect_in(
        &journal,
        "macvlan@web: udhcpc exited with status 137; restarting it in 1 s",
    )?;
    ensure!(machine.run("cat /etc/resolv.conf")?.stdout == resolv);
    machine.run("systemctl stop netns-macvlan@web")?;
    expect_instance(machine, "macvlan", "web", [DOWN; 3])?;
    let leases = machine.read("/run/lan.leases")?;
    ensure!(!leases.contains("192.0.2."), "not released: {leases}");
    expect_as_before(machine, &before)
}

fn supervisor_killed(machine: &Machine) -> Result<()> {
    lan::make(machine, LEASES, "0")?;
    configure(machine, "macvlan", "web", &conf(machine))?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-macvlan@web")?;
    machine.run("kill -KILL $(ps -o ppid= -C udhcpc); pgrep -x udhcpc")?;
    machine.run("systemctl stop netns-macvlan@web")?;
    expect_as_before(machine, &before)?;
    // Killed in a restart, and stopped while it waits for the next one.
    machine.sh(
        "systemctl start netns-macvlan@web; pkill -KILL -x udhcpc; sleep 0.3
         systemctl restart netns-macvlan@web; pkill -KILL -x udhcpc
         systemctl stop netns-macvlan@web",
    )?;
    expect_as_before(machine, &before)
}

fn without_systemd(machine: &Machine) -> Result<()> {
    lan::make(machine, LEASES, "0")?;
    configure(machine, "macvlan", "web", &conf(machine))?;
    let before = traces(machine)?;
    machine.sh("ip netns add web
         timeout 40 netnsinit macvlan web up outside | cat; timeout 40 netnsinit macvlan web up inside | cat
         pkill -KILL -x udhcpc; sleep 3; pgrep -x udhcpc
         netnsinit macvlan web down inside; (! pgrep udhcpc)
         netnsinit macvlan web down outside; ip netns delete web")?;
    expect_as_before(machine, &before)
}
