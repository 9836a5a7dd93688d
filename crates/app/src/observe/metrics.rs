//! Every metric by name: the seed's, and what else an operator asks for.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use domain::container::Phase;
use domain::fleet::Fleet;
use domain::id::PoolName;
use domain::model::backlog::Depth;
use domain::resources::GPU_WHOLE_MILLI;
use domain::time::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::scheduler::{BatchReport, PoolState};

type Ratio = Gauge<f64, AtomicU64>;
/// What is not served at all while it is unknown has a family, also without labels.
type NoLabels = [(&'static str, &'static str); 0];

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident),+ })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($field: String),+ }
    )*};
}

labels! {
    OutcomeLabel { outcome }
    OperationLabel { operation }
    StateLabel { state }
    ReasonLabel { reason }
    ResourceLabel { resource }
    AdditionLabel { pool, reason }
    PoolLabel { pool }
    PoolStateLabel { pool, state }
}

/// All metrics of one process.
pub struct Metrics {
    registry: Registry,
    batch_size: Histogram,
    batch_collection: Histogram,
    batch_workers_used: Histogram,
    cache_hits: Counter,
    cache_misses: Counter,
    utilization: Family<ResourceLabel, Ratio>,
    scheduling: Histogram,
    in_line: Histogram,
    handover: Histogram,
    planning: Histogram,
    commit: Histogram,
    outcomes: Family<OutcomeLabel, Counter>,
    store_calls: Family<OperationLabel, Counter>,
    backlog: Family<StateLabel, Gauge>,
    backlog_oldest: Family<NoLabels, Ratio>,
    unplaced: Family<ReasonLabel, Gauge>,
    lost: Counter,
    additions: Family<AdditionLabel, Counter>,
    additions_with_room: Family<AdditionLabel, Counter>,
    pool_failures: Family<PoolLabel, Counter>,
    pool_workers: Family<PoolStateLabel, Gauge>,
    unknown: Counter,
    settling: Gauge,
    planner: Gauge,
}

/// From 50 microseconds to about 100 seconds.
fn seconds() -> Histogram {
    Histogram::new((0..21).map(|step| 0.000_05 * f64::powi(2.0, step)))
}

/// From 0.1 to 300 s, finest where a wait becomes too long.
fn waits() -> Histogram {
    Histogram::new([0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0])
}

/// From 1 to 5,000 and beyond.
fn counts() -> Histogram {
    Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("stowplan"),
            batch_size: counts(),
            batch_collection: seconds(),
            batch_workers_used: counts(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            utilization: Family::default(),
            scheduling: seconds(),
            in_line: waits(),
            handover: seconds(),
            planning: seconds(),
            commit: seconds(),
            outcomes: Family::default(),
            store_calls: Family::default(),
            backlog: Family::default(),
            backlog_oldest: Family::default(),
            unplaced: Family::default(),
            lost: Counter::default(),
            additions: Family::default(),
            additions_with_room: Family::default(),
            pool_failures: Family::default(),
            pool_workers: Family::default(),
            unknown: Counter::default(),
            settling: Gauge::default(),
            planner: Gauge::default(),
        };
        metrics.register_batches();
        metrics.register_rest();
        metrics
    }
}

impl Metrics {
    fn register_batches(&mut self) {
        let registry = &mut self.registry;
        registry.register("batch_size", "Requests in a batch", self.batch_size.clone());
        registry.register(
            "batch_collection_seconds",
            "From the first request of a batch seen to all of it read",
            self.batch_collection.clone(),
        );
        registry.register("batch_workers_used", "Workers that a batch placed on", self.batch_workers_used.clone());
        registry.register("fleet_cache_hits", "Batches planned without a fleet read", self.cache_hits.clone());
        registry.register("fleet_cache_misses", "Batches planned after a fleet read", self.cache_misses.clone());
        registry.register(
            "scheduling_seconds",
            "From the submit of a request to its placement",
            self.scheduling.clone(),
        );
        registry.register(
            "in_line_seconds",
            "From the submit of a request to its first placement, if it never waited for room",
            self.in_line.clone(),
        );
        registry.register(
            "handover_seconds",
            "From the submit of a request to its worker taking it",
            self.handover.clone(),
        );
        registry.register("plan_seconds", "Planning a batch", self.planning.clone());
        registry.register("commit_seconds", "Committing a batch", self.commit.clone());
        registry.register("commit_outcomes", "Decisions by what became of them", self.outcomes.clone());
    }

