//! The picture as SVG: the host on the left, the namespaces on the right, lines between links.

use std::fmt::Write;

use super::{Diagram, Frame, Health, LineKind, Point, Row, dot::colour};
use crate::sys::terminal::width;

// All in pixels.
const MARGIN: f64 = 32.0;
/// Between the host and the others, for the lines.
const GUTTER: f64 = 160.0;
/// Between one namespace and the next.
const GAP: f64 = 20.0;
const HEADER: f64 = 32.0;
const ROW: f64 = 22.0;
const PADDING: f64 = 14.0;
const INDENT: f64 = 18.0;
/// The advance of a character of a monospaced font of [`FONT`] pixels.
const CHARACTER: f64 = 7.9;
const FONT: f64 = 13.0;
const NARROWEST: f64 = 160.0;
/// The space after a name, and after a kind.
const SPACE: f64 = 14.0;

/// A frame with its place on the paper.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// Where the kinds of the links begin, and their addresses.
    kinds: f64,
    addresses: f64,
}

pub fn draw(graph: &Diagram) -> String {
    let places = layout(graph);
    let right = places.iter().map(|place| place.x + place.width);
    let right = right.fold(0.0, f64::max) + MARGIN + bulge_of_all(graph, &places);
    let right = right.max(LEGEND_WIDTH + 2.0 * MARGIN);
    let bottom = places.iter().map(|place| place.y + place.height);
    let bottom = bottom.fold(0.0, f64::max) + GAP;
    let height = bottom + ROW + MARGIN / 2.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {right:.0} {height:.0}\" font-family=\"'DejaVu Sans Mono', monospace\" \
         font-size=\"{FONT}\">\n<title>Network namespaces</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (frame, place) in graph.boxes.iter().zip(&places) {
        draw_frame(&mut out, frame, place);
    }
    for line in &graph.lines {
        draw_line(&mut out, graph, &places, line.kind, line.from, line.to);
    }
    draw_legend(&mut out, bottom);
    out + "</svg>\n"
}

fn layout(graph: &Diagram) -> Vec<Bounds> {
    let mut places: Vec<Bounds> = graph.boxes.iter().map(size).collect();
    let Some((host, others)) = places.split_first_mut() else {
        return places;
    };
    let widest = others.iter().map(|place| place.width).fold(0.0, f64::max);
    let gaps = GAP * others.len().saturating_sub(1) as f64;
    let stacked = others.iter().map(|place| place.height).sum::<f64>() + gaps;
    let tallest = stacked.max(host.height);
    host.x = MARGIN;
    host.y = MARGIN + (tallest - host.height) / 2.0;
    let mut y = MARGIN + (tallest - stacked) / 2.0;
    for number in order(graph) {
        let place = &mut others[number - 1];
        place.x = MARGIN + host.width + GUTTER;
        place.y = y;
        place.width = widest;
        y += place.height + GAP;
    }
    places
}

/// The namespaces in the order of their first link to the host, so that lines cross less.
fn order(graph: &Diagram) -> Vec<usize> {
    let first = |number: usize| {
        let ends = graph
            .lines
            .iter()
            .filter_map(|line| match (line.from, line.to) {
                ((0, row), (other, _)) | ((other, _), (0, row)) if other == number => Some(row),
                _ => None,
            });
        ends.min().unwrap_or(usize::MAX)
    };
    let mut order: Vec<usize> = (1..graph.boxes.len()).collect();
    order.sort_by_cached_key(|number| first(*number));
    order
}

