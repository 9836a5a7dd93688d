//! What `stowplan doctor` finds, for programs.

use serde::{Deserialize, Serialize};

/// What the number of [`DoctorDocument::version`] is: raised when a field goes or changes its meaning, not when one comes.
pub const DOCTOR_VERSION: u32 = 1;

/// Every indicator, in the order in which they are told.
pub const INDICATORS: [&str; 19] = [
    "planner",
    "settling",
    "batch_size",
    "cache_hit_rate",
    "commit_wait",
    "scheduling_time",
    "worker_additions",
    "pools",
    "never_fit",
    "corrupt",
    "lost_placements",
    "backlog_age",
    "lost_requests",
    "workers",
    "store",
    "store_latency",
    "store_safety",
    "clock",
    "settings",
];

/// All indicators of one server, at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoctorDocument {
    /// See [`DOCTOR_VERSION`].
    pub version: u32,
    /// The server that was read.
    pub server: String,
    /// The worst state of all findings: healthy if they are healthy, or notes.
    pub state: State,
    /// How far apart the two readings were, in milliseconds.
    pub over_ms: u64,
    /// One for each indicator, or several where several things are wrong.
    pub findings: Vec<Finding>,
}

/// How an indicator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Healthy,
    /// Worth knowing, and nothing to do: between healthy and a warning, or too little to say.
    Note,
    /// Something should be done.
    Warning,
    /// Work stands still, is late, or was lost.
    Bad,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// How one indicator stands, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub indicator: String,
    /// How it stands.
    pub state: State,
    /// What was found, in words.
    pub figure: String,
    /// The number that was judged, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Its unit: `requests`, `percent`, `seconds`, `workers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What the number covers: `period`, between the two readings, or `start`, since the server began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// From where on it is healthy, and a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,
    /// What changes it; of a warning and of what is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// A command that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    /// An indicator that stands so.
    pub fn new(indicator: &str, state: State, figure: impl Into<String>) -> Self {
        Self {
            indicator: indicator.to_owned(),
            state,
            figure: figure.into(),
            value: None,
            unit: None,
            since: None,
            threshold: None,
            fix: None,
            next: None,
        }
    }

    /// The same with the number that was judged.
    #[must_use]
    pub fn value(self, value: f64, unit: &str) -> Self {
        Self { value: Some(value), unit: Some(unit.to_owned()), ..self }
    }

    /// The same with what the number covers.
    #[must_use]
    pub fn since(self, since: &str) -> Self {
        Self { since: Some(since.to_owned()), ..self }
    }

    /// The same with its thresholds.
    #[must_use]
    pub fn threshold(self, threshold: impl Into<String>) -> Self {
        Self { threshold: Some(threshold.into()), ..self }
    }

    /// The same with what changes it, unless there is nothing to change.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>, next: &str) -> Self {
        if self.state < State::Warning {
            return self;
        }
        Self { fix: Some(fix.into()), next: Some(next.to_owned()), ..self }
    }
}
