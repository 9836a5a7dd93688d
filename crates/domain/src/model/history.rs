//! Histories: a store that may have lost writes starts a new one, in which nothing is placed before workers have said
//! what they run.
//!
//! A new history begins when the store itself knows ([`rewind`]), or when a caller has seen more of the history than
//! there is. All calls of the old one are refused, so every worker registers again with what it holds and what ended;
//! the cell is *settling* until all have, and until what others run has met its deadline.

use super::placements::{LossOutcome, conclude};
use super::step::Step;
use super::{CALL_ITEMS_MAX, Rewind, Rows, Stepped, legible};
use crate::container::{ContainerRow, End, PlacementId, State};
use crate::id::{History, Mark, Revision};
use crate::request::IfSilent;
use crate::wait::{LotKey, Why};
use crate::worker::{Life, WorkerRow};

/// Starts a new history, because the store may have lost writes. Touches every worker's row.
pub fn rewind<R: Rows>(rows: &R) -> Stepped<History, R::Error> {
    let mut step = Step::begin(rows, crate::time::Timestamp(0))?;
    step.begin_history(step.revision_before())?;
    let history = step.cell.history;
    step.finish(history)
}

impl<R: Rows> Step<'_, R> {
    /// Starts a new history if a caller has seen more of this one than there is; answers whether it did.
    pub(crate) fn notice(&mut self, seen: Mark) -> Result<bool, R::Error> {
        let is_lost = seen.history == self.cell.history && seen.revision > self.revision_before();
        if is_lost {
            self.begin_history(seen.revision)?;
        }
        Ok(is_lost)
    }

    /// Starts a new history after one that is known to have come as far as `reached`.
    pub(crate) fn begin_history(&mut self, reached: Revision) -> Result<(), R::Error> {
        let survived = Mark { history: self.cell.history, revision: self.revision_before() };
        self.cell.history = survived.history.after(self.rows().boot(), survived.revision);
        self.cell.rewind = Some(Rewind { survived, reached });
        self.cell.settling = true;
        let mut after = None;
        loop {
            let page = self.rows().workers(after.as_ref(), CALL_ITEMS_MAX)?;
            for id in &page {
                if let Some(row) = legible(self.rows(), self.worker(id))? {
                    self.put_worker(WorkerRow { complete: false, ..row })?;
                }
            }
            if page.len() < CALL_ITEMS_MAX {
                return Ok(());
            }
            after = page.last().cloned();
        }
    }

    /// Whether a container may run on a worker that has not said so in this history.
    pub(crate) fn may_run_unseen(&self, row: &ContainerRow) -> bool {
        self.cell.settling || row.if_silent == IfSilent::Keep && self.cell.unregistered > 0
    }

    /// The container of an attempt that only a lost part of this cell knew: a higher one than is known, unless the
    /// container was placed since.
    pub(crate) fn lost_attempt(&self, placement: &PlacementId) -> Result<Option<ContainerRow>, R::Error> {
        let history = Some(self.cell.history);
        let row = self
            .legible(&placement.container)?
            .filter(|row| placement.attempt > row.attempt && row.placed_in != history && !row.state.phase().is_ended());
        Ok(row.filter(|_| Some(placement.history) != history))
    }

    /// Whether its worker may have been told of a container: of what was placed in an earlier history, who knows.
    pub(crate) fn is_taken(&self, row: &ContainerRow) -> bool {
        match row.state {
            State::Placed(_) => row.placed_in != Some(self.cell.history),
            _ => row.state.placement().is_some(),
        }
    }

    /// Writes down that somebody wants a container stopped which may run where nobody knows.
    pub(crate) fn stop_later(&mut self, row: ContainerRow) -> Result<(), R::Error> {
        if row.state.lot() == Some(&LotKey::Stop) {
            return Ok(());
        }
        let why = Why::Settling { unregistered: self.cell.unregistered };
        self.park(row, LotKey::Stop, why)
    }

    /// Ends the settling, if its time is over and every worker that is up has said what it holds; then ends those whom
    /// somebody wanted stopped.
    ///
    /// A `witness` says instead of the time how far the caller, who had the mandate all the time and no commit under way,
    /// saw the history before: if all of that survived, nothing of the planner's was lost, and there is nobody to wait
    /// for.
    pub(crate) fn settle(&mut self, witness: Option<Mark>, limit: usize) -> Result<LossOutcome, R::Error> {
        if self.cell.settling {
            let is_over = match witness {
                Some(witness) => self.is_witnessed(witness),
                None => self.all_have_registered()?,
            };
            if !is_over {
                return Ok(LossOutcome::Refused);
            }
            self.cell.settling = false;
            self.cell.woken = self.revision();
        }
        self.end_stopped(limit)
    }

    fn is_witnessed(&self, witness: Mark) -> bool {
        let Some(rewind) = self.cell.rewind else {
            return false;
        };
        // Of a history that is known to have come further, something was lost before the witness looked.
        let is_known_lost = rewind.reached > rewind.survived.revision;
        !is_known_lost && witness.history == rewind.survived.history && witness.revision <= rewind.survived.revision
    }

    /// Whether all workers that are up have registered in this history. Those that were only asked for hold nothing: what
    /// a lost part handed them has met its deadline when the caller's clock says that the settling is over.
    fn all_have_registered(&self) -> Result<bool, R::Error> {
        let mut after = None;
        loop {
            let page = self.rows().workers(after.as_ref(), CALL_ITEMS_MAX)?;
            for id in &page {
                let row = legible(self.rows(), self.worker(id))?;
                let is_awaited = |row: &WorkerRow| row.life == Life::Up && !row.complete;
                if row.as_ref().is_some_and(is_awaited) {
                    return Ok(false);
                }
            }
            if page.len() < CALL_ITEMS_MAX {
                return Ok(true);
            }
            after = page.last().cloned();
        }
    }

    /// Ends those whom somebody wanted stopped while they may have run where nobody knew.
    fn end_stopped(&mut self, limit: usize) -> Result<LossOutcome, R::Error> {
        let mut moved = 0;
        let mut after = None;
        loop {
            let page = self.rows().parked(&LotKey::Stop, after, CALL_ITEMS_MAX)?;
            for (_, id) in &page {
                let Some(row) = self.legible(id)?.filter(|row| !self.may_run_unseen(row)) else { continue };
                if moved as usize == limit {
                    return Ok(LossOutcome::More(moved));
                }
                moved += 1;
                let next = conclude(self, row, End::NeverStarted, None);
                self.put_container(next)?;
            }
            if page.len() < CALL_ITEMS_MAX {
                return Ok(LossOutcome::Done(moved));
            }
            after = page.last().map(|(key, _)| *key);
        }
    }
}
