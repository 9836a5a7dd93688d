//! Which lots to read from: so many of each as now fit, and by turns one request of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use domain::fleet::{Fleet, Policy};
use domain::placement::fitting;
use domain::request::OrderKey;
use domain::wait::{LotKey, LotRow};
use tokio::time::Instant;

/// How often every lot has its turn.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How many lots one sweep reads from.
const LOTS_SWEPT_MAX: usize = 1_000;
/// How many lots are asked between two batches whether they fit.
const LOTS_ASKED_MAX: usize = 250;
/// For how many at most the first in line is read alone where several lots could have the same room. Above that reading a
/// few too many costs less than a batch for each.
const ALONE_MAX: usize = 16;

/// Lots that the next batches read from.
pub(super) struct Refill {
    /// How many of which lot, first come first served.
    wanted: VecDeque<(LotKey, usize)>,
    /// Lots still to be asked how many of them now fit, first in line first.
    unasked: VecDeque<LotKey>,
    /// Whether all are to be asked once more after these.
    again: bool,
    /// Who was first in each lot that counted since all were asked: it is asked again only once that has moved.
    counted: BTreeMap<LotKey, OrderKey>,
    /// Whether the fleet is to be read before lots are asked again: who is first in line was read alone.
    alone: bool,
    swept_at: Instant,
    swept_upto: Option<LotKey>,
}

impl Refill {
    pub(super) fn new() -> Self {
        Self {
            wanted: VecDeque::new(),
            unasked: VecDeque::new(),
            again: false,
            counted: BTreeMap::new(),
            alone: false,
            swept_at: Instant::now(),
            swept_upto: None,
        }
    }

    /// Whether a batch has something to read from, or lots to ask.
    pub(super) fn is_wanted(&self) -> bool {
        self.again || !self.wanted.is_empty() || !self.unasked.is_empty()
    }

    /// Whether the fleet is to be read with the next batch, however young it is: the next in line is known only then.
    pub(super) fn wants_look(&self) -> bool {
        self.alone && self.wanted.is_empty()
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
        let mut lots: Vec<_> = fleet.lots.values().filter(|lot| can_be_left(lot)).collect();
        lots.sort_by_key(|lot| lot.first);
        self.unasked = lots.into_iter().map(|lot| lot.key.clone()).collect();
        self.again = false;
        self.counted.clear();
    }

    /// Asks the next lots how many of them now fit, unless some are still to be read: the fleet does not show what those
    /// will take. If any fit, all that were asked are asked again after the others, when these are placed.
    pub(super) fn ask(&mut self, fleet: &Fleet, policy: &Policy, batch_size_max: usize) {
        if !self.wanted.is_empty() {
            return;
        }
        if self.unasked.is_empty() && self.again {
            self.ask_all(fleet);
        }
        self.alone = false;
        let lots = self.next_unasked(fleet);
        let counts = fitting(fleet, &lots, policy, batch_size_max);
        if let Some(counts) = certain(&lots, &counts) {
            return self.want_in_order(&lots, &counts);
        }
        let is_full = counts.iter().sum::<usize>() == batch_size_max;
        // More may fit of the lot that fills the batch: it goes on with those that were not reached.
        let (asked, not_reached) = lots.split_at(if is_full { counts.len() - 1 } else { counts.len() });
        for lot in not_reached.iter().rev() {
            self.unasked.push_front(lot.key.clone());
        }
        for (lot, count) in lots.iter().zip(counts).filter(|(_, count)| *count > 0) {
            self.counted.insert(lot.key.clone(), lot.first);
            self.wanted.push_back((lot.key.clone(), count));
        }
        if !self.wanted.is_empty() {
            self.unasked.extend(asked.iter().map(|lot| lot.key.clone()));
        }
    }

    /// Wants what is certain to fit, and has all lots asked again once it is placed.
    fn want_in_order(&mut self, lots: &[&LotRow], counts: &[usize]) {
        self.alone = true;
        for (lot, count) in lots.iter().zip(counts).filter(|(_, count)| **count > 0) {
            self.counted.insert(lot.key.clone(), lot.first);
            self.wanted.push_back((lot.key.clone(), *count));
        }
        for lot in lots.iter().rev() {
            self.unasked.push_front(lot.key.clone());
        }
    }

    /// The next lots to ask, by their first as it is now.
    fn next_unasked<'a>(&mut self, fleet: &'a Fleet) -> Vec<&'a LotRow> {
        let next = self.unasked.drain(..self.unasked.len().min(LOTS_ASKED_MAX));
        let mut lots: Vec<_> = next.filter_map(|key| fleet.lots.get(&key)).collect();
        lots.retain(|lot| self.counted.get(&lot.key) != Some(&lot.first));
        lots.sort_by_key(|lot| lot.first);
        lots
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

/// How many of each lot are certain to fit, if that is not all that count. Beyond its first a lot is certain only where no
/// later one counts, whose first may be before its second; and where all of it ask the same, as those of a shape do.
fn certain(lots: &[&LotRow], counts: &[usize]) -> Option<Vec<usize>> {
    let are_alike = |lot: &LotRow| matches!(lot.key, LotKey::Shape(_));
    let open = lots.iter().zip(counts).position(|(lot, count)| *count > usize::from(are_alike(lot)))?;
    let is_last = counts[open + 1..].iter().all(|count| *count == 0);
    let is_all = is_last && (are_alike(lots[open]) || counts[open] == 1);
    let certain = || counts[..open].iter().copied().chain([1]).collect();
    (!is_all && counts.iter().sum::<usize>() <= ALONE_MAX).then(certain)
}

/// The next lots by key.
fn after<'a>(fleet: &'a Fleet, from: Option<&LotKey>) -> Vec<&'a LotRow> {
    use std::ops::Bound::{Excluded, Unbounded};
    let range = fleet.lots.range((from.map_or(Unbounded, Excluded), Unbounded));
    range.map(|(_, lot)| lot).filter(|lot| can_be_left(lot)).take(LOTS_SWEPT_MAX).collect()
}

/// Whether a plan can take a request out of the lot.
fn can_be_left(lot: &LotRow) -> bool {
    lot.ask.is_some() && lot.key != LotKey::Stop
}
