//! Which lots to read from: those that could now fit, and by turns one request of each.

use std::time::Duration;

use domain::fleet::{Fleet, Policy};
use domain::id::{Attempt, ContainerId};
use domain::placement::{Candidate, Verdict, plan};
use domain::wait::{LotKey, LotRow};
use std::sync::Arc;
use tokio::time::Instant;

/// How often every lot has its turn.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How many lots one sweep, or one look for what now fits, asks.
const LOTS_MAX: usize = 1_000;

/// Lots that the next batch reads from.
pub(super) struct Refill {
    wanted: Vec<(LotKey, usize)>,
    swept_at: Instant,
    swept_upto: Option<LotKey>,
    fitted_upto: Option<LotKey>,
}

impl Refill {
    pub(super) fn new() -> Self {
        Self { wanted: Vec::new(), swept_at: Instant::now(), swept_upto: None, fitted_upto: None }
    }

    /// Whether a batch has something to read from.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// What the next batch reads from the lots.
    pub(super) fn take(&mut self) -> Vec<(LotKey, usize)> {
        std::mem::take(&mut self.wanted)
    }

    /// How long until the next sweep.
    pub(super) fn until_sweep(&self) -> Duration {
        SWEEP_EVERY.saturating_sub(self.swept_at.elapsed())
    }

    /// Asks each lot whether its first request could now go somewhere, and wants so many of those as one batch holds.
    pub(super) fn want_what_fits(&mut self, fleet: &Fleet, policy: &Policy, batch_size_max: usize) {
        let mut left = batch_size_max;
        let asked = after(fleet, self.fitted_upto.as_ref());
        self.fitted_upto = if asked.len() == LOTS_MAX { asked.last().map(|lot| lot.key.clone()) } else { None };
        for lot in asked {
            if left == 0 {
                self.fitted_upto = Some(lot.key.clone());
                return;
            }
            if moves(fleet, lot, policy) {
                let count = usize::try_from(lot.count).unwrap_or(left).min(left);
                left -= count;
                self.want(lot.key.clone(), count);
            }
        }
    }

    /// Once every few seconds, wants one request of each lot by turns: what a missed change would leave stuck.
    pub(super) fn sweep_when_due(&mut self, fleet: &Fleet) {
        if !self.until_sweep().is_zero() {
            return;
        }
        self.swept_at = Instant::now();
        let swept: Vec<_> = after(fleet, self.swept_upto.as_ref()).into_iter().map(|lot| lot.key.clone()).collect();
        self.swept_upto = if swept.len() == LOTS_MAX { swept.last().cloned() } else { None };
        for key in swept {
            self.want(key, 1);
        }
    }

    fn want(&mut self, key: LotKey, count: usize) {
        if !self.wanted.iter().any(|(wanted, _)| *wanted == key) {
            self.wanted.push((key, count));
        }
    }
}

/// The next lots by key that a request can leave.
fn after<'a>(fleet: &'a Fleet, from: Option<&LotKey>) -> Vec<&'a LotRow> {
    use std::ops::Bound::{Excluded, Unbounded};
    let range = fleet.lots.range((from.map_or(Unbounded, Excluded), Unbounded));
    range.map(|(_, lot)| lot).filter(|lot| lot.ask.is_some()).take(LOTS_MAX).collect()
}

/// Whether a plan of the lot's first request would take it anywhere else.
fn moves(fleet: &Fleet, lot: &LotRow, policy: &Policy) -> bool {
    let (Some(ask), Ok(id)) = (&lot.ask, ContainerId::new("first-of-lot")) else {
        return false;
    };
    let lot_key = Some(lot.key.clone());
    let first = Candidate { id, key: lot.first, attempt: Attempt(0), ask: Arc::clone(ask), lot: lot_key };
    match plan(fleet, &[first], policy).pop() {
        Some(Verdict::Place { .. }) => true,
        Some(Verdict::Wait { lot: to, .. }) => to != lot.key,
        None => false,
    }
}
