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
/// count for neither. A worker on which any of `demand` fits stays. Workers of a low priority go first, then those of
/// the greatest id.
pub fn surplus(
    rooms: &[PoolRoom<'_>],
    fleet: &Fleet,
    idle: &BTreeSet<WorkerId>,
    demand: &[Demand<'_>],
    policy: &Policy,
) -> Vec<WorkerId> {
    let mut spare = spare(rooms, fleet);
    let mut going: Vec<&Worker> =
        idle.iter().filter_map(|id| fleet.worker(id)).filter(|worker| may_go(worker)).collect();
    going.retain(|worker| spare.contains_key(&worker.spec.pool));
    if going.is_empty() {
        return Vec::new();
    }
    let (line, _) = within_quota(fleet, demand, policy);
    let mut wanted = Wanted::by(Alike::all(&line, policy));
    going.sort_by_key(|worker| (worker.spec.priority, Reverse(&worker.id)));
    going.retain(|worker| {
        if worker.status != Status::Available {
            return true;
        }
        let goes = spare.get(&worker.spec.pool).is_some_and(|&spare| spare > 0) && !wanted.is(worker);
        if let Some(spare) = spare.get_mut(&worker.spec.pool).filter(|_| goes) {
            *spare -= 1;
        }
        goes
    });
    going.into_iter().map(|worker| worker.id.clone()).collect()
}

fn may_go(worker: &Worker) -> bool {
    let is_there = match worker.status {
        Status::Available | Status::Cordoned | Status::Draining | Status::Drained => true,
        Status::Pending | Status::Lost => false,
    };
    is_there && worker.is_empty()
}

/// How many open empty workers each pool has beyond what it keeps.
fn spare<'a>(rooms: &'a [PoolRoom<'_>], fleet: &Fleet) -> BTreeMap<&'a PoolName, u64> {
    let mut counts: BTreeMap<&PoolName, (u64, u64)> = rooms.iter().map(|room| (&room.template.name, (0, 0))).collect();
    let open = |worker: &&Worker| matches!(worker.status, Status::Available | Status::Pending);
    for worker in fleet.workers().iter().filter(open) {
        if let Some((open, empty)) = counts.get_mut(&worker.spec.pool) {
            *open += 1;
            *empty += u64::from(worker.is_empty());
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
