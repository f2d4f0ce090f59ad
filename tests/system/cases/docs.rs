//! The commands of the documentation, as they stand there, and what they must have done.

use anyhow::{Context, Result, ensure};

use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[("services", services)];

const SERVICES: &str = include_str!("../../../docs/services.md");

/// What must be so after the block that holds a text.
const EFFECTS: [(&str, &str); 12] = [
    ("attach nginx veth@web --now", "inside nginx web"),
    (
        "detach nginx --now",
        "[[ ! -e /etc/systemd/system/nginx.service.d ]]",
    ),
    (
        "attach \"page@$name\"",
        "inside page@web web; inside page@db db; [[ ! $(ss -Hltn 'sport = :80') ]]",
    ),
    ("systemctl restart netns-veth@web", "inside page@web web"),
    (
        "netnsctl rebind",
        "(! grep scanner /etc/hosts); [[ ! -e /etc/netns/web/hosts ]]",
    ),
    (
        "--dns 192.0.2.53",
        "files=/proc/$(pid page@web)/root/etc/resolv.conf
         grep -x 'nameserver 192.0.2.53' $files; grep -x 'nameserver 2001:db8::53' $files
         (! grep 192.0.2.53 /etc/resolv.conf)",
    ),
    (
        "--strict-dns",
        "grep -x 'hosts: files dns' /proc/$(pid page@web)/root/etc/nsswitch.conf
         (! grep -x 'hosts: files dns' /etc/nsswitch.conf); inside page@web web",
    ),
    (
        "NETNS_REQUIRES=",
        "systemctl is-active netns_name@store netns-veth@web; inside page@db db",
    ),
    (
        "lo@web --remove",
        "(! ls -d /etc/systemd/system/netns_outside-*.d)",
    ),
    (
        "unpublish web 8080\n",
        "(! curl -s http://127.0.0.1:8080/); (! ls /etc/systemd/system/netns_publish*)",
    ),
    (
        "unpublish web 8080 --from db",
        "(! ip netns exec db curl -s http://127.0.0.1:8080/); (! ls /etc/systemd/system/netns_publish*)",
    ),
    (
        "start echo.socket",
        "[[ ! $(ss -Hltn 'sport = :7') && $(ip netns exec web ss -Hltn 'sport = :7') ]]",
    ),
];

/// Words of the effects: the process of a service, and whether it is in a namespace.
const WORDS: &str = r#"
    pid() { systemctl show --property=MainPID --value "$1"; }
    inside() { [[ "/proc/$(pid "$1")/ns/net" -ef "/run/netns/$2" ]]; }
"#;

/// What is in blocks of `sh`, in order. Bash lets a command with `!` pass, whatever it does, unless it is the
/// last one or in parentheses.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("\n```sh\n").skip(1);
    let blocks = blocks.map(|part| part.split("```").next().unwrap_or_default());
    let line = |line: &str| match line.strip_prefix("! ") {
        Some(command) => format!("(! {command})\n"),
        None => format!("{line}\n"),
    };
    blocks
        .map(|block| block.lines().map(line).collect())
        .collect()
}

fn services(machine: &Machine) -> Result<()> {
    let blocks = commands(SERVICES);
    for (text, _) in EFFECTS {
        let holds = blocks.iter().any(|block| block.contains(text));
        ensure!(holds, "no block holds '{text}'");
    }
    for block in blocks {
        machine.sh(&block)?;
        for (_, effect) in EFFECTS.iter().filter(|(text, _)| block.contains(text)) {
            machine
                .sh(&format!("{WORDS}{effect}"))
                .with_context(|| format!("after\n{block}"))?;
        }
    }
    Ok(())
}
