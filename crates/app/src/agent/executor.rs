//! What runs containers stands behind one small trait; the agent's core decides, an executor does.

use serde::{Deserialize, Serialize};

use crate::api::calls::{Hold, PlacementName, Report, StartOrder};

mod hook;
pub mod process;
pub mod simulate;

/// Something that runs containers.
///
/// Its methods return at once. What happens to a container is told later, to the sender that the executor was made
/// with. A container whose processes outlive the agent is found again by [`Executor::recover`].
pub trait Executor: Send {
    /// The runtime that requests name to get it.
    fn runtime(&self) -> &'static str;

    /// What an earlier agent left in the same data folder. Called once, before anything else. What is settled is not
    /// told; an agent may have died between settling and discarding it.
    fn recover(&mut self, is_settled: &dyn Fn(&PlacementName) -> bool) -> anyhow::Result<Vec<Found>>;

    /// Starts the container, its intent written to disk before if it can outlive the agent; at or after `start_by_ms`,
    /// on the boot clock, nothing begins.
    /// Exactly one end is told for it, unless this fails.
    fn start(&mut self, order: &StartOrder, start_by_ms: u64) -> anyhow::Result<()>;

    /// Ends the container. A later request may only hurry it, or turn a drain into a stop.
    fn stop(&mut self, placement: &PlacementName, request: &StopRequest);

    /// Forgets a container whose end is acknowledged.
    fn discard(&mut self, placement: &PlacementName);
}

/// What an earlier agent left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It may still run; what becomes of it will be told.
    Held(Hold),
    /// It ended, and that is perhaps not yet acknowledged.
    Ended(Report),
}

/// What an executor tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The container's process runs.
    Started(PlacementName),
    /// The container is over and none of its processes is left.
    Ended(Report),
}

/// How a container is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Why.
    pub cause: Cause,
    /// From TERM to KILL, if it may be no longer than this.
    pub kill_after_ms: Option<u64>,
}

/// Why the agent ends a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The worker is drained: it may run elsewhere later.
    Drain,
    /// Somebody asked for it.
    Stop,
    /// The worker may not run it: no time for TERM.
    Kill,
}
