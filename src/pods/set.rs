//! Pods of this node, several at once: create, delete, connect.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use ipnet::IpNet;

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::sources;
use crate::instance::trust::Trust;
use crate::namespace::NetNs;
use crate::pods::crew::{Crew, Failure, Outcome};
use crate::pods::record::Record;
use crate::pods::settings::Settings;
use crate::sys::command;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::sys::lock::Lock;
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;
use crate::systemd::unit;

/// The type that all pods are of.
pub const POD: &str = "pod";

/// What `create` makes of each pod.
#[derive(Debug, Default)]
pub struct Request {
    /// Types that are brought up in addition.
    pub types: Vec<NsType>,
    /// Without a link of its own.
    pub bare: bool,
    pub bridge: Option<String>,
    pub uplink: Option<String>,
    /// The node's address on the bridge is the default gateway, and the node forwards.
    pub gateway: bool,
    pub hairpin: bool,
    pub keep_going: bool,
    pub jobs: Option<usize>,
}

/// Creates the pods with these numbers, all or none, and gives the exit status.
///
/// # Errors
/// Nothing was done: a pod exists already, or has no address, or one that another pod has.
pub fn create(
    root: &Root,
    settings: &Settings,
    numbers: std::ops::Range<u32>,
    request: &Request,
) -> Result<u8> {
    require_root()?;
    let records = plan(settings, numbers, request)?;
    let _lock = Lock::take(&root.pods_lock())?;
    check(root, &records)?;
    let mut crew = Crew::gather(request.jobs)?;
    for record in &records {
        if let Err(error) = record.write(root) {
            forget(root, &records);
            return Err(error);
        }
    }
    let mut bad = BTreeSet::new();
    let mut failures = Vec::new();
    let mut interrupted = false;
    for wave in waves(&records) {
        let wave: Vec<Instance> = wave
            .into_iter()
            .filter(|instance| !bad.contains(&instance.nsname))
            .collect();
        let outcome = crew.up("creating pods", &wave, request.keep_going)?;
        interrupted |= outcome.interrupted;
        bad.extend(outcome.failures.iter().map(|f| f.instance.nsname.clone()));
        failures.extend(outcome.failures);
        if interrupted || !failures.is_empty() && !request.keep_going {
            break;
        }
    }
    let count = records.len();
    if failures.is_empty() && !interrupted {
        log::info(&format!("created {}", pods(count)));
        return Ok(0);
    }
    let kept = request.keep_going && !interrupted;
    let (undone, good): (Vec<Record>, Vec<Record>) = records
        .into_iter()
        .partition(|record| !kept || bad.contains(&record.name));
    report(&failures);
    let left = take_down(root, &mut crew, "deleting pods", &undone)?;
    forget_failures(root, &failures)?;
    let why = match (interrupted, failures.len()) {
        (true, _) => "interrupted".to_owned(),
        (false, failed) => format!("{failed} of {} failed", pods(count)),
    };
    let undone = match left {
        0 => "cleaned up".to_owned(),
        left => format!("{left} could not be deleted: see 'netnsctl pods list'"),
    };
    if kept {
        let names: Vec<&str> = good.iter().map(|record| record.name.as_str()).collect();
        let list = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(" ")
        };
        log::error(&format!("{why}; {undone}; created {list}"));
    } else {
        log::error(&format!(
            "could not create {}: {why}; {undone}",
            pods(count)
        ));
    }
    Ok(if interrupted {
        128 | libc::SIGINT as u8
    } else {
        Exit::Failure as u8
    })
}

/// Deletes pods, and gives the exit status.
pub fn delete(root: &Root, wanted: &Selection, jobs: Option<usize>) -> Result<u8> {
    require_root()?;
    let _lock = Lock::take(&root.pods_lock())?;
    let records = wanted.records(root)?;
    if records.is_empty() {
        log::info("there are no pods");
        return Ok(0);
    }
    let mut crew = Crew::gather(jobs)?;
    let count = records.len();
    match take_down(root, &mut crew, "deleting pods", &records)? {
        0 => log::info(&format!("deleted {}", pods(count))),
        left => {
            log::error(&format!("{left} of {} could not be deleted", pods(count)));
            return Ok(Exit::Failure as u8);
        }
    }
    Ok(0)
}

