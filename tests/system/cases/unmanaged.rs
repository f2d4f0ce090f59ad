//! systemd-networkd and NetworkManager leave our links alone. The machines have no udev, so they go by
//! the name of the link; `tests/vm/unmanaged` tests the udev rule.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("networkd_keeps_off", networkd),
    (
        "without_the_files_networkd_takes_over",
        without_networkd_files,
    ),
    ("networkmanager_keeps_off", network_manager),
];

/// An address of 192.0.2.0/30 outside, the other inside.
const ADDRESSES: &str = "VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30\n";

fn networkd(machine: &Machine) -> Result<()> {
    for (name, octet) in [("web", 1), ("db", 5)] {
        machine.write(
            &format!("/etc/conf.d/netns/veth-{name}.conf"),
            &format!(
                "VETH_IFADDR_OUTSIDE=192.0.2.{octet}/30\nVETH_IFADDR_INSIDE=192.0.2.{}/30\n",
                octet + 1
            ),
        )?;
    }
    machine.write(
        "/etc/conf.d/netns/veth-own.conf",
        "VETH_IFNAME=cable-\nVETH_IFADDR_OUTSIDE=192.0.2.9/30\nVETH_IFADDR_INSIDE=192.0.2.10/30\n",
    )?;
    // What the documentation says for a name of one's own, and a file that would take it.
    machine.write(
        "/etc/systemd/network/10-cable.network",
        "[Match]\nName=cable-own0\n\n[Link]\nUnmanaged=yes\n",
    )?;
    machine.write(
        "/etc/systemd/network/50-cable.network",
        "[Match]\nName=cable-*\n\n[Network]\nAddress=198.51.100.1/24\n",
    )?;
    // Read-only, as in most containers: otherwise networkd waits for udev.
    machine.sh("mount -o remount,ro /sys; netnsupdate --quiet
         systemctl start systemd-networkd netns-veth@web
         ip link add ve-nobody type veth peer name cable-nobody
         ip link set ve-nobody up; ip link set cable-nobody up
         systemctl start netns-veth@db netns-veth@own")?;
    // It has seen our links when it has configured its own.
    let links = || machine.run("networkctl --no-legend --no-pager");
    machine.wait_until("networkd takes a cable", Duration::from_secs(10), |m| {
        let address = "ip -4 -oneline address show cable-nobody";
        Ok(m.run(address)?.stdout.contains("198.51.100.1"))
    })?;
    let links = links()?.stdout;
    for (name, address) in [("ve-web0", 1), ("ve-db0", 5), ("cable-own0", 9)] {
        let line = links.lines().find(|line| line.contains(name));
        ensure!(
            line.is_some_and(|line| line.trim().ends_with("unmanaged")),
            "{links}"
        );
        let seen = machine
            .run(&format!("ip -4 -brief address show {name}"))?
            .stdout;
        let words: Vec<&str> = seen.split_whitespace().skip(2).collect();
        ensure!(words == [format!("192.0.2.{address}/30")], "{seen}");
    }
    machine.run("for to in 2 6 10; do ping -c 1 -W 2 192.0.2.$to || exit; done")?;
    machine.run("systemctl restart systemd-networkd; sleep 0.5; ping -c 1 -W 2 192.0.2.2")?;
    Ok(())
}

/// Checks that the test above can fail.
fn without_networkd_files(machine: &Machine) -> Result<()> {
    machine.write("/etc/conf.d/netns/veth.conf", ADDRESSES)?;
    machine.sh("mount -o remount,ro /sys; netnsupdate --quiet
         rm /usr/lib/systemd/network/10-systemd-netns*
         systemctl start systemd-networkd; systemctl start netns-veth@web")?;
    machine.wait_until("networkd takes ve-web0", Duration::from_secs(10), |m| {
        let seen = m.run("networkctl --no-legend --no-pager; ip -4 address show ve-web0")?;
        Ok(seen.stdout.contains("configur") && seen.stdout.contains("192.168."))
    })?;
    // The group by which udev would know it.
    let seen = machine
        .run("ip -oneline link show ve-web0; cat /usr/lib/udev/rules.d/60-systemd-netns.rules")?;
    ensure!(
        seen.stdout.contains("group 28275 ") && seen.stdout.contains("==\"28275\""),
        "{seen}"
    );
    Ok(())
}

fn network_manager(machine: &Machine) -> Result<()> {
    let state = |link: &str| -> Result<String> {
        let seen = machine.run("nmcli --terse --fields DEVICE,STATE device")?;
        let state = seen
            .stdout
            .lines()
            .find_map(|line| line.split_once(':').filter(|(name, _)| *name == link));
        Ok(state.map(|(_, state)| state.to_owned()).unwrap_or_default())
    };
    let is_ours = |when: &str| -> Result<()> {
        let (state, address) = (
            state("ve-web0")?,
            machine.run("ip -4 -brief address show ve-web0")?,
        );
        ensure!(
            state == "unmanaged" && address.stdout.contains("192.0.2.1/30"),
            "{when}: {state}\n{address}"
        );
        machine.run("ping -c 1 -W 2 192.0.2.2").map(drop)
    };
    machine.write("/etc/conf.d/netns/veth.conf", ADDRESSES)?;
    // Read-only, as in most containers: otherwise NetworkManager waits for udev.
    machine.sh("mount -o remount,ro /sys; netnsupdate --quiet
         systemctl start NetworkManager netns-veth@web
         ip link add cable0 type veth peer name cable1
         ip link set cable0 up; ip link set cable1 up")?;
    // It has seen all links when it configures the one that nobody excludes.
    machine.wait_until(
        "NetworkManager takes cable0",
        Duration::from_secs(20),
        |_| Ok(state("cable0")?.starts_with("connecting")),
    )?;
    is_ours("a link that appears")?;
    machine.run("systemctl restart netns-veth@web")?;
    is_ours("a link that appears again")?;
    machine.run("systemctl restart NetworkManager")?;
    machine.wait_until(
        "NetworkManager takes cable0 again",
        Duration::from_secs(20),
        |_| Ok(state("cable0")?.starts_with("connecting")),
    )?;
    is_ours("a link that was there before")?;
    // Shows that our file makes the difference.
    machine.sh("rm /usr/lib/NetworkManager/conf.d/10-systemd-netns.conf
         systemctl restart NetworkManager")?;
    machine.wait_until(
        "NetworkManager takes ve-web0",
        Duration::from_secs(20),
        |_| Ok(state("ve-web0")?.starts_with("connect")),
    )
}
