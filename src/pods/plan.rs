//! The records of new pods, and whether the pods can be created.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use anyhow::{Result, bail};
use ipnet::IpNet;

use crate::instance::name::{NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::sources;
use crate::instance::trust::Trust;
use crate::namespace::NetNs;
use crate::namespace::netlink::{LINK_NAME_MAX, check_ifname};
use crate::pods::record::PodRecord;
use crate::pods::set::CreateRequest;
use crate::pods::settings::Settings;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;

/// The type of all pods.
const POD: &str = "pod";

/// The records of the pods to create, in order.
pub fn plan(
    settings: &Settings,
    numbers: std::ops::Range<u32>,
    request: &CreateRequest,
) -> Result<Vec<PodRecord>> {
    // An empty PODIF means the default.
    let interface = Some(&settings.interface).filter(|name| !name.is_empty());
    let names = [request.bridge.as_ref(), request.uplink.as_ref(), interface];
    for name in names.into_iter().flatten() {
        check_ifname(name).or_exit(Exit::Usage)?;
    }
    let pod: NsType = POD.parse()?;
    let types: Vec<NsType> = std::iter::once(pod).chain(request.types.clone()).collect();
    let bridge = settings.addresses.of_node(settings.node);
    numbers
        .map(|number| {
            let name = settings.name(number)?;
            let addresses = settings.addresses.of_pod(settings.node, number);
            let addresses = addresses.or_exit(Exit::Usage)?;
            let mut record = PodRecord::new(name, &types);
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
            // A stable MAC address, so that ARP caches remain valid when the pod restarts.
            record.set("POD_MAC", &mac_of(addresses[0]));
            let link = link_name(&record.name);
            record.set("POD_IFNAME_OUTSIDE", &link);
            Ok(record)
        })
        .collect()
}

/// A MAC address that ends with the IPv4 address, and so is unique.
fn mac_of(address: IpNet) -> String {
    let IpAddr::V4(v4) = address.addr() else {
        return String::new();
    };
    let [a, b, c, d] = v4.octets();
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The name of a pod's link on the node: that of the pod if it is a valid link name, otherwise a hash.
fn link_name(pod: &NsName) -> String {
    if pod.as_str().len() <= LINK_NAME_MAX && !pod.as_str().contains(':') {
        return pod.to_string();
    }
    let mut hasher = DefaultHasher::new();
    pod.hash(&mut hasher);
    format!("pod{:012x}", hasher.finish() >> 16)
}

/// Checks that the pods can be created.
///
/// # Errors
/// The files of a type are missing or not trusted, or a name or an address is in use.
pub fn check(root: &Root, records: &[PodRecord]) -> Result<()> {
    for record in records.iter().take(1) {
        for instance in record.instances() {
            sources::find(root, &instance, Trust::from_environment())?;
        }
    }
    let others = PodRecord::all(root)?;
    for record in records {
        let name = &record.name;
        if file::exists(&root.pod(name))? {
            bail!("pod {name} already exists: delete it with 'netnsctl pods delete'");
        }
        if NetNs::open(root, name)?.is_some() {
            bail!("network namespace '{name}' already exists and is not a pod");
        }
        let taken: Vec<IpAddr> = record.addresses().iter().map(|net| net.addr()).collect();
        for address in taken {
            if let Some(other) = others.iter().find(|other| other.has_address(address)) {
                bail!(
                    "pod {name} cannot have the address {address}: pod {} uses it",
                    other.name
                );
            }
        }
    }
    Ok(())
}
