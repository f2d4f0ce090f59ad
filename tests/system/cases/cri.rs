//! Pods of the Container Runtime Interface (CRI), by which a kubelet controls containerd.
//!
//! Debian has no client. curl is one: a call is a POST request by HTTP/2 whose body is a message of protobuf.

use anyhow::{Context, Result, ensure};

use super::containers::{addresses, has_runtimes, played, prepare, reach, section};
use super::type_support::{look, looks_like};
use crate::harness::Machine;

/// The settings without which pods do not start in a machine that is a container itself. The image serves as
/// the one that keeps the namespaces of a pod, too.
const CONFIGURE: &str = r#"
    cat >/etc/containerd/config.toml <<'END'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/busybox:latest"
disable_cgroup = true
restrict_oom_score_adj = true
END
    systemctl restart containerd
    ctr --namespace k8s.io image import /root/image.tar
"#;

/// A network of a type that publishes ports itself.
const OUT: &str = r#"
    cat >/etc/cni/net.d/20-out.conflist <<'END'
    {"cniVersion": "1.0.0", "name": "out", "plugins": [
        {"type": "netns-cni", "nstype": "nat", "nsname": "{name}", "capabilities": {"portMappings": true}}]}
END
"#;

pub fn pods(machine: &Machine) -> Result<()> {
    if !has_runtimes(machine) {
        return played(machine);
    }
    prepare(machine)?;
    machine.sh(CONFIGURE)?;
    let page = section("Kubernetes", machine.suite())?;
    for script in [OUT, &page[0].script] {
        machine.sh(script)?;
        // It reads the configuration some time after a change, or when it starts.
        machine.sh("systemctl restart containerd")?;
        // The plugin portmap leaves chains.
        run(machine).with_context(|| format!("with\n{script}"))?;
        let before = look(machine)?;
        run(machine)?;
        looks_like(machine, &before).with_context(|| format!("with\n{script}"))?;
        machine.sh("rm /etc/cni/net.d/*")?;
    }
    Ok(())
}

/// Runs a pod with a published port and reaches it.
fn run(machine: &Machine) -> Result<()> {
    // Names and types of fields: PodSandboxConfig in api.proto of k8s.io/cri-api. The ports are 80 and 99.
    let metadata = [field(1, b"web"), field(2, b"1-2-3"), field(3, b"default")].concat();
    let ports = [0x10, 80, 0x18, 99];
    let configuration = [field(1, &metadata), field(5, &ports), field(8, b"")].concat();
    let answer = call(machine, "RunPodSandbox", &field(1, &configuration))?;
    let id = answer
        .split(|c: char| !c.is_ascii_hexdigit())
        .find(|word| word.len() == 64)
        .with_context(|| format!("no ID in {answer}"))?;
    reach(machine, "")?;
    machine.sh("curl --silent --fail -o /dev/null http://127.0.0.1:99/true")?;
    let status = call(machine, "PodSandboxStatus", &field(1, id.as_bytes()))?;
    for address in addresses(machine)? {
        ensure!(status.contains(&address), "{address} is not in {status}");
    }
    // A kubelet repeats the first one.
    for method in ["StopPodSandbox", "StopPodSandbox", "RemovePodSandbox"] {
        call(machine, method, &field(1, id.as_bytes()))?;
    }
    Ok(())
}

/// A field of a message: text or another message, of up to 127 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

/// Calls a method, and returns the printable characters of the answer.
fn call(machine: &Machine, method: &str, message: &[u8]) -> Result<String> {
    ensure!(message.len() < 128, "{method}: the message is too long");
    let body = [&[0, 0, 0, 0, message.len() as u8], message].concat();
    let body: String = body.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let answer = machine.sh(&format!(
        "printf '{body}' | curl --silent --show-error --include --http2-prior-knowledge \\
             --unix-socket /run/containerd/containerd.sock --data-binary @- \\
             -H 'content-type: application/grpc' -H 'te: trailers' \\
             http://localhost/runtime.v1.RuntimeService/{method} | tr -c '[:print:]' '\\n'"
    ))?;
    let succeeded = answer.stdout.contains("grpc-status: 0");
    ensure!(succeeded, "{method}: {}", answer.stdout);
    Ok(answer.stdout)
}
