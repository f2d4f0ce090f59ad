//! NSTYPE ifupdown, with the real ifupdown.

use anyhow::{Result, ensure};

use super::lan::{self, ping};
use super::support::{DOWN, FAILED, SOON, UP, expect_in, expect_instance, units};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("nginx_on_a_bridge", nginx_on_a_bridge),
    ("started_by_hand_it_stays", started_by_hand_it_stays),
    ("two_namespaces_alike", two_namespaces_alike),
    ("links_made_by_stanzas", links_made_by_stanzas),
    ("links_made_inside", links_made_inside),
    ("stanzas_that_the_host_knows", stanzas_that_the_host_knows),
    ("stanzas_change_while_up", stanzas_change_while_up),
    ("a_stanza_that_fails", a_stanza_that_fails),
    ("bad_stanzas_are_rejected", bad_stanzas_are_rejected),
    ("deleted_behind_its_back", deleted_behind_its_back),
    ("comes_back_after_a_reboot", comes_back_after_a_reboot),
];

/// A bridge `br0` of the host with the addresses 192.0.2.1 and 2001:db8::1, also after a reboot.
fn make_bridge(machine: &Machine) -> Result<()> {
    machine.write(
        "/etc/systemd/system/bridge.service",
        "[Unit]\nBefore=network.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=brctl addbr br0\n\
         ExecStart=ip link set br0 address 02:00:00:00:00:01\n\
         ExecStart=ip link add port0 type veth peer name port1\n\
         ExecStart=ip link set port0 master br0 up\n\
         ExecStart=ip link set port1 up\n\
         ExecStart=ip address add 192.0.2.1/24 dev br0\n\
         ExecStart=ip address add 2001:db8::1/64 dev br0 nodad\n\
         ExecStart=ip link set br0 up\n\
         [Install]\nWantedBy=multi-user.target\n",
    )?;
    machine.run(
        "systemctl daemon-reload && systemctl enable --quiet --now bridge && netnsupdate --quiet",
    )?;
    machine.wait_until("br0 and its port are ready", SOON, |machine| {
        let addresses = machine
            .run("ip -oneline address show scope link -tentative")?
            .stdout;
        Ok(addresses.matches("fe80::").count() == 3)
    })
}

/// As in lan, without the lines of a bridge and its port, which contain timers.
fn traces(machine: &Machine) -> Result<String> {
    let all = lan::traces(machine)?;
    let steady = |line: &&str| !line.starts_with("br0: <") && !line.starts_with("port0@");
    Ok(all
        .lines()
        .filter(steady)
        .map(|line| format!("{line}\n"))
        .collect())
}

fn expect_as_before(machine: &Machine, before: &str) -> Result<()> {
    let mut now = String::new();
    let outcome = machine.wait_until("all is as it was", SOON, |machine| {
        now = traces(machine)?;
        Ok(now == before)
    });
    outcome.map_err(|error| error.context(format!("was\n{before}\nis\n{now}")))
}

/// The stanzas inside of a namespace whose addresses end with `number`.
fn inside(number: u8) -> String {
    format!(
        "auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    hwaddress 02:00:00:00:00:{number}
    address 192.0.2.{number}/24
    gateway 192.0.2.1
    up ip route add 198.51.100.0/24 via 192.0.2.254
iface eth0 inet6 static
    address 2001:db8::{number}/64
    gateway 2001:db8::1
    up ip route add 2001:db8:1::/48 via 2001:db8::fe
"
    )
}

fn configure(machine: &Machine, nsname: &str, number: u8) -> Result<()> {
    machine.write(
        &format!("/etc/network/namespaces/{nsname}"),
        &inside(number),
    )?;
    machine.write(
        &format!("/etc/network/services/ve-{nsname}"),
        &format!(
            "iface ve-{nsname} inet manual
    netns {nsname}
    netns-peer eth0
    up brctl addif br0 ve-{nsname}
    up ip link set ve-{nsname} up
    down brctl delif br0 ve-{nsname}
"
        ),
    )
}

