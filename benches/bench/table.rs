//! The table of results. Each row is printed as soon as it is measured.

/// Times in microseconds.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    pub wall: Vec<f64>,
    /// CPU times in user and kernel mode; empty if they were not measured.
    pub cpu: Vec<f64>,
}

impl Samples {
    pub fn median(&self) -> f64 {
        quantile(&self.wall, 0.5)
    }
}

/// The goal of a row.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// The maximum ratio to the baseline.
    Ratio(f64),
    /// No goal: the row is only for comparison.
    None,
}

pub struct Row<'a> {
    pub what: &'a str,
    pub ours: &'a Samples,
    /// The name and the samples of the baseline.
    pub baseline: (&'a str, &'a Samples),
    pub goal: Goal,
}

pub fn head() {
    println!(
        "| what | ours (10 % to 90 %) | compared with | its time | ratio | of CPU time | goal |"
    );
    println!("|---|---|---|---|---|---|---|");
}

pub fn print(row: &Row) {
    let (name, baseline) = row.baseline;
    let ratio = row.ours.median() / baseline.median();
    let cpu = match (&row.ours.cpu[..], &baseline.cpu[..]) {
        ([], _) | (_, []) => "-".to_owned(),
        (ours, baseline) => format!("{:.2}", quantile(ours, 0.5) / quantile(baseline, 0.5)),
    };
    let goal = match row.goal {
        Goal::Ratio(most) if ratio <= most => format!("{most}, reached"),
        Goal::Ratio(most) => format!("{most}, missed"),
        Goal::None => "-".to_owned(),
    };
    println!(
        "| {} | {} ({} to {}) | {name} | {} | {ratio:.2} | {cpu} | {goal} |",
        row.what,
        shown(row.ours.median()),
        shown(quantile(&row.ours.wall, 0.1)),
        shown(quantile(&row.ours.wall, 0.9)),
        shown(baseline.median()),
    );
}

/// A row with a value other than a time.
pub fn print_size(what: &str, bytes: u64, most: u64) {
    const MIB: f64 = 1024.0 * 1024.0;
    let (size, limit) = (bytes as f64 / MIB, most as f64 / MIB);
    let word = if bytes <= most { "reached" } else { "missed" };
    println!("| {what} | {size:.2} MiB | - | - | - | - | {limit} MiB, {word} |");
}

fn shown(microseconds: f64) -> String {
    match microseconds {
        time if time >= 1e6 => format!("{:.2} s", time / 1e6),
        time if time >= 1e5 => format!("{:.0} ms", time / 1e3),
        time => format!("{:.2} ms", time / 1e3),
    }
}

fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    sorted
        .get((last * part).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
