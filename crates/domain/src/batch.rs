//! How requests are gathered into batches: presets, and when a batch closes.

use std::time::Duration;

/// The most requests that one batch may hold, whatever is configured.
pub const BATCH_SIZE_MAX: usize = 5_000;
/// The longest that a batch may gather.
pub const BATCH_WINDOW_MAX: Duration = Duration::from_secs(10);
/// The longest that a look at the fleet may serve.
pub const FLEET_CACHE_MAX: Duration = Duration::from_mins(1);

/// How requests are gathered, and how long a look at the fleet serves. Always within the bounds above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    window: Duration,
    size_max: usize,
    fleet_cache: Duration,
    flush: Flush,
}

/// When a batch that is not full is closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flush {
    /// At once when no commit is in flight: a lone request does not wait, and under load requests gather while the
    /// last commit runs.
    #[default]
    Idle,
    /// When it has gathered for the whole window.
    Window,
}

/// A setting of [`BatchPolicy`] that is out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBatchPolicy {
    /// The window is longer than [`BATCH_WINDOW_MAX`].
    #[error("batch_window: {0:?} is too long; the most is {BATCH_WINDOW_MAX:?}")]
    Window(Duration),
    /// The size is 0, or more than [`BATCH_SIZE_MAX`].
    #[error("max_batch_size: {0} is not from 1 to {BATCH_SIZE_MAX}")]
    Size(usize),
    /// The cache serves longer than [`FLEET_CACHE_MAX`].
    #[error("fleet_cache: {0:?} is too long; the most is {FLEET_CACHE_MAX:?}")]
    FleetCache(Duration),
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self::BALANCED
    }
}

impl BatchPolicy {
    /// For most.
    pub const BALANCED: Self = Self::preset(50, 100, 500);
    /// For requests that somebody waits for.
    pub const LOW_LATENCY: Self = Self::preset(20, 50, 500);
    /// For queues that are always full.
    pub const THROUGHPUT: Self = Self::preset(100, 200, 1000);
    /// All presets with the words that people and formats use.
    pub const PRESETS: [(&'static str, Self); 3] =
        [("balanced", Self::BALANCED), ("low-latency", Self::LOW_LATENCY), ("throughput", Self::THROUGHPUT)];

    const fn preset(window_ms: u64, size_max: usize, fleet_cache_ms: u64) -> Self {
        let (window, fleet_cache) = (Duration::from_millis(window_ms), Duration::from_millis(fleet_cache_ms));
        Self { window, size_max, fleet_cache, flush: Flush::Idle }
    }

    /// A policy of these settings, each within its bounds.
    pub fn new(window: Duration, size_max: usize, fleet_cache: Duration, flush: Flush) -> Result<Self, BadBatchPolicy> {
        if window > BATCH_WINDOW_MAX {
            return Err(BadBatchPolicy::Window(window));
        }
        if !(1..=BATCH_SIZE_MAX).contains(&size_max) {
            return Err(BadBatchPolicy::Size(size_max));
        }
        if fleet_cache > FLEET_CACHE_MAX {
            return Err(BadBatchPolicy::FleetCache(fleet_cache));
        }
        Ok(Self { window, size_max, fleet_cache, flush })
    }

    /// How long a batch gathers at most.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// How many requests a batch holds at most.
    pub fn size_max(&self) -> usize {
        self.size_max
    }

    /// How old a look at the fleet may be and still serve.
    pub fn fleet_cache(&self) -> Duration {
        self.fleet_cache
    }

    /// When a batch that is not full is closed.
    pub fn flush(&self) -> Flush {
        self.flush
    }
}

/// A batch that is being gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchWindow {
    /// How long ago the first of its requests was seen.
    pub elapsed: Duration,
    /// How many requests wait.
    pub waiting: usize,
}

/// Whether a batch closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchDecision {
    /// Now.
    Close,
    /// Not before something changes or this long has passed; then decide again.
    WaitAtMost(Duration),
}

impl BatchWindow {
    /// Whether the batch closes. A full one never waits, none waits longer than the window, and nothing closes empty.
    pub fn decide(&self, policy: &BatchPolicy) -> BatchDecision {
        let left = policy.window.saturating_sub(self.elapsed);
        let idle = policy.flush == Flush::Idle;
        match self.waiting {
            0 => BatchDecision::WaitAtMost(policy.window),
            waiting if waiting >= policy.size_max || idle || left.is_zero() => BatchDecision::Close,
            _ => BatchDecision::WaitAtMost(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BatchDecision::{Close, WaitAtMost};
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_batch_closes_when_it_is_full_or_idle_or_its_time_is_over() {
        let idle = BatchPolicy::BALANCED;
        let window = BatchPolicy { flush: Flush::Window, ..idle };
        let table = [
            // flush, elapsed, waiting
            (idle, 0, 1, Close),
            (idle, 0, 100, Close),
            (idle, 50, 1, Close),
            (idle, 0, 0, WaitAtMost(ms(50))),
            (window, 0, 1, WaitAtMost(ms(50))),
            (window, 20, 99, WaitAtMost(ms(30))),
            (window, 0, 100, Close),
            (window, 0, 5000, Close),
            (window, 51, 1, Close),
            (window, 99, 0, WaitAtMost(ms(50))),
        ];
        for (policy, elapsed, waiting, expected) in table {
            let batch = BatchWindow { elapsed: ms(elapsed), waiting };
            assert_eq!(batch.decide(&policy), expected, "{:?} {batch:?}", policy.flush);
        }
    }

    #[test]
    fn a_window_of_zero_gathers_nothing() {
        let policy = BatchPolicy::new(Duration::ZERO, 100, ms(500), Flush::Window).unwrap();
        let lone = BatchWindow { elapsed: Duration::ZERO, waiting: 1 };
        assert_eq!(lone.decide(&policy), Close);
    }

    #[test]
    fn the_presets_are_within_the_bounds() {
        for (name, preset) in BatchPolicy::PRESETS {
            let BatchPolicy { window, size_max, fleet_cache, flush } = preset;
            assert_eq!(BatchPolicy::new(window, size_max, fleet_cache, flush), Ok(preset), "{name}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let error = |window, size_max, fleet_cache| {
            BatchPolicy::new(ms(window), size_max, ms(fleet_cache), Flush::Idle).unwrap_err().to_string()
        };
        assert_eq!(error(10_001, 1, 0), "batch_window: 10.001s is too long; the most is 10s");
        assert_eq!(error(50, 0, 0), "max_batch_size: 0 is not from 1 to 5000");
        assert_eq!(error(50, 5001, 0), "max_batch_size: 5001 is not from 1 to 5000");
        assert_eq!(error(50, 5000, 60_001), "fleet_cache: 60.001s is too long; the most is 60s");
    }
}
