//! Open demand -> the fewest workers.
//!
//! Demand is laid first onto workers that are there, then onto those that are asked for already, then onto new ones:
//! each request onto the first that has room, the largest requests first (first-fit-decreasing). Which requests are the
//! largest is asked in five ways, and the way that serves most with the fewest workers is taken, unless the first of
//! them asks for fewer. Eligibility and room are those of placement. Of 5,000 random sets of up to eight requests, 15 get
//! one worker more than the best of all packings needs, and none gets two more.

mod demand;
mod kinds;
mod surplus;
mod yard;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use self::demand::{Alike, within_quota};
use self::yard::Yard;
use crate::fleet::{Fleet, Policy, PoolTemplate};
use crate::id::{ContainerId, PoolName};
use crate::request::OrderKey;
use crate::strategy::{Amount, Yardstick};
use crate::worker::WorkerSpec;

pub use self::demand::{DEMAND_LOTS_MAX, Demand, open_demand};
pub use self::surplus::surplus;

/// A pool, and how it may change now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolRoom<'a> {
    /// Its name, what each new worker of it is, and how many it may have.
    pub template: &'a PoolTemplate,
    /// How many that take work, or will, it has at least, whoever asks for anything.
    pub workers_min: u64,
    /// How many of those are to be empty once all demand is laid.
    pub warm: u64,
    /// How many may be asked for now, if its most allows.
    pub may_add: u64,
}

impl<'a> PoolRoom<'a> {
    /// A pool that grows to its most at once, and only on demand.
    pub fn on_demand(template: &'a PoolTemplate) -> Self {
        Self { template, workers_min: 0, warm: 0, may_add: u64::MAX }
    }
}

/// What the fleet should grow by, and what that leaves unserved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth {
    /// By pool, in the order of names; pools that need none are left out.
    pub new_workers: Vec<NewWorkers>,
    /// How many requests get no room, and why not.
    pub unserved: BTreeMap<Bound, u64>,
}

/// New workers that one pool should make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkers {
    /// The pool.
    pub pool: PoolName,
    /// How many it lacks of those that it has whoever asks.
    pub for_min: u64,
    /// How many more the open demand needs.
    pub for_demand: u64,
    /// How many more it lacks of empty ones.
    pub for_warm: u64,
    /// How many of its workers are there and stay empty with all demand laid.
    pub left_empty: u64,
    /// The requests that go onto them and have a name, in line.
    pub for_ids: Vec<ContainerId>,
}

impl NewWorkers {
    /// How many in all.
    pub fn count(&self) -> u64 {
        self.for_min + self.for_demand + self.for_warm
    }
}

/// What keeps demand from being served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Its workspace uses what it may, or somebody of it who is ahead must wait for that.
    Quota,
    /// No pool's template may serve it and could hold it.
    NoTemplate,
    /// This pool has as many workers as it may have; so have all others that could serve it.
    WorkersMax(PoolName),
    /// No more workers of this pool may be asked for now.
    MayAdd(PoolName),
}

/// Whether [`new_workers`] could ask for any: if not, nothing need be computed.
pub fn may_grow(rooms: &[PoolRoom<'_>], fleet: &Fleet) -> bool {
    rooms.iter().filter(|room| room.may_add > 0).any(|room| {
        let workers = fleet.workers().iter().filter(|worker| worker.spec.pool == room.template.name);
        (workers.count() as u64) < room.template.workers_max
    })
}

/// The fewest new workers, by pool, with which all `demand` has room that is within its quota, and every pool has what it
/// keeps.
///
/// `fleet` has room for whatever it can hold of `demand`: nothing of that may be booked already, here or in the quotas. A
/// pool never grows beyond its `workers_max`, against which every worker of its name counts, whatever its status. Demand
/// comes before what is kept warm.
pub fn new_workers(rooms: &[PoolRoom<'_>], fleet: &Fleet, demand: &[Demand<'_>], policy: &Policy) -> Growth {
    let (line, over_quota) = within_quota(fleet, demand, policy);
    let alike = Alike::all(&line, policy);
    // New workers are to be few, so it is their sizes that make a cpu and a GPU comparable.
    let yardstick = Yardstick::of(rooms.iter().map(|room| &room.template.spec.total));
    let mut yard = fewest(&Yard::of(rooms, fleet, &alike), &alike, &yardstick);
    yard.grow_to_warm();
    let mut unserved = std::mem::take(&mut yard.unserved);
    if over_quota > 0 {
        unserved.insert(Bound::Quota, over_quota);
    }
    Growth { new_workers: new_by_pool(&yard, &alike), unserved }
}

/// What the next worker of a pool is expected to be: no more, of any resource, than those that `registered` turned out to
/// have. Another kind of GPU is none at all.
pub fn corrected<'a>(template: &PoolTemplate, registered: impl IntoIterator<Item = &'a WorkerSpec>) -> PoolTemplate {
    let mut total = template.spec.total.clone();
    for found in registered.into_iter().map(|spec| &spec.total) {
        total.cpu_milli = total.cpu_milli.min(found.cpu_milli);
        total.memory_mib = total.memory_mib.min(found.memory_mib);
        total.gpu_count = if found.gpu_type == total.gpu_type { total.gpu_count.min(found.gpu_count) } else { 0 };
        if total.gpu_count == 0 {
            total.gpu_type = None;
        }
    }
    if total == template.spec.total {
        return template.clone();
    }
    PoolTemplate { spec: Arc::new(WorkerSpec { total, ..(*template.spec).clone() }), ..template.clone() }
}