/// Makes the outer ends of pods ports of a bridge that exists. They stay that when a pod restarts.
pub fn connect(root: &Root, wanted: &Selection, bridge: &str, hairpin: bool) -> Result<u8> {
    require_root()?;
    let _lock = Lock::take(&root.pods_lock())?;
    let ip = command::find("ip")?;
    let records = wanted.records(root)?;
    ensure!(!records.is_empty(), "there are no pods");
    let mut links = Vec::new();
    for record in &records {
        let Some(link) = record.get("POD_IFNAME_OUTSIDE") else {
            bail!("pod {} has no link to connect", record.name);
        };
        links.push(link);
    }
    command::output(&ip, &["link", "show", "dev", bridge, "type", "bridge"])?;
    for link in &links {
        command::output(&ip, &["link", "show", "dev", link])?;
    }
    for (record, link) in records.iter().zip(&links) {
        command::output(&ip, &["link", "set", "dev", link, "master", bridge])?;
        let mut changed = record.clone();
        if hairpin {
            let words = [
                "link",
                "set",
                "dev",
                link,
                "type",
                "bridge_slave",
                "hairpin",
                "on",
            ];
            command::output(&ip, &words)?;
            changed.set("POD_HAIRPIN", "yes");
        }
        changed.set("POD_BRIDGE", bridge);
        changed.write(root)?;
    }
    log::info(&format!("connected {} to {bridge}", pods(records.len())));
    Ok(0)
}

/// Which of the pods that exist.
#[derive(Debug)]
pub enum Selection {
    All,
    Named(Vec<NsName>),
}

impl Selection {
    /// All pods where no count is given, else those with these numbers.
    pub fn of(settings: &Settings, count: Option<u32>, first: u32) -> Result<Self> {
        let Some(count) = count else {
            return Ok(Self::All);
        };
        let numbers = settings.numbers(Some(count), first)?;
        let names: Result<_> = numbers.map(|number| settings.name(number)).collect();
        Ok(Self::Named(names?))
    }

    pub fn records(&self, root: &Root) -> Result<Vec<Record>> {
        let Self::Named(names) = self else {
            return Record::all(root);
        };
        let mut records = Vec::new();
        for name in names {
            match Record::read(root, name)? {
                Some(record) => records.push(record),
                None => bail!("there is no pod '{name}': 'netnsctl pods list' lists them"),
            }
        }
        Ok(records)
    }
}

/// What is to be created, in order.
fn plan(
    settings: &Settings,
    numbers: std::ops::Range<u32>,
    request: &Request,
) -> Result<Vec<Record>> {
    let pod: NsType = POD.parse()?;
    let types: Vec<NsType> = std::iter::once(pod).chain(request.types.clone()).collect();
    let bridge = settings.addresses.of_node(settings.node);
    numbers
        .map(|number| {
            let name = settings.name(number)?;
            let addresses = settings.addresses.of_pod(settings.node, number);
            let addresses = addresses.or_exit(Exit::Usage)?;
            let mut record = Record::new(name, &types);
            let mut set = |name: &str, value: &str| record.set(name, value);
            set("POD_NODE", &settings.node.to_string());
            set("POD_NUMBER", &number.to_string());
            set(
                "POD_IFADDR",
                &addresses.map(|net| net.to_string()).join(" "),
            );
            set("PODIF", &settings.interface);
            if request.bare {
                set("POD_VETH", "no");
                return Ok(record);
            }
            if let Some(bridge) = &request.bridge {
                set("POD_BRIDGE", bridge);
            }
            if let Some(uplink) = &request.uplink {
                set("POD_UPLINK", uplink);
            }
            if request.hairpin {
                set("POD_HAIRPIN", "yes");
            }
            if request.gateway {
                let [v4, v6] = match &bridge {
                    Ok(addresses) => *addresses,
                    Err(error) => bail!("{error:#}"),
                };
                set("POD_BRIDGE_IFADDR", &format!("{v4} {v6}"));
                set("POD_GATEWAY", &format!("{} {}", v4.addr(), v6.addr()));
                set("POD_FORWARD", "yes");
            }
            // Neighbours that remember it find the pod again when it has restarted.
            record.set("POD_MAC", &mac_of(addresses[0]));
            let link = link_name(&record.name);
            record.set("POD_IFNAME_OUTSIDE", &link);
            Ok(record)
        })
        .collect()
}

