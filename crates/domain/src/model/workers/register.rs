//! Registration: who a worker is, what it holds, what ended, and what it may not run.

use std::sync::Arc;

use crate::container::{ContainerRow, End, Placement, PlacementId, State, StopCause, Waiting};
use crate::id::{CallNumber, History, Incarnation, Mark, WorkerId, WorkerKey};
use crate::model::placements::{accept_end, conclude};
use crate::model::step::{Step, mark_after};
use crate::model::workers::give_back_placed;
use crate::model::{Change, Event, READY, Report, Rows, Stepped};
use crate::resources::Booking;
use crate::time::Timestamp;
use crate::wait::LotKey;
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
    pub holds: Vec<Held>,
    /// What ended and is not yet acknowledged.
    pub ends: Vec<Report>,
    /// Whether another page follows.
    pub more: bool,
}

impl Registration {
    /// Of a worker that is ready, holds nothing, and has nothing to tell.
    pub fn plain(worker: WorkerId, incarnation: Incarnation, key: WorkerKey, spec: Arc<WorkerSpec>) -> Self {
        Self { worker, incarnation, key, spec, ready: true, holds: Vec::new(), ends: Vec::new(), more: false }
    }
}

/// What a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which placement.
    pub placement: PlacementId,
    /// What it was told that the placement owns: a store that lost writes may not know.
    pub booking: Booking,
}

/// What a registration is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// It is registered in this history. What it may not run, it kills, and registers again without it.
    Registered {
        /// To be carried by every later call.
        mark: Mark,
        /// What it holds and may not.
        kills: Vec<PlacementId>,
        /// How much of what it told of an earlier history is not known here: it was accepted, and is lost.
        unknown: u32,
    },
    /// A later incarnation has registered.
    Replaced,
    /// Another worker has this name, and owns this many containers that it was handed.
    KeyTaken {
        /// How many.
        taken: u32,
    },
    /// Another worker had this name and came as far as this: register again above it, so that late calls of the other
    /// cannot be taken for this one's.
    Raise {
        /// How far the other came.
        above: Incarnation,
    },
}

/// Registers a worker.
pub fn register<R: Rows>(rows: &R, now: Timestamp, call: &Registration) -> Stepped<RegisterOutcome, R::Error> {
    let mut step = Step::begin(rows, now)?;
    if let Some(row) = step.worker(&call.worker)?
        && let Some(refusal) = refuse(&step, call, &row)?
    {
        return Ok((refusal, Vec::new()));
    }
    let unknown = count_unknown(&step, call)?;
    let before = step.mark_before();
    let history = step.cell.history;
    let mut row = step.worker(&call.worker)?;
    if row.as_ref().is_some_and(|row| is_complete_already(row, call, history)) {
        let kills = kills(&step, call)?;
        return Ok((RegisterOutcome::Registered { mark: before, kills, unknown }, Vec::new()));
    }
    if row.as_ref().is_some_and(|row| row.key.as_ref() != Some(&call.key)) {
        // Nothing of the old machine's is left but what it was never told of.
        give_back_placed(&mut step, &call.worker)?;
        row = step.worker(&call.worker)?;
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
    } else if !kills.is_empty()
        && let Some(row) = step.worker(&call.worker)?
    {
        step.put_worker(WorkerRow { registered_in: None, ..row })?;
    }
    let ((), changes) = step.finish(())?;
    Ok((RegisterOutcome::Registered { mark: mark_after(before, &changes), kills, unknown }, changes))
}

/// All placements that a registration speaks of.
fn told(call: &Registration) -> impl Iterator<Item = &PlacementId> {
    let held = call.holds.iter().map(|held| &held.placement);
    held.chain(call.ends.iter().map(|report| &report.placement))
}

