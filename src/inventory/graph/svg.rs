//! The diagram as SVG.
//!
//! A few namespaces are drawn in one column to the right of the host, with lines between the links.
//! Many are drawn in columns below the host, and each link names the link that it is connected to.

use std::fmt::Write;

use super::{Diagram, Frame, Health, Line, LineKind, Point, Row, dot::colour};
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
/// The maximum height of one column of namespaces, in which lines can still be followed.
const TALLEST: f64 = 2000.0;
/// The width of a diagram with columns, divided by its height.
const ASPECT: f64 = 1.5;
const LEGEND_WIDTH: f64 = 720.0;

const PAIR: &str = "stroke=\"#34495e\"";
const LOWER: &str = "stroke=\"#a0522d\" stroke-dasharray=\"5 4\"";

/// The position and size of a frame.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    x: f64,
    y: f64,
    width: f64,
    /// The number of rows in each column, and the width of a column.
    rows: usize,
    column: f64,
    /// Where the kinds and the addresses of the links begin in a column.
    kinds: f64,
    addresses: f64,
}

impl Bounds {
    fn height(&self) -> f64 {
        HEADER + ROW * self.rows as f64 + PADDING / 2.0
    }

    /// The left end of a row, and the height of its middle.
    fn row(&self, row: usize) -> (f64, f64) {
        let (column, line) = (row / self.rows.max(1), row % self.rows.max(1));
        let x = self.x + column as f64 * self.column;
        (x, self.y + HEADER + ROW * (line as f64 + 0.5))
    }

    /// The height of the middle of a row.
    fn middle(&self, row: usize) -> f64 {
        self.row(row).1
    }
}

/// A diagram with its layout.
struct Picture<'a> {
    graph: &'a Diagram,
    places: Vec<Bounds>,
    /// Whether there are lines between the links; otherwise each link names its ends.
    lines: bool,
    out: String,
}

pub fn draw(graph: &Diagram) -> String {
    let mut picture = Picture {
        graph,
        places: Vec::new(),
        lines: true,
        out: String::new(),
    };
    picture.measure();
    let others = picture.places.iter().skip(1);
    if others.map(|place| place.height() + GAP).sum::<f64>() > TALLEST {
        picture.lines = false;
        picture.measure();
        picture.in_columns();
    } else {
        picture.in_one_column();
    }
    picture.draw();
    picture.out
}

