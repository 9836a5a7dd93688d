//! Open demand -> the fewest workers.
//!
//! Demand is laid first onto workers that are asked for already, then, the largest requests first, each onto the first
//! new worker that has room (first-fit-decreasing). Eligibility and room are those of placement, on empty workers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::fleet::{Fleet, Policy, PoolTemplate};
use crate::id::{ContainerId, PoolName, Workspace};
use crate::ledger;
use crate::placement::Candidate;
use crate::placement::eligibility::Need;
use crate::placement::preference::Rank;
use crate::quota::Usage;
use crate::request::Shape;
use crate::resources::{Capacity, GPU_WHOLE_MILLI, Used};
use crate::strategy::Yardstick;
use crate::worker::{Status, WorkerSpec};

/// New workers that one pool should make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkers {
    /// The pool.
    pub pool: PoolName,
    /// How many.
    pub count: u64,
    /// The requests that they are for, in line.
    pub for_ids: Vec<ContainerId>,
}

/// The fewest new workers, by pool, that have room for what is `unplaced`: requests whose verdict
/// [is demand](crate::placement::Verdict::is_demand). Pools come by name; those that need none are left out.
///
/// `fleet` is what the plan's own placements left, for they count against quotas. A pool never grows beyond its
/// `workers_max`, against which every worker of its name counts, whatever its status. What fits nowhere within these
/// bounds is left out.
pub fn new_workers(pools: &[PoolTemplate], fleet: &Fleet, unplaced: &[&Candidate], policy: &Policy) -> Vec<NewWorkers> {
    let mut yard = Yard::of(pools, fleet);
    let yardstick = Yardstick::of(yard.bins.iter().map(|bin| &bin.spec.total).chain(pools.iter().map(size)));
    let mut demand = within_quota(fleet, unplaced, policy);
    demand.sort_by_key(|candidate| {
        (Reverse(yardstick.measure(Need::of(&candidate.ask, policy).amount())), candidate.key)
    });
    for candidate in demand {
        yard.lay(candidate, &Need::of(&candidate.ask, policy));
    }
    yard.into_new_workers()
}

fn size(pool: &PoolTemplate) -> &Capacity {
    &pool.spec.total
}

/// What its workspace may still use, in line, nobody passing one that must wait: workers for the rest would stand idle.
fn within_quota<'a>(fleet: &Fleet, unplaced: &[&'a Candidate], policy: &Policy) -> Vec<&'a Candidate> {
    let mut line = unplaced.to_vec();
    line.sort_by_key(|candidate| candidate.key);
    let Some(quotas) = &policy.quotas else {
        return line;
    };
    // What each workspace will use; none once it uses all that it may.
    let mut usage: BTreeMap<&Workspace, Option<Usage>> = BTreeMap::new();
    line.retain(|candidate| {
        let workspace = &candidate.ask.workspace;
        let seen = fleet.usage.get(workspace).copied().unwrap_or_default();
        let used = usage.entry(workspace).or_insert(Some(seen));
        *used = used
            .filter(|used| used.obstacle(&candidate.ask, quotas.limits(workspace)).is_none())
            .map(|used| used.plus(&Usage::of(&candidate.ask)));
        used.is_some()
    });
    line
}

/// The workers to be: those asked for, and those to ask for.
struct Yard<'a> {
    pools: Vec<Growth<'a>>,
    bins: Vec<Bin<'a>>,
    /// Where those of a shape need look first: workers only fill, so what had no room for one has none for the next.
    first_bin: BTreeMap<Shape, usize>,
}

/// A pool that may grow.
struct Growth<'a> {
    template: &'a PoolTemplate,
    workers: u64,
    added: u64,
    for_candidates: Vec<&'a Candidate>,
}

/// One worker to be.
struct Bin<'a> {
    spec: &'a WorkerSpec,
    used: Used,
    /// The pool to ask for it; none if it is asked for already.
    pool: Option<usize>,
}

