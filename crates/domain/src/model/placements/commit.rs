//! The commit: every decision of a batch in one step, one outcome each; a refusal hurts no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::container::{ContainerRow, Placement, State, Waiting};
use crate::id::{Attempt, CallNumber, ContainerId, Incarnation, Revision, WorkerId, Workspace};
use crate::ledger;
use crate::model::{CALL_ITEMS_MAX, Change, Fence, Mandate, Rows, Stepped, step::Step};
use crate::quota::{OverQuota, QuotaLimits};
use crate::request::OrderKey;
use crate::resources::{Booking, Free};
use crate::time::Timestamp;
use crate::wait::{LotKey, Why};
use crate::worker::{Closed, Life, Status, WorkerRow, WorkerSpec};

/// What a planner commits at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// What becomes of each request.
    pub decisions: Vec<Decision>,
    /// Workers that will be asked for: their rows come first, the provider is called afterwards.
    pub workers: Vec<NewWorker>,
    /// Idle workers to take away; refused unless empty.
    pub removals: Vec<WorkerId>,
    /// The limits of the workspaces that are placed for; a workspace that is not here is not limited.
    pub limits: BTreeMap<Workspace, QuotaLimits>,
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The request.
    pub container: ContainerId,
    /// The attempt that the planner read; a placement makes the next one.
    pub attempt: Attempt,
    /// What becomes of it.
    pub kind: DecisionKind,
}

/// What can become of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionKind {
    /// It goes to this worker.
    Place {
        /// The worker.
        worker: WorkerId,
        /// The run of it that the planner saw.
        incarnation: Incarnation,
        /// What it will own.
        booking: Booking,
    },
    /// It waits in this lot.
    Park {
        /// The lot.
        lot: LotKey,
        /// Why.
        why: Why,
    },
    /// Its row cannot be decoded: it leaves the line.
    ParkCorrupt {
        /// Its place in line.
        key: OrderKey,
        /// What is wrong.
        detail: String,
    },
}

/// A worker that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorker {
    /// Its name.
    pub id: WorkerId,
    /// What it is to be.
    pub spec: Arc<WorkerSpec>,
    /// How long it may boot.
    pub boot_within: Duration,
}

/// What became of one decision. Where several hold, the first of this list is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A repeat: it was done before.
    AlreadyDone,
    /// The request does not wait, or not as the planner read it.
    NotPending,
    /// Writes were lost, and the request may run on a worker that has not said since what it holds.
    Settling,
    /// The worker is lost, removed, or another run of it has registered.
    WorkerGone,
    /// The worker takes no new work.
    WorkerClosed,
    /// The workspace uses what it may.
    OverQuota(OverQuota),
    /// The worker has no room; this is what it has.
    NoRoom(Free),
    /// Done.
    Done,
}

impl Outcome {
    /// One word for it, for metrics and formats.
    pub fn word(&self) -> &'static str {
        match self {
            Self::AlreadyDone => "already_done",
            Self::NotPending => "not_pending",
            Self::Settling => "settling",
            Self::WorkerGone => "worker_gone",
            Self::WorkerClosed => "worker_closed",
            Self::OverQuota(_) => "over_quota",
            Self::NoRoom(_) => "no_room",
            Self::Done => "done",
        }
    }
}

/// What became of one removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalOutcome {
    /// Gone, now or before.
    Done,
    /// It owns this many containers: it stays.
    Owns(u32),
}

/// What a commit is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitAnswer {
    /// One per decision, in order.
    pub outcomes: Vec<Outcome>,
    /// One per removal, in order.
    pub removals: Vec<RemovalOutcome>,
    /// The cell's revision before the commit.
    pub before: Revision,
    /// The cell's revision after it.
    pub after: Revision,
}

/// Places, parks, announces and removes in one step, if the mandate still holds.
pub fn commit<R: Rows>(
    rows: &R,
    mandate: &Mandate,
    now: Timestamp,
    commit: &Commit,
) -> Stepped<Result<CommitAnswer, Fence>, R::Error> {
    let mut step = Step::begin(rows, now)?;
    if let Err(fence) = step.fence(mandate)? {
        return step.finish(Err(fence));
    }
    let mut outcomes = Vec::with_capacity(commit.decisions.len());
    for decision in commit.decisions.iter().take(CALL_ITEMS_MAX) {
        outcomes.push(match decide(&mut step, decision, &commit.limits) {
            // A row that cannot be decoded stands in its way, and in nobody else's.
            Err(error) if rows.is_corrupt(&error) => Outcome::NotPending,
            outcome => outcome?,
        });
    }
    for worker in commit.workers.iter().take(CALL_ITEMS_MAX) {
        announce(&mut step, worker)?;
    }
    let mut removals = Vec::with_capacity(commit.removals.len());
    for id in commit.removals.iter().take(CALL_ITEMS_MAX) {
        removals.push(remove_if_empty(&mut step, id)?);
    }
    let (before, after) = (step.revision_before(), step.revision());
    step.finish(Ok(CommitAnswer { outcomes, removals, before, after }))
}

