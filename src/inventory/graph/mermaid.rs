//! The picture as a flowchart of Mermaid (mermaid.js.org), which forges and wikis draw.

use std::fmt::Write;

use super::{Diagram, LineKind, Point, dot::colour};

pub fn draw(graph: &Diagram) -> String {
    let mut out = String::from("flowchart LR\n");
    for (number, boxed) in graph.boxes.iter().enumerate() {
        let mut title = vec![boxed.title.clone()];
        title.extend(boxed.notes.iter().cloned());
        let _ = writeln!(out, "  subgraph b{number}[{}]", quoted(&title));
        for (row, link) in boxed.rows.iter().enumerate() {
            let mut label = vec![link.name.clone(), link.kind.clone()];
            label.extend(link.addresses.iter().chain(&link.elsewhere).cloned());
            let _ = writeln!(out, "    {}[{}]", node((number, row)), quoted(&label));
        }
        for (service, name) in boxed.services.iter().enumerate() {
            let name = quoted(std::slice::from_ref(name));
            let _ = writeln!(out, "    b{number}s{service}([{name}])");
        }
        out += "  end\n";
        let colour = colour(boxed.health);
        let _ = writeln!(out, "  style b{number} fill:none,stroke:{colour}");
    }
    for line in &graph.lines {
        let stroke = match line.kind {
            LineKind::Pair => "---",
            LineKind::Lower | LineKind::Member => "-.-",
        };
        let _ = writeln!(out, "  {} {stroke} {}", node(line.from), node(line.to));
    }
    out
}

fn node((number, row): Point) -> String {
    format!("b{number}l{row}")
}

/// Lines as one label. Mermaid takes a label for HTML, and `#` for the start of an entity.
fn quoted(lines: &[String]) -> String {
    let entity = |line: &String| {
        line.chars()
            .map(|c| match c {
                '"' | '#' | '<' | '>' | '&' | '`' | '\\' => format!("#{};", u32::from(c)),
                c => c.to_string(),
            })
            .collect::<String>()
    };
    let lines: Vec<String> = lines.iter().map(entity).collect();
    format!("\"{}\"", lines.join("<br>"))
}