/// How large a request is, by its shares of the largest worker.
fn sum(shares: Amount) -> u64 {
    shares.cpu_milli.saturating_add(shares.memory_mib).saturating_add(shares.gpu_milli)
}

/// Other ways to say how large it is.
const OTHER_SIZES: [fn(Amount) -> u64; 4] = [
    |shares| shares.cpu_milli.max(shares.memory_mib).max(shares.gpu_milli),
    |shares| shares.cpu_milli,
    |shares| shares.memory_mib,
    |shares| shares.gpu_milli,
];

/// Of how many shapes the requests are laid in all: those of many shapes are laid in fewer ways, which matters least there.
const LAID_MAX: usize = 20_000;

/// All of `demand` laid onto `empty`, the largest first, in the way that leaves least unserved with the fewest workers;
/// never with more workers than the first way.
fn fewest<'a>(empty: &Yard<'a>, demand: &[Alike<'a>], yardstick: &Yardstick) -> Yard<'a> {
    let sizes: Vec<Amount> = demand.iter().map(|alike| yardstick.shares(alike.need.amount())).collect();
    let order = |size: fn(Amount) -> u64| {
        let mut order: Vec<usize> = (0..demand.len()).collect();
        order.sort_by_key(|&one| (Reverse(size(sizes[one])), Reverse(sum(sizes[one])), demand[one].key));
        order
    };
    let laid = |order: &[usize]| {
        let mut yard = empty.clone();
        for &one in order {
            yard.lay(one, &demand[one]);
        }
        yard
    };
    let first = order(sum);
    let mut best = laid(&first);
    let workers_max = best.cost().1;
    let ways = (LAID_MAX / demand.len().max(1)).saturating_sub(1);
    for size in OTHER_SIZES.into_iter().take(ways) {
        let order = order(size);
        if order == first || best.cost() == (0, empty.cost().1) {
            continue;
        }
        let yard = laid(&order);
        if yard.cost().1 <= workers_max && yard.cost() < best.cost() {
            best = yard;
        }
    }
    best
}

fn new_by_pool(yard: &Yard<'_>, demand: &[Alike<'_>]) -> Vec<NewWorkers> {
    let mut by_pool = names_by_pool(yard, demand);
    let left_empty = yard.left_empty();
    let mut grown = Vec::new();
    for (pool, growth) in yard.pools.iter().enumerate() {
        let mut names = by_pool.remove(&pool).unwrap_or_default();
        names.sort_by_key(|(key, _)| *key);
        let new = NewWorkers {
            pool: growth.room.template.name.clone(),
            for_min: growth.for_min,
            for_demand: growth.for_demand,
            for_warm: growth.for_warm,
            left_empty: left_empty.get(&growth.room.template.name).copied().unwrap_or(0),
            for_ids: names.into_iter().map(|(_, id)| id.clone()).collect(),
        };
        if new.count() > 0 {
            grown.push(new);
        }
    }
    grown.sort_by(|a, b| a.pool.cmp(&b.pool));
    grown
}

/// The names of those that go onto new workers: of requests alike, the first in line were laid first.
fn names_by_pool<'a>(yard: &Yard<'_>, demand: &[Alike<'a>]) -> BTreeMap<usize, Vec<(OrderKey, &'a ContainerId)>> {
    let mut by_pool: BTreeMap<usize, Vec<(OrderKey, &ContainerId)>> = BTreeMap::new();
    let mut names: Vec<_> = demand.iter().map(|alike| alike.is_named().then(|| alike.names())).collect();
    for laid in &yard.laid {
        let Some(names) = &mut names[laid.alike] else { continue };
        let count = usize::try_from(laid.count).unwrap_or(usize::MAX);
        let laid_names = names.by_ref().take(count).filter_map(|(key, id)| Some((key, id?)));
        match laid.pool {
            Some(pool) => by_pool.entry(pool).or_default().extend(laid_names),
            None => laid_names.for_each(drop),
        }
    }
    by_pool
}
