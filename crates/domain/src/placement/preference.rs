//! Which of the workers that have room: the smallest preference wins, and no two are equal.

use std::cmp::Reverse;

use super::eligibility::Need;
use crate::fleet::Strategy;
use crate::resources::Used;
use crate::strategy::{self, Amount, Yardstick};
use crate::worker::{Worker, WorkerSpec};

/// How much a request likes one worker. The fields are compared in this order, the smallest being liked most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Preference {
    rank: Rank,
    /// Where requests of the same affinity gather.
    affinity: Reverse<u128>,
    /// What the strategy says.
    cost: u64,
    /// The place in the fleet, which is in the order of ids.
    pub(super) worker: usize,
}

/// How much a request likes what a worker is, whatever is left of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// 0 for a kind of GPU that was wished for, or if none was; else how far down the failover chain.
    failover: usize,
    /// The worker's priority, less one for each kind of GPU that is wished for more.
    priority: Reverse<i64>,
}

impl Preference {
    /// How much the request likes `worker`, which has room for it and of which `used` is owned by now.
    pub(super) fn of(
        need: &Need<'_>,
        worker: &Worker,
        used: &Used,
        index: usize,
        yardstick: &Yardstick,
        strategy: Strategy,
    ) -> Self {
        let left = Amount::left(&worker.spec.total, used).minus(need.amount());
        Self {
            rank: Rank::of(need, &worker.spec),
            affinity: Reverse(need.ask.affinity.as_ref().map_or(0, |key| strategy::affinity::weight(key, &worker.id))),
            cost: strategy::cost(strategy, left, yardstick),
            worker: index,
        }
    }
}

impl Rank {
    /// How much the request likes a worker like this, which may serve it.
    pub(crate) fn of(need: &Need<'_>, spec: &WorkerSpec) -> Self {
        let (failover, wish) = match need.wish_position(spec) {
            Some(position) => (0, position),
            None => (need.failover_position(spec).map_or(usize::MAX, |position| position + 1), 0),
        };
        let wish = i64::try_from(wish).unwrap_or(i64::MAX);
        Self { failover, priority: Reverse(i64::from(spec.priority).saturating_sub(wish)) }
    }
}
