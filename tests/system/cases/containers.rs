//! Containers of real runtimes, with our types as networks.

use anyhow::{Context, Result, ensure};

use super::docs::{Part, parts};
use super::support::SOON;
use super::type_support::{look, looks_like};
use super::{cri, type_wireguard};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("podman", podman),
    ("containerd", containerd),
    ("cri", cri::pods),
    ("page", page),
];

/// Of busybox, which serves its own programs by HTTP.
pub const IMAGE: &str = "docker.io/library/busybox";

/// Makes the image, in a file that both runtimes import. The settings are those without which containers do
/// not start in a machine that is a container itself.
pub const PREPARE: &str = r#"
    mkdir -p /root/image/{bin,etc,tmp} /var/lib/containerd /etc/containers /etc/containerd /etc/cni/net.d
    mount -t tmpfs tmpfs /var/lib/containers
    mount -t tmpfs tmpfs /var/lib/containerd
    cp /bin/busybox /root/image/bin/
    for file in $(ldd /bin/busybox | grep -o '/[^ ]*'); do
        mkdir -p "/root/image${file%/*}"
        cp -L "$file" "/root/image$file"
    done
    for name in httpd ip sh sleep true wget; do ln -s busybox "/root/image/bin/$name"; done
    cat >/etc/containers/containers.conf <<'END'
