//! The workers of a fleet, sorted so that the preferred one is found without looking at all.
//!
//! Workers are of a kind if no request can tell them apart but by machine, labels and room. Those of a kind that take
//! work are in a tree (`index/tree.rs`), ordered by the measure of what is left of them: one end is what best-fit
//! prefers, the other what spread does. A fleet makes its index when it is first planned for and then keeps it up with
//! every change; it is made anew when the yardstick changes by which all of it is measured.

mod gatherings;
mod most;
mod refusals;
mod tree;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use self::gatherings::Gatherings;
pub(super) use self::most::Most;
use self::most::marks;
use self::refusals::Refusals;
pub(super) use self::tree::Key;
use self::tree::Tree;
pub(super) use self::tree::{Span, Wanted};
use super::eligibility::Need;
use super::preference::Rank;
use crate::fleet::Fleet;
use crate::id::{GpuType, PoolName, Runtime, WorkerId, Workspace};
use crate::resources::{Capacity, Used};
use crate::strategy::{Amount, Yardstick};
use crate::worker::{Status, Worker, WorkerSpec};

/// How many kinds may be left over.
const KINDS_SPARE: usize = 64;
/// How many workers may come and go until it is cheaper to make an index anew: each moves all behind it.
const MOVES_MAX: usize = 16;

/// What is known of a fleet beside its workers.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// How the names of workers begin, in the order of workers: to compare these is much cheaper.
    names: Vec<u128>,
    /// How many workers have come and gone.
    moves: usize,
    largest: Largest,
    kinds: Kinds,
    /// Those with room by kind; whoever plans changes a copy.
    trees: Trees,
    pub(super) refusals: Refusals,
    pub(super) gatherings: Gatherings,
}

/// The yardstick, and how many workers have the largest total of each resource.
#[derive(Debug, Clone)]
struct Largest {
    yardstick: Yardstick,
    holders: [usize; 3],
}

/// The kinds that were met.
#[derive(Debug, Clone, Default)]
struct Kinds {
    numbers: BTreeMap<Kind, usize>,
    all: Vec<Arc<WorkerSpec>>,
    /// By the worker's place in the fleet.
    of_worker: Vec<Like>,
    /// How large workers are, by the same places: beside each other they are read more quickly than each from its spec.
    totals: Vec<Capacity>,
}

/// What a worker is like, whatever is left of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Like {
    pub(super) kind: usize,
    marks: u64,
}

impl Like {
    fn bears(&self, marks: u64) -> bool {
        self.marks & marks == marks
    }
}

/// A worker as its like are.
#[derive(Debug, Clone)]
struct Kind(Arc<WorkerSpec>);

/// The workers that take work: a tree a kind.
#[derive(Debug, Clone)]
pub(super) struct Trees {
    all: Vec<Tree>,
    yardstick: Yardstick,
}

impl Index {
    pub(crate) fn of(fleet: &Fleet) -> Self {
        let workers = fleet.workers();
        let largest = Largest::of(workers);
        let mut kinds = Kinds::default();
        let mut trees = Trees { all: Vec::new(), yardstick: largest.yardstick };
        let mut rows: Vec<Vec<(Key, Most)>> = Vec::new();
        for (place, worker) in workers.iter().enumerate() {
            let like = kinds.like(&worker.spec);
            kinds.of_worker.push(like);
            kinds.totals.push(worker.spec.total.clone());
            rows.resize(kinds.all.len(), Vec::new());
            rows[like.kind].extend(trees.row(like, place, worker, &worker.used));
        }
        trees.all = rows.into_iter().map(sorted).collect();
        let names = workers.iter().map(|worker| beginning(&worker.id)).collect();
        Self {
            names,
            moves: 0,
            largest,
            kinds,
            trees,
            refusals: Refusals::default(),
            gatherings: Gatherings::default(),
        }
    }

    /// Between which places a worker of this name stands, if it is there, or would.
    pub(crate) fn places(&self, id: &WorkerId) -> Range<usize> {
        let name = beginning(id);
        let from = self.names.partition_point(|&other| other < name);
        let is_alike = |&other: &u128| other == name;
        // Few names begin alike.
        let alike = match self.names[from..].get(1) {
            Some(next) if is_alike(next) => self.names[from..].partition_point(is_alike),
            _ => self.names[from..].iter().take(1).filter(|other| is_alike(other)).count(),
        };
        from..from + alike
    }

    /// A copy of the trees, which shares all that does not change.
    pub(super) fn trees(&self) -> Trees {
        self.trees.clone()
    }