/// A MAC address, which is as unique as the IPv4 address that it ends with.
fn mac_of(address: IpNet) -> String {
    let IpAddr::V4(v4) = address.addr() else {
        return String::new();
    };
    let [a, b, c, d] = v4.octets();
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The name of a pod's link on the node: the pod's, where the kernel takes it.
fn link_name(pod: &NsName) -> String {
    /// `IFNAMSIZ` of Linux, without the zero byte at the end.
    const LONGEST: usize = 15;
    if pod.as_str().len() <= LONGEST && !pod.as_str().contains(':') {
        return pod.to_string();
    }
    let mut hasher = DefaultHasher::new();
    pod.hash(&mut hasher);
    format!("pod{:012x}", hasher.finish() >> 16)
}

/// Refuses pods that cannot be created, before anything is done.
fn check(root: &Root, records: &[Record]) -> Result<()> {
    for record in records.iter().take(1) {
        for instance in record.instances() {
            sources::find(root, &instance, Trust::from_environment())?;
        }
    }
    let others = Record::all(root)?;
    for record in records {
        let name = &record.name;
        if file::exists(&root.pod(name)) {
            bail!("pod {name} already exists: delete it with 'netnsctl pods delete'");
        }
        if NetNs::open(root, name)?.is_some() {
            bail!("network namespace '{name}' already exists, and is no pod");
        }
        let taken: Vec<IpAddr> = record.addresses().iter().map(|net| net.addr()).collect();
        for address in taken {
            if let Some(other) = others.iter().find(|other| other.has_address(address)) {
                bail!(
                    "pod {name} cannot have the address {address}: {} has it",
                    other.name
                );
            }
        }
    }
    Ok(())
}

/// The instances of all pods by their types: each type comes up in all pods before the next.
fn waves(records: &[Record]) -> Vec<Vec<Instance>> {
    let types = records.iter().map(|record| record.types.len()).max();
    let wave = |number| {
        let instances = records.iter();
        instances
            .filter_map(move |record| record.instances().nth(number))
            .collect()
    };
    (0..types.unwrap_or_default()).map(wave).collect()
}

/// Takes pods down and forgets those that are; gives how many are not.
fn take_down(
    root: &Root,
    crew: &mut Crew,
    what: &'static str,
    records: &[Record],
) -> Result<usize> {
    let mut outcome = Outcome::default();
    for wave in waves(records).into_iter().rev() {
        let more = crew.down(what, &wave)?;
        outcome.failures.extend(more.failures);
    }
    report(&outcome.failures);
    let failed = |record: &&Record| {
        outcome
            .failures
            .iter()
            .any(|f| f.instance.nsname == record.name)
    };
    let (bad, good): (Vec<&Record>, Vec<&Record>) = records.iter().partition(failed);
    for record in good {
        record.remove(root)?;
    }
    Ok(bad.len())
}

/// Removes records of pods of which nothing was created.
fn forget(root: &Root, records: &[Record]) {
    for record in records {
        if let Err(error) = record.remove(root) {
            log::warn(&format!("{error:#}"));
        }
    }
}

/// Has systemd forget that units of pods failed which do not exist any more.
fn forget_failures(root: &Root, failures: &[Failure]) -> Result<()> {
    let Some(manager) = Manager::running(root)? else {
        return Ok(());
    };
    for Failure { instance, .. } in failures {
        let units = [unit::inside(instance), unit::of(Side::Outside, instance)];
        // It fails for a unit that is not loaded any more.
        let _ = manager.reset_failed(&units);
    }
    Ok(())
}

/// Prints what was said of those that failed first; the others mostly say the same.
fn report(failures: &[Failure]) {
    const SHOWN: usize = 5;
    for failure in failures.iter().take(SHOWN) {
        log::error(&format!("{} failed:", failure.instance));
        failure.said.iter().for_each(|line| log::quote(line));
    }
    if let Some(more) = failures.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        log::error(&format!("and {more} more"));
    }
}

fn pods(count: usize) -> String {
    match count {
        1 => "1 pod".to_owned(),
        count => format!("{count} pods"),
    }
}
