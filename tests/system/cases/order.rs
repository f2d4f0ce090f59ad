//! What instances require of each other, and ports that lead into namespaces.

use anyhow::{Result, ensure};

use super::attach::{soon, veth};
use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("requires_in_a_file", requires_in_a_file),
    ("requires_by_hand", requires_by_hand),
    ("publish", publish),
    ("publish_from_a_namespace", publish_from_a_namespace),
    (
        "publish_takes_back_what_fails",
        publish_takes_back_what_fails,
    ),
];

fn requires_in_a_file(machine: &Machine) -> Result<()> {
    add_type(machine, "store", &recording_type("store"))?;
    add_type(machine, "t", &recording_type("t"))?;
    machine.write(
        "/etc/conf.d/netns/t-a.conf",
        "NETNS_REQUIRES=\"netns-store@s netns_name@other\"\n",
    )?;
    machine.run("netnsupdate")?;
    machine.run("systemctl start netns-t@a")?;
    expect_instance(machine, "store", "s", [UP, UP, UP])?;
    expect_states(machine, &[("netns_name@other.service", UP)])?;
    let order = calls(machine)?;
    ensure!(
        order == "up outside s, up inside s, up outside a, up inside a",
        "{order}"
    );
    machine.run("systemctl restart netns-store@s")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    soon(machine, "test $(wc -l </run/calls) = 8")?;
    let order = calls(machine)?;
    ensure!(
        order
            == "down inside a, down outside a, down inside s, down outside s, \
                up outside s, up inside s, up outside a, up inside a",
        "{order}"
    );
    machine.run("systemctl stop netns-store@s")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    nothing_left(machine)?;
    machine.run("rm /etc/conf.d/netns/t-a.conf; netnsupdate; ! ls -d /etc/systemd/system/*.d")?;
    machine.run("systemctl start netns-t@a")?;
    expect_instance(machine, "store", "s", [DOWN, DOWN, DOWN])
}

fn requires_by_hand(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("netnsctl require t@a lo@b t@c; netnsctl require t@c netns_name@d")?;
    let cycle = machine.fails("netnsctl require lo@b t@a", 1)?;
    cycle.says("circle")?;
    cycle
        .says("t@a -> lo@b")
        .or_else(|_| cycle.says("lo@b -> t@a"))?;
    machine.run("netnsupdate; systemctl start netns-t@a")?;
    expect_instance(machine, "lo", "b", [UP, UP, UP])?;
    expect_instance(machine, "t", "c", [UP, UP, UP])?;
    expect_states(machine, &[("netns_name@d.service", UP)])?;
    machine.run("systemctl stop netns-t@a netns-t@c netns-lo@b")?;
    machine.run("netnsctl require t@a t@c --remove; systemctl start netns-t@a")?;
    expect_instance(machine, "lo", "b", [UP, UP, UP])?;
    expect_instance(machine, "t", "c", [DOWN, DOWN, DOWN])?;
    machine
        .run("netnsctl require t@a lo@b --remove; netnsctl require t@c netns_name@d --remove")?;
    machine.run("! ls -d /etc/systemd/system/*.d")?;
    Ok(())
}

/// nginx in the namespace `web`, on port 80.
fn web(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    machine.run("netnsctl attach nginx veth@web --now")?;
    soon(machine, "curl -sf http://10.9.1.2/")
}

fn publish(machine: &Machine) -> Result<()> {
    web(machine)?;
    let units = "ls /etc/systemd/system | grep -v nginx";
    let before = machine.run(units)?.stdout;
    machine.run(
        "netnsctl publish web 8080:80; netnsctl publish veth@web '[::1]:8081:80' --to 10.9.1.2",
    )?;
    machine.run("curl -sf http://127.0.0.1:8080/; curl -sf http://10.9.1.1:8080/; curl -sf http://[::1]:8080/; curl -sf http://[::1]:8081/")?;
    machine
        .fails("netnsctl publish web 8080:81", 1)?
        .says("'netnsctl unpublish web 8080' first")?;
    // With the namespace, in its new self, and not without it.
    machine.run("systemctl restart netns-veth@web")?;
    soon(machine, "curl -sf http://127.0.0.1:8080/")?;
    machine.run("systemctl stop netns-veth@web; ! curl -s http://127.0.0.1:8080/")?;
    expect_instance(machine, "veth", "web", [DOWN, DOWN, DOWN])?;
    machine.run("systemctl start nginx")?;
    soon(machine, "curl -sf http://127.0.0.1:8080/")?;
    machine.run("netnsctl unpublish web 8080; netnsctl unpublish web 8081; ! curl -s http://127.0.0.1:8080/")?;
    let after = machine.run(units)?.stdout;
    ensure!(before == after, "{before}{after}");
    let left = machine
        .run("systemctl list-units --all --plain --no-legend 'netns_publish*'")?
        .stdout;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

fn publish_from_a_namespace(machine: &Machine) -> Result<()> {
    web(machine)?;
    veth(machine, "front", 2)?;
    machine.run("systemctl start netns-veth@front")?;
    machine.run("netnsctl publish web 80:80 --from front")?;
    machine.run("curl -sf http://10.9.2.2/; ip netns exec front curl -sf http://127.0.0.1/")?;
    machine.run("systemctl stop netns-veth@front; systemctl is-active nginx; systemctl start netns-veth@front")?;
    soon(machine, "curl -sf http://10.9.2.2/")?;
    machine.run("netnsctl unpublish web 80 --from front; ! curl -s http://10.9.2.2/")?;
    Ok(())
}

fn publish_takes_back_what_fails(machine: &Machine) -> Result<()> {
    web(machine)?;
    machine.run("systemd-run -q --property=Type=exec socat TCP-LISTEN:8080,fork PIPE")?;
    soon(machine, "ss -Hltn | grep -q :8080")?;
    let units = "find /etc/systemd/system | sort";
    let before = machine.run(units)?.stdout;
    let refused = machine.fails("netnsctl publish web 8080:80", 1)?;
    refused.says("port 8080 cannot be listened on")?;
    ensure!(refused.stderr.lines().count() == 1, "{refused}");
    let after = machine.run(units)?.stdout;
    ensure!(before == after, "{after}");
    Ok(())
}
