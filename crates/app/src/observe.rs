//! What the outside sees of the scheduler's work: metrics, and the log lines that operators search for.

pub mod logs;
mod metered;
mod metrics;

use std::sync::Arc;

use domain::fleet::Fleet;
use domain::id::{ContainerId, PoolName, WorkerId};
use domain::model::Rewind;
use ports::{PortError, Ports};

use crate::scheduler::{BatchReport, Observer, PoolState};

pub use metrics::Metrics;

/// The same ports, every call counted by operation: `look`, or `housekeeping_look` for a caller that is not the batch's
/// own path.
pub fn metered(ports: &Ports, metrics: &Arc<Metrics>, caller: Option<&'static str>) -> Ports {
    metered::over(ports, metrics, caller)
}

/// Turns what the scheduler says into metrics and log lines.
pub struct Watch {
    metrics: Arc<Metrics>,
}

impl Watch {
    /// Watches into `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl Observer for Watch {
    fn batch_planned(&self, report: &BatchReport) {
        tracing::info!(
            requests = report.size,
            cache_hit = report.cache_hit,
            planning_us = micros(report.planning),
            "processing batch of container requests"
        );
    }

    fn batch_committed(&self, report: &BatchReport) {
        self.metrics.count_batch(report);
        tracing::info!(
            placed = report.placed,
            workers = report.workers_used,
            parked = report.parked.values().sum::<u64>(),
            commit_us = report.commit.map(micros),
            "batch updated worker capacity"
        );
    }

    fn fleet_seen(&self, fleet: &Fleet) {
        self.metrics.see_fleet(fleet);
    }

    fn mandate_changed(&self, held: bool) {
        self.metrics.see_mandate(held);
        tracing::info!(held, "the right to plan this cell changed hands");
    }

    fn stepped_down(&self, error: &PortError) {
        tracing::warn!(error = error.in_full(), "stepping down as planner");
    }

    fn store_failed(&self, error: &PortError) {
        tracing::warn!(error = error.in_full(), "the store did not answer; trying again");
    }

    fn corrupt_parked(&self, ids: &[ContainerId]) {
        for id in ids {
            tracing::error!(container = %id, "parked a request whose row cannot be decoded");
        }
    }

    fn worker_not_found(&self, worker: &WorkerId) {
        tracing::warn!(worker = %worker, "the store does not find a worker that was planned for: it is gone, or its row cannot be read");
    }

    fn worker_lost(&self, worker: &WorkerId, containers: u32) {
        self.metrics.count_lost(containers);
        tracing::warn!(worker = %worker, containers, "gave up a silent worker; its containers run elsewhere");
    }

    fn workers_asked(&self, pool: &PoolName, reason: &'static str, count: u64, left_empty: u64) {
        self.metrics.count_additions(pool, reason, count, left_empty > 0);
        tracing::info!(pool = %pool, reason, count, left_empty, "asked for workers");
    }

    fn worker_retired(&self, pool: &PoolName, worker: &WorkerId, why: &str) {
        tracing::info!(pool = %pool, worker = %worker, why, "took a worker away");
    }

    fn pools_seen(&self, pools: &[PoolState]) {
        self.metrics.see_pools(pools);
    }

    fn pool_failed(&self, pool: &PoolName, why: &str) {
        self.metrics.count_pool_failure(pool);
        tracing::warn!(pool = %pool, why, "a pool did not get what it asked for; it rests");
    }

    fn settling(&self, rewind: Option<&Rewind>, unregistered: u64) {
        tracing::error!(
            survived = rewind.map(|rewind| rewind.survived.revision.0),
            reached = rewind.map(|rewind| rewind.reached.0),
            unregistered,
            "the store lost writes; nothing is placed until workers have said what they run"
        );
    }

    fn settled(&self) {
        tracing::info!("workers have said what they run since writes were lost; work goes on");
    }

    fn losing_suspended(&self, silent: usize, workers: usize) {
        tracing::error!(silent, workers, "too many workers are silent at once; none is given up until fewer are");
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
