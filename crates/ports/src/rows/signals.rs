//! Who waits for a cell is woken by the step that concerns them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::{CellName, Revision, WorkerId};
use domain::model::{CellRow, Change};
use tokio::sync::watch;

use crate::WorkersConcerned;

/// How many orders are remembered by worker; who asks about earlier ones is told that any worker may have some.
const ORDERS_REMEMBERED: usize = 4_096;

/// One signal a cell.
#[derive(Default)]
pub(super) struct Signals(Mutex<BTreeMap<CellName, Arc<Signal>>>);

/// What waiters of one cell look at.
pub(super) struct Signal {
    heights: watch::Sender<Heights>,
    orders: Mutex<Orders>,
}

/// How far a cell is, for those who wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heights {
    pub(super) revision: Revision,
    pub(super) woken: Revision,
    pub(super) ordered: Revision,
}

/// Who was given orders, by stamps of our own: a step may be told of after a later one, and who waits for its order must
/// not be passed over for that.
#[derive(Default)]
struct Orders {
    recent: VecDeque<(Revision, WorkerId)>,
    /// The last stamp given out; at least the revision of the order.
    stamp: Revision,
    /// Orders at or before this stamp are not remembered by name.
    floor: Revision,
    /// How far the cell's own row said that orders go, when it was last read.
    read: Revision,
}

/// What a step means to those who wait.
pub(super) struct Effect {
    heights: Option<Heights>,
    ordered: Vec<WorkerId>,
}

impl Effect {
    /// Reads it off the step's changes.
    pub(super) fn of(changes: &[Change]) -> Self {
        let cell = changes.iter().find_map(|change| match change {
            Change::Cell(row) => Some(row),
            _ => None,
        });
        let Some(cell) = cell else {
            return Self { heights: None, ordered: Vec::new() };
        };
        let ordered = changes.iter().filter_map(|change| match change {
            Change::Container(replace) => replace.after.as_ref()?.state.placement(),
            _ => None,
        });
        let ordered = ordered.filter(|place| place.order == cell.revision).map(|place| place.worker.clone());
        let mut ordered: Vec<_> = ordered.collect();
        ordered.sort();
        ordered.dedup();
        Self { heights: Some(Heights::of(cell)), ordered }
    }
}

impl Heights {
    /// How far the cell's row says that it is.
    pub(super) fn of(cell: &CellRow) -> Self {
        Self { revision: cell.revision, woken: cell.woken, ordered: cell.ordered }
    }

    fn max(self, other: Self) -> Self {
        Self {
            revision: self.revision.max(other.revision),
            woken: self.woken.max(other.woken),
            ordered: self.ordered.max(other.ordered),
        }
    }
}

impl Signals {
    /// The signal of a cell.
    pub(super) fn of(&self, cell: &CellName) -> Arc<Signal> {
        let mut signals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signal) = signals.get(cell) {
            return Arc::clone(signal);
        }
        let signal = Arc::new(Signal { heights: watch::Sender::default(), orders: Mutex::default() });
        signals.insert(cell.clone(), Arc::clone(&signal));
        signal
    }

    /// Tells who waits for the cell what a step did.
    pub(super) fn raise(&self, cell: &CellName, effect: Effect) {
        if let Some(heights) = effect.heights {
            let signal = self.of(cell);
            let ordered = signal.remember(heights.ordered, effect.ordered);
            signal.reach(Heights { ordered, ..heights });
        }
    }
}

impl Signal {
    /// Raises the heights to what was read from the cell's row, in which other processes write too.
    pub(super) fn reach_read(&self, heights: Heights) {
        let ordered = {
            let mut orders = self.orders();
            if heights.ordered > orders.read {
                orders.read = heights.ordered;
                orders.stamp = heights.ordered.max(orders.stamp.next());
                orders.floor = orders.stamp;
            }
            orders.stamp
        };
        self.reach(Heights { ordered, ..heights });
    }

    fn reach(&self, heights: Heights) {
        self.heights.send_if_modified(|now| {
            let before = *now;
            *now = before.max(heights);
            *now != before
        });
    }

    /// Says on the channel's other end when a height moves.
    pub(super) fn subscribe(&self) -> watch::Receiver<Heights> {
        self.heights.subscribe()
    }

    /// Who was given orders after `seen`.
    pub(super) fn concerned_since(&self, seen: Revision) -> WorkersConcerned {
        let orders = self.orders();
        if seen < orders.floor {
            return WorkersConcerned::All;
        }
        let later = orders.recent.iter().filter(|(stamp, _)| *stamp > seen).map(|(_, worker)| worker.clone());
        let workers: BTreeSet<_> = later.collect();
        WorkersConcerned::These(workers.into_iter().collect())
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, revision: Revision, workers: Vec<WorkerId>) -> Revision {
        let mut orders = self.orders();
        if workers.is_empty() {
            return orders.stamp;
        }
        let stamp = revision.max(orders.stamp.next());
        orders.stamp = stamp;
        orders.read = orders.read.max(revision);
        orders.recent.extend(workers.into_iter().map(|worker| (stamp, worker)));
        while orders.recent.len() > ORDERS_REMEMBERED {
            if let Some((stamp, _)) = orders.recent.pop_front() {
                orders.floor = orders.floor.max(stamp);
            }
        }
        stamp
    }
}
