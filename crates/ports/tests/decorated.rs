//! Ports with something around them keep every clause too, and `Retried` says it again as often as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::id::{CellName, Revision};
use domain::model::backlog::Depth;
use domain::retry::Backoff;
use ports::around::{Answering, Around, Retried, WAITS, counting_repeats, wrap};
use ports::conformance::{Faulty, Harness};
use ports::rows::{MemoryStore, RowPorts};
use ports::{PortError, PortResult, Ports};

fn memory() -> Ports {
    RowPorts::over(MemoryStore::new().expect("memory is there"))
}

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(4) };

fn retried(ports: &Ports, repeats: u32) -> Ports {
    Retried { backoff: BACKOFF, repeats, within: Duration::MAX, once: &[], seed: 1 }.over(ports)
}

/// The memory store, which never fails, under `Retried`.
struct Patient(Ports);

impl Harness for Patient {
    async fn open() -> Self {
        Self(retried(&memory(), 3))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }
}

mod retried_alone {
    ports::conformance!(super::Patient);
}

/// The memory store, away every so often, under `Retried`.
struct Mended(Ports);

impl Harness for Mended {
    async fn open() -> Self {
        Self(retried(&Faulty::over(&memory(), 7), 30))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }
}

mod retried_over_faulty {
    ports::conformance!(super::Mended);
}

/// Counts the calls, and answers none of them.
struct Dead {
    calls: Arc<AtomicU32>,
    error: fn() -> PortError,
}

impl Around for Dead {
    async fn around<'a, T: Send + 'static>(
        &'a self,
        _operation: &'static str,
        _call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> PortResult<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Err((self.error)())
    }
}

fn cell() -> CellName {
    CellName::new("main").expect("a name")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

/// Asks the ports for something.
fn ask(ports: &Ports) -> PortResult<Depth> {
    block_on(ports.backlog.depth(&cell()))
}

/// The ports of a store that is dead, and how often it was called.
fn dead(error: fn() -> PortError) -> (Ports, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    (wrap(&memory(), Dead { calls: Arc::clone(&calls), error }), calls)
}

fn calls_of(error: fn() -> PortError) -> u32 {
    let (dead, calls) = dead(error);
    ask(&retried(&dead, 5)).expect_err("it is dead");
    calls.load(Ordering::Relaxed)
}

#[test]
fn only_a_store_that_is_away_is_asked_again_and_not_for_ever() {
    assert_eq!(calls_of(|| PortError::unavailable("away")), 6);
    assert_eq!(calls_of(|| PortError::StaleTerm), 1);
    assert_eq!(calls_of(|| PortError::Rewound), 1);
    assert_eq!(calls_of(|| PortError::corrupt("a row", "torn")), 1);
}

#[test]
fn who_does_not_repeat_sees_the_faults() {
    let faulty = Faulty::over(&memory(), 7);
    let away = (0..100).filter(|_| ask(&faulty).is_err()).count();
    assert!((10..50).contains(&away), "{away} of 100");
}

#[test]
fn no_repeat_begins_when_the_time_is_up() {
    let (dead, calls) = dead(|| PortError::unavailable("away"));
    let within = Duration::from_millis(50);
    let retried = Retried { backoff: BACKOFF, repeats: u32::MAX, within, once: &[], seed: 1 }.over(&dead);
    block_on(async {
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        retried.backlog.depth(&cell()).await.expect_err("dead");
        assert!(began.elapsed() <= within, "{:?}", began.elapsed());
    });
    // Each pause is 2 to 4 ms, but for the first two.
    let calls = calls.load(Ordering::Relaxed);
    assert!((12..=28).contains(&calls), "{calls} calls");
}

#[test]
fn what_is_tried_once_is_not_repeated() {
    let (dead, calls) = dead(|| PortError::unavailable("away"));
    let retried = Retried { backoff: BACKOFF, repeats: 5, within: Duration::MAX, once: WAITS, seed: 1 }.over(&dead);
    block_on(retried.backlog.wait(&cell(), Revision(0), Duration::ZERO)).expect_err("dead");
    block_on(retried.placements.wait(&cell(), Revision(0), Duration::ZERO)).expect_err("dead");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    ask(&retried).expect_err("dead");
    assert_eq!(calls.load(Ordering::Relaxed), 8);
}

#[test]
fn who_asks_is_told_how_often_it_was_said_again() {
    let (dead, _) = dead(|| PortError::unavailable("away"));
    let retried_five = retried(&dead, 5);
    block_on(async {
        let cell = cell();
        let ask = || async { retried_five.backlog.depth(&cell).await.is_ok() };
        assert_eq!(counting_repeats(ask()).await, (false, 5));
        assert!(!ask().await, "nobody counts");
        assert_eq!(counting_repeats(async { (ask().await, ask().await) }).await, ((false, false), 10));
        assert_eq!(counting_repeats(retried(&memory(), 5).backlog.depth(&cell)).await.1, 0);
    });
}
