//! The diagram in the DOT language of Graphviz (graphviz.org/doc/info/lang.html).

use std::fmt::Write;

use super::{Diagram, Health, LineKind, Point};

pub fn draw(graph: &Diagram) -> String {
    let mut out = String::from(
        "graph netns {\n  rankdir=LR\n  node [shape=box, style=rounded, fontname=monospace]\n",
    );
    for (number, frame) in graph.frames.iter().enumerate() {
        let mut title = frame.title.clone();
        for note in &frame.notes {
            title += "\n";
            title += note;
        }
        let colour = colour(frame.health);
        let _ = writeln!(out, "  subgraph cluster_{number} {{");
        let _ = writeln!(out, "    label={}\n    color=\"{colour}\"", quoted(&title));
        for (row, link) in frame.rows.iter().enumerate() {
            let mut label = format!("{}\n{}", link.name, link.kind);
            for address in link.addresses.iter().chain(&link.elsewhere) {
                label += "\n";
                label += address;
            }
            let style = if link.is_up() {
                ""
            } else {
                ", style=\"rounded,dashed\""
            };
            let node = node((number, row));
            let _ = writeln!(out, "    {node} [label={}{style}]", quoted(&label));
        }
        for (service, name) in frame.services.iter().enumerate() {
            let name = quoted(name);
            let _ = writeln!(
                out,
                "    b{number}s{service} [label={name}, shape=component]"
            );
        }
        if frame.rows.is_empty() && frame.services.is_empty() {
            // A cluster without nodes is not drawn.
            let _ = writeln!(out, "    b{number} [label=\"\", shape=none]");
        }
        out += "  }\n";
    }
    for line in &graph.lines {
        let style = match line.kind {
            LineKind::Pair => "",
            LineKind::Lower => " [style=dashed]",
            LineKind::Member => " [style=dotted]",
        };
        let _ = writeln!(out, "  {} -- {}{style}", node(line.from), node(line.to));
    }
    out + "}\n"
}

fn node((number, row): Point) -> String {
    format!("b{number}l{row}")
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', "\\n"))
}

/// The colour of a frame, in a notation of both CSS and Graphviz.
pub fn colour(health: Health) -> &'static str {
    match health {
        Health::Active => "#2e8b57",
        Health::Busy => "#d98e04",
        Health::Failed => "#c0392b",
        Health::Plain => "#7f8c8d",
    }
}
