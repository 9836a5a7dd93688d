//! One planner a cell.

use async_trait::async_trait;
use domain::id::{CellName, PlannerId, Stamp, Term};
use domain::model::Mandate;
use domain::model::leadership::AcquireOutcome;

use crate::PortResult;

/// The right to plan a cell, taken over without agreeing clocks.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Leadership: Send + Sync {
    /// Takes the cell if nobody plans it, or if its planner is still exactly as `expected`.
    ///
    /// # Contract
    /// - `acquire_gives_the_cell_to_one`: Who comes second is told who plans.
    /// - `acquire_at_once_gives_the_cell_to_one`: Of many at the same time one plans.
    /// - `acquire_by_its_holder_is_the_same_term`: A holder that lost the answer asks again, and is given the same
    ///   term.
    /// - `takeover_needs_the_stamp_that_is_there`: Only who names term and stamp as they are takes over.
    /// - `takeover_fences_the_planner_before`: Who was taken over can neither commit, nor lose, nor renew.
    /// - `the_term_survives_reopening`: Terms go on: the planner before stays fenced, and its mandate holds if nobody
    ///   came between.
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome>;

    /// Proves that the planner lives.
    ///
    /// # Contract
    /// - `every_fenced_write_moves_the_stamp`: Each fenced write proves that the planner lives.
    async fn renew(&self, mandate: &Mandate) -> PortResult<()>;

    /// Leaves the cell to the next planner at once.
    ///
    /// # Contract
    /// - `resign_leaves_the_cell_at_once`: The next planner need not wait for one that resigned.
    /// - `a_late_resignation_is_nobodys`: A resignation that arrives after a takeover takes nothing from the next
    ///   planner.
    async fn resign(&self, mandate: &Mandate) -> PortResult<()>;
}
