//! For each affinity that was asked for, the workers that stand first for it.
//!
//! To find them takes a look at every worker, so they are remembered until a worker comes or goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fleet::Fleet;
use crate::strategy::affinity::Affinity;

/// How many affinities are remembered; beyond, all are forgotten.
const KEYS_MAX: usize = 1024;
/// How many workers of each. If one in a hundred has room, one of these has in all but one of a hundred cases.
const WORKERS_MAX: usize = 512;

/// The first workers of each affinity, by their places in the fleet.
#[derive(Debug, Default)]
pub(in crate::placement) struct Gatherings(Mutex<BTreeMap<Arc<str>, Arc<[usize]>>>);

impl Clone for Gatherings {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

impl Gatherings {
    /// The workers that stand first for `key`, the first before the others.
    pub(in crate::placement) fn first(&self, key: &Arc<str>, fleet: &Fleet) -> Arc<[usize]> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEYS_MAX && !known.contains_key(key) {
            known.clear();
        }
        Arc::clone(known.entry(Arc::clone(key)).or_insert_with(|| first(&Affinity::of(key), fleet)))
    }

    pub(super) fn forget(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn first(affinity: &Affinity, fleet: &Fleet) -> Arc<[usize]> {
    let weights = fleet.workers().iter().enumerate().map(|(place, worker)| (affinity.weight(&worker.id), place));
    let mut order: Vec<(u128, usize)> = weights.collect();
    let highest_first = |a: &(u128, usize), b: &(u128, usize)| b.0.cmp(&a.0);
    if order.len() > WORKERS_MAX {
        order.select_nth_unstable_by(WORKERS_MAX, highest_first);
        order.truncate(WORKERS_MAX);
    }
    order.sort_unstable_by(highest_first);
    order.into_iter().map(|(_, place)| place).collect()
}
