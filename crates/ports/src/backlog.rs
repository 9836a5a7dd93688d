//! Requests that wait.

use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CellName, Revision};
use domain::model::backlog::{Depth, Line, SubmitOutcome};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;

use crate::PortResult;

/// Requests come in, and are read in line. Nothing here moves them.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait BacklogRepository: Send + Sync {
    /// Takes requests in: one outcome per submission, in order.
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>>;

    /// Counts who waits.
    async fn depth(&self, cell: &CellName) -> PortResult<Depth>;

    /// Reads the first `limit` ready requests after a place in line, and the first so many of each named lot.
    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line>;

    /// Waits until there is ready work, or freed room or quota, later than `seen`; at most so long. Answers how far the
    /// cell is.
    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision>;
}
