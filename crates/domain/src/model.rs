//! One cell's steps: THE specification of every store.
//!
//! A step reads rows, decides, and returns its answer with the changes to write; nothing is loaded whole. A store makes
//! the changes atomic, durable and fenced. The files below carry the steps of one port each; `step` is the overlay
//! through which they read what they have themselves decided, and the one place where capacity, ownership, usage, lots
//! and counts follow a container. `history` is what happens after a store lost writes.

pub mod backlog;
pub mod containers;
pub mod history;
pub mod leadership;
mod memory;
pub mod placements;
mod step;
pub mod workers;

use std::sync::Arc;

use crate::container::{ContainerRow, Output, Phase, PlacementId, StopCause};
use crate::container::{End, State};
use crate::id::{
    Boot, CallNumber, CellName, ContainerId, History, Mark, PlannerId, Revision, Stamp, Term, WorkerId, Workspace,
};
use crate::quota::Usage;
use crate::request::{Body, IfSilent, OrderKey};
use crate::resources::Booking;
use crate::time::Timestamp;
use crate::wait::{LotKey, LotRow};
use crate::worker::WorkerRow;

pub use memory::MemoryRows;

/// The most decisions, submissions, reports or ids that one call may carry.
pub const CALL_ITEMS_MAX: usize = 5_000;
/// How many removals a cell remembers, so that a reader who was away can follow them.
pub const GONE_ROWS_MAX: u64 = 10_000;

/// What a step may read of one cell. Ranges come in order and never hold more than `limit` entries.
pub trait Rows {
    /// What a failed read is.
    type Error;

    /// Whether the error says that one row cannot be decoded, rather than that the store is away.
    fn is_corrupt(&self, error: &Self::Error) -> bool;
    /// The random word of this opening of the store.
    fn boot(&self) -> Boot;
    /// The cell's own row.
    fn cell(&self) -> Result<CellRow, Self::Error>;
    /// One container.
    fn container(&self, id: &ContainerId) -> Result<Option<ContainerRow>, Self::Error>;
    /// What its worker reads of it.
    fn body(&self, id: &ContainerId) -> Result<Option<Arc<Body>>, Self::Error>;
    /// What its last attempt wrote.
    fn output(&self, id: &ContainerId) -> Result<Option<Output>, Self::Error>;
    /// One worker.
    fn worker(&self, id: &WorkerId) -> Result<Option<WorkerRow>, Self::Error>;
    /// One lot.
    fn lot(&self, key: &LotKey) -> Result<Option<LotRow>, Self::Error>;
    /// What one workspace uses.
    fn usage(&self, workspace: &Workspace) -> Result<Option<UsageRow>, Self::Error>;
    /// The greatest number accepted from a worker's incarnation in this boot; 0 if none. Need not be durable.
    fn number(&self, worker: &WorkerId) -> Result<CallNumber, Self::Error>;

    /// Ready requests after a place in line, first in line first.
    fn ready(&self, after: Option<OrderKey>, limit: usize) -> Result<Vec<(OrderKey, ContainerId)>, Self::Error>;
    /// The requests of a lot after a place in line, first in line first.
    fn parked(
        &self,
        lot: &LotKey,
        after: Option<OrderKey>,
        limit: usize,
    ) -> Result<Vec<(OrderKey, ContainerId)>, Self::Error>;
    /// What a worker owns, by the order in which it was told.
    fn owned(&self, worker: &WorkerId, after: Option<&OrderMark>, limit: usize) -> Result<Vec<OrderMark>, Self::Error>;
    /// Containers by id.
    fn containers(
        &self,
        filter: &Filter,
        after: Option<&ContainerId>,
        limit: usize,
    ) -> Result<Vec<ContainerId>, Self::Error>;
    /// Workers by id.
    fn workers(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, Self::Error>;
    /// Ended containers, the one that ended first first.
    fn ended(&self, limit: usize) -> Result<Vec<(Timestamp, ContainerId)>, Self::Error>;
    /// Workers, lots and usage changed or gone after a revision, oldest change first.
    fn changed_fleet(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, FleetChange)>, Self::Error>;
    /// Containers changed after a revision, oldest change first.
    fn changed_containers(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, ContainerId)>, Self::Error>;
}

impl<T: Rows + ?Sized> Rows for &T {
    type Error = T::Error;

    fn is_corrupt(&self, error: &Self::Error) -> bool {
        (**self).is_corrupt(error)
    }

    fn boot(&self) -> Boot {
        (**self).boot()
    }

