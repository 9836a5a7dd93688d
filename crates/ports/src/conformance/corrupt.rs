//! Clauses of a store with a row that cannot be decoded: it is named, and fails nobody else's step.

use domain::container::Phase;
use domain::id::Attempt;
use domain::model::backlog::SubmitOutcome;
use domain::model::placements::{Commit, Decision, DecisionKind, LossOutcome, Outcome, ReportOutcome};
use domain::model::workers::{RegisterOutcome, RemoveOutcome};
use domain::model::{Event, Filter, Report};
use domain::wait::LotKey;

use super::Corruptible;
use super::case::{Case, answered, ask, cid, exited, kills, request, shape_lot, starts};
use crate::PortError;

pub async fn an_undecodable_request_is_named_and_parked<H: Corruptible>(store: &H, case: &Case) {
    case.join("w1", 4).await;
    case.submit("bad", ask(1)).await;
    case.submit("good", ask(1)).await;
    let key = case.row("bad").await.key;
    store.spoil(&case.cell, &cid("bad")).await;
    let line = answered(case.ports.backlog.next(&case.cell, None, 10, Vec::new()).await);
    assert_eq!((line.ready.len(), &line.corrupt[..]), (1, &[(key, cid("bad"))][..]));
    let kind = DecisionKind::ParkCorrupt { key, detail: "spoilt".to_owned() };
    let park = Decision { container: cid("bad"), attempt: Attempt(0), kind };
    let commit = Commit { decisions: vec![park.clone(), case.placing("good", "w1").await], ..Commit::default() };
    assert_eq!(case.commit(commit.clone()).await.outcomes, [Outcome::Done, Outcome::Done]);
    assert_eq!(case.commit(commit).await.outcomes, [Outcome::AlreadyDone, Outcome::AlreadyDone]);
    let line = answered(case.ports.backlog.next(&case.cell, None, 10, Vec::new()).await);
    assert!(line.ready.is_empty() && line.corrupt.is_empty(), "{line:?}");
    assert_eq!(case.lot(&LotKey::Corrupt).await.map(|lot| lot.count), Some(1));
    let depth = answered(case.ports.backlog.depth(&case.cell).await);
    assert_eq!((depth.ready, depth.parked), (0, 1));
}

pub async fn an_undecodable_request_blocks_no_lot<H: Corruptible>(store: &H, case: &Case) {
    for id in ["bad", "good"] {
        case.submit(id, ask(1)).await;
        case.park(id, shape_lot(1)).await;
    }
    store.spoil(&case.cell, &cid("bad")).await;
    let line = answered(case.ports.backlog.next(&case.cell, None, 10, vec![(shape_lot(1), 1)]).await);
    let members: Vec<_> = line.lots[0].1.iter().map(|waiting| waiting.candidate.id.as_str()).collect();
    assert_eq!(members, ["good"]);
}

pub async fn an_undecodable_row_hides_no_other<H: Corruptible>(store: &H, case: &Case) {
    case.submit("bad", ask(1)).await;
    case.submit("good", ask(1)).await;
    store.spoil(&case.cell, &cid("bad")).await;
    let outcomes = case.submit_all(vec![request("bad", ask(1)), request("new", ask(1))]).await;
    assert_eq!(outcomes, [SubmitOutcome::Conflict, SubmitOutcome::Accepted]);
    let page = answered(case.ports.containers.list(&case.cell, Filter::All, None, 10).await);
    let ids: Vec<_> = page.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["good", "new"]);
    let page = answered(case.ports.containers.export(&case.cell, None, 100).await);
    assert_eq!((page.undecodable, page.containers.len()), (vec![cid("bad")], 2));
    let found = case.ports.containers.get(&case.cell, vec![cid("bad")]).await;
    assert!(matches!(&found, Err(PortError::Corrupt { .. })), "{found:?}");
}

pub async fn an_undecodable_row_fails_no_step_of_its_worker<H: Corruptible>(store: &H, case: &Case) {
    case.join("w1", 4).await;
    case.running("bad", "w1").await;
    case.running("good", "w1").await;
    let bad = case.placement("bad").await;
    store.spoil(&case.cell, &cid("bad")).await;
    assert_eq!(starts(&case.take("w1", None).await), ["good"]);
    let told = |event| Report { placement: bad.clone(), event, output: None };
    let answer = case.report_all("w1", vec![told(Event::Running), told(exited(0))]).await;
    assert_eq!(answer.outcomes, [ReportOutcome::Kill, ReportOutcome::Dropped]);
    let held = [bad.clone(), case.placement("good").await];
    assert_eq!(kills(&case.rejoin("w1", &held).await), [bad]);
    assert!(matches!(case.rejoin("w1", &held[1..]).await, RegisterOutcome::Registered { .. }));
    case.drain("w1").await;
    assert_eq!(case.lose_worker("w1").await, LossOutcome::Done(1));
    assert_eq!((case.phase("good").await, case.booked("w1").await.0), (Phase::Pending, 1000));
    let how = case.gone("w1").await;
    assert_eq!(case.remove("w1", how).await, RemoveOutcome::Owns(1));
}
