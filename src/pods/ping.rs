//! Pings pods.

use std::ffi::OsString;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Result, ensure};

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::pods::record::PodRecord;
use crate::pods::settings::Settings;
use crate::sys::command;
use crate::sys::exit::Exit;
use crate::sys::log;
use crate::sys::parallel;
use crate::sys::process::Steps;
use crate::sys::progress::Bar;
use crate::sys::user::require_root;

/// Which addresses to ping, and from where.
#[derive(Debug)]
pub struct PingRequest {
    /// The time to wait for an answer, in seconds.
    pub timeout: u32,
    /// Ping from each pod of this node instead of the node itself.
    pub between: bool,
    /// Ping only the pods of this node.
    pub local: bool,
    /// Ping only addresses of this family, 4 or 6.
    pub family: Option<u8>,
    /// The number of pings at a time.
    pub jobs: Option<usize>,
}

/// Pings the pods with these numbers on all nodes, and returns the exit status.
pub fn run(
    root: &Root,
    settings: &Settings,
    numbers: std::ops::Range<u32>,
    request: &PingRequest,
) -> Result<u8> {
    let targets = targets(settings, numbers, request)?;
    let sources: Vec<Option<NsName>> = match request.between {
        false => vec![None],
        true => {
            require_root()?;
            let records = PodRecord::all(root)?;
            ensure!(!records.is_empty(), "there are no pods to ping from");
            records
                .into_iter()
                .map(|record| Some(record.name))
                .collect()
        }
    };
    let pairs: Vec<(&Option<NsName>, &IpAddr)> = sources
        .iter()
        .flat_map(|source| targets.iter().map(move |target| (source, target)))
        .collect();
    let enter = command::find("nsenter")?;
    command::find("ping")?;
    let timeout = request.timeout.to_string();
    let words = |(source, target): &(&Option<NsName>, &IpAddr)| {
        // nsenter(1) requires a namespace, even for the node's own.
        let here = PathBuf::from("/proc/self/ns/net");
        let mut network = OsString::from("--net=");
        network.push(source.as_ref().map_or(here, |name| root.netns(name)));
        let target = target.to_string();
        // With -w, ping sends a packet each second until the first answer.
        let ping = ["--", "ping", "-n", "-q", "-c", "1", "-w", &timeout, &target];
        let ping = ping.into_iter().map(OsString::from);
        std::iter::once(network).chain(ping).collect::<Vec<_>>()
    };
    let arguments: Vec<Vec<OsString>> = pairs.iter().map(words).collect();
    let mut signals = Steps::begin()?;
    let mut bar = Bar::begin("pings", pairs.len());
    let (mut answered, mut silent, mut interrupted) = (0, Vec::new(), false);
    let most = request.jobs.unwrap_or_else(parallel::most);
    parallel::run(
        &enter,
        &arguments,
        most,
        || {
            interrupted |= signals.interrupted();
            interrupted
        },
        |number, output| {
            match output.status.success() {
                true => answered += 1,
                false => silent.push((number, why(output))),
            }
            bar.update(answered + silent.len());
            ControlFlow::Continue(())
        },
    )?;
    bar.clear();
    silent.sort_unstable();
    const SHOWN: usize = 20;
    for (number, why) in silent.iter().take(SHOWN) {
        let (source, target) = pairs[*number];
        let from = source.as_ref().map(|name| format!("{name}: "));
        let from = from.unwrap_or_default();
        log::error(&format!("{from}no answer from {target}{why}"));
    }
    if silent.len() > SHOWN {
        log::error(&format!("and {} more", silent.len() - SHOWN));
    }
    let all = pairs.len();
    log::info(&format!("{answered} of {all} pings were answered"));
    Ok(match (interrupted, answered == all) {
        (true, _) => 128 | libc::SIGINT as u8,
        (false, true) => 0,
        (false, false) => Exit::Failure as u8,
    })
}

/// The error message of ping(8); empty if there was just no answer.
fn why(output: &Output) -> String {
    const UNANSWERED: i32 = 1;
    match output.status.code() {
        Some(UNANSWERED) => String::new(),
        _ => command::last_line(&output.stderr),
    }
}

fn targets(
    settings: &Settings,
    numbers: std::ops::Range<u32>,
    request: &PingRequest,
) -> Result<Vec<IpAddr>> {
    let nodes = match settings.nodes {
        Some(nodes) if !request.local => 1..=nodes,
        _ => settings.node..=settings.node,
    };
    let mut targets = Vec::new();
    for node in nodes {
        for pod in numbers.clone() {
            targets.extend(settings.addresses.of_pod(node, pod)?.map(|net| net.addr()));
        }
    }
    targets.retain(|address| request.family.is_none_or(|f| (f == 4) == address.is_ipv4()));
    Ok(targets)
}
