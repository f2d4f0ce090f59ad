//! Creates, deletes and connects pods of this node, several at once.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::pods::plan::{check, plan};
use crate::pods::record::PodRecord;
use crate::pods::settings::Settings;
use crate::pods::workers::{BatchOutcome, Failure, Workers};
use crate::sys::command;
use crate::sys::exit::Exit;
use crate::sys::lock::Lock;
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;
use crate::systemd::unit;

/// The options of `netnsctl pods create`.
#[derive(Debug, Default)]
pub struct CreateRequest {
    /// Types to bring up in each pod in addition to NSTYPE pod.
    pub types: Vec<NsType>,
    /// Create no veth pair.
    pub bare: bool,
    /// The bridge to connect the pods to.
    pub bridge: Option<String>,
    /// The interface of the node to add to the bridge.
    pub uplink: Option<String>,
    /// Use the node's address on the bridge as the default gateway, and enable forwarding.
    pub gateway: bool,
    /// Allow the bridge to send packets back to the port that they came from.
    pub hairpin: bool,
    /// Keep the pods that were created if others fail.
    pub keep_going: bool,
    /// The number of pods to create at a time.
    pub jobs: Option<usize>,
}

/// Creates the pods with these numbers, all or none, and returns the exit status.
///
/// # Errors
/// Nothing was created: a pod already exists, has no address, or has one that another pod uses.
pub fn create(
    root: &Root,
    settings: &Settings,
    numbers: std::ops::Range<u32>,
    request: &CreateRequest,
) -> Result<u8> {
    require_root()?;
    let records = plan(settings, numbers, request)?;
    let _lock = Lock::take(&root.pods_lock())?;
    check(root, &records)?;
    let mut workers = Workers::new(request.jobs)?;
    for record in &records {
        if let Err(error) = record.write(root) {
            forget(root, &records);
            return Err(error);
        }
    }
    let mut bad = BTreeSet::new();
    let mut failures = Vec::new();
    let mut interrupted = false;
    for instances in by_type(&records) {
        let instances: Vec<Instance> = instances
            .into_iter()
            .filter(|instance| !bad.contains(&instance.nsname))
            .collect();
        let outcome = workers.up("creating pods", &instances, request.keep_going)?;
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
    let (undone, good): (Vec<PodRecord>, Vec<PodRecord>) = records
        .into_iter()
        .partition(|record| !kept || bad.contains(&record.name));
    report(&failures);
    let left = take_down(root, &mut workers, &undone)?;
    reset_failed(root, &failures)?;
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

/// Deletes pods, and returns the exit status.
pub fn delete(root: &Root, wanted: &Selection, jobs: Option<usize>) -> Result<u8> {
    require_root()?;
    let _lock = Lock::take(&root.pods_lock())?;
    let records = wanted.records(root)?;
    if records.is_empty() {
        log::info("there are no pods");
        return Ok(0);
    }
    let mut workers = Workers::new(jobs)?;
    let count = records.len();
    match take_down(root, &mut workers, &records)? {
        0 => log::info(&format!("deleted {}", pods(count))),
        left => {
            log::error(&format!("{left} of {} could not be deleted", pods(count)));
            return Ok(Exit::Failure as u8);
        }
    }
    Ok(0)
}

/// Adds the outer ends of pods to an existing bridge, also for later starts. Returns the exit status.
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

/// Which of the existing pods to use.
#[derive(Debug)]
pub enum Selection {
    All,
    Named(Vec<NsName>),
}

impl Selection {
    /// The `count` pods from number `first` on; all pods without `count`.
    pub fn of(settings: &Settings, count: Option<u32>, first: u32) -> Result<Self> {
        let Some(count) = count else {
            return Ok(Self::All);
        };
        let numbers = settings.numbers(Some(count), first)?;
        let names: Result<_> = numbers.map(|number| settings.name(number)).collect();
        Ok(Self::Named(names?))
    }

    pub fn records(&self, root: &Root) -> Result<Vec<PodRecord>> {
        let Self::Named(names) = self else {
            return PodRecord::all(root);
        };
        let mut records = Vec::new();
        for name in names {
            match PodRecord::read(root, name)? {
                Some(record) => records.push(record),
                None => bail!("there is no pod '{name}': see 'netnsctl pods list'"),
            }
        }
        Ok(records)
    }
}

/// The instances of all pods, grouped by type in the order of starting: each type is brought up in all
/// pods before the next.
fn by_type(records: &[PodRecord]) -> Vec<Vec<Instance>> {
    let types = records.iter().map(|record| record.types.len()).max();
    let of_type = |number| {
        let instances = records.iter();
        instances
            .filter_map(move |record| record.instances().nth(number))
            .collect()
    };
    (0..types.unwrap_or_default()).map(of_type).collect()
}

/// Takes pods down and removes their records. Returns the number of pods that could not be taken down.
fn take_down(root: &Root, workers: &mut Workers, records: &[PodRecord]) -> Result<usize> {
    let mut outcome = BatchOutcome::default();
    for instances in by_type(records).into_iter().rev() {
        let more = workers.down("deleting pods", &instances)?;
        outcome.failures.extend(more.failures);
    }
    report(&outcome.failures);
    let failed = |record: &&PodRecord| {
        outcome
            .failures
            .iter()
            .any(|f| f.instance.nsname == record.name)
    };
    let (bad, good): (Vec<&PodRecord>, Vec<&PodRecord>) = records.iter().partition(failed);
    for record in good {
        record.remove(root)?;
    }
    Ok(bad.len())
}

/// Removes the records of pods that were not created.
fn forget(root: &Root, records: &[PodRecord]) {
    for record in records {
        if let Err(error) = record.remove(root) {
            log::warn(&format!("{error:#}"));
        }
    }
}

/// Resets the failed state of the units of deleted pods.
fn reset_failed(root: &Root, failures: &[Failure]) -> Result<()> {
    let Some(manager) = Manager::running(root)? else {
        return Ok(());
    };
    for Failure { instance, .. } in failures {
        let units = [unit::inside(instance), unit::of(Side::Outside, instance)];
        // This fails for a unit that is no longer loaded.
        let _ = manager.reset_failed(&units);
    }
    Ok(())
}

/// Prints the messages of the first failures. The others mostly have the same cause.
fn report(failures: &[Failure]) {
    const SHOWN: usize = 5;
    for failure in failures.iter().take(SHOWN) {
        log::error(&format!("{} failed:", failure.instance));
        failure.messages.iter().for_each(|line| log::quote(line));
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