impl Picture<'_> {
    /// Sets the sizes of all frames.
    fn measure(&mut self) {
        let frames = self.graph.frames.iter();
        self.places = frames.map(|frame| self.size(frame)).collect();
    }

    fn size(&self, frame: &Frame) -> Bounds {
        let text = |text: &str| width(text) as f64 * CHARACTER;
        let widest = |widths: &mut dyn Iterator<Item = f64>| widths.fold(0.0, f64::max);
        let rows = || frame.rows.iter();
        let names = widest(&mut rows().map(|row| text(&row.name) + row.depth as f64 * INDENT));
        let kinds = PADDING + INDENT + names + SPACE;
        let addresses = kinds + widest(&mut rows().map(|row| text(&row.kind))) + SPACE;
        let column = addresses + widest(&mut rows().map(|row| text(&self.remarks(row))));
        let heading = text(&frame.title) + SPACE + text(&frame.notes.join(", ")) + 2.0 * PADDING;
        let services = frame.services.iter().map(|service| text(service));
        let services = widest(&mut services.into_iter()) + INDENT + 2.0 * PADDING;
        Bounds {
            x: 0.0,
            y: 0.0,
            width: column.max(heading).max(services).max(NARROWEST) + PADDING,
            rows: frame.rows.len() + frame.services.len(),
            column: column + SPACE,
            kinds,
            addresses,
        }
    }

    /// The text about a link after its kind.
    fn remarks(&self, row: &Row) -> String {
        let ends: &[String] = match self.lines {
            true => row.elsewhere.as_slice(),
            false => &row.ends,
        };
        let words: Vec<&str> = row
            .addresses
            .iter()
            .chain(ends)
            .map(String::as_str)
            .collect();
        words.join(", ")
    }

    fn in_one_column(&mut self) {
        let order = order(self.graph);
        let Some((host, others)) = self.places.split_first_mut() else {
            return;
        };
        let widest = others.iter().map(|place| place.width).fold(0.0, f64::max);
        let gaps = GAP * others.len().saturating_sub(1) as f64;
        let stacked = others.iter().map(Bounds::height).sum::<f64>() + gaps;
        let tallest = stacked.max(host.height());
        host.x = MARGIN;
        host.y = MARGIN + (tallest - host.height()) / 2.0;
        let mut y = MARGIN + (tallest - stacked) / 2.0;
        for number in order {
            let place = &mut others[number - 1];
            place.x = MARGIN + host.width + GUTTER;
            place.y = y;
            place.width = widest;
            y += place.height() + GAP;
        }
    }

    fn in_columns(&mut self) {
        let Some((host, others)) = self.places.split_first_mut() else {
            return;
        };
        let widest = others.iter().map(|place| place.width).fold(0.0, f64::max);
        let stacked = others.iter().map(|place| place.height() + GAP).sum::<f64>();
        let columns = (stacked * ASPECT / (widest + GAP)).sqrt().ceil();
        (host.x, host.y) = (MARGIN, MARGIN);
        host.width = host.width.max(columns * (widest + GAP) - GAP);
        let fitting = ((host.width - PADDING) / host.column).floor().max(1.0) as usize;
        host.rows = host.rows.div_ceil(fitting);
        let top = host.y + host.height() + GAP;
        let (mut x, mut y) = (MARGIN, top);
        for place in others {
            if y - top > stacked / columns {
                (x, y) = (x + widest + GAP, top);
            }
            (place.x, place.y, place.width) = (x, y, widest);
            y += place.height() + GAP;
        }
    }

    fn draw(&mut self) {
        let edge = |far: fn(&Bounds) -> f64| self.places.iter().map(far).fold(0.0, f64::max);
        let right = edge(|place| place.x + place.width) + MARGIN + self.widest_bulge();
        let right = right.max(LEGEND_WIDTH + 2.0 * MARGIN);
        let bottom = edge(|place| place.y + place.height()) + GAP;
        let height = bottom + ROW + MARGIN / 2.0;
        self.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" \
             height=\"{height:.0}\" viewBox=\"0 0 {right:.0} {height:.0}\" \
             font-family=\"'DejaVu Sans Mono', monospace\" font-size=\"{FONT}\">\n\
             <title>Network namespaces</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
        ));
        let graph = self.graph;
        for (frame, place) in graph.frames.iter().zip(self.places.clone()) {
            self.frame(frame, place);
        }
        if self.lines {
            graph.lines.iter().for_each(|line| self.line(line));
        }
        self.legend(bottom + ROW / 2.0);
        self.add(format_args!("</svg>"));
    }

    fn add(&mut self, element: std::fmt::Arguments) {
        let _ = writeln!(self.out, "{element}");
    }

    fn text(&mut self, x: f64, y: f64, style: &str, text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\"{style}>{text}</text>"
        ));
    }

    fn frame(&mut self, frame: &Frame, place: Bounds) {
        let Bounds { x, y, width, .. } = place;
        let (height, colour) = (place.height(), colour(frame.health));
        let dashes = match frame.health {
            Health::Failed => " stroke-dasharray=\"6 3\"",
            _ => "",
        };
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\" \
             fill=\"#fafbfc\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>"
        ));
        let baseline = y + HEADER / 2.0 + FONT / 2.0 - 1.0;
        self.text(x + PADDING, baseline, " font-weight=\"bold\"", &frame.title);
        if !frame.notes.is_empty() {
            let style = format!(" text-anchor=\"end\" fill=\"{colour}\"");
            self.text(
                x + width - PADDING,
                baseline,
                &style,
                &frame.notes.join(", "),
            );
        }
        for (number, row) in frame.rows.iter().enumerate() {
            let parent = (0..number)
                .rev()
                .find(|other| frame.rows[*other].depth < row.depth);
            self.row(row, place, number, parent);
        }
        for (number, service) in frame.services.iter().enumerate() {
            let (x, y) = place.row(frame.rows.len() + number);
            let (corner, top) = (x + PADDING, y - 4.0);
            self.add(format_args!(
                "<rect x=\"{corner:.1}\" y=\"{top:.1}\" width=\"8\" height=\"8\" rx=\"2\" \
                 fill=\"#6c5ce7\"/>"
            ));
            self.text(corner + INDENT, y + FONT / 2.0 - 2.0, "", service);
        }
    }

    fn row(&mut self, row: &Row, place: Bounds, number: usize, parent: Option<usize>) {
        let (x, y) = place.row(number);
        let indent = INDENT * row.depth as f64;
        let dot = x + PADDING + 4.0 + indent;
        // Draw the branch from the bridge, unless the bridge is in another column.
        let parent = parent
            .map(|parent| place.row(parent))
            .filter(|parent| parent.0 == x);
        if let Some((_, from)) = parent {
            let (corner, from, end) = (dot - INDENT, from + 5.0, dot - 5.0);
            self.add(format_args!(
                "<path d=\"M{corner:.1} {from:.1}V{y:.1}H{end:.1}\" fill=\"none\" \
                 stroke=\"#b0b8bf\"/>"
            ));
        }
        let fill = if row.is_up() { "#2e8b57" } else { "#b0b8bf" };
        self.add(format_args!(
            "<circle cx=\"{dot:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\"/>"
        ));
        let baseline = y + FONT / 2.0 - 2.0;
        let name = x + PADDING + INDENT + indent;
        self.text(name, baseline, " fill=\"#1c2833\"", &row.name);
        self.text(x + place.kinds, baseline, " fill=\"#85929e\"", &row.kind);
        let remarks = self.remarks(row);
        self.text(x + place.addresses, baseline, " fill=\"#1f618d\"", &remarks);
    }

    fn line(&mut self, line: &Line) {
        let style = match line.kind {
            LineKind::Pair => PAIR,
            LineKind::Lower => LOWER,
            // Members are indented below their bridge.
            LineKind::Member => return,
        };
        let (from, to) = (line.from, line.to);
        let host_first = if to.0 == 0 { (to, from) } else { (from, to) };
        let ((a, a_row), (b, b_row)) = host_first;
        let (start, end) = (self.places[a], self.places[b]);
        let (y1, y2) = (start.middle(a_row), end.middle(b_row));
        let right = |place: Bounds| place.x + place.width;
        let (x1, x2, bend1, bend2) = if a == 0 && b == 0 {
            let bend = MARGIN.min(12.0 + (y2 - y1).abs() / 12.0);
            (start.x, start.x, start.x - bend, start.x - bend)
        } else if a == 0 {
            let half = GUTTER / 2.0;
            (right(start), end.x, right(start) + half, end.x - half)
        } else {
            let bend = bulge(y1, y2);
            (
                right(start),
                right(end),
                right(start) + bend,
                right(end) + bend,
            )
        };
        let title = |(number, row): Point| {
            let frame = &self.graph.frames[number];
            escaped(&format!("{}:{}", frame.title, frame.rows[row].name))
        };
        let (a, b) = (title(from), title(to));
        self.add(format_args!(
            "<path d=\"M{x1:.1} {y1:.1}C{bend1:.1} {y1:.1} {bend2:.1} {y2:.1} {x2:.1} {y2:.1}\" \
             fill=\"none\" {style} stroke-width=\"1.5\"><title>{a} – {b}</title></path>"
        ));
        for (x, y) in [(x1, y1), (x2, y2)] {
            self.add(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#34495e\"/>"
            ));
        }
    }

    /// The width that lines between namespaces need to the right of their column.
    fn widest_bulge(&self) -> f64 {
        let between = |line: &&Line| self.lines && line.from.0 > 0 && line.to.0 > 0;
        let bulges = self.graph.lines.iter().filter(between).map(|line| {
            let y = |(number, row): Point| self.places[number].middle(row);
            bulge(y(line.from), y(line.to))
        });
        bulges.fold(0.0, f64::max)
    }

    fn legend(&mut self, y: f64) {
        self.add(format_args!("<g font-size=\"11\" fill=\"#566573\">"));
        let mut x = MARGIN;
        for (style, word) in [(PAIR, "pair"), (LOWER, "stacked on")] {
            if !self.lines {
                break;
            }
            self.add(format_args!(
                "<path d=\"M{x:.1} {y:.1}h28\" {style} stroke-width=\"1.5\"/>"
            ));
            self.text(x + 34.0, y + 4.0, "", word);
            x += 120.0;
        }
        for (health, word) in [
            (Health::Active, "active"),
            (Health::Busy, "starting or stopping"),
            (Health::Failed, "failed or missing"),
            (Health::Plain, "no types"),
        ] {
            let (colour, top) = (colour(health), y - 6.0);
            self.add(format_args!(
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"12\" height=\"12\" rx=\"3\" \
                 fill=\"#fafbfc\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            ));
            self.text(x + 18.0, y + 4.0, "", word);
            x += 30.0 + word.len() as f64 * 7.0 + 16.0;
        }
        self.add(format_args!("</g>"));
    }
}

/// The namespaces in the order of their first link to the host, so that fewer lines cross.
fn order(graph: &Diagram) -> Vec<usize> {
    let first = |number: usize| {
        let rows = graph
            .lines
            .iter()
            .filter_map(|line| match (line.from, line.to) {
                ((0, row), (other, _)) | ((other, _), (0, row)) if other == number => Some(row),
                _ => None,
            });
        rows.min().unwrap_or(usize::MAX)
    };
    let mut order: Vec<usize> = (1..graph.frames.len()).collect();
    order.sort_by_cached_key(|number| first(*number));
    order
}

/// The width that a line between two namespaces needs to the right of their column.
fn bulge(y1: f64, y2: f64) -> f64 {
    (30.0 + (y2 - y1).abs() / 3.0).min(GUTTER)
}

/// Escapes text for XML 1.0. Control characters, which XML does not allow, must have been removed.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
