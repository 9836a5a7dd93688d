//! The workers to be: those that are there, those asked for, and those to ask for.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::demand::Alike;
use super::kinds::{Bin, Differences, Kind, Kinds, Place, Stage};
use super::{Bound, PoolRoom};
use crate::fleet::Fleet;
use crate::id::PoolName;
use crate::placement::preference::Rank;
use crate::resources::Used;
use crate::strategy::Amount;
use crate::worker::{Status, Worker};

/// All workers as they fill.
#[derive(Clone)]
pub(super) struct Yard<'a> {
    pub(super) pools: Vec<Growth<'a>>,
    kinds: Vec<Kind<'a>>,
    /// Which requests were laid where, in the order in which they were.
    pub(super) laid: Vec<Laid>,
    pub(super) unserved: BTreeMap<Bound, u64>,
    new: u64,
}

/// A pool as it grows.
#[derive(Clone)]
pub(super) struct Growth<'a> {
    pub(super) room: &'a PoolRoom<'a>,
    kind: usize,
    /// How many more it may have in all.
    below_max: u64,
    /// How many of them take work, or will.
    open: u64,
    pub(super) for_min: u64,
    pub(super) for_demand: u64,
    pub(super) for_warm: u64,
}

/// So many requests of one shape, on workers to ask for or on others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Laid {
    pub(super) alike: usize,
    /// The pool of the worker to ask for.
    pub(super) pool: Option<usize>,
    pub(super) count: u64,
}

/// A kind of worker that may serve a request.
struct Choice {
    /// How much it is liked.
    rank: Rank,
    kind: usize,
    /// The first place that may have room: workers only fill, so what had none for one has none for the next.
    from: Place,
}

