//! Which lots to read from: those that could now fit, and by turns one request of each.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::fleet::{Fleet, Policy};
use domain::id::{Attempt, ContainerId};
use domain::placement::{Candidate, Verdict, plan};
use domain::request::{IfSilent, OrderKey};
use domain::wait::{LotKey, LotRow};
use tokio::time::Instant;

/// How often every lot has its turn.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How many lots one sweep reads from.
const LOTS_SWEPT_MAX: usize = 1_000;
/// How many lots are asked between two batches whether they fit.
const LOTS_ASKED_MAX: usize = 250;

/// Lots that the next batches read from.
pub(super) struct Refill {
    /// How many of which lot, first come first served.
    wanted: VecDeque<(LotKey, usize)>,
    /// Lots still to be asked whether their first request could now go somewhere, first in line first.
    unasked: VecDeque<LotKey>,
    /// Whether all are to be asked once more after these.
    again: bool,
    /// The lot that is read from in bites, and who was first in it at the last one: it goes on only while that moves.
    bitten: Option<(LotKey, OrderKey)>,
    swept_at: Instant,
    swept_upto: Option<LotKey>,
}

impl Refill {
    pub(super) fn new() -> Self {
        Self {
            wanted: VecDeque::new(),
            unasked: VecDeque::new(),
            again: false,
            bitten: None,
            swept_at: Instant::now(),
            swept_upto: None,
        }
    }

    /// Whether a batch has something to read from, or lots to ask.
    pub(super) fn is_wanted(&self) -> bool {
        self.again || !self.wanted.is_empty() || !self.unasked.is_empty()
    }

    /// What the next batch reads from the lots: so many requests at most.
    pub(super) fn take(&mut self, requests_max: usize) -> Vec<(LotKey, usize)> {
        let (mut taken, mut left) = (Vec::new(), requests_max);
        while left > 0
            && let Some((lot, count)) = self.wanted.pop_front()
        {
            let now = count.min(left);
            left -= now;
            if count > now {
                self.wanted.push_front((lot.clone(), count - now));
            }
            taken.push((lot, now));
        }
        taken
    }

    /// Wants one request of a lot that was read and left out.
    pub(super) fn put_back(&mut self, lot: LotKey) {
        match self.wanted.iter_mut().find(|(wanted, _)| *wanted == lot) {
            Some((_, count)) => *count += 1,
            None => self.wanted.push_front((lot, 1)),
        }
    }

    /// Has every lot asked, first in line first; once more after this time if they are being asked already, so that
    /// those at the end have their turn however often room becomes free.
    pub(super) fn ask_all(&mut self, fleet: &Fleet) {
        if !self.unasked.is_empty() {
            self.again = true;
            return;
        }
        let mut lots: Vec<_> = fleet.lots.values().filter(|lot| lot.ask.is_some()).collect();
        lots.sort_by_key(|lot| lot.first);
        self.unasked = lots.into_iter().map(|lot| lot.key.clone()).collect();
        (self.again, self.bitten) = (false, None);
    }

    /// Asks the next lots whether their first request could go somewhere, and wants so many of those as a batch holds. A
    /// lot of which more wait stays the next to be asked.
    pub(super) fn ask(&mut self, fleet: &Fleet, policy: &Policy, batch_size_max: usize) {
        if self.unasked.is_empty() && self.again {
            self.ask_all(fleet);
        }
        let mut left = batch_size_max.saturating_sub(self.wanted.iter().map(|(_, count)| count).sum());
        for _ in 0..LOTS_ASKED_MAX {
            if left == 0 {
                return;
            }
            let Some(key) = self.unasked.pop_front() else {
                return;
            };
            if self.wanted.iter().any(|(wanted, _)| *wanted == key) {
                // It is still to be read, and asked after that.
                self.unasked.push_front(key);
                return;
            }
            let Some(lot) = fleet.lots.get(&key) else { continue };
            let bite = Some((key.clone(), lot.first));
            if self.bitten == bite || !moves(fleet, lot, policy) {
                continue;
            }
            let all = usize::try_from(lot.count).unwrap_or(usize::MAX);
            let count = all.min(left);
            left -= count;
            self.wanted.push_back((key.clone(), count));
            if all > count {
                self.unasked.push_front(key);
                self.bitten = bite;
                return;
            }
        }
    }

    /// How long until the next sweep.
    pub(super) fn until_sweep(&self) -> Duration {
        SWEEP_EVERY.saturating_sub(self.swept_at.elapsed())
    }

    /// Once every few seconds, wants one request of each lot by turns: what a missed change would leave stuck.
    pub(super) fn sweep_when_due(&mut self, fleet: &Fleet) {
        if !self.until_sweep().is_zero() {
            return;
        }
        self.swept_at = Instant::now();
        let swept: Vec<_> = after(fleet, self.swept_upto.as_ref()).into_iter().map(|lot| lot.key.clone()).collect();
        self.swept_upto = if swept.len() == LOTS_SWEPT_MAX { swept.last().cloned() } else { None };
        let wanted: BTreeSet<_> = self.wanted.iter().map(|(lot, _)| lot.clone()).collect();
        self.wanted.extend(swept.into_iter().filter(|lot| !wanted.contains(lot)).map(|lot| (lot, 1)));
    }
}

/// The next lots by key that a request can leave.
fn after<'a>(fleet: &'a Fleet, from: Option<&LotKey>) -> Vec<&'a LotRow> {
    use std::ops::Bound::{Excluded, Unbounded};
    let range = fleet.lots.range((from.map_or(Unbounded, Excluded), Unbounded));
    range.map(|(_, lot)| lot).filter(|lot| lot.ask.is_some() && lot.key != LotKey::Stop).take(LOTS_SWEPT_MAX).collect()
}

/// Whether a plan of the lot's first request would take it anywhere else.
fn moves(fleet: &Fleet, lot: &LotRow, policy: &Policy) -> bool {
    let (Some(ask), Ok(id)) = (&lot.ask, ContainerId::new("first-of-lot")) else {
        return false;
    };
    let lot_key = Some(lot.key.clone());
    let if_silent = if lot.key == LotKey::Keep { IfSilent::Keep } else { IfSilent::Stop };
    let first = Candidate { id, key: lot.first, attempt: Attempt(0), ask: Arc::clone(ask), if_silent, lot: lot_key };
    match plan(fleet, &[first], policy).pop() {
        Some(Verdict::Place { .. }) => true,
        Some(Verdict::Wait { lot: to, .. }) => to != lot.key,
        None => false,
    }
}
