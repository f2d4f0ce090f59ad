//! The tests, a module for each group.

use crate::harness::Case;

mod bench;
mod failure;
mod life;
mod support;
mod update;
mod view;

pub const GROUPS: &[(&str, &[Case])] = &[
    ("bench", bench::CASES),
    ("life", life::CASES),
    ("failure", failure::CASES),
    ("update", update::CASES),
    ("view", view::CASES),
];
