//! Helpers of the tests of types.

use anyhow::{Context, Result, ensure};

use super::support::{comes_to, misconfigured};
use crate::harness::Machine;

/// Prints the state of a machine, without the parts that may differ after a start and a stop.
///
/// Without lifetimes of addresses and counters of rules. Our own directories may remain, but no files.
const LOOK: &str = r"
    ls -A /run/netns 2>/dev/null || :
    find /run/systemd-netns /etc/netns -type f 2>/dev/null || :
    ip -oneline link | sed 's/^[0-9]*: //; s/ state .*//'
    ip -oneline address | sed 's/^[0-9]*: //; s/ valid_lft.*//' | grep -v ' fe80:' || :
    ip route show table all | grep -v '^\(broadcast\|multicast\|local fe80\|anycast\|fe80\)' || :
    ip -6 rule; ip -4 rule
    nft --stateless list ruleset
    grep -s . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/{forwarding,accept_redirects,route_localnet} || :
    grep -s . /proc/sys/net/ipv6/conf/*/{forwarding,accept_ra} || :
    systemctl list-units --plain --no-legend --state=active,activating,deactivating 'netns*'
";

/// The state of a machine, to compare with a later one.
pub fn look(machine: &Machine) -> Result<String> {
    Ok(machine.run(LOOK)?.stdout)
}

/// Fails unless the state of the machine is `before` again within [`SOON`].
pub fn looks_like(machine: &Machine, before: &str) -> Result<()> {
    comes_to(machine, before, look)
}

/// Fails unless an instance does not start with `line` at the end of its configuration, says `text`, which
/// is its fault (exit code 6), and leaves nothing behind.
pub fn refuses(machine: &Machine, instance: &str, line: &str, text: &str) -> Result<()> {
    let (nstype, nsname) = instance.split_once('@').context("no instance")?;
    let conf = format!("/etc/conf.d/netns/{nstype}-{nsname}.conf");
    let before = look(machine)?;
    machine.sh(&format!("cp {conf} /root/kept"))?;
    let whole = format!("{}\n{line}\n", machine.read(&conf)?);
    machine.write(&conf, &whole)?;
    misconfigured(machine, nstype, nsname, text).with_context(|| format!("with {line}"))?;
    machine.sh(&format!("mv /root/kept {conf}"))?;
    looks_like(machine, &before).with_context(|| format!("with {line}"))
}

/// A network of the host: the link `lan0` to a namespace `lan`, which has a web server on port 80 that returns
/// the address of the client, and echoes UDP on port 7.
///
/// The host is 198.51.100.1 and 2001:db8:1::1 there, the server `.2` and `::2`; the server has no route
/// back to anything else.
pub fn make_lan(machine: &Machine) -> Result<()> {
    machine.sh("
        ip netns add lan
        ip link add lan0 type veth peer name lan1 netns lan
        ip address add 198.51.100.1/24 dev lan0
        ip address add 2001:db8:1::1/64 dev lan0 nodad
        ip link set lan0 up
        ip -n lan address add 198.51.100.2/24 dev lan1
        ip -n lan address add 2001:db8:1::2/64 dev lan1 nodad
        ip -n lan link set lan1 up
        ip -n lan link set lo up")?;
    serve(machine, "lan", 80, 7)
}

/// Starts a web server that tells the address of who asks, and an echo of UDP, in a namespace.
pub fn serve(machine: &Machine, nsname: &str, http: u16, udp: u16) -> Result<()> {
    let conf = format!("/root/nginx-{nsname}.conf");
    machine.write(
        &conf,
        &format!(
            "daemon off; master_process off; pid /run/nginx-{nsname}.pid; error_log stderr;\n\
             events {{}}\nhttp {{ access_log off; server {{\n\
             listen {http}; listen [::]:{http} ipv6only=on;\n\
             return 200 \"seen $remote_addr\\n\"; }} }}\n"
        ),
    )?;
    machine.write(
        "/root/echo.py",
        "import socket, sys\n\
         udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n\
         udp.bind(('::', int(sys.argv[1])))\n\
         while True:\n\
         \x20   data, peer = udp.recvfrom(9999)\n\
         \x20   if data: udp.sendto(b'echo ' + data, peer)\n",
    )?;
    machine.sh(&format!(
        r#"systemd-run --quiet --collect --unit=serve-{nsname} ip netns exec {nsname} nginx -c {conf}
         systemd-run --quiet --collect --unit=echo-{nsname} ip netns exec {nsname} \
             python3 /root/echo.py {udp}
         ready() {{ [[ $(ip netns exec {nsname} ss -Hlnut "sport = :{http} or sport = :{udp}" | wc -l) == 3 ]]; }}
         for i in $(seq 100); do if ready; then break; fi; sleep 0.1; done
         ready"#
    ))?;
    Ok(())
}

/// The answer of a web server to a client in a namespace, or on the host if that is empty.
pub fn get(machine: &Machine, nsname: &str, address: &str) -> Result<String> {
    let enter = enter(nsname);
    let got = machine.try_run(&format!(
        "{enter} curl --silent --show-error --max-time 3 http://{address}/ 2>&1"
    ))?;
    Ok(got.stdout.trim().to_owned())
}

/// The answer of a UDP echo server; empty if there is none.
pub fn echo(machine: &Machine, nsname: &str, family: u8, address: &str) -> Result<String> {
    let enter = enter(nsname);
    let got = machine.try_run(&format!(
        "echo hello | {enter} socat -t 1 - UDP{family}:{address} 2>&1"
    ))?;
    Ok(got.stdout.trim().to_owned())
}

fn enter(nsname: &str) -> String {
    match nsname {
        "" => String::new(),
        _ => format!("ip netns exec {nsname}"),
    }
}

/// Fails unless both are equal.
pub fn expect(found: &str, expected: &str, what: &str) -> Result<()> {
    ensure!(
        found == expected,
        "{what}: found '{found}', expected '{expected}'"
    );
    Ok(())
}
