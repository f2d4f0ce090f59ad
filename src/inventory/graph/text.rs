//! The diagram for a terminal: a frame for each namespace. Each link names its peer.

use super::{Diagram, Frame, Health};
use crate::sys::terminal::{self, Highlight, Terminal};

/// The minimum width, in columns.
const NARROWEST: usize = 16;

/// Draws a diagram, at most as wide as `terminal`.
pub fn draw(graph: &Diagram, terminal: Terminal) -> String {
    let names = graph.frames.iter().flat_map(|frame| &frame.rows);
    let names = names.map(|row| row.depth * 2 + terminal::width(&row.name));
    let names = names.max().unwrap_or(0);
    let contents: Vec<Vec<Vec<String>>> = graph
        .frames
        .iter()
        .map(|frame| rows(frame, names))
        .collect();
    let headings = graph.frames.iter().map(heading);
    let wanted = headings
        .map(|heading| terminal::width(&heading) + 2)
        .chain(
            contents
                .iter()
                .flatten()
                .map(|words| terminal::width(&words.concat())),
        )
        .max()
        .unwrap_or(0);
    // Two borders, each with a space.
    let most = terminal.width.unwrap_or(usize::MAX).max(NARROWEST) - 4;
    let inner = wanted.min(most);
    let mut text = String::new();
    for (frame, lines) in graph.frames.iter().zip(&contents) {
        let paint = |part: &str| match highlight(frame.health) {
            Some(highlight) => terminal.paint(highlight, part),
            None => part.to_owned(),
        };
        let heading = terminal::cut(&heading(frame), inner - 1);
        let rest = "─".repeat((inner + 1).saturating_sub(terminal::width(&heading) + 1));
        text += &format!("{}\n", paint(&format!("┌ {heading} {rest}┐")));
        let next = " ".repeat((names + 2).min(inner / 2));
        for line in lines {
            let words = line.iter().map(String::as_str);
            for line in terminal::wrap(words, inner, "", &next) {
                let space = " ".repeat(inner.saturating_sub(terminal::width(&line)));
                text += &format!("{} {line}{space} {}\n", paint("│"), paint("│"));
            }
        }
        text += &format!("{}\n", paint(&format!("└{}┘", "─".repeat(inner + 2))));
    }
    text
}

fn heading(frame: &Frame) -> String {
    let mut words = vec![frame.title.clone()];
    words.extend(frame.notes.iter().cloned());
    words.join(" ─ ")
}

/// The rows as words, each with the space after it. Names are padded to the width `names`.
fn rows(frame: &Frame, names: usize) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for (number, row) in frame.rows.iter().enumerate() {
        let last = |depth| {
            let after = frame.rows[number + 1..].iter();
            let mut after = after.take_while(|other| other.depth >= depth);
            !after.any(|other| other.depth == depth)
        };
        let branch = match row.depth {
            0 => String::new(),
            depth => "  ".repeat(depth - 1) + if last(depth) { "└ " } else { "├ " },
        };
        let name = format!("{branch}{}", row.name);
        let space = " ".repeat(names.saturating_sub(terminal::width(&name)));
        let mut words = vec![format!("{name}{space}"), row.kind.clone()];
        if !row.is_up() {
            words.push(row.state.to_owned());
        }
        words.extend(row.addresses.iter().cloned());
        words.extend(row.ends.iter().cloned());
        let last = words.len() - 1;
        words[..last].iter_mut().for_each(|word| *word += "  ");
        lines.push(words);
    }
    lines.extend(
        frame
            .services
            .iter()
            .map(|service| vec![format!("● {service}")]),
    );
    lines
}

fn highlight(health: Health) -> Option<Highlight> {
    match health {
        Health::Active => Some(Highlight::Good),
        Health::Busy => Some(Highlight::Busy),
        Health::Failed => Some(Highlight::Bad),
        Health::Plain => None,
    }
}
