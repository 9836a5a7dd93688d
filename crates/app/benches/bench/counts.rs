//! What a server counts, as `/metrics` answers it.

use std::collections::BTreeMap;

/// Samples of metrics by name and labels.
pub(crate) struct Counts(pub(crate) BTreeMap<String, f64>);

impl Counts {
    /// Those of a text as `/metrics` answers it.
    pub(crate) fn of(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Self(samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// By how much the sum of all samples of a name has grown since, whatever their labels.
    pub(crate) fn since(&self, before: &Self, name: &str) -> f64 {
        self.sum(name) - before.sum(name)
    }

    /// How many calls of an operation there were since.
    pub(crate) fn calls_since(&self, before: &Self, operation: &str) -> f64 {
        self.since(before, &format!("stowplan_store_calls_total{{operation=\"{operation}\"}}"))
    }

    /// The sum of all samples of a name, whatever their labels; of a name with its labels, that one.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let is_of = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.0.iter().filter(|(key, _)| is_of(key)).map(|(_, value)| value).sum()
    }
}
