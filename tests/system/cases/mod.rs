//! The tests, a module for each group.

use crate::harness::Case;

mod bench;
mod failure;
mod lan;
mod life;
mod support;
mod type_macvlan;
mod type_phys;
mod update;
mod view;

pub const GROUPS: &[(&str, &[Case])] = &[
    ("bench", bench::CASES),
    ("life", life::CASES),
    ("failure", failure::CASES),
    ("update", update::CASES),
    ("type_macvlan", type_macvlan::CASES),
    ("type_phys", type_phys::CASES),
    ("view", view::CASES),
];
