//! The backlog's steps: requests come in, and are read in line. Only a commit moves them.

use super::{CALL_ITEMS_MAX, Change, READY, Rows, Stepped, legible, step::Step};
use crate::container::{ContainerRow, Phase};
use crate::id::{Attempt, ContainerId, Mark};
use crate::placement::Candidate;
use crate::request::{BadRequest, OrderKey, Submission};
use crate::time::Timestamp;
use crate::wait::LotKey;
use std::sync::Arc;

/// What became of one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Accepted: it is in line and will not be lost.
    Accepted,
    /// The same request is already there, in this phase.
    Already(Phase),
    /// Another request has this id.
    Conflict,
    /// No worker could ever be asked this.
    Invalid(BadRequest),
}

/// How many wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// In line.
    pub ready: u64,
    /// In lots.
    pub parked: u64,
    /// When the first in line was handed in.
    pub oldest_ready: Option<Timestamp>,
    /// How many containers are in each phase, in the order of [`Phase::ALL`].
    pub phases: [u64; Phase::ALL.len()],
}

/// A request in line, or first in its lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InLine {
    /// What a plan reads of it.
    pub candidate: Candidate,
    /// When it was handed in.
    pub submitted: Timestamp,
}

impl From<ContainerRow> for InLine {
    fn from(row: ContainerRow) -> Self {
        let submitted = row.submitted;
        let candidate = Candidate {
            lot: row.state.lot().cloned(),
            id: row.id,
            key: row.key,
            attempt: row.attempt,
            ask: row.ask,
            if_silent: row.if_silent,
        };
        Self { candidate, submitted }
    }
}

/// What the planner reads at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The first ready requests.
    pub ready: Vec<InLine>,
    /// The first of each lot that was named.
    pub lots: Vec<(LotKey, Vec<InLine>)>,
    /// Ready requests whose rows cannot be decoded, and their places in line.
    pub corrupt: Vec<(OrderKey, ContainerId)>,
    /// How far the cell was.
    pub mark: Mark,
}

/// Takes requests in. A repeat changes nothing.
pub fn submit<R: Rows>(rows: &R, now: Timestamp, items: &[Submission]) -> Stepped<Vec<SubmitOutcome>, R::Error> {
    let mut step = Step::begin(rows, now)?;
    let mut outcomes = Vec::with_capacity(items.len());
    for (position, item) in (0..).zip(items.iter().take(CALL_ITEMS_MAX)) {
        outcomes.push(submit_one(&mut step, position, item)?);
    }
    step.finish(outcomes)
}

fn submit_one<R: Rows>(step: &mut Step<R>, position: u32, item: &Submission) -> Result<SubmitOutcome, R::Error> {
    if let Err(bad) = item.ask.check().and_then(|()| item.body.check()) {
        return Ok(SubmitOutcome::Invalid(bad));
    }
    match step.container(&item.id) {
        Ok(None) => {}
        Ok(Some(row)) if row.digest == item.digest() => return Ok(SubmitOutcome::Already(row.state.phase())),
        Ok(Some(_)) => return Ok(SubmitOutcome::Conflict),
        // Nobody can tell whether it is the same: the id is taken.
        Err(error) if step.rows().is_corrupt(&error) => return Ok(SubmitOutcome::Conflict),
        Err(error) => return Err(error),
    }
    step.write(Change::Body(item.id.clone(), Some(Arc::clone(&item.body))));
    step.put_container(ContainerRow {
        id: item.id.clone(),
        digest: item.digest(),
        ask: Arc::clone(&item.ask),
        if_silent: item.if_silent,
        key: OrderKey::new(step.now(), item.ask.priority, step.revision(), position),
        submitted: step.now(),
        state: READY,
        attempt: Attempt(0),
        placed_in: None,
        failures: 0,
        placed_at: None,
        taken_at: None,
        running_at: None,
        last_end: None,
        changed: step.revision(),
    })?;
    Ok(SubmitOutcome::Accepted)
}

/// Counts who waits.
pub fn depth<R: Rows>(rows: &R) -> Result<Depth, R::Error> {
    let cell = rows.cell()?;
    let first = rows.ready(None, 1)?.pop();
    let oldest_ready = match first.map(|(_, id)| rows.container(&id)) {
        Some(Ok(row)) => row.map(|row| row.submitted),
        Some(Err(error)) if rows.is_corrupt(&error) => None,
        Some(Err(error)) => return Err(error),
        None => None,
    };
    let pending = cell.count(Phase::Pending);
    Ok(Depth { ready: cell.ready, parked: pending.saturating_sub(cell.ready), oldest_ready, phases: cell.phases })
}

/// Reads the first in line, and the first so many of each named lot.
pub fn next<R: Rows>(
    rows: &R,
    after: Option<OrderKey>,
    limit: usize,
    lots: &[(LotKey, usize)],
) -> Result<Line, R::Error> {
    let mut line = Line { ready: Vec::new(), lots: Vec::new(), corrupt: Vec::new(), mark: rows.cell()?.mark() };
    for (key, id) in rows.ready(after, limit.min(CALL_ITEMS_MAX))? {
        match read_waiting(rows, &id) {
            Ok(waiting) => line.ready.extend(waiting),
            Err(error) if rows.is_corrupt(&error) => line.corrupt.push((key, id)),
            Err(error) => return Err(error),
        }
    }
    for (lot, count) in lots {
        line.lots.push((lot.clone(), read_lot(rows, lot, (*count).min(CALL_ITEMS_MAX))?));
    }
    Ok(line)
}

/// Reads the first so many of a lot, past those that cannot be decoded: they keep nobody behind them waiting.
fn read_lot<R: Rows>(rows: &R, lot: &LotKey, count: usize) -> Result<Vec<InLine>, R::Error> {
    let mut members = Vec::new();
    let (mut after, mut left) = (None, CALL_ITEMS_MAX);
    while members.len() < count && left > 0 {
        let wanted = (count - members.len()).min(left);
        let page = rows.parked(lot, after, wanted)?;
        for (_, id) in &page {
            members.extend(legible(rows, read_waiting(rows, id))?);
        }
        if page.len() < wanted {
            break;
        }
        left -= page.len();
        after = page.last().map(|(key, _)| *key);
    }
    Ok(members)
}

fn read_waiting<R: Rows>(rows: &R, id: &ContainerId) -> Result<Option<InLine>, R::Error> {
    Ok(rows.container(id)?.map(InLine::from))
}
