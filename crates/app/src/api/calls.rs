//! What an agent and a server say to each other: register, heartbeat, take, report.
//!
//! Every call but the registration carries a [`Caller`]; every answer opens with a [`Verdict`].

pub(crate) mod convert;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::worker::WorkerDocument;

/// `POST /v1/workers`: all that a worker is, holds, and has not yet seen acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterCall {
    /// What it is. `status` and `free` are not read.
    pub worker: WorkerDocument,
    /// Made once in its data folder.
    pub key: String,
    /// Raised durably before every registration.
    pub incarnation: u64,
    /// False while it boots.
    pub ready: bool,
    /// What it runs, or was handed and may still start.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// What ended and is not yet acknowledged.
    #[serde(default)]
    pub ends: Vec<Report>,
    /// Whether another page of `holds` and `ends` of this registration follows.
    #[serde(default)]
    pub more: bool,
}

/// What a registration is answered (200). A refused one is answered 409 with a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterAnswer {
    /// To be carried by every later call.
    pub history: u64,
    /// How far this history is; see [`Caller::revision`].
    pub revision: u64,
    /// What it holds and may not: to be killed, and the worker to register again without them.
    pub kill: Vec<PlacementName>,
    /// How long after the sending of its last accepted call a container may live.
    pub keepalive_ms: u64,
    /// Set if nothing was registered: another worker had this name, and came as far as this incarnation. Register again
    /// above it, so that late calls of the other cannot be taken for this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raise_above: Option<u64>,
}

/// The identity of one placement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlacementName {
    /// The container.
    pub container: String,
    /// Which attempt.
    pub attempt: u64,
    /// The history in which it was placed.
    pub history: u64,
}

/// What a worker holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Which placement.
    pub placement: PlacementName,
    /// As its start order said.
    pub owns: Owns,
}

/// What a placement owns of its worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owns {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Thousandths of each device.
    #[serde(default)]
    pub gpu_milli: u32,
    /// The indices of its GPU devices among the agent's own.
    #[serde(default)]
    pub gpu_devices: Vec<u32>,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Which run of the worker.
    pub incarnation: u64,
    /// Raised by every call of this run.
    pub number: u64,
    /// As the registration was answered.
    pub history: u64,
    /// The greatest revision that this run was answered in that history: a store that has not come as far has lost
    /// writes.
    #[serde(default)]
    pub revision: u64,
}

/// How a call was taken. Only `ok` moves the worker's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Accepted.
    Ok,
    /// Register again, with all that is held.
    Register,
    /// A newer run of this worker has registered: this one has been replaced.
    Refused,
    /// The worker was removed: leave.
    Removed,
}

/// `POST /v1/workers/{id}/heartbeat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatCall {
    /// Who calls.
    pub caller: Caller,
}

/// What a heartbeat is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// How it was taken.
    pub verdict: Verdict,
}

/// `POST /v1/workers/{id}/take`: asks for orders, and waits for the first up to `wait_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeCall {
    /// Who calls.
    pub caller: Caller,
    /// The `upto` of the answer before; none asks for all that is held and every stop order.
    pub after: Option<OrderMark>,
    /// How many orders at most.
    pub limit: u32,
    /// How long to wait for the first.
    pub wait_ms: u64,
}

/// Where a worker is in its orders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderMark {
    /// The revision that gave the order.
    pub revision: u64,
    /// The container that it is about.
    pub container: String,
}

/// What a take is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeAnswer {
    /// How it was taken.
    pub verdict: Verdict,
    /// What to do, oldest order first.
    pub orders: Vec<Order>,
    /// The mark of the last order handed out; `after` of the next take.
    pub upto: Option<OrderMark>,
    /// How far the cell is.
    pub revision: u64,
}

/// What a worker is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Run this.
    Start(Box<StartOrder>),
    /// End this; if it was never started, report it `stop_order` (or `drain_order`) all the same.
    Stop {
        /// Which placement.
        placement: PlacementName,
        /// Why.
        cause: StopCause,
    },
}

/// One container to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOrder {
    /// Which placement.
    pub placement: PlacementName,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its own environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Its working folder; an empty folder of its own if absent.
    pub cwd: Option<String>,
    /// How long it may run, from the start of its process.
    pub timeout_ms: Option<u64>,
    /// From TERM to KILL; the agent's default if absent.
    pub kill_after_ms: Option<u64>,
    /// What happens to it when the agent reaches no server for the keepalive.
    pub if_silent: IfSilent,
    /// What it owns.
    pub owns: Owns,
    /// What runs it; the agent's first runtime if absent.
    pub runtime: Option<String>,
}

/// What happens to a container whose agent is cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfSilent {
    /// It is ended; it runs elsewhere later.
    #[default]
    Stop,
    /// It runs on.
    Keep,
}

/// Why a container is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// Somebody asked for it.
    Stop,
    /// Its worker is being drained.
    Drain,
}

/// `POST /v1/workers/{id}/report`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportCall {
    /// Who calls.
    pub caller: Caller,
    /// What happened, oldest first.
    pub reports: Vec<Report>,
}

/// What happened to one placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Which placement.
    pub placement: PlacementName,
    /// What.
    pub event: Event,
    /// What it wrote; comes with an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputDocument>,
}

/// What can happen to a placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// Its process runs.
    Running,
    /// The command returned this code by itself.
    Exited {
        /// The code.
        code: i32,
    },
    /// A signal that was not the agent's ended the command.
    Signaled {
        /// The signal.
        signal: i32,
    },
    /// Ended by the agent because of a stop order; also the answer to a stop order for what never started.
    StopOrder,
    /// The same for a drain.
    DrainOrder,
    /// Ended by the agent: it ran longer than its timeout.
    Timeout {
        /// The timeout.
        after_ms: u64,
    },
    /// Ended by the agent (or by its shim): no server was reached for this long.
    Deadline {
        /// How long.
        silent_ms: u64,
    },
    /// Could not be started anywhere: 127 not found, 126 not executable; also a missing folder.
    Unstartable {
        /// 126 or 127.
        code: i32,
        /// In words, naming the program or the folder.
        detail: String,
    },
    /// Could not be started here, though another worker might.
    StartFailed {
        /// In words.
        detail: String,
    },
    /// The order was dropped before anything was started.
    NotStarted,
    /// The process is gone and nobody saw how it ended.
    Gone,
}

impl Event {
    /// Whether the placement is over with it.
    pub fn is_end(&self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// What a container wrote: the last bytes of each stream, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDocument {
    /// Standard output.
    pub stdout: TailDocument,
    /// Standard error.
    pub stderr: TailDocument,
}

/// The end of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailDocument {
    /// At most 16 KiB of text; bytes that are no text are replaced.
    pub text: String,
    /// How many bytes came before it.
    pub dropped_bytes: u64,
}

/// What a report is answered: one outcome per report, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// How the call was taken.
    pub verdict: Verdict,
    /// One per report, if the call was accepted.
    pub outcomes: Vec<ReportOutcome>,
    /// How far the cell is.
    pub revision: u64,
}

/// What became of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOutcome {
    /// Written down, now or before.
    Accepted,
    /// An end that nobody waits for any more: forget it.
    Dropped,
    /// A placement that this worker may not run: kill it, report nothing.
    Kill,
}
