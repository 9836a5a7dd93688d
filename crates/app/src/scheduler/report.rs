//! What the scheduler says of its work; `observe` makes metrics and log lines of it.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::fleet::Fleet;
use domain::id::{ContainerId, PoolName, WorkerId};
use domain::model::Rewind;
use ports::PortError;

use super::pools::PoolState;

/// One batch, from the first request seen to the commit's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// How many requests were read, in line and from lots.
    pub size: usize,
    /// How many were placed.
    pub placed: usize,
    /// On how many workers.
    pub workers_used: usize,
    /// How many were parked, by the word for why.
    pub parked: BTreeMap<&'static str, u64>,
    /// How many decisions had each outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Whether it was planned without reading the fleet.
    pub cache_hit: bool,
    /// From the first request seen to the batch's end.
    pub collection: Duration,
    /// In `plan`.
    pub planning: Duration,
    /// In the commit; none if there was nothing to commit.
    pub commit: Option<Duration>,
    /// From submit to placed, for each that was placed.
    pub waited: Vec<Duration>,
    /// The same of those alone that had room from the first: that never waited in a lot, nor were placed before.
    pub waited_in_line: Vec<Duration>,
}

/// Who is told what the scheduler does.
pub trait Observer: Send + Sync {
    /// A batch is planned and about to be committed.
    fn batch_planned(&self, report: &BatchReport);
    /// A batch is committed.
    fn batch_committed(&self, report: &BatchReport);
    /// The fleet as it is seen.
    fn fleet_seen(&self, fleet: &Fleet);
    /// The planner took the cell, or left it.
    fn mandate_changed(&self, held: bool);
    /// The planner left the cell because of this.
    fn stepped_down(&self, error: &PortError);
    /// The store did not answer; the same will be tried again.
    fn store_failed(&self, error: &PortError);
    /// Requests whose rows cannot be decoded were parked.
    fn corrupt_parked(&self, ids: &[ContainerId]);
    /// The store did not find a worker that was planned for: it is gone, or its row cannot be read.
    fn worker_not_found(&self, worker: &WorkerId);
    /// A worker was given up, and this many of its containers went back.
    fn worker_lost(&self, worker: &WorkerId, containers: u32);
    /// A pool asked for so many workers, for this reason, while so many of its own were left empty.
    fn workers_asked(&self, pool: &PoolName, reason: &'static str, count: u64, left_empty: u64);
    /// A worker of a pool goes, and why.
    fn worker_retired(&self, pool: &PoolName, worker: &WorkerId, why: &str);
    /// The pools as they stand.
    fn pools_seen(&self, pools: &[PoolState]);
    /// A pool did not get what it asked for.
    fn pool_failed(&self, pool: &PoolName, why: &str);
    /// The store lost writes: nothing is placed until workers have said what they run.
    fn settling(&self, rewind: Option<&Rewind>, unregistered: u64);
    /// They have: work goes on.
    fn settled(&self);
    /// So many workers of so many are silent at once that none is given up.
    fn losing_suspended(&self, silent: usize, workers: usize);
}
