//! Which of the workers that have room: the smallest preference wins, and no two are equal.

use std::cmp::Reverse;

use super::eligibility::Need;
use crate::fleet::Strategy;
use crate::request::GpuAsk;
use crate::resources::Used;
use crate::strategy::{self, Left, Yardstick};
use crate::worker::Worker;

/// How much a request likes one worker. The fields are compared in this order, the smallest being liked most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Preference {
    /// 0 for a kind of GPU that was wished for, or if none was; else how far down the failover chain.
    failover: usize,
    /// The worker's priority, less one for each kind of GPU that is wished for more.
    priority: Reverse<i64>,
    /// Where requests of the same affinity gather.
    affinity: Reverse<u128>,
    /// What the strategy says.
    cost: u64,
    /// The place in the fleet, which is in the order of ids.
    pub(super) worker: usize,
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
        let spec = &worker.spec;
        let (failover, wish) = match need.wish_position(spec) {
            Some(position) => (0, position),
            None => (need.failover_position(spec).map_or(usize::MAX, |position| position + 1), 0),
        };
        let wish = i64::try_from(wish).unwrap_or(i64::MAX);
        let affinity = need.ask.affinity.as_ref().map_or(0, |key| strategy::affinity::weight(key, &worker.id));
        Self {
            failover,
            priority: Reverse(i64::from(spec.priority).saturating_sub(wish)),
            affinity: Reverse(affinity),
            cost: strategy::cost(strategy, left(need, worker, used), yardstick),
            worker: index,
        }
    }
}

/// What would be left of `worker`.
fn left(need: &Need<'_>, worker: &Worker, used: &Used) -> Left {
    let asked = |gpu: &GpuAsk| u64::from(gpu.count) * u64::from(gpu.milli);
    let mut left = Left::of(&worker.spec.total, used);
    left.cpu_milli -= need.ask.cpu_milli;
    left.memory_mib -= need.memory_mib;
    left.gpu_milli -= need.ask.gpu.as_ref().map_or(0, asked);
    left
}
