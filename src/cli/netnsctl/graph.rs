use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cli::output::{Paging, warn_unreadable};
use crate::instance::paths::Root;
use crate::inventory::Inventory;
use crate::inventory::graph;
use crate::sys::terminal::Terminal;
use crate::systemd::manager::Manager;

/// Draw the network namespaces and the links between them
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl graph --format svg > network.svg
         netnsctl graph --format dot | dot -Tpng > network.png")]
pub struct Graph {
    /// Output format: text, dot (for Graphviz) or svg
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    format: GraphFormat,

    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GraphFormat {
    Text,
    Dot,
    Svg,
}

impl Graph {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let inventory = Inventory::read(root, Manager::running(root)?.as_ref())?;
        let graph = graph::Diagram::of(&inventory.host, &inventory.named);
        let drawing = match self.format {
            GraphFormat::Text => graph::text::draw(&graph, Terminal::of_stdout()),
            GraphFormat::Dot => graph::dot::draw(&graph),
            GraphFormat::Svg => graph::svg::draw(&graph),
        };
        self.paging.print(&drawing)?;
        warn_unreadable(&inventory.unreadable);
        Ok(0)
    }
}
