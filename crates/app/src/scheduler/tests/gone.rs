//! Workers that the store does not find.

use domain::model::placements::Decision;

use super::*;

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
