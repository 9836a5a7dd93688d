//! What operators say of workers: open, cordoned, draining, removed.

use std::time::Duration;

use crate::container::{ContainerRow, State};
use crate::id::{Boot, CallNumber, Incarnation, WorkerId};
use crate::model::placements::give_back_all;
use crate::model::{CALL_ITEMS_MAX, READY, Rows, Stepped, step::Step};
use crate::time::Timestamp;
use crate::worker::{Closed, Life, WorkerRow};

/// Whether a worker is to take new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChange {
    /// It is; this also ends a drain that has not come due.
    Open,
    /// It is not; what runs goes on.
    Cordoned,
    /// It is not; what runs may finish within this long.
    Draining {
        /// How long.
        within: Duration,
    },
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusOutcome {
    /// Done.
    Done,
    /// It was so before.
    Already,
    /// No worker has this name.
    NoSuchWorker,
}

/// How a worker is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveHow {
    /// Only if it owns nothing.
    IfEmpty,
    /// Because an operator, or its provider, says that this run of it is gone for good.
    Lost {
        /// The incarnation that the caller read.
        incarnation: Incarnation,
        /// What the caller saw stand still for keepalive and grace; not asked of a worker that is given up already.
        seen: Option<SeenSilent>,
    },
}

/// A worker's number that stood still, and the opening of the store in which it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenSilent {
    /// The number.
    pub number: CallNumber,
    /// The opening.
    pub boot: Boot,
}

/// What became of one removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemoveOutcome {
    /// Gone.
    Done,
    /// There was none.
    NoSuchWorker,
    /// It owns this many containers.
    Owns(u32),
    /// Another run of it has registered since.
    Registered,
    /// It is not given up, and was not seen silent for long enough, or has called since.
    Lives,
    /// So many went back so far; there are more. Say it again.
    More(u32),
}

/// Opens, cordons or drains workers.
pub fn set_status<R: Rows>(
    rows: &R,
    now: Timestamp,
    items: &[(WorkerId, StatusChange)],
) -> Stepped<Vec<StatusOutcome>, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let mut outcomes = Vec::with_capacity(items.len());
    for (id, change) in items.iter().take(CALL_ITEMS_MAX) {
        let Some(row) = step.worker(id)? else {
            outcomes.push(StatusOutcome::NoSuchWorker);
            continue;
        };
        let closed = closed_after(row.closed, *change);
        if closed == row.closed {
            outcomes.push(StatusOutcome::Already);
            continue;
        }
        step.put_worker(WorkerRow { closed, ..row })?;
        if matches!(closed, Closed::Draining { .. }) {
            give_back_placed(&mut step, id)?;
        }
        outcomes.push(StatusOutcome::Done);
    }
    step.finish(outcomes)
}

/// A drain that has come due stays due, however often it is asked for again.
fn closed_after(closed: Closed, change: StatusChange) -> Closed {
    match (closed, change) {
        (_, StatusChange::Open) => Closed::No,
        (_, StatusChange::Cordoned) => Closed::Cordoned,
        (Closed::Draining { due: true, .. }, StatusChange::Draining { .. }) => closed,
        (_, StatusChange::Draining { within }) => Closed::Draining { within, due: false },
    }
}

/// Puts back in line what a worker owns but was not yet told of.
pub(crate) fn give_back_placed<R: Rows>(step: &mut Step<R>, worker: &WorkerId) -> Result<(), R::Error> {
    for mark in step.owned(worker)? {
        if let Some(row) = step.legible(&mark.container)?
            && matches!(&row.state, State::Placed(place) if place.worker == *worker)
            && !step.is_taken(&row)
        {
            step.put_container(ContainerRow { state: READY, ..row })?;
        }
    }
    Ok(())
}

/// Removes workers; of those that are gone for good, at most `limit` containers each go back at once.
pub fn remove<R: Rows>(
    rows: &R,
    now: Timestamp,
    items: &[(WorkerId, RemoveHow)],
    limit: usize,
) -> Stepped<Vec<RemoveOutcome>, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let mut outcomes = Vec::with_capacity(items.len());
    for (id, how) in items.iter().take(CALL_ITEMS_MAX) {
        outcomes.push(remove_one(&mut step, id, *how, limit.clamp(1, CALL_ITEMS_MAX))?);
    }
    step.finish(outcomes)
}

/// Whether a worker is given up, never came, or has not called since it was seen.
fn is_silent<R: Rows>(step: &Step<R>, row: &WorkerRow, seen: Option<SeenSilent>) -> Result<bool, R::Error> {
    let is_seen = match seen {
        Some(seen) => seen.boot == step.rows().boot() && seen.number == step.rows().number(&row.id)?,
        None => false,
    };
    Ok(is_seen || row.life == Life::Lost || row.key.is_none())
}

fn remove_one<R: Rows>(
    step: &mut Step<R>,
    id: &WorkerId,
    how: RemoveHow,
    limit: usize,
) -> Result<RemoveOutcome, R::Error> {
    let Some(row) = step.worker(id)? else {
        return Ok(RemoveOutcome::NoSuchWorker);
    };
    match how {
        RemoveHow::IfEmpty if row.used.containers > 0 => return Ok(RemoveOutcome::Owns(row.used.containers)),
        RemoveHow::IfEmpty => {}
        RemoveHow::Lost { incarnation, .. } if incarnation != row.incarnation => return Ok(RemoveOutcome::Registered),
        RemoveHow::Lost { seen, .. } if !is_silent(step, &row, seen)? => return Ok(RemoveOutcome::Lives),
        RemoveHow::Lost { .. } => {
            step.put_worker(WorkerRow { life: Life::Lost, ..row })?;
            let moved = give_back_all(step, id, limit, true)?;
            if let Some(moved) = moved.more() {
                return Ok(RemoveOutcome::More(moved));
            }
        }
    }
    match step.worker(id)? {
        // What cannot be decoded cannot be given back.
        Some(row) if row.used.containers > 0 => return Ok(RemoveOutcome::Owns(row.used.containers)),
        Some(row) => step.remove_worker(&row)?,
        None => {}
    }
    Ok(RemoveOutcome::Done)
}