    fn register_rest(&mut self) {
        let registry = &mut self.registry;
        registry.register("store_calls", "Calls of the store, by operation", self.store_calls.clone());
        registry.register("backlog", "Requests that wait, by where", self.backlog.clone());
        registry.register(
            "backlog_oldest_seconds",
            "How long the first in line has waited",
            self.backlog_oldest.clone(),
        );
        registry.register("unplaced", "Requests parked, by reason", self.unplaced.clone());
        registry.register(
            "lost_placements",
            "Containers that went back because their worker was given up",
            self.lost.clone(),
        );
        registry.register(
            "lost_requests",
            "Containers that workers told of after lost writes and that this cell knows nothing of",
            self.unknown.clone(),
        );
        registry.register("settling", "Whether nothing is placed because the store lost writes", self.settling.clone());
        registry.register("worker_additions", "Workers asked for, by pool and reason", self.additions.clone());
        registry.register(
            "worker_additions_with_room",
            "Workers asked for while others of the pool were left empty",
            self.additions_with_room.clone(),
        );
        registry.register("pool_failures", "Times a pool did not get what it asked for", self.pool_failures.clone());
        registry.register("pool_workers", "Workers of a pool, by state", self.pool_workers.clone());
        registry.register(
            "worker_utilization_ratio",
            "What containers own of the fleet's room",
            self.utilization.clone(),
        );
        registry.register("planner", "Whether this process plans the cell", self.planner.clone());
    }

