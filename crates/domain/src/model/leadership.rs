//! Who plans: one planner a cell, taken over without agreeing clocks.

use super::{Fence, Mandate, PlannerRow, Rows, Stepped, step::Step};
use crate::id::{CellName, PlannerId, Stamp, Term};
use crate::time::Timestamp;

/// What a contender is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// It plans from now on.
    Acquired(Mandate),
    /// Another does. A contender that sees the same stamp for long enough on its own clock may name it as expected.
    Held {
        /// Who.
        planner: PlannerId,
        /// In which term.
        term: Term,
        /// What it wrote last.
        stamp: Stamp,
    },
}

/// Takes the cell if nobody plans it, or if its planner is still exactly as `expected`.
pub fn acquire<R: Rows>(
    rows: &R,
    cell: &CellName,
    planner: &PlannerId,
    expected: Option<(Term, Stamp)>,
) -> Stepped<AcquireOutcome, R::Error> {
    let mut step = Step::begin(rows, Timestamp(0))?;
    let term = step.cell.term;
    if let Some(held) = &step.cell.planner
        && held.planner != *planner
        && expected != Some((term, held.stamp))
    {
        let held = AcquireOutcome::Held { planner: held.planner.clone(), term, stamp: held.stamp };
        return Ok((held, Vec::new()));
    }
    let again = step.cell.planner.as_ref().is_some_and(|held| held.planner == *planner);
    let mark = if again { rows.cell()?.mark() } else { step.cell.mark() };
    if !again {
        step.cell.term = term.next();
        step.cell.planner = Some(PlannerRow { planner: planner.clone(), stamp: Stamp(0) });
    }
    let mandate = Mandate { cell: cell.clone(), planner: planner.clone(), term: step.cell.term, mark };
    step.finish(AcquireOutcome::Acquired(mandate))
}

/// Moves the stamp: proof that the planner lives.
pub fn renew<R: Rows>(rows: &R, mandate: &Mandate) -> Stepped<Result<(), Fence>, R::Error> {
    let mut step = Step::begin(rows, Timestamp(0))?;
    let fence = step.fence(mandate)?;
    step.finish(fence)
}

/// Leaves the cell to the next at once. Repeating it, or resigning what is lost already, changes nothing.
pub fn resign<R: Rows>(rows: &R, mandate: &Mandate) -> Stepped<(), R::Error> {
    let mut step = Step::begin(rows, Timestamp(0))?;
    if step.fence(mandate)?.is_ok() {
        step.cell.planner = None;
    }
    step.finish(())
}

impl<R: Rows> Step<'_, R> {
    /// Refuses all but the cell's planner in its term and history; moves its stamp.
    pub(crate) fn fence(&mut self, mandate: &Mandate) -> Result<Result<(), Fence>, R::Error> {
        if self.notice(mandate.mark)? || self.cell.history != mandate.mark.history {
            return Ok(Err(Fence::Rewound));
        }
        let term = self.cell.term;
        Ok(match &mut self.cell.planner {
            Some(held) if held.planner == mandate.planner && term == mandate.term => {
                held.stamp = held.stamp.next();
                Ok(())
            }
            _ => Err(Fence::StaleTerm),
        })
    }
}
