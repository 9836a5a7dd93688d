//! The workers' steps: they register with all they hold, prove life, are closed, removed, and looked at.

mod look;
mod register;
mod status;

use std::collections::BTreeMap;

use super::{Change, Rows, Stepped, legible, step::Step};
use crate::id::{Boot, CallNumber, History, Incarnation, WorkerId};
use crate::time::Timestamp;
use crate::worker::{CallAnswer, Caller, Life, WorkerRow};

pub use look::{Look, LookPage, look};
pub use register::{Held, RegisterOutcome, Registration, register};
pub(crate) use status::give_back_placed;
pub use status::{RemoveHow, RemoveOutcome, SeenSilent, StatusChange, StatusOutcome, remove, set_status};

/// The last numbers of all workers that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beats {
    /// The opening of the store that counted them: numbers of another boot say nothing.
    pub boot: Boot,
    /// The history that they belong to.
    pub history: History,
    /// Each worker's incarnation and its greatest number.
    pub numbers: Vec<(WorkerId, Incarnation, CallNumber)>,
}

/// Answers each worker's number, so that the planner can tell who is silent on its own clock.
pub fn beats<R: Rows>(rows: &R) -> Result<Beats, R::Error> {
    const PAGE: usize = 1_000;
    let mut beats = Beats { boot: rows.boot(), history: rows.cell()?.history, numbers: Vec::new() };
    let mut after = None;
    loop {
        let page = rows.workers(after.as_ref(), PAGE)?;
        for id in &page {
            if let Some(row) = legible(rows, rows.worker(id))?
                && row.life == Life::Up
            {
                beats.numbers.push((id.clone(), row.incarnation, rows.number(id)?));
            }
        }
        if page.len() < PAGE {
            return Ok(beats);
        }
        after = page.last().cloned();
    }
}

/// Keeps the greatest number of each caller that is admitted.
pub fn heartbeat<R: Rows>(rows: &R, callers: &[Caller]) -> Stepped<Vec<CallAnswer>, R::Error> {
    let mut step = Step::begin(rows, Timestamp(0))?;
    let mut answers = Vec::with_capacity(callers.len());
    // One call may carry the same worker twice, in any order.
    let mut greatest: BTreeMap<&WorkerId, CallNumber> = BTreeMap::new();
    for caller in callers {
        step.notice(caller.mark)?;
        let answer = match step.worker(&caller.worker) {
            Ok(row) => admit(row.as_ref(), caller, step.cell.history),
            Err(error) if rows.is_corrupt(&error) => CallAnswer::Register,
            Err(error) => return Err(error),
        };
        if answer == CallAnswer::Ok {
            let number = greatest.entry(&caller.worker).or_default();
            *number = caller.number.max(*number);
        }
        answers.push(answer);
    }
    for (worker, number) in greatest {
        if number > rows.number(worker)? {
            step.write(Change::Number(worker.clone(), Some(number)));
        }
    }
    step.finish(answers)
}

/// Whether a call is accepted. Only an accepted call moves a deadline.
pub(crate) fn admit(row: Option<&WorkerRow>, caller: &Caller, history: History) -> CallAnswer {
    match row {
        Some(row) if caller.incarnation < row.incarnation => CallAnswer::Refused,
        _ if caller.mark.history != history => CallAnswer::Register,
        None => CallAnswer::Removed,
        Some(row) if row.registered_in != Some(history) => CallAnswer::Register,
        Some(row) if caller.incarnation > row.incarnation || row.life == Life::Lost => CallAnswer::Register,
        Some(_) => CallAnswer::Ok,
    }
}