    /// Everything in the Prometheus text format, with what only the store knows; without that, if it is unknown now.
    pub fn render(&self, depth: Option<&Depth>, now: Timestamp) -> String {
        match depth {
            Some(depth) => self.see_backlog(depth, now),
            None => self.forget_backlog(),
        }
        let mut text = String::new();
        // Writing to a string cannot fail; what was written would be served all the same.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts one batch.
    pub fn count_batch(&self, report: &BatchReport) {
        self.batch_size.observe(to_f64(report.size));
        self.batch_collection.observe(report.collection.as_secs_f64());
        self.batch_workers_used.observe(to_f64(report.workers_used));
        let cache = if report.cache_hit { &self.cache_hits } else { &self.cache_misses };
        cache.inc();
        self.planning.observe(report.planning.as_secs_f64());
        if let Some(commit) = report.commit {
            self.commit.observe(commit.as_secs_f64());
        }
        for waited in &report.waited {
            self.scheduling.observe(waited.as_secs_f64());
        }
        for waited in &report.waited_in_line {
            self.in_line.observe(waited.as_secs_f64());
        }
        for (outcome, count) in &report.outcomes {
            self.outcomes.get_or_create(&OutcomeLabel { outcome: (*outcome).to_owned() }).inc_by(*count);
        }
    }

    /// Counts one call of the store.
    pub fn count_call(&self, operation: &str) {
        self.store_calls.get_or_create(&OperationLabel { operation: operation.to_owned() }).inc();
    }

    /// Counts one container handed to its worker.
    pub fn count_handover(&self, waited: Duration) {
        self.handover.observe(waited.as_secs_f64());
    }

    /// Counts containers whose worker was given up.
    pub fn count_lost(&self, containers: u32) {
        self.lost.inc_by(u64::from(containers));
    }

    /// Counts containers that were accepted and are lost.
    pub fn count_unknown(&self, containers: u32) {
        self.unknown.inc_by(u64::from(containers));
    }

    /// Counts workers that a pool asked for, `with_room` if others of it were left empty.
    pub fn count_additions(&self, pool: &PoolName, reason: &str, count: u64, with_room: bool) {
        let label = AdditionLabel { pool: pool.to_string(), reason: reason.to_owned() };
        self.additions.get_or_create(&label).inc_by(count);
        if with_room {
            self.additions_with_room.get_or_create(&label).inc_by(count);
        }
    }

    /// Counts a time that a pool did not get what it asked for.
    pub fn count_pool_failure(&self, pool: &PoolName) {
        self.pool_failures.get_or_create(&PoolLabel { pool: pool.to_string() }).inc();
    }

    /// Reads the size of each pool.
    pub fn see_pools(&self, pools: &[PoolState]) {
        for pool in pools {
            let name = pool.settings.template.name.to_string();
            let counts =
                [("ready", pool.ready), ("pending", pool.pending), ("idle", pool.idle), ("wanted", pool.wanted)];
            for (state, count) in counts {
                let label = PoolStateLabel { pool: name.clone(), state: state.to_owned() };
                self.pool_workers.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// Notes whether this process plans the cell.
    pub fn see_mandate(&self, held: bool) {
        self.planner.set(i64::from(held));
    }

    /// Reads utilization and who waits for what off the fleet.
    pub fn see_fleet(&self, fleet: &Fleet) {
        self.settling.set(i64::from(fleet.settling));
        let (mut used, mut total) = ([0_u64; 3], [0_u64; 3]);
        for worker in fleet.workers() {
            let (size, own) = (&worker.spec.total, &worker.used);
            let gpus = own.gpu_milli.iter().map(|milli| u64::from(*milli)).sum();
            let whole = u64::from(size.gpu_count) * u64::from(GPU_WHOLE_MILLI);
            for (sums, amounts) in [
                (&mut used, [own.cpu_milli, own.memory_mib, gpus]),
                (&mut total, [size.cpu_milli, size.memory_mib, whole]),
            ] {
                sums.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum = sum.saturating_add(amount));
            }
        }
        for (resource, (used, total)) in ["cpu", "memory", "gpu"].iter().zip(used.into_iter().zip(total)) {
            let ratio = if total == 0 { 0.0 } else { to_f64(used) / to_f64(total) };
            self.utilization.get_or_create(&ResourceLabel { resource: (*resource).to_owned() }).set(ratio);
        }
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for lot in fleet.lots.values() {
            *reasons.entry(lot.why.word()).or_default() += lot.count;
        }
        self.unplaced.clear();
        for (reason, count) in reasons {
            let gauge = self.unplaced.get_or_create(&ReasonLabel { reason: reason.to_owned() }).clone();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn see_backlog(&self, depth: &Depth, now: Timestamp) {
        let set = |state: &str, count: u64| {
            let gauge = self.backlog.get_or_create(&StateLabel { state: state.to_owned() }).clone();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set("ready", depth.ready);
        set("parked", depth.parked);
        for phase in Phase::ALL.into_iter().filter(|phase| !phase.is_ended() && *phase != Phase::Pending) {
            set(phase.as_str(), depth.phases[phase as usize]);
        }
        let oldest = depth.oldest_ready.map_or(Duration::ZERO, |since| since.until(now));
        self.backlog_oldest.get_or_create(&[]).set(oldest.as_secs_f64());
    }

    fn forget_backlog(&self) {
        self.backlog.clear();
        self.backlog_oldest.clear();
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are approximate beyond 2^52")]
fn to_f64(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_store_knows_is_not_served_while_it_does_not_answer() {
        let metrics = Metrics::default();
        let depth = Depth { ready: 3, oldest_ready: Some(Timestamp(1_000)), ..Depth::default() };
        let page = metrics.render(Some(&depth), Timestamp(6_000));
        for line in ["stowplan_backlog{state=\"ready\"} 3\n", "stowplan_backlog_oldest_seconds 5.0\n"] {
            assert!(page.contains(line), "{page}");
        }
        let page = metrics.render(None, Timestamp(7_000));
        assert!(page.contains("stowplan_planner 0\n"), "{page}");
        assert!(!page.contains("stowplan_backlog{") && !page.contains("stowplan_backlog_oldest_seconds "), "{page}");
    }
}
