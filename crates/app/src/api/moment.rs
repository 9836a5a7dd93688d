//! Points in time as documents show them.

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A point in time, for people and for arithmetic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// RFC 3339, to the millisecond, UTC.
    pub at: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub ms: u64,
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        let instant = i64::try_from(time.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let at = instant.map_or_else(|| time.to_string(), |instant| format!("{instant:.3}"));
        Self { at, ms: time.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_rfc_3339_to_the_millisecond() {
        assert_eq!(Moment::from(Timestamp(1_764_036_000_120)).at, "2025-11-25T02:00:00.120Z");
        assert_eq!(Moment::from(Timestamp(u64::MAX)).at, "18446744073709551615 ms");
    }
}
