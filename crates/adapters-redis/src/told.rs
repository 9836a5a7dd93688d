//! What workers tell, as scripts read it.

use domain::container::{End, Exit};
use domain::id::Mark;
use domain::model::{Event, Report};
use domain::resources::Booking;
use domain::worker::{CallAnswer, Caller, WorkerSpec};
use ports::wire::Row;
use ports::{PortError, PortResult};
use serde::{Deserialize, Serialize};

use crate::records;

/// Who calls.
#[derive(Serialize)]
pub(crate) struct CallerTold<'a> {
    worker: &'a str,
    incarnation: u64,
    number: u64,
    history: u64,
    revision: u64,
}

impl<'a> CallerTold<'a> {
    pub(crate) fn of(caller: &'a Caller) -> Self {
        let Mark { history, revision } = caller.mark;
        Self {
            worker: caller.worker.as_str(),
            incarnation: caller.incarnation.0,
            number: caller.number.0,
            history: history.get(),
            revision: revision.0,
        }
    }
}

/// What a caller is answered.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CallAnswered {
    Ok,
    Register,
    Refused,
    Removed,
}

impl From<CallAnswered> for CallAnswer {
    fn from(answered: CallAnswered) -> Self {
        match answered {
            CallAnswered::Ok => Self::Ok,
            CallAnswered::Register => Self::Register,
            CallAnswered::Refused => Self::Refused,
            CallAnswered::Removed => Self::Removed,
        }
    }
}

/// What a worker says of one placement.
#[derive(Serialize)]
pub(crate) struct ReportTold<'a> {
    id: &'a str,
    attempt: u64,
    history: u64,
    /// Absent: it runs.
    over: Option<OverTold>,
    output: Option<String>,
}

/// How an attempt was over, and what a step must know of that: what the container is for ever, if the command ended by
/// itself or can start nowhere; and whether it counts as a failure.
#[derive(Serialize)]
struct OverTold {
    what: String,
    forever: &'static str,
    is_failure: bool,
}

impl<'a> ReportTold<'a> {
    pub(crate) fn of(report: &'a Report) -> PortResult<Self> {
        let over = match &report.event {
            Event::Running => None,
            Event::Ended(end) => Some(OverTold {
                what: records::text(end)?,
                forever: forever(end),
                is_failure: matches!(end, End::StartFailed(_) | End::Gone | End::WorkerLost),
            }),
        };
        let output = report.output.as_ref().map(records::text).transpose()?;
        Ok(Self {
            id: report.placement.container.as_str(),
            attempt: report.placement.attempt.0,
            history: report.placement.history.get(),
            output: output.filter(|_| over.is_some()),
            over,
        })
    }
}

fn forever(end: &End) -> &'static str {
    match end {
        End::Exited(Exit::Code(0)) => "succeeded",
        End::Exited(_) | End::Timeout(_) | End::Unstartable { .. } => "failed",
        End::StopOrder => "stopped",
        _ => "",
    }
}

/// What a placement owns.
#[derive(Serialize)]
pub(crate) struct BookingTold<'a> {
    pub(crate) cpu: u64,
    pub(crate) memory: u64,
    pub(crate) milli: u32,
    pub(crate) devices: &'a [u32],
}

impl<'a> BookingTold<'a> {
    pub(crate) fn of(booking: &'a Booking) -> Self {
        Self {
            cpu: booking.cpu_milli,
            memory: booking.memory_mib,
            milli: booking.gpu_milli,
            devices: &booking.gpu_devices,
        }
    }
}

/// What a worker is: its size, and all that it says of itself.
#[derive(Serialize)]
pub(crate) struct SpecTold {
    pub(crate) cpu: u64,
    pub(crate) memory: u64,
    pub(crate) gpus: u32,
    pub(crate) spec: String,
}

impl SpecTold {
    pub(crate) fn of(spec: &WorkerSpec) -> PortResult<Self> {
        let spec_text = String::from_utf8(spec.encode()?).map_err(|bad| PortError::corrupt("an encoding", bad))?;
        let total = &spec.total;
        Ok(Self { cpu: total.cpu_milli, memory: total.memory_mib, gpus: total.gpu_count, spec: spec_text })
    }
}
