//! What `/metrics` answers, read back: names, labels and numbers, nothing else of the format.

use std::collections::BTreeMap;

/// One reading of all metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    samples: BTreeMap<String, Vec<Sample>>,
}

#[derive(Debug, Clone)]
struct Sample {
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A histogram, or what came to it between two readings.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Histogram {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    /// Up to which value, and how many were not above it.
    buckets: Vec<(f64, f64)>,
}

impl Metrics {
    /// Reads the text; answers the first line that is none of the format.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, sample) = read_sample(line).ok_or_else(|| line.to_owned())?;
            metrics.samples.entry(name).or_default().push(sample);
        }
        Ok(metrics)
    }

    /// The sum of all samples of a name that carry these labels; 0 if there are none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |sample: &&Sample| {
            labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        self.samples.get(name).into_iter().flatten().filter(carries).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// A histogram without labels.
    pub(crate) fn histogram(&self, name: &str) -> Histogram {
        let bucket = |sample: &Sample| Some((sample.labels.get("le")?.parse().ok()?, sample.value));
        let buckets = self.samples.get(&format!("{name}_bucket")).into_iter().flatten();
        Histogram {
            count: self.sum(&format!("{name}_count"), &[]),
            sum: self.sum(&format!("{name}_sum"), &[]),
            buckets: buckets.filter_map(bucket).collect(),
        }
    }
}

/// `name{label="value",..} number`
fn read_sample(line: &str) -> Option<(String, Sample)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, read_labels(labels.strip_suffix('}')?)?),
        None => (series, BTreeMap::new()),
    };
    Some((name.to_owned(), Sample { labels, value }))
}

/// Values may hold commas, braces and escaped quotes.
fn read_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (end, '"') => break end,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    char => value.push(char),
                },
                (_, char) => value.push(char),
            }
        };
        labels.insert(name.to_owned(), value);
        text = &rest[end + 1..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    Some(labels)
}

impl Histogram {
    /// What came to it after an earlier reading; all of it if it began anew meanwhile.
    pub(crate) fn since(&self, before: &Self) -> Self {
        if self.count < before.count {
            return self.clone();
        }
        let earlier = |le: f64| before.buckets.iter().find(|(bound, _)| *bound >= le).map_or(0.0, |(_, count)| *count);
        Self {
            count: self.count - before.count,
            sum: self.sum - before.sum,
            buckets: self.buckets.iter().map(|(le, count)| (*le, count - earlier(*le))).collect(),
        }
    }

    /// None if it is empty.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    /// The value that this part of all does not exceed, straight between the bounds of its bucket; none if it is empty, and the
    /// last bound if it lies beyond.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count;
        let (mut low, mut below) = (0.0, 0.0);
        for (le, count) in &self.buckets {
            if *count >= rank && *count > below {
                return Some(if le.is_finite() { low + (le - low) * (rank - below) / (count - below) } else { low });
            }
            (low, below) = (if le.is_finite() { *le } else { low }, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP stowplan_a A.\n# TYPE stowplan_a counter\nstowplan_a_total{pool=\"x, \\\"y\\\"}\",reason=\"min\"} 3\n\
                        stowplan_a_total{pool=\"z\",reason=\"min\"} 4\nstowplan_planner 1\n\
                        stowplan_h_sum 9.5\nstowplan_h_count 10\nstowplan_h_bucket{le=\"1.0\"} 8\n\
                        stowplan_h_bucket{le=\"2.0\"} 10\nstowplan_h_bucket{le=\"+Inf\"} 10\n# EOF\n";

    #[test]
    fn names_labels_and_numbers_are_read_back() {
        let metrics = Metrics::read(TEXT).unwrap();
        let sum = |labels: &[(&str, &str)]| metrics.sum("stowplan_a_total", labels);
        assert_eq!((sum(&[]), sum(&[("reason", "min")]), sum(&[("pool", "x, \"y\"}")])), (7.0, 7.0, 3.0));
        assert_eq!((sum(&[("pool", "none")]), metrics.sum("stowplan_planner", &[])), (0.0, 1.0));
        for bad in ["stowplan_a", "stowplan_a one", "stowplan_a{b} 1", "stowplan_a{b=\"c} 1"] {
            assert_eq!(Metrics::read(bad).unwrap_err(), bad);
        }
    }

    #[test]
    fn a_histogram_has_a_mean_and_quantiles_of_what_came_to_it() {
        let all = Metrics::read(TEXT).unwrap().histogram("stowplan_h");
        assert_eq!((all.mean(), all.quantile(0.4), all.quantile(0.9)), (Some(0.95), Some(0.5), Some(1.5)));
        let later =
            TEXT.replace("count 10", "count 12").replace("sum 9.5", "sum 309.5").replace("Inf\"} 10", "Inf\"} 12");
        let came = Metrics::read(&later).unwrap().histogram("stowplan_h").since(&all);
        assert_eq!((came.count, came.mean(), came.quantile(0.95)), (2.0, Some(150.0), Some(2.0)));
        assert_eq!(all.since(&all).mean(), None);
        assert_eq!(all.since(&all).quantile(0.5), None);
        assert_eq!(all.since(&Metrics::read(&later).unwrap().histogram("stowplan_h")), all, "the server began anew");
    }
}