fn size(frame: &Frame) -> Bounds {
    let text = |text: &str| width(text) as f64 * CHARACTER;
    let widest = |widths: &mut dyn Iterator<Item = f64>| widths.fold(0.0, f64::max);
    let rows = || frame.rows.iter();
    let names = widest(&mut rows().map(|row| text(&row.name) + row.depth as f64 * INDENT));
    let kinds = PADDING + INDENT + names + SPACE;
    let addresses = kinds + widest(&mut rows().map(|row| text(&row.kind))) + SPACE;
    let ends = widest(&mut rows().map(|row| text(&said(row))));
    let heading = text(&frame.title) + SPACE + text(&frame.notes.join(", ")) + 2.0 * PADDING;
    let services = widest(&mut frame.services.iter().map(|service| text(service))) + INDENT;
    let lines = frame.rows.len() + frame.services.len();
    Bounds {
        x: 0.0,
        y: 0.0,
        width: (addresses + ends)
            .max(heading)
            .max(services + 2.0 * PADDING)
            .max(NARROWEST)
            + PADDING,
        height: HEADER + ROW * lines as f64 + PADDING / 2.0,
        kinds,
        addresses,
    }
}

/// What is said of a link after its kind.
fn said(row: &Row) -> String {
    let words: Vec<&str> = row
        .addresses
        .iter()
        .chain(&row.elsewhere)
        .map(String::as_str)
        .collect();
    words.join(", ")
}

/// The height of the middle of a row.
fn middle(place: &Bounds, row: usize) -> f64 {
    place.y + HEADER + ROW * (row as f64 + 0.5)
}

fn draw_frame(out: &mut String, frame: &Frame, place: &Bounds) {
    let Bounds {
        x,
        y,
        width,
        height,
        ..
    } = place;
    let colour = colour(frame.health);
    let dashes = match frame.health {
        Health::Failed => " stroke-dasharray=\"6 3\"",
        _ => "",
    };
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\" \
         fill=\"#fafbfc\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>"
    );
    let baseline = y + HEADER / 2.0 + FONT / 2.0 - 1.0;
    let title = escaped(&frame.title);
    let start = x + PADDING;
    let _ = writeln!(
        out,
        "<text x=\"{start:.1}\" y=\"{baseline:.1}\" font-weight=\"bold\">{title}</text>"
    );
    if !frame.notes.is_empty() {
        let end = x + width - PADDING;
        let notes = escaped(&frame.notes.join(", "));
        let _ = writeln!(
            out,
            "<text x=\"{end:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\" fill=\"{colour}\">\
             {notes}</text>"
        );
    }
    for (number, row) in frame.rows.iter().enumerate() {
        let y = middle(place, number);
        let indent = INDENT * row.depth as f64;
        let dot = x + PADDING + 4.0 + indent;
        if row.depth > 0 {
            let parent = (0..number)
                .rev()
                .find(|other| frame.rows[*other].depth < row.depth);
            let from = middle(place, parent.unwrap_or(number)) + 5.0;
            let corner = dot - INDENT;
            let _ = writeln!(
                out,
                "<path d=\"M{corner:.1} {from:.1}V{y:.1}H{:.1}\" fill=\"none\" stroke=\"#b0b8bf\"/>",
                dot - 5.0
            );
        }
        let fill = if row.is_up() { "#2e8b57" } else { "#b0b8bf" };
        let _ = writeln!(
            out,
            "<circle cx=\"{dot:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\"/>"
        );
        let baseline = y + FONT / 2.0 - 2.0;
        let mut text = |at: f64, colour: &str, text: &str| {
            let text = escaped(text);
            let _ = writeln!(
                out,
                "<text x=\"{at:.1}\" y=\"{baseline:.1}\" fill=\"{colour}\">{text}</text>"
            );
        };
        text(x + PADDING + INDENT + indent, "#1c2833", &row.name);
        text(x + place.kinds, "#85929e", &row.kind);
        text(x + place.addresses, "#1f618d", &said(row));
    }
    for (number, service) in frame.services.iter().enumerate() {
        let y = middle(place, frame.rows.len() + number);
        let (corner, baseline) = (x + PADDING, y + FONT / 2.0 - 2.0);
        let (top, start) = (y - 4.0, x + PADDING + INDENT);
        let service = escaped(service);
        let _ = writeln!(
            out,
            "<rect x=\"{corner:.1}\" y=\"{top:.1}\" width=\"8\" height=\"8\" rx=\"2\" \
             fill=\"#6c5ce7\"/><text x=\"{start:.1}\" y=\"{baseline:.1}\">{service}</text>"
        );
    }
}