    fn cell(&self) -> Result<CellRow, Self::Error> {
        (**self).cell()
    }

    fn container(&self, id: &ContainerId) -> Result<Option<ContainerRow>, Self::Error> {
        (**self).container(id)
    }

    fn body(&self, id: &ContainerId) -> Result<Option<Arc<Body>>, Self::Error> {
        (**self).body(id)
    }

    fn output(&self, id: &ContainerId) -> Result<Option<Output>, Self::Error> {
        (**self).output(id)
    }

    fn worker(&self, id: &WorkerId) -> Result<Option<WorkerRow>, Self::Error> {
        (**self).worker(id)
    }

    fn lot(&self, key: &LotKey) -> Result<Option<LotRow>, Self::Error> {
        (**self).lot(key)
    }

    fn usage(&self, workspace: &Workspace) -> Result<Option<UsageRow>, Self::Error> {
        (**self).usage(workspace)
    }

    fn number(&self, worker: &WorkerId) -> Result<CallNumber, Self::Error> {
        (**self).number(worker)
    }

    fn ready(&self, after: Option<OrderKey>, limit: usize) -> Result<Vec<(OrderKey, ContainerId)>, Self::Error> {
        (**self).ready(after, limit)
    }

    fn parked(
        &self,
        lot: &LotKey,
        after: Option<OrderKey>,
        limit: usize,
    ) -> Result<Vec<(OrderKey, ContainerId)>, Self::Error> {
        (**self).parked(lot, after, limit)
    }

    fn owned(&self, worker: &WorkerId, after: Option<&OrderMark>, limit: usize) -> Result<Vec<OrderMark>, Self::Error> {
        (**self).owned(worker, after, limit)
    }

    fn containers(
        &self,
        filter: &Filter,
        after: Option<&ContainerId>,
        limit: usize,
    ) -> Result<Vec<ContainerId>, Self::Error> {
        (**self).containers(filter, after, limit)
    }

    fn workers(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, Self::Error> {
        (**self).workers(after, limit)
    }

    fn ended(&self, limit: usize) -> Result<Vec<(Timestamp, ContainerId)>, Self::Error> {
        (**self).ended(limit)
    }

    fn changed_fleet(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, FleetChange)>, Self::Error> {
        (**self).changed_fleet(after, limit)
    }

    fn changed_containers(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, ContainerId)>, Self::Error> {
        (**self).changed_containers(after, limit)
    }
}

/// The cell's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRow {
    /// A random word; a store that may have lost writes starts a new one.
    pub history: History,
    /// Moved by every step that writes.
    pub revision: Revision,
    /// The greatest time that any step was given.
    pub now: Timestamp,
    /// Who plans.
    pub planner: Option<PlannerRow>,
    /// The term of the last planner.
    pub term: Term,
    /// How many containers are in each phase, in the order of [`Phase::ALL`].
    pub phases: [u64; Phase::ALL.len()],
    /// How many of the pending ones are ready.
    pub ready: u64,
    /// The last revision that gave the planner something to do: ready work, or room or quota that became free.
    pub woken: Revision,
    /// The last revision that gave a worker something to do.
    pub ordered: Revision,
    /// How many removals are remembered.
    pub gone: u64,
    /// Removals at or before this revision are no longer remembered.
    pub gone_floor: Revision,
    /// How this history began, if writes were lost before it.
    pub rewind: Option<Rewind>,
    /// Whether workers may run what nobody here knows of: nothing is placed.
    pub settling: bool,
    /// How many workers have not registered in this history.
    pub unregistered: u64,
}

/// How a history began that is not the cell's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewind {
    /// The history before, and what was left of it.
    pub survived: Mark,
    /// How far that history is known to have come.
    pub reached: Revision,
}

/// Who plans a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannerRow {
    /// The planner.
    pub planner: PlannerId,
    /// Moved by each of its fenced writes.
    pub stamp: Stamp,
}

impl CellRow {
    /// A cell in which nothing has happened.
    pub fn new(history: History) -> Self {
        Self {
            history,
            revision: Revision(0),
            now: Timestamp(0),
            planner: None,
            term: Term(0),
            phases: [0; Phase::ALL.len()],
            ready: 0,
            woken: Revision(0),
            ordered: Revision(0),
            gone: 0,
            gone_floor: Revision(0),
            rewind: None,
            settling: false,
            unregistered: 0,
        }
    }

    /// How far the cell is.
    pub fn mark(&self) -> Mark {
        Mark { history: self.history, revision: self.revision }
    }

