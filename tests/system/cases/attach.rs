//! Services of the distribution and of the administrator in namespaces.

use anyhow::{Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("one_port_in_two_namespaces", one_port_in_two_namespaces),
    ("nginx_with_one_command", nginx_with_one_command),
    ("haproxy_with_one_command", haproxy_with_one_command),
    ("follows_its_namespace", follows_its_namespace),
    ("keep", keep),
    ("all_types_are_required", all_types_are_required),
    ("templates_and_instances", templates_and_instances),
    ("files_of_the_namespace", files_of_the_namespace),
    ("refusals_change_nothing", refusals_change_nothing),
    ("a_reboot_changes_nothing", a_reboot_changes_nothing),
];

/// An instance of the library's veth: 10.9.NUMBER.1 outside and 10.9.NUMBER.2 inside.
pub fn veth(machine: &Machine, name: &str, number: u8) -> Result<()> {
    let conf =
        format!("VETH_IFADDR_OUTSIDE=10.9.{number}.1/24\nVETH_IFADDR_INSIDE=10.9.{number}.2/24\n");
    add_type(machine, &format!("veth-{name}"), &conf)
}

/// A service, or a template, that runs `command`.
pub fn service(machine: &Machine, name: &str, command: &str) -> Result<()> {
    let text = format!("[Service]\nType=exec\nExecStart={command}\n");
    machine.write(&format!("/etc/systemd/system/{name}.service"), &text)?;
    machine.run("systemctl daemon-reload")?;
    Ok(())
}

/// All files that attach could change, with names, modes, owners and contents.
fn files(machine: &Machine) -> Result<String> {
    // Some of them may not exist.
    let look = r"{
            find /etc /run/nscd /run/systemd/resolve ! -type d -printf '%p %m %u %l\n' || :
            find /etc -type d
        } 2>/dev/null | sort
        { find /etc/systemd /etc/netns /etc/resolv.conf -type f -exec sha256sum {} + || :; } 2>/dev/null | sort -k 2";
    Ok(machine.run(look)?.stdout)
}

const HTTPD: &str = "/bin/busybox httpd -f -p 80 -h /srv/%i";

fn one_port_in_two_namespaces(machine: &Machine) -> Result<()> {
    for (number, name) in [(1, "a"), (2, "b")] {
        veth(machine, name, number)?;
        machine.write(
            &format!("/srv/{name}/index.html"),
            &format!("this is {name}\n"),
        )?;
    }
    service(machine, "web@", HTTPD)?;
    for name in ["a", "b"] {
        machine.run(&format!("netnsctl attach web@{name} veth@{name} --now"))?;
    }
    for (number, name) in [(1, "a"), (2, "b")] {
        let url = format!("http://10.9.{number}.2/index.html");
        soon(machine, &format!("curl -sf {url}"))?;
        let page = machine.run(&format!("curl -sf {url}"))?.stdout;
        ensure!(page == format!("this is {name}\n"), "{page}");
        let status = machine.run(&format!("netnsctl status {name}"))?.stdout;
        expect_in(&status, &format!("web@{name}.service"))?;
    }
    // Nothing on the host listens on the port.
    let host = machine.run("ss -Hltn sport = :80")?.stdout;
    ensure!(host.is_empty(), "{host}");
    machine.run("netnsctl detach web@a --now && netnsctl detach web@b")?;
    Ok(())
}

fn nginx_with_one_command(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    let before = files(machine)?;
    machine
        .run("netnsctl attach nginx veth@web --now")?
        .says("attached nginx.service to network namespace 'web'")?;
    expect_states(machine, &[("nginx.service", "active/running/success")])?;
    soon(machine, "curl -sf http://10.9.1.2/")?;
    let host = machine.run("ss -Hltn sport = :80")?.stdout;
    ensure!(host.is_empty(), "{host}");
    // The command can be repeated.
    machine.run("netnsctl attach nginx.service veth@web")?;
    machine.run("systemctl reload nginx && curl -sf http://10.9.1.2/")?;
    machine.run("netnsctl detach nginx --now")?;
    soon(machine, "curl -sf http://127.0.0.1/")?;
    let after = files(machine)?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    machine
        .fails("netnsctl detach nginx", 1)?
        .says("nginx.service is not attached")
}

