//! Which of the workers that have room: the kinds that are liked most, of these the affinity's, then what the strategy
//! says, then the smallest id. No two workers are liked equally.

use std::cmp::Reverse;
use std::sync::Arc;

use super::eligibility::Need;
use super::index::{Key, Most, Trees, Wanted};
use super::overlay::Overlay;
use crate::fleet::Strategy;
use crate::resources::GPU_WHOLE_MILLI;
use crate::strategy::affinity::Affinity;
use crate::strategy::{self, Amount};
use crate::worker::WorkerSpec;

/// How far the order of what is left may be from the order of what will be left: each of three shares is rounded down
/// to a millionth, before and after.
const ROUNDING_MAX: u64 = 3;

/// How much a request likes what a worker is, whatever is left of it. The smallest is liked most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// 0 for a kind of GPU that was wished for, or if none was; else how far down the failover chain.
    failover: usize,
    /// The worker's priority, less one for each kind of GPU that is wished for more.
    priority: Reverse<i64>,
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

/// The preferred one of all workers that have room, by its place in the fleet. `choices` are the kinds that may serve
/// the request, in order.
pub(super) fn preferred(
    overlay: &Overlay<'_>,
    need: &Need<'_>,
    choices: &[(Rank, usize)],
    strategy: Strategy,
) -> Option<usize> {
    let amount = need.amount();
    let is_told_by_amounts = is_told_by_amounts(need);
    let fits = |key: &Key| {
        let has_amounts = key.left.covers(amount);
        has_amounts && (is_told_by_amounts || overlay.check(need, key.worker).is_ok())
    };
    let wanted = Wanted { most: Most::needed(need), fits: &fits };
    let search = Search { overlay, trees: overlay.trees(), need, wanted, amount, strategy };
    choices.chunk_by(|a, b| a.0 == b.0).find_map(|liked| search.among(liked))
}

/// Whether the amounts that the index knows of a worker tell exactly that it has room.
fn is_told_by_amounts(need: &Need<'_>) -> bool {
    let ask = need.ask;
    let by_gpus = ask.gpu.as_ref().is_none_or(|gpu| gpu.count == 1 || gpu.milli == GPU_WHOLE_MILLI);
    ask.machine.is_none() && ask.labels.is_empty() && by_gpus
}

/// A search for one request.
struct Search<'a> {
    overlay: &'a Overlay<'a>,
    trees: [&'a Trees; 2],
    need: &'a Need<'a>,
    wanted: Wanted<'a>,
    amount: Amount,
    strategy: Strategy,
}

impl Search<'_> {
    /// The preferred one among kinds that are liked equally.
    fn among(&self, liked: &[(Rank, usize)]) -> Option<usize> {
        match &self.need.ask.affinity {
            Some(key) => self.gathering(key, liked),
            None => match self.strategy {
                Strategy::BestFit => self.least(liked),
                Strategy::Spread => self.most(liked),
            },
        }
    }

    /// Where workers of these kinds are.
    fn trees<'l>(&'l self, liked: &'l [(Rank, usize)]) -> impl Iterator<Item = (&'l Trees, usize)> {
        self.trees.into_iter().flat_map(|trees| liked.iter().map(move |&(_, kind)| (trees, kind)))
    }

    /// From the first that has room on, all that may be left with as little.
    fn least(&self, liked: &[(Rank, usize)]) -> Option<usize> {
        let mut measure_max = u64::MAX;
        let mut best = None;
        for (trees, kind) in self.trees(liked) {
            let mut from = Key::first_of(0);
            while let Some(key) = trees.first(kind, &self.wanted, from, measure_max) {
                measure_max = measure_max.min(key.measure.saturating_add(ROUNDING_MAX));
                best = Some(self.better(best, key));
                from = key.behind_alike();
            }
        }
        best.map(|(_, worker)| worker)
    }

    /// From the last that has room back, all that may be left with as much.
    fn most(&self, liked: &[(Rank, usize)]) -> Option<usize> {
        let last = self.trees(liked).filter_map(|(trees, kind)| trees.last(kind, &self.wanted));
        let measure_min = last.map(|key| key.measure).max()?.saturating_sub(ROUNDING_MAX);
        let mut best = None;
        for (trees, kind) in self.trees(liked) {
            let mut from = Key::first_of(measure_min);
            while let Some(key) = trees.first(kind, &self.wanted, from, u64::MAX) {
                best = Some(self.better(best, key));
                from = key.behind_alike();
            }
        }
        best.map(|(_, worker)| worker)
    }

    fn better(&self, best: Option<(u64, usize)>, key: Key) -> (u64, usize) {
        let cost = strategy::cost(self.strategy, key.left.minus(self.amount), self.overlay.yardstick());
        best.map_or((cost, key.worker), |best| best.min((cost, key.worker)))
    }

    /// The first in the order of an affinity. It mostly is one of the few that are remembered to be first; else it is
    /// looked for among all that have room.
    fn gathering(&self, key: &Arc<str>, liked: &[(Rank, usize)]) -> Option<usize> {
        self.with_room(liked).next()?;
        let index = self.overlay.index();
        let is_liked = |worker| liked.iter().any(|&(_, kind)| kind == index.like(worker).kind);
        let first = index.gatherings.first(key, self.overlay.fleet());
        let has_room = |&worker: &usize| is_liked(worker) && self.overlay.has_room(self.need, worker);
        first.iter().copied().find(has_room).or_else(|| self.first_for(&Affinity::of(key), liked))
    }

    fn first_for(&self, affinity: &Affinity, liked: &[(Rank, usize)]) -> Option<usize> {
        let workers = self.overlay.fleet().workers();
        let places = self.with_room(liked).map(|key| key.worker);
        places.max_by_key(|&worker| (affinity.weight(&workers[worker].id), Reverse(worker)))
    }

    /// All that have room.
    fn with_room<'l>(&'l self, liked: &'l [(Rank, usize)]) -> impl Iterator<Item = Key> + 'l {
        self.trees(liked).flat_map(move |(trees, kind)| {
            let from = move |from| trees.first(kind, &self.wanted, from, u64::MAX);
            std::iter::successors(from(Key::first_of(0)), move |key| from(key.next()))
        })
    }
}
