//! Long polls for orders: a worker registers its interest, then takes, then waits here. One task a process follows the
//! cell and wakes the workers concerned, however many wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::{Revision, WorkerId};
use domain::retry::Backoff;
use ports::{OrdersWaiting, WorkersConcerned};
use tokio::sync::watch;

use super::room::Room;

/// How long one wait for orders of any worker lasts.
const WAIT: Duration = Duration::from_secs(10);
/// How long to leave a store alone that fails to answer.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(2) };
/// How many workers may wait at once. One more is answered without waiting.
const WAITING_MAX: usize = 100_000;

/// Who waits for orders.
#[derive(Default)]
pub(super) struct Orders(Mutex<BTreeMap<WorkerId, watch::Sender<()>>>);

/// One call that waits for a worker's orders.
pub(super) struct Interest<'a> {
    orders: &'a Orders,
    worker: WorkerId,
    woken: watch::Receiver<()>,
}

impl Orders {
    /// Registers interest in a worker's orders: what comes from now on is not missed. None if too many wait.
    pub(super) fn of(&self, worker: &WorkerId) -> Option<Interest<'_>> {
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(worker) {
            return None;
        }
        let woken = waiting.entry(worker.clone()).or_default().subscribe();
        Some(Interest { orders: self, worker: worker.clone(), woken })
    }

    /// Wakes those who wait for the orders of these workers.
    pub(super) fn wake(&self, concerned: &WorkersConcerned) {
        let waiting = self.waiting();
        match concerned {
            WorkersConcerned::All => waiting.values().for_each(|worker| worker.send_replace(())),
            WorkersConcerned::These(workers) => {
                workers.iter().filter_map(|worker| waiting.get(worker)).for_each(|worker| worker.send_replace(()));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<WorkerId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interest<'_> {
    /// Comes back when the worker may have orders.
    pub(super) async fn woken(&mut self) {
        // The sender stays while anybody is interested.
        let _ = self.woken.changed().await;
    }
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        let mut waiting = self.orders.waiting();
        if waiting.get(&self.worker).is_some_and(|worker| worker.receiver_count() <= 1) {
            waiting.remove(&self.worker);
        }
    }
}

/// Follows the cell and wakes who waits, for ever.
pub(super) async fn watch(room: Arc<Room>) {
    let mut seen = Revision(0);
    let mut failures = 0;
    loop {
        match room.ports.placements.wait(&room.cell, seen, WAIT).await {
            Ok(OrdersWaiting { upto, workers }) => {
                (seen, failures) = (upto, 0);
                room.orders.wake(&workers);
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(error = &error as &dyn std::error::Error, failures, "cannot wait for workers' orders");
                // What the store counted from may be gone.
                seen = Revision(0);
                tokio::time::sleep(BACKOFF.delay(failures, 0)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: usize) -> WorkerId {
        WorkerId::new(&format!("w{number}")).unwrap()
    }

    #[tokio::test]
    async fn an_order_between_the_interest_and_the_wait_is_not_missed() {
        let orders = Orders::default();
        let mut interest = orders.of(&worker(1)).unwrap();
        orders.wake(&WorkersConcerned::These(vec![worker(1)]));
        tokio::time::timeout(Duration::from_secs(1), interest.woken()).await.unwrap();
    }

    #[tokio::test]
    async fn who_is_not_concerned_sleeps_on_and_nothing_stays_behind() {
        let orders = Orders::default();
        let (mut mine, mut mine_too, mut other) =
            (orders.of(&worker(1)).unwrap(), orders.of(&worker(1)).unwrap(), orders.of(&worker(2)).unwrap());
        orders.wake(&WorkersConcerned::These(vec![worker(1), worker(3)]));
        mine.woken().await;
        mine_too.woken().await;
        assert!(tokio::time::timeout(Duration::from_millis(20), other.woken()).await.is_err());
        drop((mine, other));
        assert_eq!(orders.waiting().len(), 1);
        drop(mine_too);
        assert_eq!(orders.waiting().len(), 0);
    }

    #[tokio::test]
    async fn ten_thousand_wait_and_each_is_woken_once() {
        let orders = Arc::new(Orders::default());
        let (ready, mut all_ready) = tokio::sync::mpsc::unbounded_channel();
        let polls: Vec<_> = (0..10_000)
            .map(|number| {
                let (orders, ready) = (Arc::clone(&orders), ready.clone());
                tokio::spawn(async move {
                    let mut interest = orders.of(&worker(number)).unwrap();
                    ready.send(()).unwrap();
                    interest.woken().await;
                })
            })
            .collect();
        for _ in 0..10_000 {
            all_ready.recv().await.unwrap();
        }
        orders.wake(&WorkersConcerned::These((0..10_000).map(worker).collect()));
        for poll in polls {
            poll.await.unwrap();
        }
        assert_eq!(orders.waiting().len(), 0);
    }
}