fn expect_reached(machine: &Machine, nsname: &str, number: u8) -> Result<()> {
    machine.run(&format!("ping -q -c 1 -w 5 192.0.2.{number}"))?;
    machine.run(&format!("ping -q -c 1 -w 5 2001:db8::{number}"))?;
    ping(machine, nsname, "2001:db8::1")?;
    let all = format!("ip -n {nsname} link; ip -n {nsname} route; ip -n {nsname} -6 route");
    let all = machine.run(&all)?.stdout;
    expect_in(&all, "LOOPBACK,UP")?;
    expect_in(&all, &format!("link/ether 02:00:00:00:00:{number} "))?;
    expect_in(&all, "default via 192.0.2.1 dev eth0")?;
    expect_in(&all, "default via 2001:db8::1 dev eth0")?;
    expect_in(&all, "198.51.100.0/24 via 192.0.2.254 dev eth0")?;
    expect_in(&all, "2001:db8:1::/48 via 2001:db8::fe dev eth0")
}

fn nginx_on_a_bridge(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "web", 10)?;
    machine.write(
        "/etc/systemd/system/nginx.service.d/netns.conf",
        "[Unit]\nBindsTo=netns-ifupdown@web.service\nAfter=netns-ifupdown@web.service\n\
         [Service]\nNetworkNamespacePath=/run/netns/web\n",
    )?;
    machine.write(
        "/etc/systemd/system/other.service",
        "[Unit]\nBindsTo=netns-ifupdown@web.service\nAfter=netns-ifupdown@web.service\n\
         [Service]\nExecStart=/usr/sbin/ip netns exec web nc -lk 81\n",
    )?;
    machine.run("systemctl daemon-reload")?;
    let before = traces(machine)?;
    machine.run("systemctl start nginx")?;
    expect_reached(machine, "web", 10)?;
    for address in ["192.0.2.10", "[2001:db8::10]"] {
        let page = machine.run(&format!("curl -sS --max-time 5 http://{address}/"))?;
        expect_in(&page.stdout, "Welcome to nginx")?;
    }
    let listening = machine.run("ss -Hlnt 'sport = 80'")?.stdout;
    ensure!(listening.is_empty(), "on the host: {listening}");
    machine
        .run("systemctl restart nginx && curl -sS --max-time 5 -o /dev/null http://192.0.2.10/")?;

    machine.run("systemctl start other && systemctl stop nginx && sleep 0.5")?;
    expect_instance(machine, "ifupdown", "web", [UP; 3])?;
    ping(machine, "web", "192.0.2.1")?;
    machine.run("systemctl stop other")?;
    expect_instance(machine, "ifupdown", "web", [DOWN; 3])?;
    expect_as_before(machine, &before)?;
    let failed = machine.run("systemctl list-units --failed --plain --no-legend")?;
    ensure!(!failed.stdout.contains("netns"), "{}", failed.stdout);
    machine
        .run("systemctl start nginx && curl -sS --max-time 5 -o /dev/null http://192.0.2.10/")?;
    Ok(())
}

fn started_by_hand_it_stays(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "web", 10)?;
    machine.write(
        "/etc/systemd/system/user.service",
        "[Unit]\nBindsTo=netns-ifupdown@web.service\nAfter=netns-ifupdown@web.service\n\
         [Service]\nExecStart=sleep infinity\n",
    )?;
    machine.run("systemctl daemon-reload")?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-ifupdown@web && sleep 0.5")?;
    expect_reached(machine, "web", 10)?;
    machine.run("systemctl start user && systemctl stop user && sleep 0.5")?;
    expect_instance(machine, "ifupdown", "web", [UP; 3])?;
    machine.run("systemctl restart netns-ifupdown@web && sleep 0.5")?;
    expect_instance(machine, "ifupdown", "web", [UP; 3])?;
    expect_reached(machine, "web", 10)?;
    machine.run("systemctl stop netns-ifupdown@web")?;
    expect_instance(machine, "ifupdown", "web", [DOWN; 3])?;
    expect_as_before(machine, &before)?;
    let units = machine
        .run("systemctl list-units --plain --no-legend 'netns*'")?
        .stdout;
    ensure!(units.is_empty(), "{units}");
    Ok(())
}

