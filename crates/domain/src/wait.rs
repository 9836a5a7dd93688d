//! Why a request waits, and with whom: lots, and reasons whose counts add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{Revision, WorkerId, Workspace};
use crate::quota::OverQuota;
use crate::request::{Ask, OrderKey, Shape};
use crate::resources::Capacity;

/// What parked requests wait for; all with the same obstacle share one lot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LotKey {
    /// Room for this shape.
    Shape(Shape),
    /// The workspace's usage to fall.
    Quota(Workspace),
    /// Somebody to look at a row that cannot be decoded.
    Corrupt,
    /// All workers to have said what they hold since writes were lost: it is to be kept wherever it may run.
    Keep,
    /// The end of the settling: somebody asked to stop it, and it may run where nobody knows.
    Stop,
}

/// One lot, as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LotRow {
    /// What its requests wait for.
    pub key: LotKey,
    /// What one of them asks; of a shape lot, what they all ask but for priority and affinity. Corrupt rows ask nothing.
    pub ask: Option<Arc<Ask>>,
    /// How many wait in it; a lot without any is no row.
    pub count: u64,
    /// The first of them in line.
    pub first: OrderKey,
    /// Why, as the planner last found.
    pub why: Why,
    /// The revision of its last change.
    pub changed: Revision,
}

/// A rule of eligibility, in the order in which they are asked. A worker counts under the first that it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A pinned machine is the only one.
    Machine,
    /// A worker with a workspace serves only it.
    Workspace,
    /// A named pool is the only one; a worker may require to be named.
    Pool,
    /// The kind of GPU.
    GpuType,
    /// What the worker can run.
    Runtime,
    /// A request that may not be interrupted keeps off preemptible workers.
    Preemptible,
    /// Labels that the worker must carry.
    Labels,
    /// Cordoned, draining, booting or lost.
    Status,
    /// Cpu that is left.
    Cpu,
    /// Memory that is left.
    Memory,
    /// GPU devices with enough left.
    GpuRoom,
}

impl Rule {
    /// All rules, in order.
    pub const ALL: [Self; 11] = [
        Self::Machine,
        Self::Workspace,
        Self::Pool,
        Self::GpuType,
        Self::Runtime,
        Self::Preemptible,
        Self::Labels,
        Self::Status,
        Self::Cpu,
        Self::Memory,
        Self::GpuRoom,
    ];

    /// The word that people and formats use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Workspace => "workspace",
            Self::Pool => "pool",
            Self::GpuType => "gpu_type",
            Self::Runtime => "runtime",
            Self::Preemptible => "preemptible",
            Self::Labels => "labels",
            Self::Status => "status",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::GpuRoom => "gpu_room",
        }
    }
}

/// How many workers fail each rule; the counts add up to the fleet.
pub type RuleCounts = BTreeMap<Rule, u64>;

/// Why a request has no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The fleet is empty.
    NoWorkers,
    /// No worker has room, or may serve it.
    NoFit {
        /// Each worker under the first rule that it fails.
        rules: RuleCounts,
        /// Set if no worker and no pool's template could hold it even when empty: the largest there is.
        never: Option<Largest>,
    },
    /// Its workspace uses what it may.
    Quota(OverQuota),
    /// It would fit, but this many requests of its lot came first.
    Behind(u64),
    /// Its row cannot be decoded.
    Corrupt(String),
    /// Writes were lost, and it may run on a worker that has not said since what it holds.
    Settling {
        /// How many workers have not.
        unregistered: u64,
    },
}

impl Why {
    /// Whether nothing that can happen by itself would make room: a person must change something.
    pub fn can_never_fit(&self) -> bool {
        match self {
            Self::NoFit { never, .. } => never.is_some(),
            Self::Quota(over) => over.can_never_fit(),
            Self::Corrupt(_) => true,
            Self::NoWorkers | Self::Behind(_) | Self::Settling { .. } => false,
        }
    }

    /// One word for it, for metrics and formats.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoWorkers => "no_workers",
            Self::NoFit { never: None, .. } => "no_room",
            Self::NoFit { never: Some(_), .. } => "can_never_fit",
            Self::Quota(_) => "quota",
            Self::Behind(_) => "behind",
            Self::Corrupt(_) => "corrupt",
            Self::Settling { .. } => "settling",
        }
    }
}

/// The largest worker that comes closest to a request which nothing can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Largest {
    /// Who: a worker, or a pool whose template it is.
    pub who: LargestOwner,
    /// How large it is when empty.
    pub size: Capacity,
    /// The rule that even it, empty and open, fails.
    pub fails: Rule,
}

/// Whose size [`Largest`] names. Workers come before pools.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LargestOwner {
    /// A worker of the fleet.
    Worker(WorkerId),
    /// The template of a pool.
    Pool(crate::id::PoolName),
}
