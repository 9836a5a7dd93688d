//! The last number of each worker: in memory, for as long as the store is open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::{CallNumber, CellName, WorkerId};

/// The numbers of one cell.
pub(super) type CellNumbers = BTreeMap<WorkerId, CallNumber>;

/// The numbers of all cells.
#[derive(Default)]
pub(super) struct Numbers(Mutex<BTreeMap<CellName, Arc<CellNumbers>>>);

/// The numbers, while nobody else can read or change them.
pub(super) struct Held<'a>(MutexGuard<'a, BTreeMap<CellName, Arc<CellNumbers>>>);

/// Numbers that a group of steps has accepted, to be kept once its commit is durable.
#[derive(Default)]
pub(super) struct Accepted(BTreeMap<CellName, BTreeMap<WorkerId, Option<CallNumber>>>);

pub(super) fn look_up(numbers: &CellNumbers, worker: &WorkerId) -> CallNumber {
    numbers.get(worker).copied().unwrap_or_default()
}

impl Numbers {
    /// Holds the numbers still: over a commit that changes rows with them, or to take a snapshot of both.
    pub(super) fn hold(&self) -> Held<'_> {
        Held(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held<'_> {
    /// The numbers of a cell as they are now.
    pub(super) fn of(&self, cell: &CellName) -> Arc<CellNumbers> {
        self.0.get(cell).cloned().unwrap_or_default()
    }

    /// The number of one worker as it is now.
    pub(super) fn look_up(&self, cell: &CellName, worker: &WorkerId) -> CallNumber {
        self.0.get(cell).map_or_else(CallNumber::default, |numbers| look_up(numbers, worker))
    }

    /// Keeps what a group has accepted. A reader that has taken the numbers goes on with those that it took.
    pub(super) fn keep(&mut self, accepted: Accepted) {
        for (cell, accepted) in accepted.0 {
            let numbers = Arc::make_mut(self.0.entry(cell).or_default());
            for (worker, number) in accepted {
                match number {
                    Some(number) => drop(numbers.insert(worker, number)),
                    None => drop(numbers.remove(&worker)),
                }
            }
        }
    }
}

impl Accepted {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn accept(&mut self, cell: &CellName, worker: &WorkerId, number: Option<CallNumber>) {
        if !self.0.contains_key(cell) {
            self.0.insert(cell.clone(), BTreeMap::new());
        }
        if let Some(numbers) = self.0.get_mut(cell) {
            numbers.insert(worker.clone(), number);
        }
    }

    /// A worker's number as the group has left it, if the group has touched it; 0 if it has taken it away.
    pub(super) fn look_up(&self, cell: &CellName, worker: &WorkerId) -> Option<CallNumber> {
        self.0.get(cell)?.get(worker).map(|number| number.unwrap_or_default())
    }
}