fn draw_line(
    out: &mut String,
    graph: &Diagram,
    places: &[Bounds],
    kind: LineKind,
    from: Point,
    to: Point,
) {
    let style = match kind {
        LineKind::Pair => "stroke=\"#34495e\"",
        LineKind::Lower => "stroke=\"#a0522d\" stroke-dasharray=\"5 4\"",
        // Members are indented below what they are part of.
        LineKind::Member => return,
    };
    let host_first = if to.0 == 0 { (to, from) } else { (from, to) };
    let ((a, a_row), (b, b_row)) = host_first;
    let (start, end) = (&places[a], &places[b]);
    let (y1, y2) = (middle(start, a_row), middle(end, b_row));
    let (x1, x2, bend1, bend2) = if a == 0 && b == 0 {
        let bend = MARGIN.min(12.0 + (y2 - y1).abs() / 12.0);
        (start.x, start.x, start.x - bend, start.x - bend)
    } else if a == 0 {
        let half = GUTTER / 2.0;
        (
            start.x + start.width,
            end.x,
            start.x + start.width + half,
            end.x - half,
        )
    } else {
        let bend = bulge(y1, y2);
        let (x1, x2) = (start.x + start.width, end.x + end.width);
        (x1, x2, x1 + bend, x2 + bend)
    };
    let title = |(number, row): Point| {
        let frame = &graph.boxes[number];
        escaped(&format!("{}:{}", frame.title, frame.rows[row].name))
    };
    let (a, b) = (title(from), title(to));
    let _ = writeln!(
        out,
        "<path d=\"M{x1:.1} {y1:.1}C{bend1:.1} {y1:.1} {bend2:.1} {y2:.1} {x2:.1} {y2:.1}\" \
         fill=\"none\" {style} stroke-width=\"1.5\"><title>{a} – {b}</title></path>"
    );
    for (x, y) in [(x1, y1), (x2, y2)] {
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#34495e\"/>"
        );
    }
}

/// How far a line between two namespaces leaves their column.
fn bulge(y1: f64, y2: f64) -> f64 {
    (30.0 + (y2 - y1).abs() / 3.0).min(GUTTER)
}

fn bulge_of_all(graph: &Diagram, places: &[Bounds]) -> f64 {
    let between = graph
        .lines
        .iter()
        .filter(|line| line.from.0 > 0 && line.to.0 > 0);
    let bulges = between.map(|line| {
        let y = |(number, row): Point| middle(&places[number], row);
        bulge(y(line.from), y(line.to))
    });
    bulges.fold(0.0, f64::max)
}

const LEGEND_WIDTH: f64 = 620.0;

fn draw_legend(out: &mut String, top: f64) {
    let y = top + ROW / 2.0;
    let _ = writeln!(out, "<g font-size=\"11\" fill=\"#566573\">");
    let mut x = MARGIN;
    let lines = [
        ("stroke=\"#34495e\"", "pair"),
        ("stroke=\"#a0522d\" stroke-dasharray=\"5 4\"", "made on"),
    ];
    for (style, word) in lines {
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {y:.1}h28\" {style} stroke-width=\"1.5\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{word}</text>",
            x + 34.0,
            y + 4.0
        );
        x += 100.0;
    }
    let moods = [
        (Health::Active, "units active"),
        (Health::Busy, "changing"),
        (Health::Failed, "failed or gone"),
        (Health::Plain, "no units"),
    ];
    for (health, word) in moods {
        let colour = colour(health);
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"3\" fill=\"#fafbfc\" \
             stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\">{word}</text>",
            y - 6.0,
            x + 18.0,
            y + 4.0
        );
        x += 30.0 + word.len() as f64 * 7.0 + 16.0;
    }
    *out += "</g>\n";
}

/// Text for XML 1.0. Control characters, which it may not have, are gone already.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
