//! The tests, a module for each group.

use crate::harness::Case;

mod bench;
mod check;
mod failure;
mod life;
mod support;
mod update;
mod view;

pub const GROUPS: &[(&str, &[Case])] = &[
    ("bench", bench::CASES),
    ("life", life::CASES),
    ("check", check::CASES),
    ("failure", failure::CASES),
    ("update", update::CASES),
    ("view", view::CASES),
];
