//! What the HTTP surface asks of the process's planner.

use std::sync::Arc;
use std::time::Duration;

use domain::fleet::{Fleet, Policy};
use domain::id::{Incarnation, PlannerId, WorkerId};
use domain::model::workers::SeenSilent;

use crate::api::about::StoreDocument;
use crate::api::pools::PoolStatus;

/// The fleet as this process's planner saw it last.
pub trait Explain: Send + Sync {
    /// The fleet; none if this process does not plan the cell, or has not looked yet.
    fn fleet(&self) -> Option<Arc<Fleet>>;

    /// Its pools; none if this process does not plan the cell, or has not looked yet.
    fn pools(&self) -> Option<Vec<PoolStatus>>;

    /// The policy that its plans follow.
    fn policy(&self) -> Arc<Policy>;

    /// How long this run of a worker has been silent, as far as it was watched, and what stood still meanwhile.
    fn silence_of(&self, worker: &WorkerId, run: Incarnation) -> Option<(Duration, SeenSilent)>;

    /// Where the cell is kept: what it may lose, and what would change that.
    fn store(&self) -> StoreDocument;

    /// Whether this process plans the cell.
    fn plans(&self) -> bool;

    /// Who planned the cell when this process asked for it last; none if itself does.
    fn planned_by(&self) -> Option<PlannerId>;

    /// Why no batch can be committed now; none if one can.
    fn trouble(&self) -> Option<String>;
}
