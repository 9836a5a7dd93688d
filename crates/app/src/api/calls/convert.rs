//! What agents say, as the domain knows it, and back.

use domain::container::{End, Exit, OUTPUT_TAIL_BYTES, Output, OutputTail, PlacementId};
use domain::id::{
    Attempt, CallNumber, ContainerId, History, INTEGER_MAX, Incarnation, Mark, Revision, WorkerId, WorkerKey,
};
use domain::model::workers::{Held, Registration};
use domain::model::{self, placements};
use domain::resources::{Booking, GPU_DEVICES_MAX};
use domain::worker::{self, CallAnswer};
use std::sync::Arc;
use std::time::Duration;

use super::{
    Caller, Event, Hold, Order, OrderMark, OutputDocument, Owns, PlacementName, RegisterCall, Report, ReportOutcome,
    StartOrder, StopCause, TailDocument, Verdict,
};
use crate::api::field::{BadField, name};
use crate::api::period::millis;

/// The longest that an agent's own words may be.
const DETAIL_BYTES_MAX: usize = 1024;

impl RegisterCall {
    /// The registration as a store takes it.
    pub fn to_registration(&self) -> Result<Registration, BadField> {
        let inside = |bad: BadField| bad.inside("worker");
        Ok(Registration {
            worker: self.worker.to_id().map_err(inside)?,
            incarnation: Incarnation(integer("incarnation", self.incarnation)?),
            key: name("key", &self.key, WorkerKey::new)?,
            spec: Arc::new(self.worker.to_spec().map_err(inside)?),
            ready: self.ready,
            holds: each("holds", &self.holds, Hold::to_held)?,
            ends: each("ends", &self.ends, Report::to_report)?,
            more: self.more,
        })
    }
}

impl Caller {
    /// The caller, of the worker that the path names.
    pub fn to_caller(self, worker: WorkerId) -> Result<worker::Caller, BadField> {
        Ok(worker::Caller {
            worker,
            incarnation: Incarnation(integer("caller.incarnation", self.incarnation)?),
            number: CallNumber(integer("caller.number", self.number)?),
            mark: Mark {
                history: History::from_random(integer("caller.history", self.history)?),
                revision: Revision(integer("caller.revision", self.revision)?),
            },
        })
    }
}

impl Hold {
    /// What it says, as a store takes it.
    pub fn to_held(&self) -> Result<Held, BadField> {
        Ok(Held {
            placement: self.placement.to_placement().map_err(|bad| bad.inside("placement"))?,
            booking: self.owns.to_booking().map_err(|bad| bad.inside("owns"))?,
        })
    }
}

impl Owns {
    fn to_booking(&self) -> Result<Booking, BadField> {
        if self.gpu_devices.len() > GPU_DEVICES_MAX as usize || !self.gpu_devices.is_sorted_by(|a, b| a < b) {
            let problem = format!("must be at most {GPU_DEVICES_MAX} indices, each above the one before");
            return Err(BadField::new("gpu_devices", problem));
        }
        Ok(Booking {
            cpu_milli: integer("cpu_milli", self.cpu_milli)?,
            memory_mib: integer("memory_mib", self.memory_mib)?,
            gpu_milli: self.gpu_milli,
            gpu_devices: self.gpu_devices.clone(),
        })
    }
}

impl From<&Booking> for Owns {
    fn from(booking: &Booking) -> Self {
        Self {
            cpu_milli: booking.cpu_milli,
            memory_mib: booking.memory_mib,
            gpu_milli: booking.gpu_milli,
            gpu_devices: booking.gpu_devices.clone(),
        }
    }
}

impl PlacementName {
    /// The placement that it names.
    pub fn to_placement(&self) -> Result<PlacementId, BadField> {
        Ok(PlacementId {
            container: name("container", &self.container, ContainerId::new)?,
            attempt: Attempt(integer("attempt", self.attempt)?),
            history: History::from_random(integer("history", self.history)?),
        })
    }
}

impl From<&PlacementId> for PlacementName {
    fn from(placement: &PlacementId) -> Self {
        Self {
            container: placement.container.to_string(),
            attempt: placement.attempt.0,
            history: placement.history.get(),
        }
    }
}

impl OrderMark {
    /// The mark as a store knows it.
    pub fn to_mark(&self) -> Result<model::OrderMark, BadField> {
        Ok(model::OrderMark {
            revision: Revision(integer("revision", self.revision)?),
            container: name("container", &self.container, ContainerId::new)?,
        })
    }
}

impl From<&model::OrderMark> for OrderMark {
    fn from(mark: &model::OrderMark) -> Self {
        Self { revision: mark.revision.0, container: mark.container.to_string() }
    }
}

