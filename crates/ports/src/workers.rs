//! Workers and their life.

use async_trait::async_trait;
use domain::id::{CellName, Revision, WorkerId};
use domain::model::workers::{
    Beats, Look, RegisterOutcome, Registration, RemoveHow, RemoveOutcome, StatusChange, StatusOutcome,
};
use domain::time::Timestamp;
use domain::worker::{CallAnswer, Caller};

use crate::PortResult;

/// Workers register, prove life, are closed, removed, and looked at.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait WorkerRepository: Send + Sync {
    /// Registers a worker with all that it holds and all that ended.
    async fn register(
        &self,
        cell: &CellName,
        now: Timestamp,
        registration: Registration,
    ) -> PortResult<RegisterOutcome>;

    /// Answers each worker's greatest number.
    async fn beats(&self, cell: &CellName) -> PortResult<Beats>;

    /// Keeps each caller's number: one answer per caller, in order.
    async fn heartbeat(&self, cell: &CellName, callers: Vec<Caller>) -> PortResult<Vec<CallAnswer>>;

    /// Opens, cordons or drains: one outcome per worker, in order.
    async fn set_status(
        &self,
        cell: &CellName,
        now: Timestamp,
        changes: Vec<(WorkerId, StatusChange)>,
    ) -> PortResult<Vec<StatusOutcome>>;

    /// Removes workers: one outcome each, in order; of those that are lost, `limit` containers each go back in one call.
    async fn remove(
        &self,
        cell: &CellName,
        now: Timestamp,
        removals: Vec<(WorkerId, RemoveHow)>,
        limit: usize,
    ) -> PortResult<Vec<RemoveOutcome>>;

    /// Reads what changed in the fleet since a revision; all of it, for a reader who begins with nothing.
    async fn look(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<Look>;
}
