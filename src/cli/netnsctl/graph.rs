use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cli::output::warn_unseen;
use crate::instance::paths::Root;
use crate::inventory::Inventory;
use crate::inventory::graph;
use crate::sys::terminal::{self, Look};
use crate::systemd::manager::Manager;

/// Draw the network namespaces and the links between them
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl graph --format svg > network.svg
         netnsctl graph --format dot | dot -Tpng > network.png")]
pub struct Graph {
    /// How to draw: text, dot (for Graphviz), mermaid or svg
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Dot,
    Mermaid,
    Svg,
}

impl Graph {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let view = Inventory::read(root, Manager::running(root)?.as_ref())?;
        let graph = graph::Diagram::of(&view);
        terminal::print(&match self.format {
            Format::Text => graph::text::draw(&graph, Look::of_stdout()),
            Format::Dot => graph::dot::draw(&graph),
            Format::Mermaid => graph::mermaid::draw(&graph),
            Format::Svg => graph::svg::draw(&graph),
        })?;
        warn_unseen(&view.unseen);
        Ok(0)
    }
}
