//! Containers as documents show them: one, a list, what they wrote, and what became of a submit or a stop.

use domain::container::{ContainerRow, Output, OutputTail, State};
use domain::model::backlog::SubmitOutcome;
use domain::model::containers::StopOutcome;
use domain::request::Body;
use domain::resources::Booking;
use serde::{Deserialize, Serialize};

use super::calls::{OutputDocument, TailDocument};
use super::end::{EndDocument, exit_code};
use super::moment::Moment;
use super::reason::ReasonDocument;
use super::request::RequestDocument;

/// `GET /v1/containers/{id}`: one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerDocument {
    /// Its name.
    pub id: String,
    /// `pending`, `placed`, `starting`, `running`, `stopping`, `succeeded`, `failed` or `stopped`.
    pub state: String,
    /// The newest attempt; 0 before the first placement.
    pub attempt: u64,
    /// How many attempts were lost or failed to start.
    pub failures: u32,
    /// The worker that it is on, or was on when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The indices of its GPU devices on that worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu_devices: Vec<u32>,
    /// What it owns there, from `placed` to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owns: Option<BookingDocument>,
    /// When it was handed in.
    pub submitted: Moment,
    /// When the newest attempt was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Moment>,
    /// When its worker took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Moment>,
    /// When its worker said that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Moment>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
    /// Why it waits, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonDocument>,
    /// How its last attempt was over, or how it all ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<EndDocument>,
    /// What `run` exits with: its own code, 128 + signal, 124 after a timeout, 126 or 127 if it could not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// What was asked. Lists leave command, environment and folder out.
    pub request: RequestDocument,
}

/// What a container owns of its worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingDocument {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes, the policy's overhead included.
    pub memory_mib: u64,
    /// Milli of each of its devices.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub gpu_milli: u32,
}

impl From<&Booking> for BookingDocument {
    fn from(booking: &Booking) -> Self {
        Self { cpu_milli: booking.cpu_milli, memory_mib: booking.memory_mib, gpu_milli: booking.gpu_milli }
    }
}

impl ContainerDocument {
    /// The container of this row; `reason` says why it waits, if it does.
    pub fn of(row: &ContainerRow, body: Option<&Body>, reason: Option<ReasonDocument>) -> Self {
        let place = row.state.placement();
        let last_end = row.last_end.as_ref();
        let ended = last_end.filter(|_| row.state.phase().is_ended());
        let worker = place.map(|place| &place.worker).or_else(|| ended.and_then(|end| end.worker.as_ref()));
        Self {
            id: row.id.to_string(),
            state: row.state.phase().as_str().to_owned(),
            attempt: row.attempt.0,
            failures: row.failures,
            worker: worker.map(ToString::to_string),
            gpu_devices: place.map(|place| place.booking.gpu_devices.clone()).unwrap_or_default(),
            owns: place.map(|place| (&place.booking).into()),
            submitted: row.submitted.into(),
            placed: row.placed_at.map(Moment::from),
            taken: row.taken_at.map(Moment::from),
            running: row.running_at.map(Moment::from),
            ended: ended.map(|end| end.at.into()),
            reason: reason.filter(|_| matches!(row.state, State::Pending(_))),
            last_end: last_end.map(EndDocument::from),
            exit_code: exit_code(row),
            request: RequestDocument::of(&row.id, &row.ask, row.if_silent, body),
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_ended(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "stopped")
    }

    /// Whether a plan has decided on it: it is placed, parked with a reason, or beyond.
    pub fn is_decided(&self) -> bool {
        self.state != "pending" || self.reason.as_ref().is_some_and(|reason| reason.word != "ready")
    }
}

/// `GET /v1/containers`: a page of containers, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerList {
    /// The containers. A page may be short, or empty, and not be the last.
    pub containers: Vec<ContainerDocument>,
    /// `after` of the next page; none after the last.
    pub next: Option<String>,
}

