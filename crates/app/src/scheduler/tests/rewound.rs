//! A store that starts a new history under a planner.

use domain::model::history;
use ports::rows::{RowStore, RowsOf};

use super::*;

/// A planner that runs on a store of which it has seen all, and then a new history.
async fn rewound() -> (Bench, tokio::sync::watch::Sender<bool>) {
    let store = Arc::new(MemoryStore::new().unwrap());
    let mut bench = Bench::new().await;
    bench.ports = RowPorts::over(Arc::clone(&store));
    bench.add_worker("w", 1_000).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (ports, notes) = (bench.ports.clone(), Arc::new(Notes::default()));
    tokio::spawn(Scheduler::new(ports.clone(), ports, bench.settings.clone(), notes).run(stopped));
    bench.submit(vec![request("before", 500, 0)]).await;
    eventually(async || bench.worker_of("before").await.is_some()).await;
    let rewind = |rows: &RowsOf<'_>| Ok(history::rewind(&rows)?.1);
    store.write(&bench.settings.cell, Box::new(rewind)).await.unwrap();
    (bench, stop)
}

impl Bench {
    /// Waits until a new request is placed on a new worker, for less than settling takes.
    async fn goes_on(&self) {
        self.add_worker("other", 1_000).await;
        self.submit(vec![request("after", 500, 0)]).await;
        eventually(async || self.worker_of("after").await.is_some()).await;
        assert_eq!(self.worker_of("before").await.as_deref(), Some("w"), "its worker has yet to say what it runs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_planner_that_finds_a_new_history_when_it_looks_waits_for_nobody() {
    let (bench, stop) = rewound().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.goes_on().await;
    stop.send(true).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_planner_that_finds_a_new_history_when_it_commits_waits_for_nobody() {
    let (bench, stop) = rewound().await;
    bench.goes_on().await;
    stop.send(true).unwrap();
}
