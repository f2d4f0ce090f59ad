//! The text formats of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A text format for metrics. Both have the same names and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Version 0.0.4, which node_exporter's textfile collector reads.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Gauge,
    /// It only increases; its name ends in `_total`.
    Counter,
}

/// Metrics as text.
pub struct Exposition {
    format: MetricsFormat,
    text: String,
}

/// The labels of a sample, by name.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    pub fn new(format: MetricsFormat) -> Self {
        let text = String::new();
        Self { format, text }
    }

    /// Adds a metric with the samples that `samples` adds, if there are any. Of two samples with the same
    /// labels, only the first is written: duplicates make the whole text invalid, and names that are not
    /// UTF-8 may look the same.
    pub fn family(
        &mut self,
        kind: MetricKind,
        name: &str,
        help: &str,
        samples: impl FnOnce(&mut dyn FnMut(Labels, u64)),
    ) {
        let mut found = BTreeMap::new();
        samples(&mut |labels, value| {
            found.entry(written(labels)).or_insert(value);
        });
        if found.is_empty() {
            return;
        }
        let (family, kind) = match (kind, self.format) {
            (MetricKind::Gauge, _) => (name, "gauge"),
            (MetricKind::Counter, MetricsFormat::Prometheus) => (name, "counter"),
            (MetricKind::Counter, MetricsFormat::OpenMetrics) => {
                (name.trim_end_matches("_total"), "counter")
            }
        };
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        for (labels, value) in found {
            let _ = writeln!(self.text, "{name}{labels} {value}");
        }
    }

    pub fn finish(mut self) -> String {
        if self.format == MetricsFormat::OpenMetrics {
            self.text += "# EOF\n";
        }
        self.text
    }
}

fn written(labels: Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    let labels: Vec<String> = labels.iter().map(label).collect();
    format!("{{{}}}", labels.join(","))
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"");
    value.replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: MetricsFormat) -> String {
        let mut exposition = Exposition::new(format);
        exposition.family(MetricKind::Counter, "a_total", "Things.", |add| {
            add(&[("name", "b\\\"\nc"), ("kind", "")], 1);
            add(&[("name", "b\\\"\nc"), ("kind", "")], 2);
        });
        exposition.family(MetricKind::Gauge, "nothing", "Nothing.", |_| {});
        exposition.finish()
    }

    #[test]
    fn labels_are_escaped_and_samples_are_unique() {
        let sample = r#"a_total{name="b\\\"\nc",kind=""} 1"#;
        assert_eq!(
            text(MetricsFormat::Prometheus),
            format!("# HELP a_total Things.\n# TYPE a_total counter\n{sample}\n")
        );
        assert_eq!(
            text(MetricsFormat::OpenMetrics),
            format!("# HELP a Things.\n# TYPE a counter\n{sample}\n# EOF\n")
        );
    }
}
