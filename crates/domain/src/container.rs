//! A container's life as a state machine, and the row that a store keeps of it.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{Attempt, ContainerId, History, Incarnation, Revision, WorkerId};
use crate::request::{Ask, Digest, IfSilent, OrderKey};
use crate::resources::Booking;
use crate::time::Timestamp;
use crate::wait::LotKey;

/// How many attempts may be lost, or fail to start on an able worker, before the container is given up as failed.
pub const FAILURES_MAX: u32 = 5;
/// The most bytes of output kept of each stream: the last ones.
pub const OUTPUT_TAIL_BYTES: usize = 16 * 1024;

/// Where a container is in its life.
///
/// `pending -> placed -> starting -> running -> succeeded | failed | stopped`, with `stopping` on the way of what is
/// told to stop; what is lost, drained or could not start goes back to `pending`. From `placed` to its end it owns
/// room on a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Waits for a place.
    Pending(Waiting),
    /// Owns room; its worker has not yet been told.
    Placed(Placement),
    /// Handed to its worker.
    Starting(Placement),
    /// Its worker said that the process runs.
    Running(Placement),
    /// Told to stop; owns room until its worker says that it is over.
    Stopping(Placement, StopCause),
    /// Ended by itself with exit code 0.
    Succeeded,
    /// Ended otherwise, or given up.
    Failed,
    /// Ended because somebody asked for it.
    Stopped,
}

/// Where a pending container waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// In line, to be looked at.
    Ready,
    /// Looked at and found to have no place; waits with all that are alike.
    Parked(LotKey),
}

/// A container's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The worker that it is on.
    pub worker: WorkerId,
    /// The worker's incarnation when it was placed, or when it last registered with it.
    pub incarnation: Incarnation,
    /// What it owns there.
    pub booking: Booking,
    /// When the worker was last told something about it (placed, or told to stop): orders are handed out in this order.
    pub order: Revision,
}

/// Why a container is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopCause {
    /// Its worker is being drained; it will be placed elsewhere.
    Drain,
    /// Somebody asked for it; it will not run again.
    Stop,
}

/// The identity of one placement. Only the newest attempt of a container counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlacementId {
    /// The container.
    pub container: ContainerId,
    /// Which attempt.
    pub attempt: Attempt,
    /// The history in which it was placed.
    pub history: History,
}

/// How one attempt was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The command ended by itself.
    Exited(Exit),
    /// Its worker stopped it because it was told to stop.
    StopOrder,
    /// Its worker stopped it because it was told to drain.
    DrainOrder,
    /// It ran longer than its timeout.
    Timeout(Duration),
    /// Its worker stopped it, having reached no server for this long.
    Deadline(Duration),
    /// It was never started, and will not be on another worker either: the program or folder is missing or unfit.
    Unstartable {
        /// 126 (found, but not executable) or 127 (not found), as shells say it.
        code: i32,
        /// What is missing, in words.
        detail: String,
    },
    /// It could not be started here, though another worker might.
    StartFailed(String),
    /// The order came too late, or to a worker that was registering anew; nothing was started.
    NotStarted,
    /// The process is gone and nobody saw how it ended.
    Gone,
    /// Its worker was given up.
    WorkerLost,
    /// Its worker came back without it.
    WorkerForgot,
    /// Never placed: stopped while it waited.
    NeverStarted,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// An end with its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndRecord {
    /// How it was over.
    pub end: End,
    /// Which attempt.
    pub attempt: Attempt,
    /// On which worker, if it had one.
    pub worker: Option<WorkerId>,
    /// When the store learned of it.
    pub at: Timestamp,
}

/// The last bytes that a container wrote, as text, and how many came before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputTail {
    /// At most [`OUTPUT_TAIL_BYTES`] bytes of text.
    pub text: String,
    /// How many bytes were dropped before it.
    pub dropped_bytes: u64,
}

/// What an attempt wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: OutputTail,
    /// Standard error.
    pub stderr: OutputTail,
}

/// One container, as a store keeps it. Its body and output are rows of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRow {
    /// Its name.
    pub id: ContainerId,
    /// What its content was when it was handed in.
    pub digest: Digest,
    /// What the planner reads.
    pub ask: Arc<Ask>,
    /// What happens when its worker is cut off.
    pub if_silent: IfSilent,
    /// Its place in line, kept for life.
    pub key: OrderKey,
    /// When it was handed in.
    pub submitted: Timestamp,
    /// Where it is in its life.
    pub state: State,
    /// The newest attempt; 0 before the first placement.
    pub attempt: Attempt,
    /// The history in which the newest attempt was placed.
    pub placed_in: Option<History>,
    /// How many attempts were lost or failed to start.
    pub failures: u32,
    /// When the newest attempt was placed.
    pub placed_at: Option<Timestamp>,
    /// When its worker took it.
    pub taken_at: Option<Timestamp>,
    /// When its worker said that it runs.
    pub running_at: Option<Timestamp>,
    /// How the last attempt was over, or how it all ended.
    pub last_end: Option<EndRecord>,
    /// The revision of its last change.
    pub changed: Revision,
}

/// A state by name alone, to count and to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// [`State::Pending`]
    Pending,
    /// [`State::Placed`]
    Placed,
    /// [`State::Starting`]
    Starting,
    /// [`State::Running`]
    Running,
    /// [`State::Stopping`]
    Stopping,
    /// [`State::Succeeded`]
    Succeeded,
    /// [`State::Failed`]
    Failed,
    /// [`State::Stopped`]
    Stopped,
}

impl Phase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Placed,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Succeeded,
        Self::Failed,
        Self::Stopped,
    ];

    /// The word that people and formats use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Placed => "placed",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }
}

impl State {
    /// The state by name alone.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Pending(_) => Phase::Pending,
            Self::Placed(_) => Phase::Placed,
            Self::Starting(_) => Phase::Starting,
            Self::Running(_) => Phase::Running,
            Self::Stopping(..) => Phase::Stopping,
            Self::Succeeded => Phase::Succeeded,
            Self::Failed => Phase::Failed,
            Self::Stopped => Phase::Stopped,
        }
    }

    /// The place that it owns room on, if it owns any.
    pub fn placement(&self) -> Option<&Placement> {
        match self {
            Self::Placed(place) | Self::Starting(place) | Self::Running(place) | Self::Stopping(place, _) => {
                Some(place)
            }
            _ => None,
        }
    }

    /// The lot that it is parked in, if it is.
    pub fn lot(&self) -> Option<&LotKey> {
        match self {
            Self::Pending(Waiting::Parked(lot)) => Some(lot),
            _ => None,
        }
    }
}

impl ContainerRow {
    /// The identity of its newest placement, if it was ever placed.
    pub fn placement_id(&self) -> Option<PlacementId> {
        let history = self.placed_in?;
        Some(PlacementId { container: self.id.clone(), attempt: self.attempt, history })
    }
}
