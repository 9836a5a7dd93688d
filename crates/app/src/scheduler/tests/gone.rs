//! Workers that the store does not find, and commits that it cannot make.

use domain::model::placements::Decision;

use super::*;

impl Bench {
    fn trouble(&self) -> Option<String> {
        self.view.read().unwrap().trouble().map(str::to_owned)
    }
}

/// A row that cannot be read any more is shown by no look, nor is it said to be gone.
#[tokio::test]
async fn a_worker_that_the_store_does_not_find_is_planned_for_once() {
    let mut bench = Bench::with_workers(2, 10_000).await;
    bench.submit(vec![request("before", 1_000, 0)]).await;
    let _ = bench.cycle().once().await.unwrap();
    assert_eq!(bench.worker_of("before").await.as_deref(), Some("w00"), "the first is the one that is preferred");

    let inner = Arc::clone(&bench.ports.placements);
    let mut fake = MockPlacementRepository::new();
    fake.expect_commit().times(2).returning(move |mandate, now, commit| {
        let is_gone = |decision: &Decision| matches!(&decision.kind, DecisionKind::Place { worker, .. } if worker.as_str() == "w00");
        let (gone, rest): (Vec<_>, Vec<_>) = commit.decisions.into_iter().partition(is_gone);
        let mut answer = now_or_never(inner.commit(mandate, now, Commit { decisions: rest, ..Commit::default() }))?;
        answer.outcomes.splice(0..0, gone.iter().map(|_| Outcome::WorkerGone));
        Ok(answer)
    });
    bench.ports.placements = Arc::new(fake);
    bench.submit(vec![request("after", 1_000, 0)]).await;
    let mut cycle = bench.cycle();
    assert!(cycle.once().await.unwrap(), "what was refused is planned again at once");
    let _ = cycle.once().await.unwrap();
    assert_eq!(bench.worker_of("after").await.as_deref(), Some("w01"));
    assert_eq!(*bench.notes.not_found.lock().unwrap(), [WorkerId::new("w00").unwrap()]);
}

#[tokio::test]
async fn a_commit_that_cannot_be_made_is_trouble_until_one_is_made() {
    let mut bench = Bench::with_workers(1, 10_000).await;
    bench.submit(vec![request("a", 1_000, 0)]).await;
    let real = Arc::clone(&bench.ports.placements);
    let mut fake = MockPlacementRepository::new();
    fake.expect_commit().times(1).returning(|_, _, _| Err(PortError::corrupt("a table", "it is no table")));
    bench.ports.placements = Arc::new(fake);
    assert!(bench.cycle().once().await.is_err());
    let said = Some("a table cannot be decoded: it is no table".to_owned());
    assert_eq!(bench.trouble(), said);
    bench.view.write().unwrap().note_written();
    assert_eq!(bench.trouble(), said, "another write says nothing of it");
    bench.view.write().unwrap().forget_all();
    assert_eq!(bench.trouble(), said, "whoever takes the cell again finds it as it was");
    bench.ports.placements = real;
    let _ = bench.cycle().once().await.unwrap();
    assert_eq!(bench.trouble(), None);
}

#[tokio::test]
async fn once_there_is_nothing_to_commit_any_write_ends_the_trouble() {
    let bench = Bench::with_workers(1, 10_000).await;
    bench.view.write().unwrap().note_commit_failed("away".to_owned());
    let _ = bench.cycle().once().await.unwrap();
    assert!(bench.trouble().is_some(), "nothing was written yet");
    bench.view.write().unwrap().note_written();
    assert_eq!(bench.trouble(), None);
}
