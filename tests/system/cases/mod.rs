//! The tests, a module for each group.

use crate::harness::Case;

mod bench;
mod failure;
mod life;
mod support;
mod type_bridge;
mod type_nat;
mod type_nft;
mod type_support;
mod update;

pub const GROUPS: &[(&str, &[Case])] = &[
    ("bench", bench::CASES),
    ("life", life::CASES),
    ("failure", failure::CASES),
    ("update", update::CASES),
    ("type_bridge", type_bridge::CASES),
    ("type_nat", type_nat::CASES),
    ("type_nft", type_nft::CASES),
];
