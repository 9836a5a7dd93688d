//! Containers, read and ended.

use async_trait::async_trait;
use domain::id::{CellName, ContainerId, Revision};
use domain::model::Filter;
use domain::model::containers::{ContainerPage, ExportPage, Forgotten, Found, Keep, StopOutcome};
use domain::time::Timestamp;

use crate::PortResult;

/// Containers are read, listed, stopped, forgotten and exported.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ContainerRepository: Send + Sync {
    /// Reads containers: one answer per id, in order.
    async fn get(&self, cell: &CellName, ids: Vec<ContainerId>) -> PortResult<Vec<Option<Found>>>;

    /// Lists containers by id, a page at a time.
    async fn list(
        &self,
        cell: &CellName,
        filter: Filter,
        after: Option<ContainerId>,
        limit: usize,
    ) -> PortResult<ContainerPage>;

    /// Stops containers: one outcome per id, in order.
    async fn stop(&self, cell: &CellName, now: Timestamp, ids: Vec<ContainerId>) -> PortResult<Vec<StopOutcome>>;

    /// Forgets ended containers beyond what is kept, at most `limit` in one call.
    async fn forget(&self, cell: &CellName, now: Timestamp, keep: Keep, limit: usize) -> PortResult<Forgotten>;

    /// Reads all that waits or owns room, with the workers that it is on, a page at a time.
    async fn export(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<ExportPage>;
}
