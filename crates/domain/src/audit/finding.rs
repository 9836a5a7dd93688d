//! What an audit finds, as values that name it.

use std::fmt;

use crate::container::Phase;
use crate::id::{ContainerId, Incarnation, Revision, WorkerId, Workspace};
use crate::request::OrderKey;
use crate::wait::LotKey;

/// One thing that an audit found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// What no sequence of steps can lead to.
    #[error("corrupt: {0}")]
    Corruption(Corruption),
    /// What is legal, and yet worth a word.
    #[error("notice: {0}")]
    Notice(Notice),
}

impl Finding {
    /// Whether it is a corruption.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corruption(_))
    }
}

/// What is counted of a worker or a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Amount {
    /// Thousandths of a cpu.
    CpuMilli,
    /// Mebibytes of memory.
    MemoryMib,
    /// Thousandths of one GPU device.
    DeviceMilli(u32),
    /// Thousandths of GPUs together.
    GpuMilli,
    /// GPU devices.
    GpuDevices,
    /// Containers.
    Containers,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CpuMilli => f.write_str("cpu_milli"),
            Self::MemoryMib => f.write_str("memory_mib"),
            Self::DeviceMilli(index) => write!(f, "gpu_milli of device {index}"),
            Self::GpuMilli => f.write_str("gpu_milli"),
            Self::GpuDevices => f.write_str("GPU devices"),
            Self::Containers => f.write_str("containers"),
        }
    }
}

/// What no sequence of steps can lead to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what its fields are")]
pub enum Corruption {
    #[error("worker {worker} books {booked} {amount}, its containers own {owned}")]
    Worker { worker: WorkerId, amount: Amount, booked: u64, owned: u64 },
    #[error("workspace {workspace} books {booked} {amount}, its containers use {used}")]
    Usage { workspace: Workspace, amount: Amount, booked: u64, used: u64 },
    #[error("container {container} owns room on worker {worker}, which is not there")]
    NoSuchWorker { container: ContainerId, worker: WorkerId },
    #[error("container {container} owns {owned} {amount}, it asks {asked}")]
    Booking { container: ContainerId, amount: Amount, owned: u64, asked: u64 },
    #[error("container {container} names its GPU devices out of order or twice")]
    Devices { container: ContainerId },
    #[error("container {container} is {} but was never placed", .phase.as_str())]
    NeverPlaced { container: ContainerId, phase: Phase },
    #[error("container {container} is on worker {worker} since run {placed} of it, run {registered} has registered")]
    NotClaimed { container: ContainerId, worker: WorkerId, placed: Incarnation, registered: Incarnation },
    #[error("container {container} has ended, and nothing says how")]
    EndUnknown { container: ContainerId },
    #[error("container {container} is parked in {}, where it does not belong", LotName(.lot))]
    WrongLot { container: ContainerId, lot: LotKey },
    #[error("containers {first} and {second} have the same place in line")]
    SamePlace { first: ContainerId, second: ContainerId },
    #[error("{} counts {counted}, {parked} are parked in it", LotName(.lot))]
    LotCount { lot: LotKey, counted: u64, parked: u64 },
    #[error("{} begins at {}, the first in it is at {}", LotName(.lot), PlaceInLine(.says), PlaceInLine(.first))]
    LotFirst { lot: LotKey, says: OrderKey, first: OrderKey },
    #[error("the cell counts {counted} {}, there are {found}", .phase.as_str())]
    PhaseCount { phase: Phase, counted: u64, found: u64 },
    #[error("the cell counts {counted} ready, there are {found}")]
    ReadyCount { counted: u64, found: u64 },
    #[error("the cell counts {counted} workers that have not registered in its history, there are {found}")]
    UnregisteredCount { counted: u64, found: u64 },
    #[error("the cell counts {counted} removals, {found} are remembered")]
    GoneCount { counted: u64, found: u64 },
    #[error("{what} changed at revision {changed}, the cell is at {revision}")]
    Future { what: String, changed: Revision, revision: Revision },
    #[error("{what} cannot be decoded")]
    Undecodable { what: String },
    #[error("the index {index} lacks {entry}")]
    IndexLacks { index: &'static str, entry: String },
    #[error("the index {index} has {entry}, of which no row knows")]
    IndexStray { index: &'static str, entry: String },
    #[error("container {container} has no body")]
    NoBody { container: ContainerId },
}

/// What is legal, and yet worth a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what its fields are")]
pub enum Notice {
    #[error("worker {worker} has {total} {amount}, its containers own {owned}: it takes nothing new")]
    OverCommitted { worker: WorkerId, amount: Amount, total: u64, owned: u64 },
    #[error("workspace {workspace} may use {limit} {amount} and uses {used}: nothing new is placed for it")]
    AboveLimit { workspace: Workspace, amount: Amount, limit: u64, used: u64 },
    #[error("worker {worker} is lost, and {containers} containers stay with it until it is certain that they are gone")]
    KeptByLost { worker: WorkerId, containers: u64 },
}

/// A lot in words.
pub(super) struct LotName<'a>(pub(super) &'a LotKey);

impl fmt::Display for LotName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LotKey::Shape(shape) => write!(f, "the lot of shape `{shape}`"),
            LotKey::Quota(workspace) => write!(f, "the quota lot of {workspace}"),
            LotKey::Corrupt => f.write_str("the lot of undecodable requests"),
            LotKey::Keep => f.write_str("the lot of those to be kept that may still run somewhere"),
            LotKey::Stop => f.write_str("the lot of those to be stopped when the cell has settled"),
        }
    }
}

/// A place in line in words.
pub(super) struct PlaceInLine<'a>(pub(super) &'a OrderKey);

impl fmt::Display for PlaceInLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.0.rank, self.0.revision, self.0.position)
    }
}

impl From<Corruption> for Finding {
    fn from(corruption: Corruption) -> Self {
        Self::Corruption(corruption)
    }
}

impl From<Notice> for Finding {
    fn from(notice: Notice) -> Self {
        Self::Notice(notice)
    }
}