[containers]
cgroups = "disabled"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
    if [[ $(podman --version) == *' 4.'* ]]; then
        printf '[network]\nnetwork_backend = "cni"\n' >>/etc/containers/containers.conf
    fi
    tar -C /root/image -c . | podman import -q -c 'CMD ["/bin/httpd", "-f", "-h", "/bin"]' - docker.io/library/busybox
    podman save -q -o /root/image.tar docker.io/library/busybox
    rm -f /etc/cni/net.d/*
    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/etc/containerd/config.toml
    systemctl start containerd
    ctr image import /root/image.tar
    # ctr looks for plugins only in this directory.
    ln -s /usr/lib/cni/{host-local,loopback} /opt/cni/bin/
"#;

/// A bridge of the host; without a port that is up, it would have no carrier.
const BRIDGE: &str = "
    ip link add br0 type bridge
    ip address add 10.46.0.1/24 dev br0
    ip address add fd00:46::1/64 dev br0 nodad
    ip link set br0 up
    ip link add p0 type veth peer name p1
    ip link set p0 master br0 up
    ip link set p1 up
";

/// The networks, each with the configuration of its plugin and the options of `podman network create`.
const NETWORKS: [(&str, &str, &str); 4] = [
    (
        "lab",
        r#""nstype": "veth", "ipam": {"type": "host-local",
            "ranges": [[{"subnet": "10.44.0.0/24"}], [{"subnet": "fd00:44::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}"#,
        "--opt nstype=veth --subnet 10.44.0.0/24 --ipv6 --subnet fd00:44::/64",
    ),
    (
        "out",
        r#""nstype": "nat", "capabilities": {"portMappings": true}"#,
        "--opt nstype=nat",
    ),
    (
        "lan",
        r#""nstype": "bridge", "capabilities": {"mac": true}, "variables": {"BRIDGE": "br0"}, "nsname": "lan-{id:4}", "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.46.0.0/24"}], [{"subnet": "fd00:46::/64"}]]}"#,
        "--opt nstype=bridge --opt BRIDGE=br0 --opt nsname=lan-{id:4} --subnet 10.46.0.0/24 --ipv6 --subnet fd00:46::/64",
    ),
    (
        VPN,
        r#""nstype": "wireguard", "variables": {"WIREGUARD_CONFIG": "/etc/wireguard/b.conf"}"#,
        "--opt nstype=wireguard --opt WIREGUARD_CONFIG=/etc/wireguard/b.conf",
    ),
];

/// The network whose containers are reached only by the other end of a tunnel, the namespace `a`.
const VPN: &str = "vpn";

/// Creates what the networks need on the host.
fn make_host(machine: &Machine) -> Result<()> {
    machine.sh(BRIDGE)?;
    machine.sh(type_wireguard::PEERS)?;
    machine.sh("systemctl start netns-wireguard@a").map(drop)
}

/// Releases of Debian with usable versions of the runtimes.
pub fn has_runtimes(machine: &Machine) -> bool {
    ["bookworm", "trixie"].contains(&machine.suite())
}

pub fn prepare(machine: &Machine) -> Result<()> {
    machine.sh(PREPARE).map(drop)
}

/// Writes the configuration of a network for CNI.
fn write_conflist(machine: &Machine, name: &str, plugin: &str) -> Result<()> {
    machine.write(
        &format!("/etc/cni/net.d/{name}.conflist"),
        &format!(
            r#"{{"cniVersion": "1.0.0", "name": "{name}", "plugins": [{{"type": "netns-cni", {plugin}}}]}}"#
        ),
    )
}

/// The addresses of an interface `eth0` in a namespace of ours, an IPv4 and an IPv6 address.
pub fn addresses(machine: &Machine) -> Result<Vec<String>> {
    let list = "for name in $(ls -A /run/systemd-netns/namespaces); do
            ip -n $name -oneline address show dev eth0 scope global 2>/dev/null || :
        done | sed -n 's,.* inet6* \\([^ /]*\\).*,\\1,p'";
    let mut found: Vec<String> = machine
        .run(list)?
        .stdout
        .lines()
        .map(str::to_owned)
        .collect();
    found.sort_by_key(|address| address.contains(':'));
    Ok(found)
}

/// Fails unless the web server of the only container is reached from the host, or from the other end of the
/// tunnel, by both address families.
pub fn reach(machine: &Machine, network: &str) -> Result<()> {
    let client = match network {
        VPN => "ip netns exec a curl",
        _ => "curl",
    };
    let has_both = |machine: &Machine| Ok(addresses(machine)?.len() == 2);
    machine.wait_until("the container has two addresses", SOON, has_both)?;
    for address in addresses(machine)? {
        let host = if address.contains(':') {
            format!("[{address}]")
        } else {
            address
        };
        machine.sh(&format!(
            "{client} --silent --fail --retry 8 --retry-all-errors --max-time 5 -o /dev/null 'http://{host}/true'"
        ))?;
    }
    Ok(())
}

/// Fails unless nothing of a removed container is left. A tunnel would leave its daemon.
fn left_nothing(machine: &Machine, before: &str) -> Result<()> {
    looks_like(machine, before)?;
    machine.sh("[[ $(ls /run/wireguard) == wg-a.sock ]]; (($(ps -C wireguard-go -o stat= | grep -vc Z) == 1))")?;
    Ok(())
}

fn podman(machine: &Machine) -> Result<()> {
    if !has_runtimes(machine) {
        return played(machine);
    }
    prepare(machine)?;
    make_host(machine)?;
    let cni = machine.sh("podman --version")?.stdout.contains(" 4.");
    for (name, plugin, options) in NETWORKS {
        match cni {
            true => write_conflist(machine, name, plugin)?,
            false => drop(machine.sh(&format!("podman network create -d netns {options} {name}"))?),
        }
    }
    machine.sh("podman network ls")?;
    let before = look(machine)?;
    for (name, ..) in NETWORKS {
        let publish = if name == "out" { "-p 8080:80" } else { "" };
        machine.sh(&format!(
            "podman run -d --name c --network {name} {publish} {IMAGE} httpd -f -h /bin"
        ))?;
        reach(machine, name).with_context(|| format!("network {name}"))?;
        if name == "out" {
            machine.sh("curl --silent --fail -o /dev/null http://127.0.0.1:8080/true")?;
        }
        machine.sh("podman rm -f -t 0 c")?;
        left_nothing(machine, &before).with_context(|| format!("network {name}"))?;
    }
    // Both networks at once, each with its own interface.
    machine.sh(&format!(
        "podman run --rm --network lab --network out {IMAGE} sh -c 'ip link show eth0 && ip link show eth1'"
    ))?;
    looks_like(machine, &before)?;
    // A multicast address, which the functions refuse.
    let refused = machine.try_run(&format!(
        "podman run --rm --network lan --mac-address 03:00:00:00:00:01 {IMAGE} true"
    ))?;
    ensure!(refused.status != Some(0), "{refused}");
    machine.sh("podman rm -fa -t 0")?;
    looks_like(machine, &before)
}

fn containerd(machine: &Machine) -> Result<()> {
    if !has_runtimes(machine) {
        return played(machine);
    }
    prepare(machine)?;
    make_host(machine)?;
    let before = look(machine)?;
    for (name, plugin, _) in NETWORKS {
        write_conflist(machine, name, plugin)?;
        // In the foreground: otherwise, ctr does not take the network down.
        machine.sh(&format!(
            "systemd-run --quiet --unit=c ctr run --cpu-shares 0 --rm --cni {IMAGE}:latest c httpd -f -h /bin"
        ))?;
        reach(machine, name).with_context(|| format!("network {name}"))?;
        machine.sh(
            "ctr task kill -s KILL c; while systemctl is-active c; do sleep 0.1; done
            systemctl reset-failed; rm /etc/cni/net.d/*",
        )?;
        left_nothing(machine, &before).with_context(|| format!("network {name}"))?;
    }
    Ok(())
}

/// The plugin without a runtime.
pub fn played(machine: &Machine) -> Result<()> {
    let before = look(machine)?;
    machine.sh(r#"
        ip netns add c
        export CNI_CONTAINERID=c CNI_IFNAME=eth0 CNI_NETNS=/run/netns/c CNI_PATH=/usr/lib/cni
        network='{"cniVersion": "0.4.0", "name": "n", "type": "netns-cni", "nstype": "nat"}'
        CNI_COMMAND=ADD /usr/lib/cni/netns-cni <<<"$network"
        ip -n c -4 -oneline address show dev eth0
        CNI_COMMAND=DEL CNI_NETNS='' /usr/lib/cni/netns-cni <<<"$network"
        ip netns delete c
    "#)?;
    looks_like(machine, &before)
}

const PAGE: &str = include_str!("../../../docs/containers.md");

/// The parts of a section of the page to run.
pub fn section(title: &str, suite: &str) -> Result<Vec<Part>> {
    let (_, text) = PAGE
        .split_once(&format!("\n## {title}\n"))
        .with_context(|| format!("there is no section '{title}'"))?;
    let parts = parts(text.split("\n## ").next().unwrap_or_default(), suite);
    ensure!(!parts.is_empty(), "'{title}' has no commands");
    Ok(parts)
}

/// Checks to run after the block of the page that contains a text.
const EFFECTS: [(&str, &str); 6] = [
    (
        "--opt nstype=nat out",
        "curl --silent --fail --retry 8 --retry-all-errors -o /dev/null http://127.0.0.1:8080/true",
    ),
    ("podman rm -f -t 0 web", "[[ ! $(ls -A /run/netns) ]]"),
    ("network lan", "[[ ! $(ls -A /run/netns) ]]"),
    (
        "ctr run",
        "[[ ! $(ls -A /run/netns) ]]; (! ls /var/lib/cni/networks/lab/10.44.*)",
    ),
    ("ns:/run/netns/web", "systemctl is-active netns-nat@web"),
    (
        "/host/opt/cni/bin",
        "cmp /dist/usr/lib/cni/netns-cni /opt/cni/bin/netns-cni
         diff -r /dist/usr/share/systemd-netns /usr/share/systemd-netns
         CNI_COMMAND=VERSION /opt/cni/bin/netns-cni <<<'{}'; netnsctl list",
    ),
];

/// Creates what the section about installation requires, and breaks the files that it must replace.
const DISTRIBUTE: &str = "
    mkdir /dist /host
    cp -a --parents /usr/lib/cni/netns-cni /usr/sbin/netnsctl /usr/share/systemd-netns /dist
    mount --bind / /host
    rm -r /opt/cni /usr/lib/cni/netns-cni /usr/sbin/netnsctl /usr/share/systemd-netns/nat.sh
    touch /usr/share/systemd-netns/old.sh
";

/// The sections of the page for this release, with the engines that it has.
fn page(machine: &Machine) -> Result<()> {
    let engine = match machine.suite() {
        "bookworm" => "Podman 4",
        _ => "Podman 5",
    };
    let mut sections = vec!["Install on every node"];
    if has_runtimes(machine) {
        prepare(machine)?;
        machine.sh(type_wireguard::PEERS)?;
        machine.sh("cp /etc/wireguard/b.conf /etc/wireguard/web.conf")?;
        sections.splice(0..0, [engine, "containerd", "In an existing namespace"]);
    }
    for section in sections {
        if section.starts_with("Install") {
            machine.sh(DISTRIBUTE)?;
        }
        for part in self::section(section, machine.suite())? {
            let script = &part.script;
            // A machine that is a container itself has no controller for it.
            machine.sh(&script.replace("ctr run", "ctr run --cpu-shares 0"))?;
            for (_, effect) in EFFECTS.iter().filter(|(text, _)| script.contains(text)) {
                machine
                    .sh(effect)
                    .with_context(|| format!("after\n{script}"))?;
            }
        }
    }
    // The files that the last section has installed, and the network of the one about containerd.
    match has_runtimes(machine) {
        true => machine
            .sh(&format!(
                "ln -s /usr/lib/cni/{{host-local,loopback}} /opt/cni/bin/
                 ctr run --cpu-shares 0 --rm --cni {IMAGE}:latest c2 ip address show eth0 | grep 10.44.0"
            ))
            .map(drop),
        false => played(machine),
    }
}
