//! Where new workers come from.

use async_trait::async_trait;
use domain::id::WorkerId;
use domain::model::placements::NewWorker;

use crate::PortResult;

/// Makes machines and takes them away. Every call is idempotent by worker id.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait WorkerProvider: Send + Sync {
    /// Asks for workers: one outcome each, in order.
    async fn add(&self, workers: Vec<NewWorker>) -> PortResult<Vec<AddOutcome>>;

    /// Takes workers away: one outcome each, in order.
    async fn remove(&self, workers: Vec<WorkerId>) -> PortResult<Vec<ProviderRemoveOutcome>>;

    /// Names the workers that it has made and not taken away.
    async fn list(&self) -> PortResult<Vec<WorkerId>>;
}

/// What became of a worker that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddOutcome {
    /// It is coming, now or since before.
    Coming,
    /// It is not, and why.
    Failed(String),
}

/// What became of a worker that was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderRemoveOutcome {
    /// Gone, now or before.
    Gone,
    /// Still there, and why.
    Failed(String),
}
