//! The containers' steps: read, listed, stopped, forgotten, exported.

use std::time::Duration;

use super::{
    CALL_ITEMS_MAX, Change, Filter, FleetChange, FleetName, GONE_ROWS_MAX, Rows, Stepped, UsageRow, legible, step::Step,
};
use crate::container::{ContainerRow, End, EndRecord, Output, Phase, Placement, State, StopCause};
use crate::id::{ContainerId, Mark, Revision, WorkerId};
use crate::request::Body;
use crate::time::Timestamp;
use crate::wait::LotKey;
use crate::worker::WorkerRow;
use std::sync::Arc;

/// One container with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its row.
    pub row: ContainerRow,
    /// What its worker reads.
    pub body: Option<Arc<Body>>,
    /// What its last attempt wrote.
    pub output: Option<Output>,
}

/// A page of containers by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPage {
    /// The containers.
    pub rows: Vec<ContainerRow>,
    /// Where the next page begins, if there is one.
    pub after: Option<ContainerId>,
}

/// What became of one stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopOutcome {
    /// It had not been handed to a worker: it is stopped.
    Stopped,
    /// Its worker is told; it owns its room until the worker says that it is over. Or writes were lost, and nobody knows
    /// who runs it: it ends when all have said.
    Stopping,
    /// It had ended before, in this phase.
    Ended(Phase),
    /// No container has this id.
    NoSuchContainer,
}

/// How long ended containers are kept, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// At least this long after their end, unless there are too many.
    pub within: Duration,
    /// At most this many.
    pub ended_max: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { within: Duration::from_hours(1), ended_max: 100_000 }
    }
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// How many containers.
    pub containers: u64,
    /// Whether there is more to forget.
    pub more: bool,
}

/// A page of all that a cell holds, oldest change first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPage {
    /// Workers, as they are.
    pub workers: Vec<WorkerRow>,
    /// Containers that wait or own room, as they are.
    pub containers: Vec<ContainerRow>,
    /// Workers that earlier pages may have held and that are no more: to be taken away before this page is put.
    pub gone: Vec<WorkerId>,
    /// Containers that earlier pages may have held and that have ended.
    pub ended: Vec<ContainerId>,
    /// Containers whose rows cannot be decoded.
    pub undecodable: Vec<ContainerId>,
    /// What workspaces use; on the last page only.
    pub usage: Vec<UsageRow>,
    /// How far this page goes.
    pub upto: Mark,
    /// Whether there is more.
    pub more: bool,
}

/// Reads containers; none for an id that is not there.
pub fn get<R: Rows>(rows: &R, ids: &[ContainerId]) -> Result<Vec<Option<Found>>, R::Error> {
    let one = |id: &ContainerId| {
        let Some(row) = rows.container(id)? else { return Ok(None) };
        Ok(Some(Found { row, body: rows.body(id)?, output: rows.output(id)? }))
    };
    ids.iter().take(CALL_ITEMS_MAX).map(one).collect()
}