fn haproxy_with_one_command(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    machine.write(
        "/etc/haproxy/haproxy.cfg",
        "global\n  maxconn 10\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  \
         timeout server 1s\nfrontend f\n  bind :8080\n  http-request return status 200 content-type \
         text/plain string from-haproxy\n",
    )?;
    machine.run("netnsctl attach haproxy veth@web --now")?;
    soon(
        machine,
        "curl -sf http://10.9.1.2:8080/ | grep -q from-haproxy",
    )?;
    machine.run("systemctl reload haproxy")?;
    soon(
        machine,
        "curl -sf http://10.9.1.2:8080/ | grep -q from-haproxy",
    )?;
    let host = machine.run("ss -Hltn sport = :8080")?.stdout;
    ensure!(host.is_empty(), "{host}");
    Ok(())
}

const RUNNING: &str = "active/running/success";

fn inode(machine: &Machine, what: &str) -> Result<String> {
    Ok(machine.run(&format!("stat -L -c %i {what}"))?.stdout)
}

fn main_pid(machine: &Machine, unit: &str) -> Result<String> {
    let shown = machine.run(&format!("systemctl show --property=MainPID --value {unit}"))?;
    Ok(shown.stdout.trim().to_owned())
}

fn follows_its_namespace(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    service(machine, "s", "/bin/sleep infinity")?;
    machine.run("netnsctl attach s t@a --now")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    let first = main_pid(machine, "s")?;
    // The service restarts with the namespace, in the new one.
    machine.run("ip netns delete a; ip netns add a; systemctl restart netns-t@a")?;
    expect_states(machine, &[("s.service", RUNNING)])?;
    machine.wait_until("it is another process", SOON, |machine| {
        let pid = main_pid(machine, "s")?;
        Ok(pid != first && pid != "0")
    })?;
    let pid = main_pid(machine, "s")?;
    let named = inode(machine, "/run/netns/a")?;
    ensure!(inode(machine, &format!("/proc/{pid}/ns/net"))? == named);
    // It stops with the namespace.
    machine.run("systemctl stop netns-t@a")?;
    let state = machine.unit_state("s.service")?;
    ensure!(state.active == "inactive", "{state}");
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    machine.run("ip netns delete a")?;
    nothing_left(machine)?;
    // Its start brings the namespace up, and reports a failure to do so.
    machine.run("systemctl start s")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    machine.run("systemctl stop s netns-t@a")?;
    add_type(machine, "t", "configure_t_up_inside() { false; }")?;
    machine.fails("systemctl start s", 1)?.says("dependency")?;
    let state = machine.unit_state("s.service")?;
    ensure!(state.active == "inactive", "{state}");
    machine
        .fails("netnsctl attach s t@a --now", 1)?
        .says("s.service has its new settings, but failed to restart")
}

fn keep(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    service(machine, "s", "/bin/sleep infinity")?;
    machine.run("netnsctl attach s t@a --keep --now")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    let pid = main_pid(machine, "s")?;
    machine.run("systemctl restart netns-t@a; systemctl stop netns-t@a")?;
    ensure!(main_pid(machine, "s")? == pid, "it was restarted");
    machine.run("systemctl stop s")?;
    // It does not start in a namespace that is partly set up.
    add_type(machine, "t", "configure_t_up_inside() { false; }")?;
    machine.run("systemctl start netns-lo@a")?;
    machine.fails("systemctl start s", 1)?;
    Ok(())
}

fn all_types_are_required(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    service(machine, "s", "/bin/sleep infinity")?;
    machine.run("netnsctl attach s t@a lo@a --now")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    expect_instance(machine, "lo", "a", [UP, UP, UP])?;
    machine.run("systemctl stop netns-lo@a")?;
    let state = machine.unit_state("s.service")?;
    ensure!(state.active == "inactive", "{state}");
    machine
        .fails("netnsctl attach s t@a lo@b", 2)?
        .says("two namespaces")
}

