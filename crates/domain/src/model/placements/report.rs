//! What workers say of what they run.

use super::commit::back_in_line;
use super::take::admit_numbered;
use crate::container::{ContainerRow, End, EndRecord, Exit, FAILURES_MAX, State, StopCause};
use crate::id::{Mark, WorkerId};
use crate::model::step::{Step, mark_after};
use crate::model::{CALL_ITEMS_MAX, Change, Event, Report, Rows, Stepped};
use crate::time::Timestamp;
use crate::wait::LotKey;
use crate::worker::{CallAnswer, Caller};

/// What a worker is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAnswer {
    /// How the call was taken.
    pub call: CallAnswer,
    /// One per report, in order, if the call was accepted.
    pub outcomes: Vec<ReportOutcome>,
    /// How far the cell is with it, if the call was accepted.
    pub mark: Mark,
}

/// What became of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportOutcome {
    /// Written down, now or before.
    Accepted,
    /// An end that nobody waits for: the worker forgets it.
    Dropped,
    /// A container that this worker may not run: it kills it.
    Kill,
}

/// Writes down what a worker reports. Reports may skip states forward; a repeat changes nothing.
pub fn report<R: Rows>(
    rows: &R,
    now: Timestamp,
    caller: &Caller,
    reports: &[Report],
) -> Stepped<ReportAnswer, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let mark = step.mark_before();
    if let Err(call) = admit_numbered(&mut step, caller)? {
        return step.finish(ReportAnswer { call, outcomes: Vec::new(), mark });
    }
    let mut outcomes = Vec::with_capacity(reports.len());
    for report in reports.iter().take(CALL_ITEMS_MAX) {
        outcomes.push(match &report.event {
            Event::Running => accept_running(&mut step, &caller.worker, report)?,
            Event::Ended(end) => accept_end(&mut step, &caller.worker, report, end)?,
        });
    }
    let (answer, changes) = step.finish(ReportAnswer { call: CallAnswer::Ok, outcomes, mark })?;
    Ok((ReportAnswer { mark: mark_after(mark, &changes), ..answer }, changes))
}

fn accept_running<R: Rows>(step: &mut Step<R>, worker: &WorkerId, report: &Report) -> Result<ReportOutcome, R::Error> {
    let Some(row) = newest(step, report)? else {
        return Ok(ReportOutcome::Kill);
    };
    match &row.state {
        State::Placed(place) | State::Starting(place) if place.worker == *worker => {
            let now = Some(step.now());
            let state = State::Running(place.clone());
            step.put_container(ContainerRow { state, taken_at: row.taken_at.or(now), running_at: now, ..row })?;
            Ok(ReportOutcome::Accepted)
        }
        State::Running(place) | State::Stopping(place, _) if place.worker == *worker => Ok(ReportOutcome::Accepted),
        _ => Ok(ReportOutcome::Kill),
    }
}

/// Writes down an end of the newest attempt, from its owner, or from the last one while the container waits again.
/// After lost writes, an attempt that is not known here is the newest.
pub(crate) fn accept_end<R: Rows>(
    step: &mut Step<R>,
    worker: &WorkerId,
    report: &Report,
    end: &End,
) -> Result<ReportOutcome, R::Error> {
    if let Some(row) = step.lost_attempt(&report.placement)? {
        let row = ContainerRow { attempt: report.placement.attempt, placed_in: Some(report.placement.history), ..row };
        return write_end(step, conclude(step, row, end.clone(), Some(worker)), report);
    }
    let Some(row) = newest(step, report)? else {
        return Ok(ReportOutcome::Dropped);
    };
    let was_last_owner =
        row.last_end.as_ref().is_some_and(|last| last.attempt == row.attempt && last.worker.as_ref() == Some(worker));
    let is_told = row.last_end.as_ref().is_some_and(|last| last.end == *end);
    let next = match row.state.placement() {
        Some(place) if place.worker == *worker => conclude(step, row, end.clone(), Some(worker)),
        None if was_last_owner && !is_told && matches!(row.state, State::Pending(_)) => {
            correct(step, row, end.clone(), worker)
        }
        None if was_last_owner => return Ok(ReportOutcome::Accepted),
        _ => return Ok(ReportOutcome::Dropped),
    };
    write_end(step, next, report)
}

fn write_end<R: Rows>(step: &mut Step<R>, next: ContainerRow, report: &Report) -> Result<ReportOutcome, R::Error> {
    step.put_container(next)?;
    if let Some(output) = &report.output {
        step.write(Change::Output(report.placement.container.clone(), Some(output.clone())));
    }
    Ok(ReportOutcome::Accepted)
}

/// The container, if the report is about its newest placement.
fn newest<R: Rows>(step: &Step<R>, report: &Report) -> Result<Option<ContainerRow>, R::Error> {
    let row = step.legible(&report.placement.container)?;
    Ok(row.filter(|row| row.placement_id().as_ref() == Some(&report.placement)))
}

/// A container that was given back already, and whose last owner says at last how its attempt was over.
fn correct<R: Rows>(step: &Step<R>, row: ContainerRow, end: End, worker: &WorkerId) -> ContainerRow {
    // It was counted when it was given back; what turns out to be no failure was none.
    let counted = row.last_end.as_ref().is_some_and(|last| is_failure(&last.end));
    let failures = row.failures - u32::from(counted && !is_failure(&end)).min(row.failures);
    let state = own_end(&end).unwrap_or(row.state);
    let record = EndRecord { end, attempt: row.attempt, worker: Some(worker.clone()), at: step.now() };
    ContainerRow { state, failures, last_end: Some(record), ..row }
}

/// What a container is for ever once its command has ended by itself, or can start nowhere.
fn own_end(end: &End) -> Option<State> {
    match end {
        End::Exited(Exit::Code(0)) => Some(State::Succeeded),
        End::Exited(_) | End::Timeout(_) | End::Unstartable { .. } => Some(State::Failed),
        // Told to stop: by somebody, even if a store that lost writes knows nothing of it.
        End::StopOrder => Some(State::Stopped),
        _ => None,
    }
}

/// Whether an end counts towards giving the container up.
fn is_failure(end: &End) -> bool {
    matches!(end, End::StartFailed(_) | End::Gone | End::WorkerLost)
}

/// What a container becomes when its newest attempt is over.
pub(crate) fn conclude<R: Rows>(
    step: &Step<R>,
    row: ContainerRow,
    end: End,
    worker: Option<&WorkerId>,
) -> ContainerRow {
    let stopped = matches!(row.state, State::Stopping(_, StopCause::Stop)) || row.state.lot() == Some(&LotKey::Stop);
    let record = EndRecord { end, attempt: row.attempt, worker: worker.cloned(), at: step.now() };
    let own_end = own_end(&record.end);
    let is_known_to_run = matches!(row.state, State::Running(_)) && row.placed_in == Some(step.cell.history);
    let failed = is_failure(&record.end) || record.end == End::WorkerForgot && is_known_to_run;
    let failures = row.failures + u32::from(failed && !stopped);
    let row = ContainerRow { last_end: Some(record), failures, ..row };
    match own_end {
        Some(state) => ContainerRow { state, ..row },
        None if stopped => ContainerRow { state: State::Stopped, ..row },
        None if failures >= FAILURES_MAX => ContainerRow { state: State::Failed, ..row },
        None => back_in_line(row),
    }
}