impl Report {
    /// The report as a store takes it.
    pub fn to_report(&self) -> Result<model::Report, BadField> {
        Ok(model::Report {
            placement: self.placement.to_placement().map_err(|bad| bad.inside("placement"))?,
            event: self.event.to_event(),
            output: self.output.as_ref().map(OutputDocument::to_output),
        })
    }
}

/// Reads every member of a list; an error names its place.
pub(crate) fn each<T, U>(path: &str, list: &[T], read: impl Fn(&T) -> Result<U, BadField>) -> Result<Vec<U>, BadField> {
    let one = |(index, item): (usize, &T)| read(item).map_err(|bad| bad.at(index).inside(path));
    list.iter().enumerate().map(one).collect()
}

impl Event {
    fn to_event(&self) -> model::Event {
        let end = match self {
            Self::Running => return model::Event::Running,
            Self::Exited { code } => End::Exited(Exit::Code(*code)),
            Self::Signaled { signal } => End::Exited(Exit::Signal(*signal)),
            Self::StopOrder => End::StopOrder,
            Self::DrainOrder => End::DrainOrder,
            Self::Timeout { after_ms } => End::Timeout(Duration::from_millis(*after_ms)),
            Self::Deadline { silent_ms } => End::Deadline(Duration::from_millis(*silent_ms)),
            Self::Unstartable { code, detail } => End::Unstartable { code: *code, detail: shortened(detail) },
            Self::StartFailed { detail } => End::StartFailed(shortened(detail)),
            Self::NotStarted => End::NotStarted,
            Self::Gone => End::Gone,
        };
        model::Event::Ended(end)
    }
}

fn shortened(detail: &str) -> String {
    detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)].to_owned()
}

impl OutputDocument {
    fn to_output(&self) -> Output {
        Output { stdout: self.stdout.to_tail(), stderr: self.stderr.to_tail() }
    }
}

impl TailDocument {
    /// The tail, cut again if an agent sent more than is kept.
    fn to_tail(&self) -> OutputTail {
        let excess = self.text.len().saturating_sub(OUTPUT_TAIL_BYTES);
        let cut = self.text.ceil_char_boundary(excess);
        let dropped_bytes = self.dropped_bytes.min(INTEGER_MAX).saturating_add(cut as u64);
        OutputTail { text: self.text[cut..].to_owned(), dropped_bytes }
    }
}

impl From<&model::Order> for Order {
    fn from(order: &model::Order) -> Self {
        match order {
            model::Order::Start(start) => Self::Start(Box::new(start.as_ref().into())),
            model::Order::Stop { placement, cause } => Self::Stop {
                placement: placement.into(),
                cause: match cause {
                    domain::container::StopCause::Stop => StopCause::Stop,
                    domain::container::StopCause::Drain => StopCause::Drain,
                },
            },
        }
    }
}

impl From<&model::StartOrder> for StartOrder {
    fn from(order: &model::StartOrder) -> Self {
        Self {
            placement: (&order.placement).into(),
            command: order.body.command.clone(),
            env: order.body.env.clone(),
            cwd: order.body.cwd.clone(),
            timeout_ms: order.body.timeout.map(millis),
            kill_after_ms: order.body.kill_after.map(millis),
            if_silent: order.if_silent.into(),
            owns: (&order.booking).into(),
            runtime: order.runtime.as_ref().map(ToString::to_string),
        }
    }
}

impl From<CallAnswer> for Verdict {
    fn from(answer: CallAnswer) -> Self {
        match answer {
            CallAnswer::Ok => Self::Ok,
            CallAnswer::Register => Self::Register,
            CallAnswer::Refused => Self::Refused,
            CallAnswer::Removed => Self::Removed,
        }
    }
}

impl From<placements::ReportOutcome> for ReportOutcome {
    fn from(outcome: placements::ReportOutcome) -> Self {
        match outcome {
            placements::ReportOutcome::Accepted => Self::Accepted,
            placements::ReportOutcome::Dropped => Self::Dropped,
            placements::ReportOutcome::Kill => Self::Kill,
        }
    }
}

pub(crate) fn integer(path: &str, value: u64) -> Result<u64, BadField> {
    if value > INTEGER_MAX {
        return Err(BadField::of(path, &value.to_string(), "is beyond 53 bits"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_that_is_too_long_is_cut_at_a_character() {
        let text = format!("é{}", "é".repeat(OUTPUT_TAIL_BYTES / 2));
        let tail = TailDocument { text: format!("x{text}"), dropped_bytes: 5 }.to_tail();
        assert_eq!((tail.text.len(), tail.dropped_bytes), (OUTPUT_TAIL_BYTES, 8));
        let tail = TailDocument { text: format!("{text}x"), dropped_bytes: 0 }.to_tail();
        assert_eq!((tail.text.len(), tail.dropped_bytes), (OUTPUT_TAIL_BYTES - 1, 4));
    }
}
