//! All that is judged, read before anything is.

use std::time::Duration;

use super::metrics::{Histogram, Metrics};
use crate::api::about::{AboutDocument, StoreAnswer};
use crate::api::pools::PoolStatus;
use crate::api::worker::WorkerDocument;

/// Two readings of one server, and what was asked of it once.
pub(crate) struct Readings {
    pub(crate) before: Metrics,
    pub(crate) after: Metrics,
    /// How far the two are apart.
    pub(crate) over: Duration,
    /// What it said of itself last.
    pub(crate) about: AboutDocument,
    /// Every answer of the store that it told of.
    pub(crate) answers: Vec<StoreAnswer>,
    pub(crate) clock: Clock,
    /// Its workers; none if it could not tell.
    pub(crate) workers: Option<Vec<WorkerDocument>>,
    /// Its pools; none if it could not tell.
    pub(crate) pools: Option<Vec<PoolStatus>>,
}

/// The server's clock against this machine's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    /// How far it is ahead, in milliseconds.
    pub(crate) ahead_ms: i64,
    /// How wrong that may be: half of what the question took.
    pub(crate) within_ms: u64,
}

/// What a number covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// The time between the two readings.
    Period(Duration),
    /// The time since the server began.
    Start(Duration),
}

impl Since {
    /// How long that is.
    pub(crate) fn lasted(self) -> Duration {
        match self {
            Self::Period(lasted) | Self::Start(lasted) => lasted,
        }
    }

    /// The word for it in a document.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Period(_) => "period",
            Self::Start(_) => "start",
        }
    }
}

impl Readings {
    /// How long the server has been up.
    fn up(&self) -> Duration {
        Duration::from_millis(self.about.up_ms)
    }

    /// What came to a histogram in the period, if that is at least so much; all since the start otherwise.
    pub(crate) fn measured(&self, name: &str, least: f64) -> (Histogram, Since) {
        let (before, after) = (self.before.histogram(name), self.after.histogram(name));
        let came = after.since(&before);
        if came.count >= least { (came, Since::Period(self.over)) } else { (after, Since::Start(self.up())) }
    }

    /// What came to counters in the period, if that is at least so much in all; all since the start otherwise.
    pub(crate) fn counted<const N: usize>(&self, counters: [Counter<'_>; N], least: f64) -> ([f64; N], Since) {
        let read = |metrics: &Metrics| counters.map(|(name, labels)| metrics.sum(name, labels));
        let (before, after) = (read(&self.before), read(&self.after));
        let mut came = after;
        for (came, before) in came.iter_mut().zip(before) {
            // One that fell began anew.
            *came = if *came < before { *came } else { *came - before };
        }
        let is_enough = came.iter().sum::<f64>() >= least;
        if is_enough { (came, Since::Period(self.over)) } else { (after, Since::Start(self.up())) }
    }

    /// A number as it is now.
    pub(crate) fn now(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.after.sum(name, labels)
    }

    /// How many requests waited in line at both readings.
    pub(crate) fn in_line(&self) -> f64 {
        let ready = |metrics: &Metrics| metrics.sum("stowplan_backlog", &[("state", "ready")]);
        ready(&self.before).min(ready(&self.after))
    }
}

/// The name of a counter, and the labels that it is to carry.
pub(crate) type Counter<'a> = (&'a str, &'a [(&'a str, &'a str)]);
