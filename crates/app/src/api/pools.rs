//! Pools as an operator sees them.

use serde::{Deserialize, Serialize};

use super::worker::WorkerDocument;

/// `GET /v1/pools`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolList {
    /// Every pool of the server's configuration.
    pub pools: Vec<PoolStatus>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Whether anybody makes workers for it.
    pub grows: bool,
    /// How many workers it has at least.
    pub min: u64,
    /// How many at most.
    pub max: u64,
    /// How many empty ones it keeps beyond what is asked for.
    pub warm: u64,
    /// Workers that take work.
    pub ready: u64,
    /// Workers that are asked for, or boot.
    pub pending: u64,
    /// Of the ready ones, those that own nothing.
    pub idle: u64,
    /// Workers that are closed, or given up.
    pub others: u64,
    /// Workers that the provider is to take away.
    pub leaving: u64,
    /// Workers that could not be had since this server plans the cell.
    pub failed: u64,
    /// How many more the requests that wait need of it, as far as it may have them; 0 while it rests after a failure.
    pub wanted: u64,
    /// How long it asks for nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_ms: Option<u64>,
    /// How many times in a row it did not get what it asked for.
    pub failures: u32,
    /// Why as many were asked for as were, the last time.
    pub decision: String,
    /// What went wrong last, until a worker comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What each of its workers is, as far as its workers turned out to be that.
    pub worker: WorkerDocument,
}