/// Lists containers by id, a page at a time: none twice, and none that stays is skipped.
pub fn list<R: Rows>(
    rows: &R,
    filter: &Filter,
    after: Option<&ContainerId>,
    limit: usize,
) -> Result<ContainerPage, R::Error> {
    let limit = limit.clamp(1, CALL_ITEMS_MAX);
    let ids = rows.containers(filter, after, limit)?;
    let after = if ids.len() == limit { ids.last().cloned() } else { None };
    let mut page = ContainerPage { rows: Vec::with_capacity(ids.len()), after };
    for id in &ids {
        match rows.container(id) {
            Ok(row) => page.rows.extend(row),
            Err(error) if rows.is_corrupt(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(page)
}

/// Stops containers. What waits, or was not yet handed over, is stopped at once.
pub fn stop<R: Rows>(rows: &R, now: Timestamp, ids: &[ContainerId]) -> Stepped<Vec<StopOutcome>, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let mut outcomes = Vec::with_capacity(ids.len());
    for id in ids.iter().take(CALL_ITEMS_MAX) {
        outcomes.push(match step.container(id)? {
            None => StopOutcome::NoSuchContainer,
            Some(row) => stop_one(&mut step, row)?,
        });
    }
    step.finish(outcomes)
}

fn stop_one<R: Rows>(step: &mut Step<R>, row: ContainerRow) -> Result<StopOutcome, R::Error> {
    match &row.state {
        State::Pending(_) if row.state.lot() == Some(&LotKey::Stop) || step.may_run_unseen(&row) => {
            step.stop_later(row)?;
            Ok(StopOutcome::Stopping)
        }
        State::Pending(_) | State::Placed(_) if !step.is_taken(&row) => {
            let worker = row.state.placement().map(|place| place.worker.clone());
            let last_end = EndRecord { end: End::NeverStarted, attempt: row.attempt, worker, at: step.now() };
            step.put_container(ContainerRow { state: State::Stopped, last_end: Some(last_end), ..row })?;
            Ok(StopOutcome::Stopped)
        }
        State::Placed(place)
        | State::Starting(place)
        | State::Running(place)
        | State::Stopping(place, StopCause::Drain) => {
            let place = Placement { order: step.revision(), ..place.clone() };
            step.put_container(ContainerRow { state: State::Stopping(place, StopCause::Stop), ..row })?;
            Ok(StopOutcome::Stopping)
        }
        State::Stopping(_, StopCause::Stop) => Ok(StopOutcome::Stopping),
        over => Ok(StopOutcome::Ended(over.phase())),
    }
}

/// Forgets ended containers beyond what is kept, and removals that no reader needs any more.
pub fn forget<R: Rows>(rows: &R, now: Timestamp, keep: &Keep, limit: usize) -> Stepped<Forgotten, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let limit = limit.clamp(1, CALL_ITEMS_MAX);
    let ended: u64 = Phase::ALL.iter().filter(|phase| phase.is_ended()).map(|phase| step.cell.count(*phase)).sum();
    let mut excess = ended.saturating_sub(keep.ended_max);
    let mut forgotten = Forgotten { containers: 0, more: false };
    let oldest = rows.ended(limit)?;
    let is_full = oldest.len() == limit;
    let is_due = |(at, _): &(Timestamp, ContainerId)| {
        let is_excess = excess > 0;
        excess = excess.saturating_sub(1);
        is_excess || at.until(step.now()) > keep.within
    };
    let due: Vec<_> = oldest.into_iter().take_while(is_due).map(|(_, id)| id).collect();
    for id in &due {
        if let Some(row) = step.legible(id)? {
            step.forget_container(row);
            forgotten.containers += 1;
        }
    }
    // What cannot be decoded stays first; a page of nothing else is the end.
    forgotten.more = is_full && due.len() == limit && forgotten.containers > 0;
    forget_gone(&mut step)?;
    step.finish(forgotten)
}

/// Forgets the oldest removals beyond [`GONE_ROWS_MAX`].
fn forget_gone<R: Rows>(step: &mut Step<R>) -> Result<(), R::Error> {
    let mut excess = step.cell.gone.saturating_sub(GONE_ROWS_MAX);
    if excess == 0 {
        return Ok(());
    }
    // Removals stand among rows that changed; those before the floor are forgotten, some at the floor may be left.
    let floor = step.cell.gone_floor;
    let from = Revision(floor.0.saturating_sub(1));
    for (revision, change) in read_beyond(|size| step.rows().changed_fleet(from, size), CALL_ITEMS_MAX, floor)? {
        if excess == 0 {
            break;
        }
        step.cell.gone_floor = revision;
        if let FleetChange::Gone(name) = change {
            excess -= 1;
            step.cell.gone -= 1;
            step.write(Change::ForgetGone(revision, name));
        }
    }
    Ok(())
}

/// Reads all that waits or owns room, with the workers that it is on, in pages.
///
/// An ended container that is also forgotten while the pages are read may be missed: whoever finds one that owns room
/// without its worker reads it once more before saying so.
pub fn export<R: Rows>(rows: &R, since: Option<Revision>, limit: usize) -> Result<ExportPage, R::Error> {
    let limit = limit.clamp(1, CALL_ITEMS_MAX);
    let is_first = since.is_none();
    let since = since.unwrap_or(Revision(0));
    let mark = rows.cell()?.mark();
    let upto = export_upto(rows, since, limit, mark.revision)?;
    let mut page = ExportPage {
        workers: Vec::new(),
        containers: Vec::new(),
        gone: Vec::new(),
        ended: Vec::new(),
        undecodable: Vec::new(),
        usage: Vec::new(),
        upto: Mark { revision: upto, ..mark },
        more: upto < mark.revision,
    };
    for (_, id) in read_upto(|size| rows.changed_containers(since, size), limit, upto)? {
        match rows.container(&id) {
            Ok(Some(row)) if row.state.phase().is_ended() => page.ended.push(id),
            Ok(row) => page.containers.extend(row),
            Err(error) if rows.is_corrupt(&error) => page.undecodable.push(id),
            Err(error) => return Err(error),
        }
    }
    for (_, change) in read_upto(|size| rows.changed_fleet(since, size), limit, upto)? {
        match change {
            FleetChange::Changed(FleetName::Worker(id)) => page.workers.extend(legible(rows, rows.worker(&id))?),
            FleetChange::Gone(FleetName::Worker(id)) => page.gone.push(id),
            _ => {}
        }
    }
    if is_first {
        page.ended.clear();
        page.gone.clear();
    }
    if !page.more {
        page.usage = all_usage(rows)?;
    }
    Ok(page)
}

fn all_usage<R: Rows>(rows: &R) -> Result<Vec<UsageRow>, R::Error> {
    let mut all = Vec::new();
    let last = rows.cell()?.revision;
    for (_, change) in read_upto(|size| rows.changed_fleet(Revision(0), size), CALL_ITEMS_MAX, last)? {
        if let FleetChange::Changed(FleetName::Usage(workspace)) = change {
            all.extend(legible(rows, rows.usage(&workspace))?);
        }
    }
    Ok(all)
}

/// The revision with which a page of about `limit` rows ends.
fn export_upto<R: Rows>(rows: &R, since: Revision, limit: usize, last: Revision) -> Result<Revision, R::Error> {
    let containers = rows.changed_containers(since, limit)?;
    let fleet = rows.changed_fleet(since, limit)?;
    let full = |revisions: Vec<Revision>| if revisions.len() == limit { revisions.last().copied() } else { None };
    let ends = [
        full(containers.into_iter().map(|(revision, _)| revision).collect()),
        full(fleet.into_iter().map(|(revision, _)| revision).collect()),
    ];
    Ok(ends.into_iter().flatten().min().unwrap_or(last))
}

/// Reads all entries up to a revision.
fn read_upto<T, E>(
    read: impl Fn(usize) -> Result<Vec<(Revision, T)>, E>,
    size: usize,
    upto: Revision,
) -> Result<Vec<(Revision, T)>, E> {
    let mut entries = read_beyond(read, size, upto)?;
    entries.retain(|(revision, _)| *revision <= upto);
    Ok(entries)
}

/// Reads entries, in ever larger bites, until one lies beyond a revision or there are no more.
fn read_beyond<T, E>(
    read: impl Fn(usize) -> Result<Vec<(Revision, T)>, E>,
    size: usize,
    beyond: Revision,
) -> Result<Vec<(Revision, T)>, E> {
    let mut size = size;
    loop {
        let entries = read(size)?;
        if entries.len() < size || entries.last().is_some_and(|(revision, _)| *revision > beyond) {
            return Ok(entries);
        }
        size *= 2;
    }
}