fn templates_and_instances(machine: &Machine) -> Result<()> {
    veth(machine, "a", 1)?;
    veth(machine, "b", 2)?;
    service(machine, "w@", "/bin/sleep infinity")?;
    machine.run("systemctl start w@1 w@2; netnsctl attach w@ veth@a")?;
    // A running service is not restarted.
    machine.run("systemctl is-active w@1 w@2; ! systemctl is-active netns-veth@a")?;
    machine.run("netnsctl attach w@ veth@a --now")?;
    let named = inode(machine, "/run/netns/a")?;
    for unit in ["w@1", "w@2"] {
        let pid = main_pid(machine, unit)?;
        ensure!(
            inode(machine, &format!("/proc/{pid}/ns/net"))? == named,
            "{unit}"
        );
    }
    machine
        .fails("netnsctl attach w@1 veth@b", 1)?
        .says("w@1.service is already attached to namespace 'a' through its template")?;
    machine.run("netnsctl detach w@")?;
    machine.run("netnsctl attach w@1 veth@b --now")?;
    let other = machine.try_run("netnsctl attach w@1 veth@a")?;
    other.says("w@1.service is already attached to namespace 'b'")?;
    machine.run("systemctl restart w@2")?;
    let pid = main_pid(machine, "w@2")?;
    let host = inode(machine, "/proc/1/ns/net")?;
    ensure!(inode(machine, &format!("/proc/{pid}/ns/net"))? == host);
    // With another name of the same unit.
    machine.run("ln -s nginx.service /etc/systemd/system/www.service; systemctl daemon-reload")?;
    machine.run(
        "netnsctl attach www veth@a; test -e /etc/systemd/system/nginx.service.d/50-netns.conf",
    )?;
    machine.run("netnsctl detach www; test ! -e /etc/systemd/system/nginx.service.d")?;
    Ok(())
}

fn files_of_the_namespace(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    machine.write("/etc/netns/web/hosts", "192.0.2.7 only-here\n")?;
    machine.write("/etc/netns/web/no-such-file", "x\n")?;
    machine.write("/etc/netns/web/resolv.conf", "nameserver 192.0.2.53\n")?;
    service(
        machine,
        "s",
        "/bin/sh -c 'cat /etc/hosts /etc/resolv.conf >/run/seen; exec sleep infinity'",
    )?;
    machine
        .run("netnsctl attach s veth@web --now")?
        .says("there is no /etc/no-such-file to bind it over")?;
    machine.run("test ! -e /etc/no-such-file")?;
    soon(
        machine,
        "test \"$(cat /run/seen)\" = $'192.0.2.7 only-here\\nnameserver 192.0.2.53'",
    )?;
    let written = "nsenter -t $(systemctl show -p MainPID --value s) -m sh -c 'echo x >/etc/hosts'";
    ensure!(
        machine.try_run(written)?.status != Some(0),
        "hosts can be written"
    );
    // If either file was removed, the service does not start, and no file is created.
    for (file, other) in [
        ("/etc/netns/web/hosts", "/etc/hosts"),
        ("/etc/hosts", "/etc/netns/web/hosts"),
    ] {
        machine.run(&format!(
            "systemctl stop s; rm -f /run/seen; mv {file} /run/kept"
        ))?;
        let start = machine.fails("systemctl start s", 1)?;
        machine.run(&format!(
            "test ! -e {file}; test ! -e /run/seen; test -e {other}"
        ))?;
        expect_in(
            &machine.run("journalctl -u s")?.stdout,
            &format!("AssertPathExists={file}"),
        )
        .or_else(|_| start.says("Assertion failed"))?;
        machine.run(&format!("mv /run/kept {file}; systemctl start s"))?;
    }
    machine.run("netnsctl detach s; test -e /etc/netns/web/resolv.conf")?;
    Ok(())
}

