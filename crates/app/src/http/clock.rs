//! A server's wall clock, read in this one place. It labels, orders and retains; nothing waits by it.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::time::Timestamp;

/// The time as steps of a store take it.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