fn two_namespaces_alike(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "one", 11)?;
    // One name is a prefix of the other.
    configure(machine, "one-b", 12)?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-ifupdown@one netns-ifupdown@one-b")?;
    expect_reached(machine, "one", 11)?;
    expect_reached(machine, "one-b", 12)?;
    machine.run("systemctl stop netns-ifupdown@one")?;
    expect_instance(machine, "ifupdown", "one", [DOWN; 3])?;
    expect_reached(machine, "one-b", 12)?;
    machine.run("systemctl stop netns-ifupdown@one-b")?;
    expect_as_before(machine, &before)
}

fn links_made_by_stanzas(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate --quiet")?;
    machine.write("/etc/network/namespaces/web", &inside(10))?;
    // All of the file with the namespace's name: a bridge of its own, by bridge-utils.
    machine.write(
        "/etc/network/services/web",
        r"iface br-web inet static
    address 192.0.2.1/24
    bridge_ports none
iface br-web inet6 static
    address 2001:db8::1/64
    dad-attempts 0
iface ve-web inet manual
    pre-up ip link add ve-web type veth \
        peer name eth0
    pre-up ip link set eth0 netns $IF_NETNS
    netns web
    up ip link set ve-web master br-web up
    post-down ip link delete ve-web
",
    )?;
    machine.write(
        "/etc/network/services/other~",
        "iface never inet manual\n    netns web\n",
    )?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-ifupdown@web")?;
    expect_reached(machine, "web", 10)?;
    machine.run("systemctl restart netns-ifupdown@web")?;
    expect_reached(machine, "web", 10)?;
    machine.run("systemctl stop netns-ifupdown@web")?;
    expect_instance(machine, "ifupdown", "web", [DOWN; 3])?;
    expect_as_before(machine, &before)
}

fn links_made_inside(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    // 1 is a process of the host.
    machine.write(
        "/etc/network/namespaces/web",
        "auto lo
iface lo inet loopback
    up ip link add eth0 address 02:00:00:00:00:10 type veth peer name ve-web
    up ip link set ve-web netns 1
    down ip link delete eth0
",
    )?;
    machine.write(
        "/etc/network/services/ve-web",
        "iface ve-web inet manual
    up ip netns exec web ip address add 192.0.2.10/24 dev eth0
    up ip netns exec web ip link set eth0 up
    up ip link set ve-web up
    up ip netns exec web ip route add default via 192.0.2.1
    up ip netns exec web ip route add 198.51.100.0/24 via 192.0.2.254
    up brctl addif br0 ve-web
iface ve-web inet6 manual
    up ip netns exec web ip address add 2001:db8::10/64 dev eth0 nodad
    up ip netns exec web ip route add default via 2001:db8::1
    up ip netns exec web ip route add 2001:db8:1::/48 via 2001:db8::fe
",
    )?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-ifupdown@web")?;
    expect_reached(machine, "web", 10)?;
    machine.run("systemctl restart netns-ifupdown@web")?;
    expect_reached(machine, "web", 10)?;
    machine.run("systemctl stop netns-ifupdown@web")?;
    expect_instance(machine, "ifupdown", "web", [DOWN; 3])?;
    expect_as_before(machine, &before)
}

fn stanzas_that_the_host_knows(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "web", 10)?;
    machine.run("echo 'source /etc/network/services/*' >>/etc/network/interfaces")?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-ifupdown@web")?;
    expect_reached(machine, "web", 10)?;
    let state = machine.run("ifquery --state ve-web")?.stdout;
    ensure!(state == "ve-web=ve-web\n", "the host's ifupdown: {state}");
    machine.run("systemctl stop netns-ifupdown@web")?;
    expect_as_before(machine, &before)?;
    let state = machine.run("ifquery --state")?.stdout;
    ensure!(!state.contains("ve-web"), "the host's ifupdown: {state}");
    Ok(())
}