    /// As many trees, with nobody in them.
    pub(super) fn no_trees(&self) -> Trees {
        Trees { all: vec![Tree::default(); self.trees.all.len()], ..self.trees }
    }

    /// By which all is measured.
    pub(super) fn yardstick(&self) -> &Yardstick {
        &self.trees.yardstick
    }

    /// What the worker at a place in the fleet is like.
    pub(super) fn like(&self, worker: usize) -> Like {
        self.kinds.of_worker[worker]
    }

    /// How large the worker at a place in the fleet is.
    pub(super) fn total(&self, worker: usize) -> &Capacity {
        &self.kinds.totals[worker]
    }

    /// The kinds that may serve a request, the most liked first.
    pub(super) fn choices(&self, need: &Need<'_>) -> Vec<(Rank, usize)> {
        let kinds = self.kinds.all.iter().enumerate().filter(|(_, spec)| need.check_kind(spec).is_ok());
        let mut choices: Vec<_> = kinds.map(|(kind, spec)| (Rank::of(need, spec), kind)).collect();
        choices.sort_unstable();
        choices
    }

    /// Follows a worker that stays in its place. Answers whether the index still holds.
    pub(crate) fn change(&mut self, place: usize, before: &Worker, after: &Worker) -> bool {
        self.refusals.follow(Some(before), Some(after));
        let was = self.kinds.of_worker[place];
        let mut is = was;
        if !Arc::ptr_eq(&before.spec, &after.spec) {
            if !self.largest.join(&after.spec.total) || !self.largest.leave(&before.spec.total) {
                return false;
            }
            is = self.kinds.like(&after.spec);
            self.kinds.of_worker[place] = is;
            self.kinds.totals[place].clone_from(&after.spec.total);
            self.trees.all.resize(self.kinds.all.len(), Tree::default());
        }
        self.trees.take_out(was.kind, place, before, &before.used);
        self.trees.enter(is, place, after, &after.used);
        self.kinds.are_few()
    }

    /// Follows what is owned on a worker.
    pub(crate) fn change_used(&mut self, place: usize, worker: &Worker, before: &Used) {
        self.refusals.follow_used(worker, before);
        let like = self.kinds.of_worker[place];
        self.trees.take_out(like.kind, place, worker, before);
        self.trees.enter(like, place, worker, &worker.used);
    }

    /// Follows a worker that comes, all behind it moving on. Answers whether the index still holds.
    pub(crate) fn insert(&mut self, place: usize, worker: &Worker) -> bool {
        if !self.may_move() || !self.largest.join(&worker.spec.total) {
            return false;
        }
        self.renumber(|other| if other < place { other } else { other + 1 });
        self.refusals.follow(None, Some(worker));
        let like = self.kinds.like(&worker.spec);
        self.kinds.of_worker.insert(place, like);
        self.kinds.totals.insert(place, worker.spec.total.clone());
        self.names.insert(place, beginning(&worker.id));
        self.trees.all.resize(self.kinds.all.len(), Tree::default());
        self.trees.enter(like, place, worker, &worker.used);
        self.kinds.are_few()
    }

    /// Follows a worker that goes, all behind it moving up. Answers whether the index still holds.
    pub(crate) fn remove(&mut self, place: usize, worker: &Worker) -> bool {
        if !self.may_move() || !self.largest.leave(&worker.spec.total) {
            return false;
        }
        self.refusals.follow(Some(worker), None);
        let Like { kind, .. } = self.kinds.of_worker.remove(place);
        self.kinds.totals.remove(place);
        self.names.remove(place);
        self.trees.take_out(kind, place, worker, &worker.used);
        self.renumber(|other| if other < place { other } else { other - 1 });
        self.kinds.are_few()
    }

    /// Counts a worker that comes or goes. Answers whether following it is still the cheaper way.
    fn may_move(&mut self) -> bool {
        self.moves += 1;
        self.moves <= MOVES_MAX
    }

    fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        self.gatherings.forget();
        for tree in &mut self.trees.all {
            tree.renumber(&number);
        }
    }
}

impl Trees {
    /// Where a worker stands that takes work.
    pub(super) fn key(&self, place: usize, worker: &Worker, used: &Used) -> Option<Key> {
        let total = &worker.spec.total;
        (worker.status == Status::Available && !total.is_exceeded_by(used))
            .then(|| Key::of(place, Amount::left(total, used), &self.yardstick))
    }

    fn row(&self, like: Like, place: usize, worker: &Worker, used: &Used) -> Option<(Key, Most)> {
        let key = self.key(place, worker, used)?;
        Some((key, Most::left(&worker.spec.total, used, key.left, like.marks)))
    }

