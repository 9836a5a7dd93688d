//! Who waits for a cell is woken by the step that concerns them: the waiting half of a store, kept in the process.
//!
//! A store raises the signal of a cell when it learns of a step, its own or another process's. Whoever waits reads the
//! cell's heights only while nobody follows the cell, and once more before giving up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::{CellName, History, Revision, WorkerId};
use domain::model::CellRow;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::{OrdersWaiting, PortResult, WorkersConcerned};

/// How many orders are remembered by worker; who asks about earlier ones is told that any worker may have some.
const ORDERS_REMEMBERED: usize = 4_096;

/// One signal a cell.
#[derive(Default)]
pub struct Signals(Mutex<BTreeMap<CellName, Arc<Signal>>>);

/// What waiters of one cell look at.
pub struct Signal {
    heights: watch::Sender<Heights>,
    is_followed: AtomicBool,
    orders: Mutex<Orders>,
}

/// How far a cell is, for those who wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heights {
    /// The history that the revisions belong to: those of another are not compared with them.
    pub history: Option<History>,
    /// The last step that wrote.
    pub revision: Revision,
    /// The last that gave the planner something to do.
    pub woken: Revision,
    /// The last that gave a worker something to do.
    pub ordered: Revision,
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
    /// How far the cell's own row said that orders go, when it was last read, and in which history.
    read: Revision,
    history: Option<History>,
}

impl Heights {
    /// How far the cell's row says that it is.
    pub fn of(cell: &CellRow) -> Self {
        Self { history: Some(cell.history), revision: cell.revision, woken: cell.woken, ordered: cell.ordered }
    }

    /// The greater of each; a later history begins anew, maybe lower.
    fn then(self, other: Self) -> Self {
        if self.history != other.history {
            return other;
        }
        Self {
            history: self.history,
            revision: self.revision.max(other.revision),
            woken: self.woken.max(other.woken),
            ordered: self.ordered.max(other.ordered),
        }
    }
}

impl Signals {
    /// The signal of a cell.
    pub fn of(&self, cell: &CellName) -> Arc<Signal> {
        let mut signals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signal) = signals.get(cell) {
            return Arc::clone(signal);
        }
        let signal = Arc::new(Signal::new());
        signals.insert(cell.clone(), Arc::clone(&signal));
        signal
    }

    /// Tells who waits for the cell how far a step brought it, and which workers it gave orders.
    pub fn raise(&self, cell: &CellName, heights: Heights, ordered: Vec<WorkerId>) {
        let signal = self.of(cell);
        let ordered = signal.remember(&heights, ordered);
        signal.reach(Heights { ordered, ..heights });
    }
}

impl Signal {
    fn new() -> Self {
        Self { heights: watch::Sender::default(), is_followed: AtomicBool::new(false), orders: Mutex::default() }
    }

    /// Says whether somebody raises this signal for every step of the cell, whichever process makes it.
    pub fn set_followed(&self, is_followed: bool) {
        self.is_followed.store(is_followed, Ordering::Relaxed);
        // Whoever waits looks again: it may have to read by itself now.
        self.heights.send_modify(|_| {});
    }

    /// Waits until `reached` holds of the cell's heights, at most so long. Reads them by itself every `poll` while nobody
    /// follows the cell, and once at the end.
    pub async fn wait<F>(
        &self,
        at_most: Duration,
        poll: Duration,
        read: impl Fn() -> F,
        reached: impl Fn(&Heights) -> bool,
    ) -> PortResult<Heights>
    where
        F: Future<Output = PortResult<Heights>>,
    {
        let deadline = Instant::now() + at_most;
        let mut heights = self.heights.subscribe();
        loop {
            let is_followed = self.is_followed.load(Ordering::Relaxed);
            let left = deadline.saturating_duration_since(Instant::now());
            if !is_followed || left.is_zero() {
                self.reach_read(read().await?);
            }
            let now = *heights.borrow_and_update();
            let left = deadline.saturating_duration_since(Instant::now());
            if reached(&now) || left.is_zero() {
                return Ok(now);
            }
            let patience = if is_followed { left } else { poll.min(left) };
            // A wait that fails, or runs out, ends with another look.
            let is_over = |now: &Heights| reached(now) || self.is_followed.load(Ordering::Relaxed) != is_followed;
            let _ = timeout(patience, heights.wait_for(is_over)).await;
        }
    }

    /// Who was given orders after `seen`, at heights that a wait ended with.
    pub fn orders_after(&self, seen: Revision, heights: &Heights) -> OrdersWaiting {
        let is_later = heights.ordered > seen;
        let workers = if is_later { self.concerned_since(seen) } else { WorkersConcerned::These(Vec::new()) };
        OrdersWaiting { upto: heights.ordered.max(seen), workers }
    }

    /// Raises the heights to what was read from the cell's row, in which other processes write too.
    pub fn reach_read(&self, heights: Heights) {
        let ordered = {
            let mut orders = self.orders_of(heights.history);
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
            *now = before.then(heights);
            *now != before
        });
    }

    /// Who was given orders after `seen`.
    fn concerned_since(&self, seen: Revision) -> WorkersConcerned {
        let orders = self.orders();
        if seen < orders.floor {
            return WorkersConcerned::All;
        }
        let later = orders.recent.iter().filter(|(stamp, _)| *stamp > seen).map(|(_, worker)| worker.clone());
        let workers: BTreeSet<_> = later.collect();
        WorkersConcerned::These(workers.into_iter().collect())
    }

    /// The orders, once it is known in which history: of another one nothing has been read.
    fn orders_of(&self, history: Option<History>) -> MutexGuard<'_, Orders> {
        let mut orders = self.orders();
        if orders.history != history {
            (orders.history, orders.read) = (history, Revision(0));
        }
        orders
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, heights: &Heights, workers: Vec<WorkerId>) -> Revision {
        let revision = heights.ordered;
        let mut orders = self.orders_of(heights.history);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(history: u64, revision: u64) -> Heights {
        let revision = Revision(revision);
        Heights { history: Some(History::from_random(history)), revision, woken: revision, ordered: revision }
    }

    fn seen(signal: &Signal) -> Heights {
        *signal.heights.borrow()
    }

    #[test]
    fn a_later_history_begins_anew_and_lower() {
        let (signals, cell) = (Signals::default(), CellName::new("main").expect("a name"));
        let signal = signals.of(&cell);
        let worker = WorkerId::new("w1").expect("a name");
        signals.raise(&cell, heights(1, 900), vec![worker.clone()]);
        let before = seen(&signal);
        signals.raise(&cell, heights(2, 500), Vec::new());
        let after = seen(&signal);
        assert_eq!((after.woken, after.ordered), (Revision(500), before.ordered), "nobody was given orders since");
        signals.raise(&cell, heights(2, 501), vec![worker.clone()]);
        let waiting = signal.orders_after(before.ordered, &seen(&signal));
        assert_eq!(waiting.workers, WorkersConcerned::These(vec![worker]));
    }

    #[test]
    fn orders_of_a_later_history_are_seen_when_they_are_read() {
        let (signals, cell) = (Signals::default(), CellName::new("main").expect("a name"));
        let signal = signals.of(&cell);
        signal.reach_read(heights(1, 900));
        let before = seen(&signal);
        signal.reach_read(heights(2, 500));
        let waiting = signal.orders_after(before.ordered, &seen(&signal));
        assert_eq!(waiting.workers, WorkersConcerned::All);
    }
}
