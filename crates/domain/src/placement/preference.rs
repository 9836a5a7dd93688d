//! Which of the workers that have room: the kinds that are liked most, of these the affinity's, then what the strategy
//! says, then the smallest id. No two workers are liked equally.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::eligibility::Need;
use super::index::{Index, Key, Most, Span, Trees, Wanted};
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

/// What is looked for, and where: the same for all requests of a shape.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// The kinds that may serve it, the most liked first.
    choices: Vec<(Rank, usize)>,
    most: Most,
    /// Whether it pins a machine or demands labels.
    is_choosy: bool,
    /// Whether the amounts that the index knows of a worker tell exactly that it has room.
    is_told_by_amounts: bool,
}

impl Profile {
    pub(super) fn of(need: &Need<'_>, index: &Index) -> Self {
        let ask = need.ask;
        Self {
            choices: index.choices(need),
            most: Most::needed(need),
            is_choosy: ask.machine.is_some() || !ask.labels.is_empty(),
            is_told_by_amounts: ask.gpu.as_ref().is_none_or(|gpu| gpu.count == 1 || gpu.milli == GPU_WHOLE_MILLI),
        }
    }
}

/// Where the preferred one of all workers stands that have room.
pub(super) fn preferred(overlay: &Overlay<'_>, need: &Need<'_>, profile: &Profile, strategy: Strategy) -> Option<Key> {
    let amount = need.amount();
    let fits = |key: &Key| {
        key.left.covers(amount)
            && (!profile.is_choosy || overlay.is_as_asked(need, key.worker))
            && (profile.is_told_by_amounts || overlay.has_amounts(need, key.worker))
    };
    let wanted = Wanted { most: profile.most, fits: &fits };
    let search = Search { overlay, trees: overlay.trees(), need, wanted, amount, strategy };
    profile.choices.chunk_by(|a, b| a.0 == b.0).find_map(|liked| search.among(liked))
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
    fn among(&self, liked: &[(Rank, usize)]) -> Option<Key> {
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
    fn least(&self, liked: &[(Rank, usize)]) -> Option<Key> {
        let mut measure_max = u64::MAX;
        let mut best = Best::default();
        for (trees, kind) in self.trees(liked) {
            let mut span = Span { from: Key::first_of(0), measure_max };
            trees.each(kind, &self.wanted, &mut span, |key, span| {
                span.measure_max = span.measure_max.min(key.measure.saturating_add(ROUNDING_MAX));
                span.from = key.behind_alike();
                best.join(key, |key| self.cost(key));
                ControlFlow::Continue(())
            });
            measure_max = span.measure_max;
        }
        best.key
    }

    /// From the last that has room back, all that may be left with as much.
    fn most(&self, liked: &[(Rank, usize)]) -> Option<Key> {
        let last = self.trees(liked).filter_map(|(trees, kind)| trees.last(kind, &self.wanted));
        let measure_min = last.map(|key| key.measure).max()?.saturating_sub(ROUNDING_MAX);
        let mut best = Best::default();
        for (trees, kind) in self.trees(liked) {
            trees.each(kind, &self.wanted, &mut Span::from(Key::first_of(measure_min)), |key, span| {
                span.from = key.behind_alike();
                best.join(key, |key| self.cost(key));
                ControlFlow::Continue(())
            });
        }
        best.key
    }

    fn cost(&self, key: &Key) -> u64 {
        strategy::cost(self.strategy, key.left.minus(self.amount), self.overlay.yardstick())
    }

    /// The first in the order of an affinity. It mostly is one of the few that are remembered to be first; else it is
    /// looked for among all that have room.
    fn gathering(&self, key: &Arc<str>, liked: &[(Rank, usize)]) -> Option<Key> {
        if !self.has_any(liked) {
            return None;
        }
        let index = self.overlay.index();
        let is_liked = |worker| liked.iter().any(|&(_, kind)| kind == index.like(worker).kind);
        let first = index.gatherings.first(key, self.overlay.fleet());
        let has_room = |&worker: &usize| is_liked(worker) && self.overlay.has_room(self.need, worker);
        match first.iter().copied().find(has_room) {
            Some(worker) => self.overlay.key(worker),
            None => self.first_for(&Affinity::of(key), liked),
        }
    }

    fn first_for(&self, affinity: &Affinity, liked: &[(Rank, usize)]) -> Option<Key> {
        let workers = self.overlay.fleet().workers();
        let mut first = None;
        for (trees, kind) in self.trees(liked) {
            trees.each(kind, &self.wanted, &mut Span::from(Key::first_of(0)), |key, _| {
                let order = (affinity.weight(&workers[key.worker].id), Reverse(key.worker));
                if first.is_none_or(|(first, _)| first < order) {
                    first = Some((order, key));
                }
                ControlFlow::Continue(())
            });
        }
        first.map(|(_, key)| key)
    }

    /// Whether anybody has room.
    fn has_any(&self, liked: &[(Rank, usize)]) -> bool {
        self.trees(liked).any(|(trees, kind)| {
            let mut is_met = false;
            trees.each(kind, &self.wanted, &mut Span::from(Key::first_of(0)), |_, _| {
                is_met = true;
                ControlFlow::Break(())
            });
            is_met
        })
    }
}

/// The cheapest worker so far, of equals the first in the fleet.
#[derive(Default)]
struct Best {
    key: Option<Key>,
    /// Worked out once there are two to compare.
    cost: Option<u64>,
}

impl Best {
    fn join(&mut self, key: Key, cost_of: impl Fn(&Key) -> u64) {
        let Some(best) = self.key else {
            self.key = Some(key);
            return;
        };
        let (cost, of_best) = (cost_of(&key), self.cost.unwrap_or_else(|| cost_of(&best)));
        (self.cost, self.key) = if (cost, key.worker) < (of_best, best.worker) {
            (Some(cost), Some(key))
        } else {
            (Some(of_best), Some(best))
        };
    }
}
