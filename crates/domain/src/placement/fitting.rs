//! How many of those who wait in lots now fit, before any of them is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Candidate, Draft, Verdict};
use crate::fleet::{Fleet, Policy};
use crate::id::{Attempt, ContainerId};
use crate::request::IfSilent;
use crate::wait::{LotKey, LotRow};

/// How many requests to read from each of these lots, to place those whom a plan of all who wait there would place now.
///
/// The lots come by the key of their first. The answer ends with the lot that makes it `requests_max`.
///
/// A lot counts for as many as fit beside the firsts of the lots before it. Who else is ahead is known only once they are
/// read: the second of one lot may stand before the first of another, or after it. So a lot alone counts for exactly what
/// fits, and a later lot for nothing where the firsts before it leave no room. Where several could have the same room,
/// each counts for its part, and the plan of what was read gives the room to the first in line.
///
/// Too few may count where those of a lot ask differently (only those of a shape ask the same), where affinity sends one
/// to another worker than the first, and where a first that counted finds its room taken. So lots are to be asked again
/// once what was read of them is committed, until none counts: then no room is left that one of them could have.
///
/// A lot whose first would wait in another one counts for that first, which hides those behind it who ask differently;
/// behind the first of a shape all ask the same.
pub fn fitting(fleet: &Fleet, lots: &[&LotRow], policy: &Policy, requests_max: usize) -> Vec<usize> {
    let mut firsts = Draft::new(fleet, &[], policy);
    let mut left = requests_max;
    let mut counts = Vec::with_capacity(lots.len());
    for lot in lots {
        if left == 0 {
            break;
        }
        let most = usize::try_from(lot.count).unwrap_or(usize::MAX).min(left);
        let count = first_of(lot).map_or(0, |first| firsts.count(&first, &lot.key, most));
        left -= count;
        counts.push(count);
    }
    counts
}

impl Draft<'_> {
    /// How many like the first of `lot` a plan would now take out of it, at most so many. Only that first stays booked.
    fn count(&mut self, first: &Candidate, lot: &LotKey, most: usize) -> usize {
        match self.decide(first) {
            Verdict::Wait { lot: to, .. } => usize::from(to != *lot && !matches!(lot, LotKey::Shape(_))),
            Verdict::Place { .. } if most > 1 => {
                let (overlay, lines) = (self.overlay.clone(), self.lines.clone());
                let mut rest = Draft { overlay, lines, no_room: BTreeMap::new(), ..*self };
                1 + (1..most).take_while(|_| rest.place(first).is_ok()).count()
            }
            Verdict::Place { .. } => 1,
        }
    }
}

/// Stands for whoever is first in the lot; nothing is known of a row that cannot be decoded.
fn first_of(lot: &LotRow) -> Option<Candidate> {
    let id = ContainerId::new("first-of-lot").ok()?;
    let ask = Arc::clone(lot.ask.as_ref()?);
    let if_silent = if lot.key == LotKey::Keep { IfSilent::Keep } else { IfSilent::Stop };
    Some(Candidate { id, key: lot.first, attempt: Attempt(0), ask, if_silent, lot: Some(lot.key.clone()) })
}
