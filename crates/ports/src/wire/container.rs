//! Forms of a container, and of what it wrote.

use std::sync::Arc;
use std::time::Duration;

use domain::container::{ContainerRow, End, EndRecord, Exit, Output, OutputTail, Placement, State, StopCause, Waiting};
use domain::id::{Attempt, ContainerId, History, Incarnation, Revision, WorkerId};
use domain::request::{Ask, Digest, IfSilent, OrderKey};
use domain::resources::Booking;
use domain::time::Timestamp;
use domain::wait::LotKey;
use serde::{Deserialize, Serialize};

use super::field::{self, forms};

#[derive(Serialize, Deserialize)]
#[serde(remote = "ContainerRow", deny_unknown_fields)]
struct ContainerForm {
    #[serde(with = "field")]
    id: ContainerId,
    #[serde(with = "field")]
    digest: Digest,
    #[serde(with = "field")]
    ask: Arc<Ask>,
    #[serde(rename = "silent", with = "field")]
    if_silent: IfSilent,
    #[serde(with = "field")]
    key: OrderKey,
    #[serde(rename = "at", with = "field")]
    submitted: Timestamp,
    #[serde(with = "field")]
    state: State,
    #[serde(rename = "try", with = "field")]
    attempt: Attempt,
    #[serde(rename = "hist", with = "field", default, skip_serializing_if = "Option::is_none")]
    placed_in: Option<History>,
    #[serde(rename = "fails")]
    failures: u32,
    #[serde(rename = "placed", with = "field", default, skip_serializing_if = "Option::is_none")]
    placed_at: Option<Timestamp>,
    #[serde(rename = "taken", with = "field", default, skip_serializing_if = "Option::is_none")]
    taken_at: Option<Timestamp>,
    #[serde(rename = "ran", with = "field", default, skip_serializing_if = "Option::is_none")]
    running_at: Option<Timestamp>,
    #[serde(rename = "end", with = "field", default, skip_serializing_if = "Option::is_none")]
    last_end: Option<EndRecord>,
    #[serde(rename = "rev", with = "field")]
    changed: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "State")]
enum StateForm {
    #[serde(rename = "pending", with = "field")]
    Pending(Waiting),
    #[serde(rename = "placed", with = "field")]
    Placed(Placement),
    #[serde(rename = "starting", with = "field")]
    Starting(Placement),
    #[serde(rename = "running", with = "field")]
    Running(Placement),
    #[serde(rename = "stopping")]
    Stopping(#[serde(with = "field")] Placement, #[serde(with = "field")] StopCause),
    #[serde(rename = "succeeded")]
    Succeeded,
    #[serde(rename = "failed")]
    Failed,
    #[serde(rename = "stopped")]
    Stopped,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Waiting")]
enum WaitingForm {
    #[serde(rename = "ready")]
    Ready,
    #[serde(rename = "parked", with = "field")]
    Parked(LotKey),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Placement", deny_unknown_fields)]
struct PlacementForm {
    #[serde(rename = "w", with = "field")]
    worker: WorkerId,
    #[serde(rename = "inc", with = "field")]
    incarnation: Incarnation,
    #[serde(rename = "owns", with = "field")]
    booking: Booking,
    #[serde(with = "field")]
    order: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Booking", deny_unknown_fields)]
struct BookingForm {
    #[serde(rename = "cpu", with = "field")]
    cpu_milli: u64,
    #[serde(rename = "mem", with = "field")]
    memory_mib: u64,
    #[serde(rename = "gpus", default, skip_serializing_if = "Vec::is_empty")]
    gpu_devices: Vec<u32>,
    #[serde(rename = "gpu")]
    gpu_milli: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StopCause")]
enum StopCauseForm {
    #[serde(rename = "drain")]
    Drain,
    #[serde(rename = "stop")]
    Stop,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "EndRecord", deny_unknown_fields)]
struct EndRecordForm {
    #[serde(with = "field")]
    end: End,
    #[serde(rename = "try", with = "field")]
    attempt: Attempt,
    #[serde(rename = "w", with = "field", default, skip_serializing_if = "Option::is_none")]
    worker: Option<WorkerId>,
    #[serde(with = "field")]
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "End", deny_unknown_fields)]
enum EndForm {
    #[serde(rename = "exited", with = "field")]
    Exited(Exit),
    #[serde(rename = "stop_order")]
    StopOrder,
    #[serde(rename = "drain_order")]
    DrainOrder,
    #[serde(rename = "timeout", with = "field")]
    Timeout(Duration),
    #[serde(rename = "deadline", with = "field")]
    Deadline(Duration),
    #[serde(rename = "unstartable")]
    Unstartable { code: i32, detail: String },
    #[serde(rename = "start_failed")]
    StartFailed(String),
    #[serde(rename = "not_started")]
    NotStarted,
    #[serde(rename = "gone")]
    Gone,
    #[serde(rename = "worker_lost")]
    WorkerLost,
    #[serde(rename = "worker_forgot")]
    WorkerForgot,
    #[serde(rename = "never_started")]
    NeverStarted,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Exit")]
enum ExitForm {
    #[serde(rename = "code")]
    Code(i32),
    #[serde(rename = "signal")]
    Signal(i32),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Output", deny_unknown_fields)]
struct OutputForm {
    #[serde(rename = "out", with = "field")]
    stdout: OutputTail,
    #[serde(rename = "err", with = "field")]
    stderr: OutputTail,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OutputTail", deny_unknown_fields)]
struct OutputTailForm {
    text: String,
    #[serde(rename = "cut", with = "field")]
    dropped_bytes: u64,
}

forms! {
    ContainerForm for ContainerRow
    StateForm for State
    WaitingForm for Waiting
    PlacementForm for Placement
    BookingForm for Booking
    StopCauseForm for StopCause
    EndRecordForm for EndRecord
    EndForm for End
    ExitForm for Exit
    OutputForm for Output
    OutputTailForm for OutputTail
}
