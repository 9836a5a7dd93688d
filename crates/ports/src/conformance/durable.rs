//! Clauses of a store that outlives its process.

use domain::container::{Output, OutputTail, Phase};
use domain::model::Report;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{LossOutcome, Outcome};
use domain::model::workers::StatusChange;
use domain::worker::{CallAnswer, Status};

use super::case::{answered, ask, exited, is_stale, planner, request, shape_lot, starts, wid};
use super::{Durable, Reopening};

pub async fn what_was_submitted_survives_reopening<H: Durable>(store: &mut Reopening<H>) {
    let case = store.case();
    case.submit_all(["c1", "c2", "c3"].map(|id| request(id, ask(1))).to_vec()).await;
    case.park("c2", shape_lot(1)).await;
    case.stop("c3").await;
    let before = (case.found("c1").await, case.found("c2").await, case.found("c3").await, case.look().await);
    store.reopen().await;
    let case = store.case();
    let after = (case.found("c1").await, case.found("c2").await, case.found("c3").await, case.look().await);
    assert_eq!(after, before);
    let line = answered(case.ports.backlog.next(&case.cell, None, 10, vec![(shape_lot(1), 10)]).await);
    assert_eq!((line.ready.len(), line.lots[0].1.len()), (1, 1));
}

pub async fn what_was_committed_survives_reopening<H: Durable>(store: &mut Reopening<H>) {
    let case = store.case();
    case.join("w1", 8).await;
    case.set("w1", StatusChange::Cordoned).await;
    case.set("w1", StatusChange::Open).await;
    case.running("c1", "w1").await;
    case.running("c2", "w1").await;
    let output = Output { stdout: OutputTail { text: "hello".to_owned(), dropped_bytes: 0 }, ..Output::default() };
    let report = Report { placement: case.placement("c2").await, event: exited(0), output: Some(output.clone()) };
    case.report_all("w1", vec![report]).await;
    let upto = case.take("w1", None).await.upto;
    case.placed("c3", "w1").await;
    let before = case.look().await;
    store.reopen().await;
    let case = store.case();
    assert_eq!(case.look().await, before);
    assert_eq!(case.found("c2").await.and_then(|found| found.output), Some(output));
    assert_eq!(starts(&case.take("w1", upto).await), ["c3"]);
    assert_eq!(case.report("w1", "c1", exited(0)).await, domain::model::placements::ReportOutcome::Accepted);
    assert_eq!(case.booked("w1").await, (1000, 1000));
}

pub async fn reopening_loses_nobody_for_numbers_of_before<H: Durable>(store: &mut Reopening<H>) {
    let case = store.case();
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let loss = case.silence("w1").await;
    let before = answered(case.ports.workers.beats(&case.cell).await);
    store.reopen().await;
    let case = store.case();
    let after = answered(case.ports.workers.beats(&case.cell).await);
    assert_eq!(after.history, before.history);
    if after.boot == before.boot {
        assert_eq!(after.numbers, before.numbers, "numbers that begin anew are those of another boot");
    } else {
        assert_eq!(case.lose(loss.clone()).await, LossOutcome::Refused);
    }
    assert_eq!(case.beat("w1").await, CallAnswer::Ok);
    assert_eq!(case.lose(loss).await, LossOutcome::Refused);
    assert_eq!((case.worker("w1").await.status(), case.phase("c1").await), (Status::Available, Phase::Running));
}

pub async fn the_term_survives_reopening<H: Durable>(store: &mut Reopening<H>) {
    let case = store.case();
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    let mandate = case.mandate().await;
    store.reopen().await;
    let case = store.case();
    assert_eq!(case.place("c1", "w1").await, Outcome::Done, "the mandate holds");
    let leadership = &case.ports.leadership;
    let held = answered(leadership.acquire(&case.cell, &planner("next"), None).await);
    let AcquireOutcome::Held { term, stamp, .. } = held else { panic!("the planner is forgotten") };
    assert_eq!(term, mandate.term);
    let next = answered(leadership.acquire(&case.cell, &planner("next"), Some((term, stamp))).await);
    assert!(matches!(next, AcquireOutcome::Acquired(next) if next.term > mandate.term));
    assert!(is_stale(&leadership.renew(&mandate).await));
    assert_eq!(case.worker("w1").await.id, wid("w1"));
}
