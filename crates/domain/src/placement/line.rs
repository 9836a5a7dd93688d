//! Who is ahead of whom: nobody overtakes those ahead in its own lot.

use std::collections::BTreeMap;

use super::{Candidate, Wait};
use crate::request::OrderKey;
use crate::wait::{LotKey, LotRow, Why};

/// The lots as a plan sees them: those that wait already, and those that it sends there.
#[derive(Clone)]
pub(super) struct Lines<'a> {
    lots: &'a BTreeMap<LotKey, LotRow>,
    /// How many of each lot are in the batch.
    read: BTreeMap<&'a LotKey, u64>,
    /// How many of the batch wait in each lot by now. Candidates come by key, so all of these are ahead of the next.
    waiting: BTreeMap<LotKey, u64>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(lots: &'a BTreeMap<LotKey, LotRow>, batch: &'a [Candidate]) -> Self {
        let mut read = BTreeMap::new();
        for lot in batch.iter().filter_map(|candidate| candidate.lot.as_ref()) {
            *read.entry(lot).or_default() += 1;
        }
        Self { lots, read, waiting: BTreeMap::new() }
    }

    /// Whether nobody waits anywhere.
    pub(super) fn are_empty(&self) -> bool {
        self.lots.is_empty() && self.waiting.is_empty()
    }

    /// Notes that one more waits in `lot`.
    pub(super) fn join(&mut self, lot: &LotKey) {
        *self.waiting.entry(lot.clone()).or_default() += 1;
    }

    /// Sends a candidate into `lot` if others of it are ahead.
    pub(super) fn check(&self, candidate: &Candidate, lot: &LotKey) -> Result<(), Wait> {
        match self.ahead(candidate, lot) {
            0 => Ok(()),
            ahead => Err(Wait { lot: lot.clone(), why: Why::Behind(ahead) }),
        }
    }

    /// How many of `lot` are ahead of a candidate that stands in it, or would: who was read from another lot stands
    /// only there.
    fn ahead(&self, candidate: &Candidate, lot: &LotKey) -> u64 {
        let waiting = self.waiting.get(lot).copied().unwrap_or(0);
        match &candidate.lot {
            // A lot is read from its front, so what was not read of it comes later.
            Some(own) if own == lot => waiting,
            Some(_) => 0,
            None => waiting + self.unread_before(candidate.key, lot),
        }
    }

    /// How many of `lot` are not in the batch, if any of them may be ahead of `key`: the first of the lot is all that
    /// is known of their keys.
    fn unread_before(&self, key: OrderKey, lot: &LotKey) -> u64 {
        let read = self.read.get(lot).copied().unwrap_or(0);
        self.lots.get(lot).filter(|row| row.first < key).map_or(0, |row| row.count.saturating_sub(read))
    }
}