fn decide<R: Rows>(
    step: &mut Step<R>,
    decision: &Decision,
    limits: &BTreeMap<Workspace, QuotaLimits>,
) -> Result<Outcome, R::Error> {
    if let DecisionKind::ParkCorrupt { key, detail } = &decision.kind {
        return park_corrupt(step, decision, *key, detail);
    }
    let Some(row) = step.container(&decision.container)? else {
        return Ok(Outcome::NotPending);
    };
    match &decision.kind {
        DecisionKind::Place { worker, .. } if row.attempt == decision.attempt.next() => {
            // Whoever decides anew after a lost answer may have chosen another worker.
            let elsewhere = row.state.placement().is_some_and(|place| place.worker != *worker);
            Ok(if elsewhere { Outcome::NotPending } else { Outcome::AlreadyDone })
        }
        DecisionKind::Park { lot, .. } if row.state.lot() == Some(lot) => Ok(Outcome::AlreadyDone),
        _ if row.attempt != decision.attempt || !is_waiting(&row) => Ok(Outcome::NotPending),
        DecisionKind::Park { lot, why } => {
            step.park(row, lot.clone(), why.clone())?;
            Ok(Outcome::Done)
        }
        DecisionKind::Place { worker, incarnation, booking } => {
            let place = Placement {
                worker: worker.clone(),
                incarnation: *incarnation,
                booking: booking.clone(),
                order: step.revision(),
            };
            place_one(step, row, place, limits)
        }
        DecisionKind::ParkCorrupt { .. } => unreachable!("answered above"),
    }
}

/// Whether a request waits to be placed; one that somebody wants stopped does not.
fn is_waiting(row: &ContainerRow) -> bool {
    matches!(row.state, State::Pending(_)) && row.state.lot() != Some(&LotKey::Stop)
}

fn place_one<R: Rows>(
    step: &mut Step<R>,
    row: ContainerRow,
    place: Placement,
    limits: &BTreeMap<Workspace, QuotaLimits>,
) -> Result<Outcome, R::Error> {
    if step.may_run_unseen(&row) {
        return Ok(Outcome::Settling);
    }
    let worker = match super::super::legible(step.rows(), step.worker(&place.worker))? {
        Some(worker) if worker.incarnation == place.incarnation && worker.life != Life::Lost => worker,
        _ => return Ok(Outcome::WorkerGone),
    };
    if worker.status() != Status::Available {
        return Ok(Outcome::WorkerClosed);
    }
    if let Some(limits) = limits.get(&row.ask.workspace)
        && let Some(over) = step.usage(&row.ask.workspace)?.obstacle(&row.ask, limits)
    {
        return Ok(Outcome::OverQuota(over));
    }
    if !ledger::fits(&worker.spec.total, &worker.used, &place.booking) {
        return Ok(Outcome::NoRoom(worker.spec.total.free(&worker.used)));
    }
    step.put_container(ContainerRow {
        attempt: row.attempt.next(),
        placed_in: Some(step.cell.history),
        placed_at: Some(step.now()),
        taken_at: None,
        running_at: None,
        state: State::Placed(place),
        ..row
    })?;
    Ok(Outcome::Done)
}

fn park_corrupt<R: Rows>(
    step: &mut Step<R>,
    decision: &Decision,
    key: OrderKey,
    detail: &str,
) -> Result<Outcome, R::Error> {
    let id = &decision.container;
    match step.container(id) {
        Err(error) if step.rows().is_corrupt(&error) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(Outcome::NotPending),
    }
    if !step.rows().ready(key.just_before(), 1)?.contains(&(key, id.clone())) {
        return Ok(Outcome::AlreadyDone);
    }
    let parked = step.park_corrupt(key, id.clone(), Why::Corrupt(detail.to_owned()))?;
    Ok(if parked { Outcome::Done } else { Outcome::AlreadyDone })
}

fn announce<R: Rows>(step: &mut Step<R>, new: &NewWorker) -> Result<(), R::Error> {
    if step.worker(&new.id)?.is_some() {
        return Ok(());
    }
    step.write(Change::Number(new.id.clone(), Some(CallNumber(0))));
    step.put_worker(WorkerRow {
        id: new.id.clone(),
        spec: Arc::clone(&new.spec),
        life: Life::Pending { boot_within: new.boot_within },
        closed: Closed::No,
        key: None,
        incarnation: Incarnation(0),
        registered_in: Some(step.cell.history),
        complete: false,
        ready: false,
        used: crate::resources::Used::default(),
        changed: step.revision(),
    })
}

pub(crate) fn remove_if_empty<R: Rows>(step: &mut Step<R>, id: &WorkerId) -> Result<RemovalOutcome, R::Error> {
    match step.worker(id)? {
        None => Ok(RemovalOutcome::Done),
        Some(row) if row.used.containers > 0 => Ok(RemovalOutcome::Owns(row.used.containers)),
        Some(row) => {
            step.remove_worker(&row)?;
            Ok(RemovalOutcome::Done)
        }
    }
}

/// Puts a placed or running container back in line, at its old place.
pub(crate) fn back_in_line(row: ContainerRow) -> ContainerRow {
    ContainerRow { state: State::Pending(Waiting::Ready), ..row }
}
