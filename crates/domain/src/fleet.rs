//! The snapshot that a plan may see, and the policy that it follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{GpuType, PoolName, WorkerId, Workspace};
use crate::ledger;
use crate::quota::{QuotaLimits, Usage};
use crate::request::Ask;
use crate::resources::Booking;
use crate::wait::{LotKey, LotRow};
use crate::worker::{Worker, WorkerSpec};

/// One cell at one moment, as far as placement reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    workers: Vec<Worker>,
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

    /// The worker of this name, to follow a change.
    pub fn worker_mut(&mut self, id: &WorkerId) -> Option<&mut Worker> {
        self.position(id).ok().map(|index| &mut self.workers[index])
    }

    /// Puts a worker in the place of the one of its name.
    pub fn put(&mut self, worker: Worker) {
        match self.position(&worker.id) {
            Ok(index) => self.workers[index] = worker,
            Err(index) => self.workers.insert(index, worker),
        }
    }

    /// Takes a worker out.
    pub fn remove(&mut self, id: &WorkerId) {
        if let Ok(index) = self.position(id) {
            self.workers.remove(index);
        }
    }

    /// Books what a placement of `ask` owns on this worker and uses of its workspace's quota.
    pub fn book(&mut self, worker: &WorkerId, ask: &Ask, booking: &Booking) {
        if let Some(worker) = self.worker_mut(worker) {
            ledger::adopt(&mut worker.used, booking);
        }
        let usage = self.usage.entry(ask.workspace.clone()).or_default();
        *usage = usage.plus(&Usage::of(ask));
    }

    fn position(&self, id: &WorkerId) -> Result<usize, usize> {
        self.workers.binary_search_by(|worker| worker.id.cmp(id))
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
