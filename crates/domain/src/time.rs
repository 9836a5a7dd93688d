//! Time as it is handed in: nothing in this crate reads a clock.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01 UTC. It labels, orders and retains; no deadline is ever read off it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long before `later` this was; zero if it was not before.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