impl<'a> Yard<'a> {
    fn of(pools: &'a [PoolTemplate], fleet: &'a Fleet) -> Self {
        let pending = fleet.workers().iter().filter(|worker| worker.status == Status::Pending);
        let bins = pending.map(|worker| Bin { spec: &worker.spec, used: worker.used.clone(), pool: None });
        let workers = |pool: &PoolName| fleet.workers().iter().filter(|worker| worker.spec.pool == *pool).count();
        let growth = |template: &'a PoolTemplate| Growth {
            template,
            workers: workers(&template.name) as u64,
            added: 0,
            for_candidates: Vec::new(),
        };
        Self { bins: bins.collect(), pools: pools.iter().map(growth).collect(), first_bin: BTreeMap::new() }
    }

    /// Lays one request onto the first worker that has room, or onto a new one.
    fn lay(&mut self, candidate: &'a Candidate, need: &Need<'_>) {
        let shape = candidate.ask.shape();
        let first = self.first_bin.get(&shape).copied().unwrap_or(0);
        let found = self.bins.iter().skip(first).position(|bin| bin.has_room(need)).map(|offset| first + offset);
        let chosen = found.or_else(|| self.add_worker(need));
        self.first_bin.insert(shape, chosen.unwrap_or(self.bins.len()));
        let Some(index) = chosen else {
            return;
        };
        let bin = &mut self.bins[index];
        bin.book(need);
        if let Some(pool) = bin.pool {
            self.pools[pool].for_candidates.push(candidate);
        }
    }

    /// Adds a worker of the pool that the request likes most; of equals, of the one whose workers hold most like it.
    fn add_worker(&mut self, need: &Need<'_>) -> Option<usize> {
        let may_grow = |pool: &Growth<'_>| pool.workers + pool.added < pool.template.workers_max;
        let able = self.pools.iter().enumerate().filter(|(_, pool)| may_grow(pool) && pool.can_hold(need));
        let (pool, _) = able.min_by_key(|(_, pool)| {
            let spec = &pool.template.spec;
            (Rank::of(need, spec), Reverse(copies(need, &spec.total)), &pool.template.name)
        })?;
        self.pools[pool].added += 1;
        self.bins.push(Bin { spec: &self.pools[pool].template.spec, used: Used::default(), pool: Some(pool) });
        Some(self.bins.len() - 1)
    }

    fn into_new_workers(self) -> Vec<NewWorkers> {
        let grown = self.pools.into_iter().filter(|pool| pool.added > 0).map(|mut pool| {
            pool.for_candidates.sort_by_key(|candidate| candidate.key);
            let for_ids = pool.for_candidates.iter().map(|candidate| candidate.id.clone()).collect();
            NewWorkers { pool: pool.template.name.clone(), count: pool.added, for_ids }
        });
        let mut grown: Vec<NewWorkers> = grown.collect();
        grown.sort_by(|a, b| a.pool.cmp(&b.pool));
        grown
    }
}

impl Growth<'_> {
    fn can_hold(&self, need: &Need<'_>) -> bool {
        need.check_empty(&self.template.spec).is_ok()
    }
}

impl Bin<'_> {
    fn has_room(&self, need: &Need<'_>) -> bool {
        need.check_spec(self.spec).and_then(|()| need.check_room(&self.spec.total, &self.used)).is_ok()
    }

    fn book(&mut self, need: &Need<'_>) {
        let total = &self.spec.total;
        let booking = need.booking(total, &self.used).expect("it has room, so its devices can be chosen");
        ledger::book(total, &mut self.used, &booking).expect("it has room");
    }
}

/// How many requests like this an empty worker of size `total`, which can hold one, holds at most.
fn copies(need: &Need<'_>, total: &Capacity) -> u64 {
    let amount = need.amount();
    let cpus = total.cpu_milli / amount.cpu_milli.max(1);
    let memories = total.memory_mib / amount.memory_mib.max(1);
    let devices = need.ask.gpu.as_ref().map_or(u64::MAX, |gpu| {
        let shares = u64::from(GPU_WHOLE_MILLI / gpu.milli.max(1)) * u64::from(total.gpu_count);
        shares / u64::from(gpu.count.max(1))
    });
    cpus.min(memories).min(devices)
}