fn stanzas_change_while_up(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "web", 10)?;
    machine.sh("cd /etc/network
         echo '    down echo inside >>/run/went-down' >>namespaces/web
         echo '    post-down echo outside >>/run/went-down' >>services/ve-web")?;
    let before = traces(machine)?;
    machine.sh("systemctl start netns-ifupdown@web
         rm /etc/network/services/ve-web
         echo 'iface broken' >/etc/network/namespaces/web
         systemctl stop netns-ifupdown@web")?;
    expect_instance(machine, "ifupdown", "web", [DOWN; 3])?;
    expect_as_before(machine, &before)?;
    let went = machine.read("/run/went-down")?;
    ensure!(went == "inside\noutside\n", "{went}");
    Ok(())
}

fn a_stanza_that_fails(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "web", 10)?;
    let before = traces(machine)?;
    machine.sh("cat >>/etc/network/services/ve-web <<END
iface made inet manual
    netns web
    pre-up ip link add made type veth peer name other
    up brctl addif no-bridge made
END")?;
    let started = machine.try_run("systemctl start netns-ifupdown@web")?;
    ensure!(started.status == Some(1), "{started}");
    expect_instance(machine, "ifupdown", "web", [DOWN, FAILED, DOWN])?;
    let journal = machine.journal(&units("ifupdown", "web")[1])?;
    expect_in(&journal, "no-bridge")?;
    expect_in(&journal, "ifup: failed to bring up made")?;
    expect_as_before(machine, &before)?;

    configure(machine, "web", 10)?;
    machine.run("sed -i 's/via 192.0.2.254/via 203.0.113.1/' /etc/network/namespaces/web")?;
    let started = machine.try_run("systemctl start netns-ifupdown@web")?;
    ensure!(started.status == Some(1), "{started}");
    expect_instance(machine, "ifupdown", "web", [FAILED, DOWN, DOWN])?;
    let journal = machine.journal(&units("ifupdown", "web")[0])?;
    expect_in(&journal, "ifup: failed to bring up eth0")?;
    expect_as_before(machine, &before)
}

fn bad_stanzas_are_rejected(machine: &Machine) -> Result<()> {
    machine.sh("ip netns add web
         ip -n web link add taken type veth peer name peer
         ip link add host0 type veth peer name host1
         mkdir -p /etc/network/services /etc/network/namespaces")?;
    let good = "auto lo\niface lo inet loopback\n";
    for (namespace, service, says) in [
        (None, "", "/etc/network/namespaces/web: no such file"),
        (
            Some("iface eth0 inet stetic\n"),
            "",
            "/etc/network/namespaces/web: 1: ",
        ),
        (
            Some(good),
            "iface ve inet stetic\n    netns web\n",
            "/etc/network/services/x: 1: ",
        ),
        (
            Some(good),
            "iface interface-name-16 inet manual\n    netns web\n    netns-peer eth0\n",
            "/etc/network/services/x: interface-name-16: an interface name has at most 15 characters, this has 17",
        ),
        (
            Some(good),
            "iface ve inet manual\n    netns web\n    netns-peer a/b\n",
            "/etc/network/services/x: a/b: not a valid interface name",
        ),
        (
            Some(good),
            "iface host0 inet manual\n    netns web\n    netns-peer eth0\n",
            "/etc/network/services/x: the interface host0 already exists",
        ),
        (
            Some(good),
            "iface ve inet manual\n    netns web\n    netns-peer taken\n",
            "/etc/network/services/x: the interface taken already exists in web",
        ),
    ] {
        match namespace {
            Some(text) => machine.write("/etc/network/namespaces/web", text)?,
            None => drop(machine.run("rm -f /etc/network/namespaces/web")?),
        }
        machine.write("/etc/network/services/x", service)?;
        let before = traces(machine)?;
        let output = machine.try_run("netnsinit ifupdown web up outside")?;
        ensure!(
            output.status == Some(6) && output.stderr.contains(says),
            "with\n{service}\nexpected 6 and '{says}': {output}"
        );
        machine.run("netnsinit --undo ifupdown web down outside")?;
        expect_as_before(machine, &before)?;
    }
    Ok(())
}

fn deleted_behind_its_back(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "web", 10)?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-ifupdown@web")?;
    machine.run("ip netns delete web; ip link delete ve-web; systemctl stop netns-ifupdown@web")?;
    expect_instance(machine, "ifupdown", "web", [DOWN; 3])?;
    expect_as_before(machine, &before)?;
    machine.run("systemctl start netns-ifupdown@web")?;
    expect_reached(machine, "web", 10)
}

fn comes_back_after_a_reboot(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    configure(machine, "web", 10)?;
    machine.run("systemctl enable --quiet netns-ifupdown@web")?;
    machine.reboot()?;
    expect_instance(machine, "ifupdown", "web", [UP; 3])?;
    expect_reached(machine, "web", 10)
}