    /// How many containers are in `phase`.
    pub fn count(&self, phase: Phase) -> u64 {
        self.phases[phase as usize]
    }
}

/// What one workspace uses, as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The workspace.
    pub workspace: Workspace,
    /// What it uses; a workspace that uses nothing is no row.
    pub usage: Usage,
    /// The revision of its last change.
    pub changed: Revision,
}

/// Something of the fleet by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FleetName {
    /// A worker.
    Worker(WorkerId),
    /// A lot.
    Lot(LotKey),
    /// The usage of a workspace.
    Usage(Workspace),
}

/// What happened to something of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FleetChange {
    /// It is there, changed.
    Changed(FleetName),
    /// It is no more.
    Gone(FleetName),
}

/// A row as it was and as it will be; the store takes the old one out of its indexes and puts the new one in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replace<T> {
    /// What the step read; none if there was no row.
    pub before: Option<T>,
    /// What is to be there; none if no row.
    pub after: Option<T>,
}

/// One write of a step. All writes of a step are made, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The cell's own row.
    Cell(CellRow),
    /// A container. Indexed by what it says of itself: ready, parked, owned, phase, workspace, ended, changed.
    Container(Box<Replace<ContainerRow>>),
    /// A worker. Indexed by id and by when it changed.
    Worker(Box<Replace<WorkerRow>>),
    /// A lot. Indexed by when it changed.
    Lot(Box<Replace<LotRow>>),
    /// Usage. Indexed by when it changed.
    Usage(Replace<UsageRow>),
    /// What a worker reads of a container; none to take it away.
    Body(ContainerId, Option<Arc<Body>>),
    /// What a container wrote; none to take it away.
    Output(ContainerId, Option<Output>),
    /// Remember that something is gone since this revision.
    Gone(Revision, FleetName),
    /// Remember it no longer.
    ForgetGone(Revision, FleetName),
    /// Take a ready request whose row cannot be decoded out of line and into the lot of such.
    ParkCorrupt(OrderKey, ContainerId),
    /// The greatest number of a worker's incarnation; none once the worker is gone. Need not be durable.
    Number(WorkerId, Option<CallNumber>),
}

/// Where a worker is in its orders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderMark {
    /// The revision that gave the order.
    pub revision: Revision,
    /// The container that it is about.
    pub container: ContainerId,
}

/// Which containers to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    All,
    /// Those in a phase.
    Phase(Phase),
    /// Those of a workspace.
    Workspace(Workspace),
    /// Those that a worker owns.
    Worker(WorkerId),
}

/// The right to plan a cell: fenced writes carry it, and it ends with its term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandate {
    /// The cell.
    pub cell: CellName,
    /// The planner.
    pub planner: PlannerId,
    /// Its term.
    pub term: Term,
    /// The history in which it was given, and the revision that its holder has seen.
    pub mark: Mark,
}

/// Why a fenced write was refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Another planner has taken over.
    StaleTerm,
    /// The store has started a new history.
    Rewound,
}

/// What a worker is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Run this.
    Start(Box<StartOrder>),
    /// End this, even if it was never started.
    Stop {
        /// Which placement.
        placement: PlacementId,
        /// Why.
        cause: StopCause,
    },
}

/// One container to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartOrder {
    /// Which placement.
    pub placement: PlacementId,
    /// What it owns.
    pub booking: Booking,
    /// The runtime that it needs.
    pub runtime: Option<crate::id::Runtime>,
    /// What happens when the worker is cut off.
    pub if_silent: IfSilent,
    /// When it was handed in.
    pub submitted: Timestamp,
    /// What to run.
    pub body: Arc<Body>,
}

/// What a worker says of one placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which placement.
    pub placement: PlacementId,
    /// What happened.
    pub event: Event,
    /// What it wrote, with an end.
    pub output: Option<Output>,
}

/// What can happen to a placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its process runs.
    Running,
    /// It is over.
    Ended(End),
}

/// A step's answer and what it writes.
pub type Stepped<T, E> = Result<(T, Vec<Change>), E>;

/// What was read, or nothing if that row cannot be decoded: it must not fail what a step does for others.
pub(crate) fn legible<T, R: Rows>(rows: &R, read: Result<Option<T>, R::Error>) -> Result<Option<T>, R::Error> {
    match read {
        Err(error) if rows.is_corrupt(&error) => Ok(None),
        read => read,
    }
}

/// The state that a container without a placement goes back to: in line, at its old place.
pub(crate) const READY: State = State::Pending(crate::container::Waiting::Ready);