/// How much of what an earlier history handed out is not known any more.
fn count_unknown<R: Rows>(step: &Step<R>, call: &Registration) -> Result<u32, R::Error> {
    let mut unknown = 0;
    for placement in told(call).filter(|placement| placement.history != step.cell.history) {
        match step.container(&placement.container) {
            Ok(row) => unknown += u32::from(row.is_none()),
            Err(error) if step.rows().is_corrupt(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(unknown)
}

/// Why a registration is refused, if it is.
fn refuse<R: Rows>(step: &Step<R>, call: &Registration, row: &WorkerRow) -> Result<Option<RegisterOutcome>, R::Error> {
    let Some(key) = &row.key else {
        return Ok(None);
    };
    if *key == call.key {
        return Ok((row.incarnation > call.incarnation).then_some(RegisterOutcome::Replaced));
    }
    let taken = count_taken(step, row)?;
    if taken > 0 {
        return Ok(Some(RegisterOutcome::KeyTaken { taken }));
    }
    let above = row.incarnation;
    Ok((call.incarnation <= above).then_some(RegisterOutcome::Raise { above }))
}

/// Whether this registration, or a page of it, comes again after the last page has said all.
fn is_complete_already(row: &WorkerRow, call: &Registration, history: History) -> bool {
    row.key.as_ref() == Some(&call.key)
        && row.incarnation == call.incarnation
        && row.registered_in == Some(history)
        && row.complete
}

/// How many containers a worker owns that it may have been told of; what cannot be decoded is among them.
fn count_taken<R: Rows>(step: &Step<R>, row: &WorkerRow) -> Result<u32, R::Error> {
    let mut taken = 0;
    for mark in step.owned(&row.id)? {
        let is_taken = step.legible(&mark.container)?.is_none_or(|row| step.is_taken(&row));
        taken += u32::from(is_taken);
    }
    Ok(taken)
}

/// Writes the worker's row for this incarnation; not complete before the last page.
fn enter<R: Rows>(step: &mut Step<R>, call: &Registration, row: Option<WorkerRow>) -> Result<(), R::Error> {
    let first_page = row.as_ref().is_none_or(|row| row.incarnation != call.incarnation);
    if first_page {
        step.write(Change::Number(call.worker.clone(), Some(CallNumber(0))));
    }
    // A page of this registration was answered kills: no later page makes up for it.
    let is_spoilt = !first_page && row.as_ref().is_some_and(|row| row.registered_in.is_none());
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
        registered_in: (!is_spoilt).then_some(step.cell.history),
        complete: false,
        ready: call.ready,
        changed: row.as_ref().map_or(step.revision(), |row| row.changed),
        used: row.map(|row| row.used).unwrap_or_default(),
    })
}

/// Marks what the worker rightly holds with its incarnation; answers what it may not.
fn claim<R: Rows>(step: &mut Step<R>, call: &Registration) -> Result<Vec<PlacementId>, R::Error> {
    let mut kills = Vec::new();
    for held in &call.holds {
        if let Some((row, place)) = held_row(step, call, &held.placement)? {
            let place = Placement { incarnation: call.incarnation, ..place };
            step.put_container(ContainerRow { state: held_state(&row.state, place), ..row })?;
        } else if let Some(row) = step.lost_attempt(&held.placement)?.filter(|row| row.ask.is_booked_by(&held.booking))
        {
            adopt(step, call, held, row)?;
        } else {
            kills.push(held.placement.clone());
        }
    }
    Ok(kills)
}

/// Gives a worker what it holds of a part that was lost, whoever owned an earlier attempt, and whether or not there is
/// room.
fn adopt<R: Rows>(step: &mut Step<R>, call: &Registration, held: &Held, row: ContainerRow) -> Result<(), R::Error> {
    let place = Placement {
        worker: call.worker.clone(),
        incarnation: call.incarnation,
        booking: held.booking.clone(),
        order: step.revision(),
    };
    let state = match &row.state {
        State::Stopping(_, cause) => State::Stopping(place, *cause),
        State::Pending(Waiting::Parked(LotKey::Stop)) => State::Stopping(place, StopCause::Stop),
        _ => State::Starting(place),
    };
    let PlacementId { attempt, history, .. } = held.placement;
    step.put_container(ContainerRow { state, attempt, placed_in: Some(history), ..row })
}

fn kills<R: Rows>(step: &Step<R>, call: &Registration) -> Result<Vec<PlacementId>, R::Error> {
    let mut kills = Vec::new();
    for Held { placement, .. } in &call.holds {
        if held_row(step, call, placement)?.is_none() {
            kills.push(placement.clone());
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
    let row = step.legible(&held.container)?.filter(|row| row.placement_id().as_ref() == Some(held));
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
    for mark in step.owned(&call.worker)? {
        let Some(row) = step.legible(&mark.container)? else { continue };
        let forgotten = row
            .state
            .placement()
            .is_some_and(|place| place.worker == call.worker && place.incarnation != call.incarnation);
        if !forgotten {
            continue;
        }
        let next = if step.is_taken(&row) {
            conclude(step, row, End::WorkerForgot, Some(&call.worker))
        } else {
            ContainerRow { state: READY, ..row }
        };
        step.put_container(next)?;
    }
    if let Some(row) = step.worker(&call.worker)?.filter(|row| clean && row.registered_in.is_some()) {
        step.put_worker(WorkerRow { complete: true, ..row })?;
    }
    Ok(())
}
