//! The commands of the documentation, as they stand there.

use anyhow::{Result, ensure};

use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[("services", services)];

const SERVICES: &str = include_str!("../../../docs/services.md");

/// What is in blocks of `sh`, in order.
fn commands(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    for part in page.split("\n```sh\n").skip(1) {
        let block = part.split("\n```").next().unwrap_or_default();
        blocks.push(block.to_owned());
    }
    blocks
}

fn services(machine: &Machine) -> Result<()> {
    let blocks = commands(SERVICES);
    ensure!(blocks.len() > 10, "{} blocks", blocks.len());
    for block in blocks {
        machine.sh(&block)?;
    }
    Ok(())
}
