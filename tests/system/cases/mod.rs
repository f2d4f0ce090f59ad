//! The tests, a module for each group.

use crate::harness::Case;

mod bench;
mod compat_units;
mod failure;
mod lan;
mod life;
mod support;
mod type_ifupdown;
mod type_macvlan;
mod type_phys;
mod type_vip;
mod update;
mod view;

pub const GROUPS: &[(&str, &[Case])] = &[
    ("bench", bench::CASES),
    ("life", life::CASES),
    ("failure", failure::CASES),
    ("update", update::CASES),
    ("type_macvlan", type_macvlan::CASES),
    ("type_phys", type_phys::CASES),
    ("type_vip", type_vip::CASES),
    ("type_ifupdown", type_ifupdown::CASES),
    ("compat_units", compat_units::CASES),
    ("view", view::CASES),
];
