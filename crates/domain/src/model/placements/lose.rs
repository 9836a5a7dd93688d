//! What goes back: the work of workers given up, and of drains whose time is over.

use super::report::conclude;
use crate::container::{ContainerRow, End, Placement, State, StopCause};
use crate::id::{Boot, CallNumber, Incarnation, Mark, WorkerId};
use crate::model::workers::give_back_placed;
use crate::model::{CALL_ITEMS_MAX, Fence, Mandate, Rows, Stepped, legible, step::Step};
use crate::request::IfSilent;
use crate::time::Timestamp;
use crate::worker::{Closed, Life, WorkerRow};

/// What the planner's clock says is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// A worker was silent for keepalive and grace. Refused if any of this differs: it was not silent after all.
    Silent {
        /// The worker.
        worker: WorkerId,
        /// The run that was silent.
        incarnation: Incarnation,
        /// The last number that was seen.
        number: CallNumber,
        /// The boot of the store in which it was seen.
        boot: Boot,
    },
    /// A worker was given up before, and not all that it owned went back.
    Rest {
        /// The worker.
        worker: WorkerId,
    },
    /// A new history has been seen for keepalive and grace: what nobody told of has ended. Also ends those whom somebody
    /// wanted stopped meanwhile.
    Settled {
        /// Before that time is over: how far the caller saw the history before, if it had the mandate all the time and
        /// has no commit under way. If all that survived, there is nobody to wait for.
        witness: Option<Mark>,
    },
    /// A drain's time is over: what still runs is told to stop.
    DrainDue {
        /// The worker.
        worker: WorkerId,
    },
}

/// What became of one loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossOutcome {
    /// Done; this many containers went back or were told to stop.
    Done(u32),
    /// So many so far; there are more. Say it again.
    More(u32),
    /// The worker is not as the planner saw it.
    Refused,
}

impl LossOutcome {
    /// How many went back so far, if there are more.
    pub fn more(self) -> Option<u32> {
        match self {
            Self::More(moved) => Some(moved),
            Self::Done(_) | Self::Refused => None,
        }
    }
}

/// Gives up workers and ends drains, at most `limit` containers each, if the mandate still holds.
pub fn lose<R: Rows>(
    rows: &R,
    mandate: &Mandate,
    now: Timestamp,
    losses: &[Loss],
    limit: usize,
) -> Stepped<Result<Vec<LossOutcome>, Fence>, R::Error> {
    let mut step = Step::begin(rows, now)?;
    if let Err(fence) = step.fence(mandate)? {
        return step.finish(Err(fence));
    }
    let mut outcomes = Vec::with_capacity(losses.len());
    for loss in losses.iter().take(CALL_ITEMS_MAX) {
        outcomes.push(lose_one(&mut step, loss, limit.clamp(1, CALL_ITEMS_MAX))?);
    }
    step.finish(Ok(outcomes))
}

fn lose_one<R: Rows>(step: &mut Step<R>, loss: &Loss, limit: usize) -> Result<LossOutcome, R::Error> {
    match loss {
        Loss::Silent { worker, incarnation, number, boot } => {
            let Some(row) = legible(step.rows(), step.worker(worker))? else {
                return Ok(LossOutcome::Refused);
            };
            let same = row.incarnation == *incarnation
                && *boot == step.rows().boot()
                && *number == step.rows().number(worker)?;
            if !same || matches!(row.life, Life::Pending { .. }) {
                return Ok(LossOutcome::Refused);
            }
            step.put_worker(WorkerRow { life: Life::Lost, ..row })?;
            give_back_all(step, worker, limit, false)
        }
        Loss::Rest { worker } => match legible(step.rows(), step.worker(worker))? {
            Some(row) if row.life == Life::Lost => give_back_all(step, worker, limit, false),
            _ => Ok(LossOutcome::Refused),
        },
        Loss::Settled { witness } => step.settle(*witness, limit),
        Loss::DrainDue { worker } => match legible(step.rows(), step.worker(worker))? {
            Some(row) if matches!(row.closed, Closed::Draining { .. }) => order_drain(step, row, limit),
            _ => Ok(LossOutcome::Refused),
        },
    }
}

/// Gives back what a lost worker owns; what is to be kept, only once it is `certain` that it is gone.
pub(crate) fn give_back_all<R: Rows>(
    step: &mut Step<R>,
    worker: &WorkerId,
    limit: usize,
    certain: bool,
) -> Result<LossOutcome, R::Error> {
    let mut moved = 0;
    for mark in step.owned(worker)? {
        let Some(row) = step.legible(&mark.container)? else { continue };
        let stops = !step.is_taken(&row) || matches!(row.state, State::Stopping(_, StopCause::Stop));
        if !certain && row.if_silent == IfSilent::Keep && !stops {
            continue;
        }
        if moved as usize == limit {
            return Ok(LossOutcome::More(moved));
        }
        moved += 1;
        let next = if step.is_taken(&row) {
            conclude(step, row, End::WorkerLost, Some(worker))
        } else {
            super::commit::back_in_line(row)
        };
        step.put_container(next)?;
    }
    Ok(LossOutcome::Done(moved))
}

/// Tells what still runs on a draining worker to stop, and gives back what it was not yet told of.
fn order_drain<R: Rows>(step: &mut Step<R>, row: WorkerRow, limit: usize) -> Result<LossOutcome, R::Error> {
    let worker = row.id.clone();
    if let Closed::Draining { within, due: false } = row.closed {
        step.put_worker(WorkerRow { closed: Closed::Draining { within, due: true }, ..row })?;
    }
    give_back_placed(step, &worker)?;
    let mut moved = 0;
    for mark in step.owned(&worker)? {
        let Some(row) = step.legible(&mark.container)? else { continue };
        let (State::Placed(place) | State::Starting(place) | State::Running(place)) = &row.state else { continue };
        if moved as usize == limit {
            return Ok(LossOutcome::More(moved));
        }
        moved += 1;
        let place = Placement { order: step.revision(), ..place.clone() };
        step.put_container(ContainerRow { state: State::Stopping(place, StopCause::Drain), ..row })?;
    }
    Ok(LossOutcome::Done(moved))
}
