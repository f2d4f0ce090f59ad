//! The addresses of nodes and pods: computed from their numbers, or random.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;

use crate::pods::network::{Host, Network, with_end};
use crate::sys::file;

/// The file with the order of random addresses, which must be the same on all nodes.
pub const RND_ADDRESSES: &str = "/etc/rnd-addresses";

/// The host numbers of random addresses.
const RANDOM: std::ops::RangeInclusive<u8> = 1..=254;

/// Computes the addresses of nodes and pods, in pairs of IPv4 and IPv6.
#[derive(Debug)]
pub struct Addresses {
    template: Network,
    prefix: Ipv6Addr,
    order: Option<Order>,
    nodes: u32,
    pods: u32,
}

impl Addresses {
    /// `prefix` contains the upper 96 bits of IPv6 addresses. With `order`, addresses are random: the first
    /// `nodes` numbers are for the nodes, followed by `pods` numbers for the pods of each node.
    pub fn new(
        template: Network,
        prefix: Ipv6Addr,
        order: Option<Order>,
        nodes: u32,
        pods: u32,
    ) -> Self {
        Self {
            template,
            prefix,
            order,
            nodes,
            pods,
        }
    }

    /// The addresses of a pod: pod 3 of node 2 is host 3 in subnet 2.
    ///
    /// # Errors
    /// The template has no address for it.
    pub fn of_pod(&self, node: u32, pod: u32) -> Result<[IpNet; 2]> {
        let Some(order) = &self.order else {
            return self.usable(node, pod).map(|host| self.pair(host));
        };
        let (nodes, pods) = (self.nodes, self.pods);
        ensure!(
            (1..=nodes).contains(&node),
            "node {node} has no random addresses: there are {nodes} nodes (--nodes, __nvm)"
        );
        ensure!(
            (1..=pods).contains(&pod),
            "pod {pod} has no random address: each node has {pods} pods (--pods, NPODS)"
        );
        let position = u64::from(nodes) + u64::from(node - 1) * u64::from(pods) + u64::from(pod);
        self.usable(0, order.number(position)?)
            .map(|host| self.pair(host))
    }

    /// The addresses of a node on its bridge: host 0 of its subnet.
    pub fn of_node(&self, node: u32) -> Result<[IpNet; 2]> {
        let host = match &self.order {
            None => self.template.host(node, 0).map_err(in_template)?,
            Some(order) => {
                let nodes = self.nodes;
                ensure!(
                    (1..=nodes).contains(&node),
                    "node {node} has no random address: there are {nodes} nodes (--nodes, __nvm)"
                );
                self.usable(0, order.number(node.into())?)?
            }
        };
        Ok(self.pair(host))
    }

    /// The subnets of a node.
    pub fn subnets(&self, node: u32) -> Result<[IpNet; 2]> {
        ensure!(
            self.order.is_none(),
            "random addresses do not have a subnet for each node"
        );
        let host = self.template.host(node, 0).map_err(in_template)?;
        Ok(self.pair(host).map(|net| net.trunc()))
    }

    /// The IPv6 address that ends with an IPv4 address.
    pub fn with_prefix(&self, address: Ipv4Addr) -> Ipv6Addr {
        with_end(self.prefix, address.into())
    }

    /// A host of a subnet.
    ///
    /// # Errors
    /// The host is not in the subnet, or is the first, which is the node, or the last, which is the
    /// broadcast address.
    fn usable(&self, net: u32, host: u32) -> Result<Host> {
        let hosts = self.template.hosts();
        ensure!(
            hosts >= 4,
            "template {} has no addresses for pods: its subnets have {hosts} addresses",
            self.template
        );
        ensure!(
            (1..hosts - 1).contains(&u64::from(host)),
            "template {} has no address for pod {host}: its subnets have pods 1 to {}",
            self.template,
            hosts - 2
        );
        self.template.host(net, host).map_err(in_template)
    }

    fn pair(&self, host: Host) -> [IpNet; 2] {
        [host, host.at_end_of(self.prefix)].map(|host| {
            // A prefix length of the template is in range.
            IpNet::new(host.address, host.subnet_length)
                .unwrap_or_else(|_| IpNet::from(host.address))
        })
    }
}

/// Rewords an error of [`Network::host`]: the subnets are nodes and the hosts are pods.
fn in_template(error: anyhow::Error) -> anyhow::Error {
    let text = error.to_string().replace("--net", "node");
    anyhow::anyhow!("{}", text.replace("--host", "pod"))
}

/// The numbers 1 to 254 in a random order that is the same on all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Vec<u8>);

impl Order {
    /// Reads an order from a file with a number on each line, such as the output of
    /// `seq 1 254 | shuf`.
    pub fn of_file(path: &Path) -> Result<Self> {
        let text = file::read_text(path)?;
        let text = text.with_context(|| {
            format!(
                "{} does not exist: for random addresses, create it with 'seq 1 254 | shuf', the same \
                 on all nodes, or use --seed",
                path.display()
            )
        })?;
        let mut numbers = Vec::new();
        for (line, word) in (1..).zip(text.lines()) {
            let at = || format!("{}:{line}: '{word}'", path.display());
            let number = word.trim().parse().ok();
            let number = number.filter(|number| RANDOM.contains(number));
            let number =
                number.with_context(|| format!("{} is not a number from 1 to 254", at()))?;
            ensure!(!numbers.contains(&number), "{} is repeated", at());
            numbers.push(number);
        }
        Ok(Self(numbers))
    }

