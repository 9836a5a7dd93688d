//! Idle workers -> those that may go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::PoolRoom;
use super::demand::{Alike, Demand, within_quota};
use super::kinds::{Differences, KindKey};
use crate::fleet::{Fleet, Policy};
use crate::id::{PoolName, WorkerId};
use crate::worker::{Status, Worker};

/// The workers that may go: of a pool, empty, and in `idle`, which names those that were so for long enough.
///
/// Each pool keeps its `workers_min` that take work or will, and `warm` of them that are empty; workers that are closed
/// count for neither. A worker on which any of `demand` fits stays, and is warm no more: it will be used. Workers of a
/// low priority go first, then those of the greatest id.
pub fn surplus(
    rooms: &[PoolRoom<'_>],
    fleet: &Fleet,
    idle: &BTreeSet<WorkerId>,
    demand: &[Demand<'_>],
    policy: &Policy,
) -> Vec<WorkerId> {
    let is_pooled = |worker: &&Worker| rooms.iter().any(|room| room.template.name == worker.spec.pool);
    let idle = idle.iter().filter_map(|id| fleet.worker(id));
    let mut going: Vec<&Worker> = idle.filter(|worker| may_go(worker)).filter(is_pooled).collect();
    if going.is_empty() {
        return Vec::new();
    }
    let (line, _) = within_quota(fleet, demand, policy);
    let mut wanted = Wanted::by(Alike::all(&line, policy));
    let mut spare = spare(rooms, fleet, &mut wanted);
    going.sort_by_key(|worker| (worker.spec.priority, Reverse(&worker.id)));
    going.retain(|worker| {
        if !is_open(worker) {
            return true;
        }
        let spare = spare.get_mut(&worker.spec.pool).filter(|spare| **spare > 0 && !wanted.is(worker));
        spare.is_some_and(|spare| {
            *spare -= 1;
            true
        })
    });
    going.into_iter().map(|worker| worker.id.clone()).collect()
}

fn may_go(worker: &Worker) -> bool {
    let is_there = !matches!(worker.status, Status::Pending | Status::Lost);
    is_there && worker.is_empty()
}

/// Whether it takes work, or will.
fn is_open(worker: &Worker) -> bool {
    matches!(worker.status, Status::Available | Status::Pending)
}

/// How many open workers, empty and not wanted, each pool has beyond what it keeps.
fn spare<'a>(rooms: &'a [PoolRoom<'_>], fleet: &'a Fleet, wanted: &mut Wanted<'a>) -> BTreeMap<&'a PoolName, u64> {
    let mut counts: BTreeMap<&PoolName, (u64, u64)> = rooms.iter().map(|room| (&room.template.name, (0, 0))).collect();
    for worker in fleet.workers().iter().filter(|worker| is_open(worker)) {
        if let Some((open, empty)) = counts.get_mut(&worker.spec.pool) {
            *open += 1;
            *empty += u64::from(worker.is_empty() && !wanted.is(worker));
        }
    }
    let beyond = |room: &'a PoolRoom<'_>| {
        let (open, empty) = counts.get(&room.template.name).copied().unwrap_or_default();
        (&room.template.name, open.saturating_sub(room.workers_min).min(empty.saturating_sub(room.warm)))
    };
    rooms.iter().map(beyond).collect()
}

/// Which kinds of workers, empty, the open demand could use.
struct Wanted<'a> {
    demand: Vec<Alike<'a>>,
    differences: Differences<'a>,
    found: BTreeMap<KindKey<'a>, bool>,
}

impl<'a> Wanted<'a> {
    fn by(demand: Vec<Alike<'a>>) -> Self {
        Self { differences: Differences::of(&demand), demand, found: BTreeMap::new() }
    }

    fn is(&mut self, worker: &'a Worker) -> bool {
        let fits = || self.demand.iter().any(|alike| alike.need.check_empty(&worker.spec).is_ok());
        *self.found.entry(self.differences.kind(&worker.spec)).or_insert_with(fits)
    }
}
