//! The tests, a module for each group.

use crate::harness::Case;

mod attach;
mod bench;
mod check;
mod compat_units;
mod containers;
mod ctl;
mod dhcp_client;
mod dns;
mod docs;
mod failure;
mod lan;
mod life;
mod metrics;
mod order;
mod pods;
mod resolv;
mod support;
mod type_bridge;
mod type_ifupdown;
mod type_macvlan;
mod type_nat;
mod type_nft;
mod type_openvpn;
mod type_phys;
mod type_support;
mod type_tunnel;
mod type_veth;
mod type_vip;
mod type_wireguard;
mod unmanaged;
mod update;
mod view;

pub const GROUPS: &[(&str, &[Case])] = &[
    ("bench", bench::CASES),
    ("life", life::CASES),
    ("metrics", metrics::CASES),
    ("check", check::CASES),
    ("failure", failure::CASES),
    ("update", update::CASES),
    ("attach", attach::CASES),
    ("resolv", resolv::CASES),
    ("order", order::CASES),
    ("pods", pods::CASES),
    ("dhcp_client", dhcp_client::CASES),
    ("docs", docs::CASES),
    ("containers", containers::CASES),
    ("ctl", ctl::CASES),
    ("dns", dns::CASES),
    ("type_wireguard", type_wireguard::CASES),
    ("unmanaged", unmanaged::CASES),
    ("view", view::CASES),
    ("type_veth", type_veth::CASES),
    ("type_macvlan", type_macvlan::CASES),
    ("type_phys", type_phys::CASES),
    ("type_bridge", type_bridge::CASES),
    ("type_nat", type_nat::CASES),
    ("type_tunnel", type_tunnel::CASES),
    ("type_nft", type_nft::CASES),
    ("type_openvpn", type_openvpn::CASES),
    ("type_vip", type_vip::CASES),
    ("type_ifupdown", type_ifupdown::CASES),
    ("compat_units", compat_units::CASES),
];
