//! Whoever waits is woken by what was written, also if the writer did not stay to hear of it.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::id::{CellName, ContainerId, Revision, Workspace};
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::time::Timestamp;
use ports::rows::{MemoryStore, ReadStep, RowPorts, RowStore, WriteStep};
use ports::{Limits, PortResult};
use tokio::time::{sleep, timeout};

/// Writes at once, and says so later.
struct SlowToAnswer(MemoryStore);

#[async_trait]
impl RowStore for SlowToAnswer {
    async fn write(&self, cell: &CellName, step: WriteStep) -> PortResult<()> {
        self.0.write(cell, step).await?;
        sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    async fn read(&self, cell: &CellName, step: ReadStep) -> PortResult<()> {
        self.0.read(cell, step).await
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }
}

fn request() -> Submission {
    let ask = Ask::plain(Workspace::new("default").expect("a name"), 1, 1);
    let body = Body { command: vec!["true".to_owned()], ..Body::default() };
    Submission::new(ContainerId::new("a").expect("a name"), ask, body, IfSilent::Stop)
}

#[test]
fn a_write_whose_caller_left_wakes_those_who_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let ports = RowPorts::over(SlowToAnswer(MemoryStore::new().unwrap()));
        let cell = CellName::new("main").unwrap();
        ports.backlog.depth(&cell).await.unwrap();
        let (backlog, cell_waited) = (ports.backlog.clone(), cell.clone());
        let waiting =
            tokio::spawn(async move { backlog.wait(&cell_waited, Revision(0), Duration::from_secs(30)).await });
        sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        let submit = ports.backlog.submit(&cell, Timestamp(1), vec![request()]);
        assert!(timeout(Duration::from_millis(5), submit).await.is_err(), "the caller leaves before the answer");
        waiting.await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "woken after {:?}", began.elapsed());
    });
}
