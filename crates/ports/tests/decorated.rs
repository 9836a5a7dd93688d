//! Ports with something around them keep every clause too, and `Retried` says it again as often as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::id::CellName;
use domain::model::backlog::Depth;
use domain::retry::Backoff;
use ports::around::{Answering, Around, Retried, wrap};
use ports::conformance::{Faulty, Harness};
use ports::rows::{MemoryStore, RowPorts};
use ports::{PortError, PortResult, Ports};

fn memory() -> Ports {
    RowPorts::over(MemoryStore::new().expect("memory is there"))
}

fn retried(ports: &Ports, repeats: u32) -> Ports {
    let backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(4) };
    Retried { backoff, repeats, seed: 1 }.over(ports)
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

/// Asks the ports for something.
fn ask(ports: &Ports) -> PortResult<Depth> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(ports.backlog.depth(&CellName::new("main").expect("a name")))
}

fn calls_of(error: fn() -> PortError) -> u32 {
    let calls = Arc::new(AtomicU32::new(0));
    let dead = wrap(&memory(), Dead { calls: Arc::clone(&calls), error });
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
