//! What a scheduler needs of the world, one small trait each; and the two ways to a new store.
//!
//! One call is one atomic step on one cell. Refusals are values; a [`PortError`] says what the caller does next.

mod error;

mod backlog;
mod containers;
mod leadership;
mod placements;
mod provider;
mod workers;

pub mod around;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub mod random;
pub mod rows;
pub mod signals;
pub mod wire;

use std::sync::Arc;

pub use backlog::BacklogRepository;
pub use containers::ContainerRepository;
pub use error::{PortError, PortResult, Source, StoreFull};
pub use leadership::Leadership;
pub use placements::{OrdersWaiting, PlacementRepository, WorkersConcerned};
pub use provider::{AddOutcome, ProviderRemoveOutcome, WorkerProvider};
pub use workers::WorkerRepository;

#[cfg(feature = "mocks")]
pub use {
    backlog::MockBacklogRepository, containers::MockContainerRepository, leadership::MockLeadership,
    placements::MockPlacementRepository, provider::MockWorkerProvider, workers::MockWorkerRepository,
};

/// Everything that one store offers.
#[derive(Clone)]
pub struct Ports {
    /// Requests come in and are read in line.
    pub backlog: Arc<dyn BacklogRepository>,
    /// Workers register, prove life, and are looked at.
    pub workers: Arc<dyn WorkerRepository>,
    /// Batches are committed, taken and reported on.
    pub placements: Arc<dyn PlacementRepository>,
    /// Containers are read, stopped and forgotten.
    pub containers: Arc<dyn ContainerRepository>,
    /// One planner a cell.
    pub leadership: Arc<dyn Leadership>,
    /// What the store can take.
    pub limits: Limits,
}

/// What a store can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most decisions in one commit, and submissions, reports or ids in one call.
    pub call_items_max: usize,
    /// The most bytes that one call may carry.
    pub call_bytes_max: usize,
    /// Whether no other process can have this store open: its planner takes over at once.
    pub exclusive: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { call_items_max: domain::model::CALL_ITEMS_MAX, call_bytes_max: 64 * 1024 * 1024, exclusive: false }
    }
}