fn refusals_change_nothing(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    service(machine, "s", "/bin/sleep infinity")?;
    machine.write(
        "/etc/systemd/system/private.service",
        "[Service]\nPrivateNetwork=yes\nExecStart=/bin/true\n",
    )?;
    machine.write(
        "/etc/systemd/system/elsewhere.service",
        "[Service]\nNetworkNamespacePath=/run/netns/x\nExecStart=/bin/true\n",
    )?;
    machine.write(
        "/etc/systemd/system/foreign.service",
        "[Service]\nExecStart=/bin/true\n",
    )?;
    machine.write(
        "/etc/systemd/system/foreign.service.d/50-netns.conf",
        "[Service]\n",
    )?;
    machine.write("/etc/conf.d/netns/late.conf", "")?;
    machine.run("systemctl daemon-reload; systemctl mask haproxy")?;
    let before = files(machine)?;
    for (command, status, part) in [
        (
            "attach nothing veth@web",
            1,
            "nothing.service does not exist",
        ),
        (
            "attach nothing@ veth@web",
            1,
            "nothing@.service does not exist",
        ),
        ("attach haproxy veth@web", 1, "is masked"),
        ("attach private veth@web", 1, "PrivateNetwork=yes"),
        (
            "attach elsewhere veth@web",
            1,
            "NetworkNamespacePath=/run/netns/x",
        ),
        (
            "attach foreign veth@web",
            1,
            "was not written by netnsctl attach",
        ),
        ("detach foreign", 1, "was not written by netnsctl attach"),
        ("attach netns-veth@web veth@web", 1, "systemd-netns itself"),
        ("attach s nothing@web", 6, "unknown NSTYPE 'nothing'"),
        ("attach s late@web", 6, "run netnsupdate"),
        ("attach s veth@a/b", 2, "a file name"),
        ("attach s veth", 2, "NSTYPE@NSNAME"),
        ("attach s 'veth@a b'", 2, "must be letters"),
        ("attach a/b veth@web", 2, "not the name of a service"),
        ("attach s.socket veth@web", 2, "is not a service"),
        ("attach s veth@web --dns nobody", 2, "nobody"),
        (
            "attach s veth@web --host-dns --strict-dns",
            2,
            "cannot be used with",
        ),
        ("detach s", 1, "is not attached"),
        ("publish nowhere 80:80", 1, "NSTYPE@nowhere"),
        ("publish web 80", 2, "PORT:PORT"),
        ("publish web 53:53/sctp", 2, "only tcp and udp"),
        ("publish web 80:80 --from web", 2, "would be published"),
        ("unpublish web 80", 1, "is not published to 'web'"),
        ("require veth@web nothing@x", 6, "unknown NSTYPE"),
        ("require veth@web x", 2, "neither"),
        ("require veth@web lo@x --remove", 1, "does not require"),
    ] {
        let refused = machine.fails(&format!("netnsctl {command}"), status)?;
        refused.says(part)?;
        let lines = refused.stderr.lines().count();
        ensure!(status == 2 || lines == 1, "{refused}");
    }
    // Other users can only print the drop-in.
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
    for (command, status) in [
        ("attach s veth@web", 4),
        ("detach s", 4),
        ("attach s veth@web --print", 0),
    ] {
        machine.fails(&format!("{user} netnsctl {command}"), status)?;
    }
    ensure!(files(machine)? == before, "something was written");
    // On a read-only file system, nothing changes.
    machine.run("mkdir /etc/systemd/system/s.service.d; mount -t tmpfs -o ro none /etc/systemd/system/s.service.d")?;
    let before = files(machine)?;
    let refused = machine.try_run("netnsctl attach s veth@web --strict-dns")?;
    ensure!(
        refused.status == Some(1) && refused.stderr.lines().count() == 1,
        "{refused}"
    );
    refused.says("/etc/systemd/system/s.service.d/50-netns")?;
    ensure!(files(machine)? == before, "something was written");
    Ok(())
}

fn a_reboot_changes_nothing(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    veth(machine, "front", 2)?;
    machine.run("netnsctl attach nginx veth@web --now; systemctl enable nginx netns-veth@front")?;
    machine.run("netnsctl publish web 8080:80; netnsctl publish veth@web 81:80 --from front")?;
    machine.reboot()?;
    soon(machine, "curl -sf http://10.9.1.2/")?;
    soon(machine, "curl -sf http://127.0.0.1:8080/")?;
    soon(machine, "curl -sf http://10.9.2.2:81/")?;
    let journal = machine.run("journalctl --boot --no-pager")?.stdout;
    ensure!(!journal.contains("ordering cycle"), "{journal}");
    Ok(())
}
