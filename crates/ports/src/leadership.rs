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
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome>;

    /// Proves that the planner lives.
    async fn renew(&self, mandate: &Mandate) -> PortResult<()>;

    /// Leaves the cell to the next planner at once.
    async fn resign(&self, mandate: &Mandate) -> PortResult<()>;
}
