//! Pools: fleets that grow when nothing else helps, and shrink again.

use std::time::Duration;

use domain::fleet::PoolTemplate;
use domain::retry::Backoff;

/// A pool, as the planner is told of it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its name, what each of its workers is, and how many it may have.
    pub template: PoolTemplate,
    /// How many it has at least, whoever asks for anything.
    pub workers_min: u64,
    /// How many empty ones it keeps beyond what is asked for.
    pub warm: u64,
    /// How long a worker must have been empty before it goes.
    pub idle: Duration,
    /// How many are asked for at once at most.
    pub per_cycle_max: u64,
    /// How long after it asked for some it asks for no more.
    pub cooldown: Duration,
    /// How long it asks for none after a worker could not be had, longer each time.
    pub backoff: Backoff,
    /// How long a worker may boot.
    pub boot_within: Duration,
    /// How long the provider may take to answer.
    pub call_within: Duration,
}
