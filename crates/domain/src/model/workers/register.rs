//! Registration: who a worker is, what it holds, what ended, and what it may not run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::container::{ContainerRow, End, Placement, PlacementId, State};
use crate::id::{CallNumber, History, Incarnation, WorkerId, WorkerKey};
use crate::model::placements::{accept_end, conclude};
use crate::model::workers::give_back_placed;
use crate::model::{CALL_ITEMS_MAX, Change, Event, READY, Report, Rows, Stepped, step::Step};
use crate::time::Timestamp;
use crate::worker::{Closed, Life, WorkerRow, WorkerSpec};

/// All that a worker says of itself. A long one comes in pages, of which only the last concludes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name.
    pub worker: WorkerId,
    /// Raised before every registration.
    pub incarnation: Incarnation,
    /// Proves that it is the same worker as before.
    pub key: WorkerKey,
    /// What it is.
    pub spec: Arc<WorkerSpec>,
    /// Whether it takes work; one that still boots says no.
    pub ready: bool,
    /// What it runs, or may still start.
    pub holds: Vec<PlacementId>,
    /// What ended and is not yet acknowledged.
    pub ends: Vec<Report>,
    /// Whether another page follows.
    pub more: bool,
}

/// What a registration is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// It is registered in this history. What it may not run, it kills, and registers again without it.
    Registered {
        /// To be carried by every later call.
        history: History,
        /// What it holds and may not.
        kills: Vec<PlacementId>,
    },
    /// A later incarnation has registered.
    Replaced,
    /// Another worker has this name, and owns this many containers that it was handed.
    KeyTaken {
        /// How many.
        taken: u32,
    },
}

/// Registers a worker.
pub fn register<R: Rows>(rows: &R, now: Timestamp, call: &Registration) -> Stepped<RegisterOutcome, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let row = match step.worker(&call.worker)? {
        Some(row) if row.key.as_ref() == Some(&call.key) && row.incarnation > call.incarnation => {
            return Ok((RegisterOutcome::Replaced, Vec::new()));
        }
        Some(row) if row.key.as_ref().is_some_and(|key| *key != call.key) => {
            let taken = count_taken(&step, &row)?;
            if taken > 0 {
                return Ok((RegisterOutcome::KeyTaken { taken }, Vec::new()));
            }
            // Nothing of the old machine's is left but what it was never told of.
            give_back_placed(&mut step, &call.worker)?;
            step.worker(&call.worker)?
        }
        row => row,
    };
    let history = step.cell.history;
    let is_repeat = row
        .as_ref()
        .is_some_and(|row| row.key.as_ref() == Some(&call.key) && row.incarnation == call.incarnation && row.complete);
    if is_repeat && row.as_ref().is_some_and(|row| row.registered_in == Some(history)) {
        let kills = kills(&step, call)?;
        return Ok((RegisterOutcome::Registered { history, kills }, Vec::new()));
    }
    enter(&mut step, call, row)?;
    let kills = claim(&mut step, call)?;
    for report in &call.ends {
        if let Event::Ended(end) = &report.event {
            accept_end(&mut step, &call.worker, report, end)?;
        }
    }
    if !call.more {
        conclude_registration(&mut step, call, kills.is_empty())?;
    }
    step.finish(RegisterOutcome::Registered { history, kills })
}

fn count_taken<R: Rows>(step: &Step<R>, row: &WorkerRow) -> Result<u32, R::Error> {
    let mut taken = 0;
    for mark in step.rows().owned(&row.id, None, CALL_ITEMS_MAX)? {
        let state = step.container(&mark.container)?.map(|row| row.state);
        taken += u32::from(!matches!(state, None | Some(State::Placed(_))));
    }
    Ok(taken)
}

/// Writes the worker's row for this incarnation; not complete before the last page.
fn enter<R: Rows>(step: &mut Step<R>, call: &Registration, row: Option<WorkerRow>) -> Result<(), R::Error> {
    let first_page = row.as_ref().is_none_or(|row| row.incarnation != call.incarnation);
    if first_page {
        step.write(Change::Number(call.worker.clone(), Some(CallNumber(0))));
    }
    let life = match row.as_ref().map(|row| row.life) {
        Some(Life::Pending { boot_within }) if !call.ready => Life::Pending { boot_within },
        _ => Life::Up,
    };
    step.put_worker(WorkerRow {
        id: call.worker.clone(),
        spec: Arc::clone(&call.spec),
        life,
        closed: row.as_ref().map_or(Closed::No, |row| row.closed),
        key: Some(call.key.clone()),
        incarnation: call.incarnation,
        registered_in: Some(step.cell.history),
        complete: false,
        ready: call.ready,
        used: row.map(|row| row.used).unwrap_or_default(),
        changed: step.revision(),
    })
}

/// Marks what the worker rightly holds with its incarnation; answers what it may not.
fn claim<R: Rows>(step: &mut Step<R>, call: &Registration) -> Result<Vec<PlacementId>, R::Error> {
    let mut kills = Vec::new();
    for held in &call.holds {
        match held_row(step, call, held)? {
            Some((row, place)) => {
                let place = Placement { incarnation: call.incarnation, ..place };
                step.put_container(ContainerRow { state: held_state(&row.state, place), ..row })?;
            }
            None => kills.push(held.clone()),
        }
    }
    Ok(kills)
}

fn kills<R: Rows>(step: &Step<R>, call: &Registration) -> Result<Vec<PlacementId>, R::Error> {
    let mut kills = Vec::new();
    for held in &call.holds {
        if held_row(step, call, held)?.is_none() {
            kills.push(held.clone());
        }
    }
    Ok(kills)
}

/// The row of what a worker says it holds, if it owns exactly this placement.
fn held_row<R: Rows>(
    step: &Step<R>,
    call: &Registration,
    held: &PlacementId,
) -> Result<Option<(ContainerRow, Placement)>, R::Error> {
    let row = step.container(&held.container)?.filter(|row| row.placement_id().as_ref() == Some(held));
    let place = row.as_ref().and_then(|row| row.state.placement()).filter(|place| place.worker == call.worker).cloned();
    Ok(row.zip(place))
}

/// What is held is at least starting.
fn held_state(state: &State, place: Placement) -> State {
    match state {
        State::Running(_) => State::Running(place),
        State::Stopping(_, cause) => State::Stopping(place, *cause),
        _ => State::Starting(place),
    }
}

/// Takes back what the worker owns and neither holds nor ended, and completes the registration if nothing is to kill.
fn conclude_registration<R: Rows>(step: &mut Step<R>, call: &Registration, clean: bool) -> Result<(), R::Error> {
    let ended: BTreeSet<_> = call.ends.iter().map(|report| report.placement.container.clone()).collect();
    for mark in step.rows().owned(&call.worker, None, CALL_ITEMS_MAX)? {
        let Some(row) = step.container(&mark.container)? else { continue };
        let forgotten = row
            .state
            .placement()
            .is_some_and(|place| place.worker == call.worker && place.incarnation != call.incarnation);
        if !forgotten || ended.contains(&row.id) {
            continue;
        }
        let next = match row.state {
            State::Placed(_) => ContainerRow { state: READY, ..row },
            _ => conclude(step, row, End::WorkerForgot, Some(&call.worker)),
        };
        step.put_container(next)?;
    }
    if clean && let Some(row) = step.worker(&call.worker)? {
        step.put_worker(WorkerRow { complete: true, ..row })?;
    }
    Ok(())
}