impl<'a> Yard<'a> {
    /// The workers of `fleet` that have room for any of `demand`, and those that pools are to have whoever asks.
    pub(super) fn of(rooms: &'a [PoolRoom<'a>], fleet: &'a Fleet, demand: &[Alike<'a>]) -> Self {
        let mut kinds = Kinds::new(Differences::of(demand));
        let mut pools: Vec<Growth<'a>> =
            rooms.iter().map(|room| Growth::of(room, kinds.number(&room.template.spec))).collect();
        let mut open: Vec<(Stage, usize, bool, &Worker)> = Vec::new();
        let by_name: BTreeMap<&PoolName, usize> =
            rooms.iter().enumerate().map(|(pool, room)| (&room.template.name, pool)).collect();
        let smallest = smallest(demand);
        for worker in fleet.workers() {
            let stage = open_stage(worker.status);
            if let Some(&pool) = by_name.get(&worker.spec.pool) {
                pools[pool].below_max = pools[pool].below_max.saturating_sub(1);
                pools[pool].open += u64::from(stage.is_some());
            }
            let is_empty = worker.is_empty();
            let Some(stage) = stage else { continue };
            if is_empty || Amount::left(&worker.spec.total, &worker.used).covers(smallest) {
                open.push((stage, kinds.number(&worker.spec), is_empty, worker));
            }
        }
        let mut yard = Self { pools, kinds: kinds.all, laid: Vec::new(), unserved: BTreeMap::new(), new: 0 };
        yard.fill(open);
        yard.grow_to_min();
        yard
    }

    /// Workers that hold something come before empty ones, which are as many as there are of one kind.
    fn fill(&mut self, mut open: Vec<(Stage, usize, bool, &'a Worker)>) {
        open.sort_by_key(|&(stage, kind, is_empty, _)| (stage, kind, is_empty));
        let alike = open.chunk_by(|a, b| a.2 && b.2 && (a.0, a.1) == (b.0, b.1));
        let mut place = 0;
        for workers in alike {
            let (stage, kind, _, worker) = workers[0];
            let kind = &mut self.kinds[kind];
            kind.push(Bin::of(kind.spec, worker.used.clone(), stage, place, workers.len() as u64));
            place += workers.len() as u64;
        }
    }

    fn grow_to_min(&mut self) {
        for pool in 0..self.pools.len() {
            let growth = &mut self.pools[pool];
            growth.for_min = growth.room.workers_min.saturating_sub(growth.open).min(growth.may_add());
            let count = growth.for_min;
            self.add(pool, count);
        }
    }

    /// Lays all requests of one shape: onto workers that have room, and for the rest onto new ones.
    pub(super) fn lay(&mut self, number: usize, alike: &Alike<'a>) {
        let mut choices = self.choices(alike);
        let mut count = alike.count;
        while count > 0 {
            let found = self.first_with_room(&mut choices, alike).or_else(|| self.add_workers(alike, count));
            let Some((kind, place)) = found else {
                let unserved = self.unserved.entry(self.bound(alike)).or_default();
                *unserved = unserved.saturating_add(count);
                return;
            };
            let is_new = self.kinds[kind].bin(place).stage == Stage::New;
            let pool = if is_new { self.pools.iter().position(|pool| pool.kind == kind) } else { None };
            let laid = self.kinds[kind].lay(place, &alike.need, count);
            self.laid.push(Laid { alike: number, pool, count: laid });
            count -= laid;
        }
    }

    /// The kinds of workers that may serve a request.
    fn choices(&self, alike: &Alike<'a>) -> Vec<Choice> {
        let need = &alike.need;
        let kinds = self.kinds.iter().enumerate().filter(|(_, kind)| need.check_spec(kind.spec).is_ok());
        kinds.map(|(number, kind)| Choice { rank: Rank::of(need, kind.spec), kind: number, from: (0, 0) }).collect()
    }

    /// What is there comes before what is to come, then what the request likes most, then the first.
    fn first_with_room(&self, choices: &mut [Choice], alike: &Alike<'a>) -> Option<(usize, Place)> {
        let found = choices.iter_mut().filter_map(|choice| {
            let kind = &self.kinds[choice.kind];
            let place = kind.first_with_room(&alike.need, choice.from)?;
            choice.from = place;
            let bin = kind.bin(place);
            Some(((bin.stage, choice.rank, bin.place), (choice.kind, place)))
        });
        found.min().map(|(_, found)| found)
    }

    /// Adds workers of the pool that the request likes most; of equals, of the one whose workers hold most like it. As
    /// many as `count` of them need, and as the pool may have.
    fn add_workers(&mut self, alike: &Alike<'a>, count: u64) -> Option<(usize, Place)> {
        let need = &alike.need;
        let able = self.pools.iter().enumerate().filter(|(_, pool)| pool.may_add() > 0 && pool.can_hold(alike));
        let choices = able.map(|(pool, growth)| {
            let spec = &growth.room.template.spec;
            let held = need.book(&spec.total, &mut Used::default(), u64::MAX);
            ((Rank::of(need, spec), Reverse(held), &growth.room.template.name), (pool, held))
        });
        let (_, (pool, held)) = choices.min_by(|(a, _), (b, _)| a.cmp(b))?;
        let growth = &mut self.pools[pool];
        let workers = count.div_ceil(held.max(1)).min(growth.may_add());
        growth.for_demand += workers;
        let kind = growth.kind;
        self.add(pool, workers);
        self.kinds[kind].first_with_room(need, (0, 0)).map(|place| (kind, place))
    }

    fn add(&mut self, pool: usize, workers: u64) {
        if workers > 0 {
            let kind = &mut self.kinds[self.pools[pool].kind];
            kind.push(Bin::of(kind.spec, Used::default(), Stage::New, self.new, workers));
            self.new += workers;
        }
    }

    /// Why no more workers are asked for on behalf of a request.
    fn bound(&self, alike: &Alike<'a>) -> Bound {
        let able = self.pools.iter().filter(|pool| pool.can_hold(alike));
        let choices = able.map(|pool| {
            let template = pool.room.template;
            (pool.is_full(), Rank::of(&alike.need, &template.spec), &template.name)
        });
        match choices.min() {
            None => Bound::NoTemplate,
            Some((true, _, pool)) => Bound::WorkersMax(pool.clone()),
            Some((false, _, pool)) => Bound::MayAdd(pool.clone()),
        }
    }

    /// Adds what is missing of empty workers.
    pub(super) fn grow_to_warm(&mut self) {
        let empty = self.empty(|_| true);
        for growth in &mut self.pools {
            let empty = empty.get(&growth.room.template.name).copied().unwrap_or(0);
            growth.for_warm = growth.room.warm.saturating_sub(empty).min(growth.may_add());
        }
    }

    /// How many workers of each pool are there, and hold nothing after all that was laid.
    pub(super) fn left_empty(&self) -> BTreeMap<&'a PoolName, u64> {
        self.empty(|stage| stage == Stage::Available)
    }

    fn empty(&self, counts: fn(Stage) -> bool) -> BTreeMap<&'a PoolName, u64> {
        let mut empty: BTreeMap<&PoolName, u64> = BTreeMap::new();
        for kind in &self.kinds {
            let bins = kind.bins().filter(|bin| bin.used == Used::default() && counts(bin.stage));
            *empty.entry(&kind.spec.pool).or_default() += bins.map(|bin| bin.times).sum::<u64>();
        }
        empty
    }

    /// How much is not served, and how many workers are asked for: the less, the better.
    pub(super) fn cost(&self) -> (u64, u64) {
        (self.unserved.values().fold(0, |sum: u64, count| sum.saturating_add(*count)), self.new)
    }
}

impl<'a> Growth<'a> {
    fn of(room: &'a PoolRoom<'a>, kind: usize) -> Self {
        let below_max = room.template.workers_max;
        Self { room, kind, below_max, open: 0, for_min: 0, for_demand: 0, for_warm: 0 }
    }

    fn added(&self) -> u64 {
        self.for_min + self.for_demand + self.for_warm
    }

    /// How many more may be asked for now.
    fn may_add(&self) -> u64 {
        self.room.may_add.min(self.below_max).saturating_sub(self.added())
    }

    fn is_full(&self) -> bool {
        self.below_max <= self.added()
    }

    fn can_hold(&self, alike: &Alike<'_>) -> bool {
        alike.need.check_empty(&self.room.template.spec).is_ok()
    }
}

/// The least of each resource that any of `demand` asks.
fn smallest(demand: &[Alike<'_>]) -> Amount {
    let most = Amount { cpu_milli: u64::MAX, memory_mib: u64::MAX, gpu_milli: u64::MAX };
    demand.iter().fold(most, |least, alike| least.min(alike.need.amount()))
}

/// The stage of a worker that takes work, or will.
fn open_stage(status: Status) -> Option<Stage> {
    match status {
        Status::Available => Some(Stage::Available),
        Status::Pending => Some(Stage::Pending),
        Status::Lost | Status::Draining | Status::Drained | Status::Cordoned => None,
    }
}
