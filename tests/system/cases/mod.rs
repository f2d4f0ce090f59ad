//! The tests, a module for each group.

use crate::harness::Case;

mod attach;
mod bench;
mod docs;
mod failure;
mod life;
mod order;
mod resolv;
mod support;
mod update;

pub const GROUPS: &[(&str, &[Case])] = &[
    ("bench", bench::CASES),
    ("life", life::CASES),
    ("failure", failure::CASES),
    ("update", update::CASES),
    ("attach", attach::CASES),
    ("resolv", resolv::CASES),
    ("order", order::CASES),
    ("docs", docs::CASES),
];