    /// The order for a seed, which must be the same on every machine and in every version: Fisher-Yates
    /// with SplitMix64.
    pub fn shuffled(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut number = state;
            number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            number ^ (number >> 31)
        };
        let mut numbers: Vec<u8> = RANDOM.collect();
        for last in (1..numbers.len()).rev() {
            let other = next() % (last as u64 + 1);
            numbers.swap(last, other as usize);
        }
        Self(numbers)
    }

    /// The number at a position, counted from 1.
    fn number(&self, position: u64) -> Result<u32> {
        let index = usize::try_from(position - 1).unwrap_or(usize::MAX);
        let number = self.0.get(index).copied().map(u32::from);
        let count = self.0.len();
        number.with_context(|| {
            format!("there is no random address number {position}: there are {count}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(template: &str, order: Option<Order>, nodes: u32, pods: u32) -> Addresses {
        let prefix = "1000::1:0.0.0.0".parse().unwrap();
        Addresses::new(template.parse().unwrap(), prefix, order, nodes, pods)
    }

    fn shown(pair: Result<[IpNet; 2]>) -> String {
        let [v4, v6] = pair.unwrap();
        format!("{v4} {v6}")
    }

    #[test]
    fn a_pod_is_a_host_in_the_subnet_of_its_node() {
        let of = addresses("172.16.0.0/16/24", None, 1, 4);
        assert_eq!(shown(of.of_pod(1, 2)), "172.16.1.2/24 1000::1:ac10:102/120");
        assert_eq!(
            shown(of.of_pod(255, 254)),
            "172.16.255.254/24 1000::1:ac10:fffe/120"
        );
        assert_eq!(shown(of.of_node(1)), "172.16.1.0/24 1000::1:ac10:100/120");
        assert_eq!(shown(of.subnets(3)), "172.16.3.0/24 1000::1:ac10:300/120");
    }

    #[test]
    fn pods_without_an_address_are_refused() {
        for (template, node, pod) in [
            ("172.16.0.0/16/24", 1, 0),
            ("172.16.0.0/16/24", 1, 255),
            ("172.16.0.0/16/24", 256, 1),
            ("172.16.0.0/24", 1, 1),
            ("172.16.0.0/16/31", 1, 1),
            ("172.16.0.0/16/32", 1, 0),
            ("172.16.0.0/16/30", 1, 3),
            ("0.0.0.0/0/8", 1, u32::MAX),
        ] {
            let found = addresses(template, None, 1, 4).of_pod(node, pod);
            assert!(found.is_err(), "{template} {node} {pod}");
        }
    }

    #[test]
    fn addresses_are_unique_and_in_the_subnet_of_their_node() {
        for subnet_length in 20..=30 {
            let of = addresses(&format!("10.0.0.0/18/{subnet_length}"), None, 1, 4);
            let nodes = 1u32 << (subnet_length - 18);
            let last = (1u32 << (32 - subnet_length)) - 2;
            let mut seen = std::collections::BTreeSet::new();
            for node in 0..nodes {
                let subnets = of.subnets(node).unwrap();
                assert!(of.of_pod(node, last + 1).is_err());
                for pod in [1, 2, last / 2, last] {
                    let pair = of.of_pod(node, pod).unwrap();
                    for (address, subnet) in pair.iter().zip(subnets) {
                        assert!(subnet.contains(address));
                        seen.insert((node, pod, address.addr()));
                    }
                }
            }
            let distinct: std::collections::BTreeSet<_> = seen.iter().map(|(.., a)| a).collect();
            assert_eq!(distinct.len(), seen.len());
            assert!(of.of_pod(nodes, 1).is_err());
        }
    }

    #[test]
    fn random_addresses_are_slices_of_the_order() {
        let numbers: Vec<u8> = RANDOM.rev().collect();
        let of = addresses("172.16.0.0/16/24", Some(Order(numbers)), 3, 4);
        // Position 2 of nodes; position 3 + 1 * 4 + 3 of pods, where 1 has the number 254.
        assert_eq!(shown(of.of_node(2)), "172.16.0.253/24 1000::1:ac10:fd/120");
        assert_eq!(
            shown(of.of_pod(2, 3)),
            "172.16.0.245/24 1000::1:ac10:f5/120"
        );
        for (node, pod) in [(0, 1), (4, 1), (1, 0), (1, 5)] {
            assert!(of.of_pod(node, pod).is_err(), "{node} {pod}");
        }
        assert!(of.of_node(0).is_err() && of.of_node(4).is_err() && of.subnets(1).is_err());
        let many = addresses("172.16.0.0/16/24", Some(Order::shuffled(1)), 2, 200);
        assert!(many.of_pod(1, 200).is_ok() && many.of_pod(2, 53).is_err());
        let narrow = addresses(
            "172.16.0.0/24/28",
            Some(Order((1..=254).rev().collect())),
            1,
            4,
        );
        assert!(narrow.of_pod(1, 1).is_err());
    }

    #[test]
    fn the_order_of_a_seed_never_changes() {
        let order = Order::shuffled(42);
        assert_eq!(order.0[..8], [27, 235, 91, 32, 106, 121, 119, 115]);
        assert_ne!(order, Order::shuffled(43));
        let mut sorted = order.0.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, RANDOM.collect::<Vec<_>>());
    }

    #[test]
    fn a_file_has_each_number_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rnd-addresses");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Order::of_file(&path)
        };
        assert_eq!(read("3\n1\n254\n").unwrap().0, [3, 1, 254]);
        for bad in ["0\n", "255\n", "3\n3\n", "x\n", "1\n\n2\n", "-1\n"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(Order::of_file(Path::new("/nowhere")).is_err());
    }
}
