//! A machine that runs containers, its room, and whether it takes work.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{
    CallNumber, GpuType, History, Incarnation, MachineName, Mark, PoolName, Revision, Runtime, WorkerId, WorkerKey,
    Workspace,
};
use crate::request::Labels;
use crate::resources::{Capacity, Free, Used};

/// The pool of workers that name none.
pub const DEFAULT_POOL: &str = "default";
/// The runtime of workers that name none.
pub const DEFAULT_RUNTIME: &str = "process";

/// What a worker is: all that it says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSpec {
    /// The pool that it belongs to.
    pub pool: PoolName,
    /// Its size.
    pub total: Capacity,
    /// Workers of a higher priority are preferred.
    pub priority: i32,
    /// Whether it may be taken away at any time.
    pub preemptible: bool,
    /// Whether it serves only requests that name its pool, or fail over to it.
    pub requires_pool_selector: bool,
    /// The machine that it runs on.
    pub machine: Option<MachineName>,
    /// The only workspace that it serves.
    pub workspace: Option<Workspace>,
    /// What it can run; never empty.
    pub runtimes: Vec<Runtime>,
    /// Words that requests may demand.
    pub labels: Labels,
}

impl WorkerSpec {
    /// A worker that serves whoever fits.
    pub fn plain(pool: PoolName, runtime: Runtime, total: Capacity) -> Self {
        Self {
            pool,
            total,
            priority: 0,
            preemptible: false,
            requires_pool_selector: false,
            machine: None,
            workspace: None,
            runtimes: vec![runtime],
            labels: Labels::new(),
        }
    }

    /// The kind of its GPUs.
    pub fn gpu_type(&self) -> Option<&GpuType> {
        self.total.gpu_type.as_ref()
    }
}

/// Whether a worker is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Asked for, or booting: it may take this long, counted from when the planner first saw it.
    Pending {
        /// How long it may boot.
        boot_within: Duration,
    },
    /// There.
    Up,
    /// Given up after its silence; it may register again.
    Lost,
}

/// Whether a worker takes new work. Belongs to the id: it survives incarnations and losses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Closed {
    /// It does.
    #[default]
    No,
    /// It does not; what runs goes on.
    Cordoned,
    /// It does not; what runs may finish within this long, counted from when the planner first saw it.
    Draining {
        /// How long what runs may go on.
        within: Duration,
        /// Whether that time has passed and what still runs was told to stop.
        due: bool,
    },
}

/// What an operator sees: the first of these that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Given up.
    Lost,
    /// Closed, and what runs is asked to leave.
    Draining,
    /// Closed, and empty after a drain.
    Drained,
    /// Closed.
    Cordoned,
    /// Booting, or its registration is not complete.
    Pending,
    /// Takes work.
    Available,
}

impl Status {
    /// The word that people and formats use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Cordoned => "cordoned",
            Self::Pending => "pending",
            Self::Available => "available",
        }
    }
}

/// A worker as a plan sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its name.
    pub id: WorkerId,
    /// What it is.
    pub spec: Arc<WorkerSpec>,
    /// Whether it takes work.
    pub status: Status,
    /// Which run of it this is.
    pub incarnation: Incarnation,
    /// What its containers own.
    pub used: Used,
}

impl Worker {
    /// What is left of it.
    pub fn free(&self) -> Free {
        self.spec.total.free(&self.used)
    }

    /// Whether nothing is owned on it.
    pub fn is_empty(&self) -> bool {
        self.used == Used::default()
    }
}

/// A worker as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its name.
    pub id: WorkerId,
    /// What it is.
    pub spec: Arc<WorkerSpec>,
    /// Whether it is there.
    pub life: Life,
    /// Whether it takes new work.
    pub closed: Closed,
    /// Proves that a returning worker is the same; none before its first registration.
    pub key: Option<WorkerKey>,
    /// The run of it that registered last.
    pub incarnation: Incarnation,
    /// The history in which it registered last, or was asked for.
    pub registered_in: Option<History>,
    /// Whether that registration said all and left nothing to kill. Until then: no orders, not eligible.
    pub complete: bool,
    /// Whether it said that it is ready for work.
    pub ready: bool,
    /// What its containers own.
    pub used: Used,
    /// The revision of its last change.
    pub changed: Revision,
}

impl WorkerRow {
    /// What an operator sees.
    pub fn status(&self) -> Status {
        match (self.life, self.closed) {
            (Life::Lost, _) => Status::Lost,
            (_, Closed::Draining { .. }) if self.used.containers == 0 => Status::Drained,
            (_, Closed::Draining { .. }) => Status::Draining,
            (_, Closed::Cordoned) => Status::Cordoned,
            (Life::Pending { .. }, _) => Status::Pending,
            (Life::Up, _) if !self.complete || !self.ready => Status::Pending,
            (Life::Up, _) => Status::Available,
        }
    }

    /// The worker as a plan sees it.
    pub fn to_worker(&self) -> Worker {
        Worker {
            id: self.id.clone(),
            spec: Arc::clone(&self.spec),
            status: self.status(),
            incarnation: self.incarnation,
            used: self.used.clone(),
        }
    }

    /// Whether its containers own more than it has.
    pub fn is_over_committed(&self) -> bool {
        self.spec.total.is_exceeded_by(&self.used)
    }
}

/// Who calls: every call of a worker but its registration carries this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The worker.
    pub worker: WorkerId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// The number of this call.
    pub number: CallNumber,
    /// The history in which it registered, and the greatest revision that it was answered.
    pub mark: Mark,
}

/// What a call of a worker is answered when it is not simply accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallAnswer {
    /// Accepted; the worker's deadline moves.
    Ok,
    /// Given up, or another history began: register again with all that is held.
    Register,
    /// An older run of this worker; it has been replaced.
    Refused,
    /// No such worker any more; leave.
    Removed,
}