    /// Meets those of a kind with room in their order, until all of the span are met or `meet` breaks off.
    pub(super) fn each(
        &self,
        kind: usize,
        wanted: &Wanted<'_>,
        span: &mut Span,
        meet: impl FnMut(Key, &mut Span) -> ControlFlow<()>,
    ) {
        self.all[kind].each(wanted, span, meet);
    }

    /// The last of a kind with room.
    pub(super) fn last(&self, kind: usize, wanted: &Wanted<'_>) -> Option<Key> {
        self.all[kind].last(wanted)
    }

    /// Enters a worker that is not there.
    pub(super) fn enter(&mut self, like: Like, place: usize, worker: &Worker, used: &Used) {
        if let Some((key, most)) = self.row(like, place, worker, used) {
            self.all[like.kind].insert(key, most);
        }
    }

    /// Enters a worker that takes work and is not there, where its key says.
    pub(super) fn enter_at(&mut self, key: Key, like: Like, total: &Capacity, used: &Used) {
        self.all[like.kind].insert(key, Most::left(total, used, key.left, like.marks));
    }

    /// Takes out who stands where this key says.
    pub(super) fn take_out_of(&mut self, kind: usize, key: &Key) {
        self.all[kind].remove(key);
    }

    /// Takes a worker out of which `used` was owned.
    pub(super) fn take_out(&mut self, kind: usize, place: usize, worker: &Worker, used: &Used) {
        if let Some(key) = self.key(place, worker, used) {
            self.all[kind].remove(&key);
        }
    }
}

impl Kinds {
    fn like(&mut self, spec: &Arc<WorkerSpec>) -> Like {
        let all = &mut self.all;
        let kind = *self.numbers.entry(Kind(Arc::clone(spec))).or_insert_with(|| {
            all.push(Arc::clone(spec));
            all.len() - 1
        });
        Like { kind, marks: marks(&spec.labels, spec.machine.as_ref()) }
    }

    /// Whether kinds that nobody is of any more have not become many.
    fn are_few(&self) -> bool {
        self.all.len() <= self.of_worker.len() + KINDS_SPARE
    }
}

impl Kind {
    fn parts(&self) -> (Owner<'_>, (i32, bool, bool), &[Runtime]) {
        let spec = &*self.0;
        (
            (&spec.pool, spec.workspace.as_ref(), spec.gpu_type(), spec.total.gpu_count > 0),
            (spec.priority, spec.preemptible, spec.requires_pool_selector),
            &spec.runtimes,
        )
    }
}

type Owner<'a> = (&'a PoolName, Option<&'a Workspace>, Option<&'a GpuType>, bool);

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl Largest {
    fn of(workers: &[Worker]) -> Self {
        let yardstick = Yardstick::of(workers.iter().map(|worker| &worker.spec.total));
        let mut largest = Self { yardstick, holders: [0; 3] };
        for worker in workers {
            largest.join(&worker.spec.total);
        }
        largest
    }

    /// Counts a worker. Answers whether the yardstick stays as it is.
    fn join(&mut self, total: &Capacity) -> bool {
        let compared = self.compared(total);
        for (holders, compared) in self.holders.iter_mut().zip(compared) {
            *holders += usize::from(compared == Ordering::Equal);
        }
        compared.iter().all(|compared| compared.is_le())
    }

    /// Counts a worker no more. Answers whether the yardstick stays as it is.
    fn leave(&mut self, total: &Capacity) -> bool {
        let compared = self.compared(total);
        for (holders, compared) in self.holders.iter_mut().zip(compared) {
            *holders -= usize::from(compared == Ordering::Equal);
        }
        self.holders.iter().all(|&holders| holders > 0)
    }

    fn compared(&self, total: &Capacity) -> [Ordering; 3] {
        let (total, largest) = (Amount::left(total, &Used::default()), self.yardstick.largest());
        [
            total.cpu_milli.cmp(&largest.cpu_milli),
            total.memory_mib.cmp(&largest.memory_mib),
            total.gpu_milli.cmp(&largest.gpu_milli),
        ]
    }
}

/// The first bytes of a name, in the order of names: no name has a NUL.
fn beginning(id: &WorkerId) -> u128 {
    let mut bytes = [0; 16];
    for (byte, of_name) in bytes.iter_mut().zip(id.as_str().bytes()) {
        *byte = of_name;
    }
    u128::from_be_bytes(bytes)
}

fn sorted(mut rows: Vec<(Key, Most)>) -> Tree {
    rows.sort_unstable_by_key(|(key, _)| *key);
    Tree::of(rows)
}
