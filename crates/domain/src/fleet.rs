//! The snapshot that a plan may see, and the policy that it follows.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::id::{GpuType, PoolName, WorkerId, Workspace};
use crate::ledger;
use crate::placement::index::Index;
use crate::quota::{QuotaLimits, Usage};
use crate::request::Ask;
use crate::resources::Booking;
use crate::wait::{LotKey, LotRow};
use crate::worker::{Worker, WorkerSpec};

/// One cell at one moment, as far as placement reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    workers: Vec<Worker>,
    sorted: Sorted,
    /// What each workspace uses; absent means nothing.
    pub usage: BTreeMap<Workspace, Usage>,
    /// Who waits already; a lot is here exactly while somebody waits in it.
    pub lots: BTreeMap<LotKey, LotRow>,
    /// What the fleet could grow by.
    pub pools: Vec<PoolTemplate>,
    /// Whether writes were lost, and workers may run what nobody knows of: nothing is placed.
    pub settling: bool,
    /// How many workers have not said since what they hold.
    pub unregistered: u64,
}

/// The worker that a pool makes more of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolTemplate {
    /// The pool.
    pub name: PoolName,
    /// What each of its workers is.
    pub spec: Arc<WorkerSpec>,
    /// How many it may have.
    pub workers_max: u64,
}

/// The workers once more, sorted for plans: made by the first one, and kept up with every change from then on.
#[derive(Debug, Clone, Default)]
struct Sorted(OnceLock<Index>);

impl PartialEq for Sorted {
    /// Fleets of the same workers are equal, whatever was worked out of them.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Sorted {}

impl Sorted {
    /// Follows a change, or forgets all if that is not possible.
    fn follow(&mut self, change: impl FnOnce(&mut Index) -> bool) {
        if self.0.get_mut().is_some_and(|index| !change(index)) {
            self.0.take();
        }
    }
}

impl Fleet {
    /// A fleet of these workers.
    pub fn of(workers: impl IntoIterator<Item = Worker>) -> Self {
        let mut fleet = Self::default();
        fleet.workers.extend(workers);
        fleet.workers.sort_by(|a, b| a.id.cmp(&b.id));
        fleet.workers.dedup_by(|later, earlier| later.id == earlier.id);
        fleet
    }

    /// All workers, by id.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The worker of this name.
    pub fn worker(&self, id: &WorkerId) -> Option<&Worker> {
        self.position(id).ok().map(|index| &self.workers[index])
    }

    /// Puts a worker in the place of the one of its name.
    pub fn put(&mut self, mut worker: Worker) {
        match self.position(&worker.id) {
            Ok(place) => {
                let known = &self.workers[place];
                if known.spec == worker.spec {
                    // Two values that were read apart: what did not change is told by being the same one.
                    worker.spec = Arc::clone(&known.spec);
                }
                let before = std::mem::replace(&mut self.workers[place], worker);
                let after = &self.workers[place];
                self.sorted.follow(|index| index.change(place, &before, after));
            }
            Err(place) => {
                self.sorted.follow(|index| index.insert(place, &worker));
                self.workers.insert(place, worker);
            }
        }
    }

    /// Takes a worker out.
    pub fn remove(&mut self, id: &WorkerId) {
        if let Ok(place) = self.position(id) {
            let worker = self.workers.remove(place);
            self.sorted.follow(|index| index.remove(place, &worker));
        }
    }

    /// Books what a placement of `ask` owns on this worker and uses of its workspace's quota.
    pub fn book(&mut self, worker: &WorkerId, ask: &Ask, booking: &Booking) {
        self.book_all([(worker, ask, booking)]);
    }

    /// Books placements: on which worker, of what ask, and what each owns. Together they are cheaper than one by one.
    pub fn book_all<'a>(&mut self, placed: impl IntoIterator<Item = (&'a WorkerId, &'a Ask, &'a Booking)>) {
        let placed_in_turn = placed.into_iter();
        let mut placed = Vec::with_capacity(placed_in_turn.size_hint().1.unwrap_or(0));
        placed.extend(placed_in_turn);
        for (_, ask, _) in &placed {
            let usage = Usage::of(ask);
            match self.usage.get_mut(&ask.workspace) {
                Some(used) => *used = used.plus(&usage),
                None => drop(self.usage.insert(ask.workspace.clone(), usage)),
            }
        }
        // Names that a plan gives are the fleet's own: most of those alike are one value, which is looked up once.
        let value = |worker: &WorkerId| worker.as_str().as_ptr();
        placed.sort_by_key(|(worker, ..)| value(worker));
        let by_value = placed.chunk_by(|a, b| value(a.0) == value(b.0));
        let mut by_place: Vec<_> =
            by_value.filter_map(|placed| Some((self.position(placed[0].0).ok()?, placed))).collect();
        by_place.sort_by_key(|(place, _)| *place);
        for together in by_place.chunk_by(|a, b| a.0 == b.0) {
            // In which order they are added up makes no difference.
            self.adopt(together[0].0, together.iter().flat_map(|(_, placed)| *placed).map(|(.., booking)| *booking));
        }
    }

    fn adopt<'a>(&mut self, place: usize, bookings: impl Iterator<Item = &'a Booking>) {
        let worker = &mut self.workers[place];
        let before = worker.used.clone();
        for booking in bookings {
            ledger::adopt(&mut worker.used, booking);
        }
        let worker = &self.workers[place];
        self.sorted.follow(|index| {
            index.change_used(place, worker, &before);
            true
        });
    }

    /// The workers as plans look for them.
    pub(crate) fn index(&self) -> &Index {
        self.sorted.0.get_or_init(|| Index::of(self))
    }

    fn position(&self, id: &WorkerId) -> Result<usize, usize> {
        let places = self.sorted.0.get().map_or(0..self.workers.len(), |index| index.places(id));
        let found = self.workers[places.clone()].binary_search_by(|worker| worker.id.cmp(id));
        found.map(|at| places.start + at).map_err(|at| places.start + at)
    }
}

/// How requests are placed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which of the workers that are equal so far.
    pub strategy: Strategy,
    /// Memory booked on top of what is asked, in hundredths of it; what is booked is rounded up to a whole MiB.
    pub memory_overhead_percent: u32,
    /// Whether requests without GPUs may use workers with GPUs.
    pub cpu_on_gpu_workers: CpuOnGpuWorkers,
    /// Pools that may serve a request for a kind of GPU that cannot be had, the first choice first.
    pub failover: BTreeMap<GpuType, Vec<PoolName>>,
    /// What workspaces may use; nothing is limited without.
    pub quotas: Option<Quotas>,
}

/// Which worker of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The one that is left with the least.
    #[default]
    BestFit,
    /// The one that is left with the most.
    Spread,
}

/// Whether requests without GPUs may use workers with GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CpuOnGpuWorkers {
    /// They keep off.
    #[default]
    Never,
    /// They may.
    Allowed,
}

/// The limits of all workspaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// For a workspace that is not named.
    pub default: QuotaLimits,
    /// By name.
    pub workspaces: BTreeMap<Workspace, QuotaLimits>,
}

impl Quotas {
    /// What `workspace` may use.
    pub fn limits(&self, workspace: &Workspace) -> &QuotaLimits {
        self.workspaces.get(workspace).unwrap_or(&self.default)
    }
}