/// `POST /v1/containers`: what became of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitDocument {
    /// The request.
    pub id: String,
    /// `accepted`; `already` if the same request was there; `conflict` if another request has this id; `invalid`.
    pub outcome: String,
    /// The state of what was there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The field that the store refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `POST /v1/containers` with a list: one outcome per request, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitAnswer {
    /// The outcomes.
    pub outcomes: Vec<SubmitDocument>,
}

impl SubmitDocument {
    /// What the store made of the request `id`.
    pub fn of(id: &str, outcome: &SubmitOutcome) -> Self {
        let plain = |outcome: &str| Self {
            id: id.to_owned(),
            outcome: outcome.to_owned(),
            state: None,
            field: None,
            detail: None,
        };
        match outcome {
            SubmitOutcome::Accepted => plain("accepted"),
            SubmitOutcome::Already(phase) => Self { state: Some(phase.as_str().to_owned()), ..plain("already") },
            SubmitOutcome::Conflict => {
                let detail = format!("another request has the id {id}; choose another id");
                Self { field: Some("id".to_owned()), detail: Some(detail), ..plain("conflict") }
            }
            SubmitOutcome::Invalid(bad) => {
                Self { field: Some(bad.field.to_owned()), detail: Some(bad.to_string()), ..plain("invalid") }
            }
        }
    }

    /// Whether the request is in.
    pub fn is_in(&self) -> bool {
        matches!(self.outcome.as_str(), "accepted" | "already")
    }
}

/// `POST /v1/containers/{id}/stop`: what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopDocument {
    /// The container.
    pub id: String,
    /// `stopped`; `stopping` if its worker was told; `ended` if it had ended before.
    pub outcome: String,
    /// The state that it is in.
    pub state: String,
}

impl StopDocument {
    /// What the store made of the stop; none if there is no such container.
    pub fn of(id: &str, outcome: StopOutcome) -> Option<Self> {
        let (outcome, state) = match outcome {
            StopOutcome::Stopped => ("stopped", "stopped"),
            StopOutcome::Stopping => ("stopping", "stopping"),
            StopOutcome::Ended(phase) => ("ended", phase.as_str()),
            StopOutcome::NoSuchContainer => return None,
        };
        Some(Self { id: id.to_owned(), outcome: outcome.to_owned(), state: state.to_owned() })
    }
}

/// `GET /v1/containers/{id}/logs`: the last that an attempt wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsDocument {
    /// The container.
    pub id: String,
    /// Its state.
    pub state: String,
    /// The attempt that wrote this; none before any attempt was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// What it wrote; comes with the end of an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputDocument>,
    /// What there is to know about output that is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl LogsDocument {
    /// What is kept of the container's output.
    pub fn of(row: &ContainerRow, output: Option<&Output>) -> Self {
        let phase = row.state.phase();
        let attempt = row.last_end.as_ref().map(|end| end.attempt);
        let note = match (output, phase.is_ended()) {
            (Some(_), true) => None,
            (None, true) => Some("nothing was kept of its output".to_owned()),
            (Some(_), false) => {
                Some("an earlier attempt wrote this; the newest one's output arrives with its end".into())
            }
            (None, false) => Some(format!("it is {}; its output arrives with its end", phase.as_str())),
        };
        Self {
            id: row.id.to_string(),
            state: phase.as_str().to_owned(),
            attempt: attempt.filter(|_| output.is_some()).map(|attempt| attempt.0),
            output: output.map(OutputDocument::from),
            note,
        }
    }
}

impl From<&Output> for OutputDocument {
    fn from(output: &Output) -> Self {
        Self { stdout: (&output.stdout).into(), stderr: (&output.stderr).into() }
    }
}

impl From<&OutputTail> for TailDocument {
    fn from(tail: &OutputTail) -> Self {
        Self { text: tail.text.clone(), dropped_bytes: tail.dropped_bytes }
    }
}
