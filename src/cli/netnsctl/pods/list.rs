use anyhow::Result;
use clap::Args;

use crate::cli::output::aligned;
use crate::instance::paths::Root;
use crate::namespace::NetNs;
use crate::pods::record::PodRecord;
use crate::sys::terminal;

/// List the pods of this node
///
/// A pod is up, down (it was stopped, or its creation was killed), or partly up
/// if only some of its types are.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods list")]
pub struct PodsList {
    /// Do not print the column headings
    #[arg(long)]
    no_legend: bool,
}

impl PodsList {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let records = PodRecord::all(root)?;
        let mut rows = Vec::new();
        if !self.no_legend && records.is_empty() {
            terminal::print("no pods\n")?;
        } else if !self.no_legend {
            let headings = ["NAME", "STATE", "TYPES", "ADDRESSES"];
            rows.push(headings.map(str::to_owned).to_vec());
        }
        for record in records {
            let addresses: Vec<String> =
                record.addresses().iter().map(ToString::to_string).collect();
            let types: Vec<&str> = record.types.iter().map(|nstype| nstype.as_str()).collect();
            let state = state(root, &record)?.to_owned();
            let name = record.name.to_string();
            rows.push(vec![name, state, types.join(" "), addresses.join(" ")]);
        }
        let lines = aligned(&rows);
        let lines = lines.iter().map(|line| format!("{}\n", line.trim_end()));
        terminal::print(&lines.collect::<String>())?;
        Ok(0)
    }
}

fn state(root: &Root, record: &PodRecord) -> Result<&'static str> {
    let exists = NetNs::open(root, &record.name)?.is_some();
    let up = record
        .instances()
        .filter(|instance| root.record(instance).exists());
    Ok(match up.count() {
        up if exists && up == record.types.len() => "up",
        0 if !exists => "down",
        _ => "partly up",
    })
}
