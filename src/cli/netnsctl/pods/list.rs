use anyhow::Result;
use clap::Args;

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
            rows.push(["NAME", "STATE", "TYPES", "ADDRESSES"].map(str::to_owned));
        }
        for record in records {
            let addresses: Vec<String> =
                record.addresses().iter().map(ToString::to_string).collect();
            let types: Vec<&str> = record.types.iter().map(|nstype| nstype.as_str()).collect();
            let state = state(root, &record)?.to_owned();
            let name = record.name.to_string();
            rows.push([name, state, types.join(" "), addresses.join(" ")]);
        }
        let mut text = String::new();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max();
        let widths = [0, 1, 2].map(|column| width(column).unwrap_or_default());
        for [name, state, types, addresses] in &rows {
            let [first, second, third] = widths;
            let row = format!("{name:first$}  {state:second$}  {types:third$}  {addresses}");
            text += &format!("{}\n", row.trim_end());
        }
        terminal::print(&text)?;
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
