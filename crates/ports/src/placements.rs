//! Placements: committed, lost, taken, reported on.

use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CellName, Revision, WorkerId};
use domain::model::placements::{Commit, CommitAnswer, Loss, LossOutcome, ReportAnswer, TakeAnswer};
use domain::model::{Mandate, OrderMark, Report};
use domain::time::Timestamp;
use domain::worker::Caller;

use crate::PortResult;

/// A batch's decisions become containers that workers run.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait PlacementRepository: Send + Sync {
    /// Commits a whole batch: one outcome per decision, in order.
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer>;

    /// Gives up silent workers and ends drains: one outcome per loss; at most `limit` containers each in one call.
    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>>;

    /// Hands a worker its orders after a mark; none begins anew.
    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer>;

    /// Writes down what a worker reports: one outcome per report, in order.
    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer>;

    /// Waits until a worker has orders later than `seen`; at most so long.
    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting>;
}

/// Who has orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersWaiting {
    /// How far the cell is; `seen` of the next wait.
    pub upto: Revision,
    /// Whose orders are new.
    pub workers: WorkersConcerned,
}

/// Workers that may have orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkersConcerned {
    /// These; none if nothing came in time.
    These(Vec<WorkerId>),
    /// Any of them.
    All,
}
