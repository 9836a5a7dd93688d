//! Clauses of leadership.

use domain::id::{Stamp, Term};
use domain::model::Mandate;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::Commit;

use super::case::{Case, answered, is_stale, planner};

async fn acquire(case: &Case, who: &str, expected: Option<(Term, Stamp)>) -> AcquireOutcome {
    answered(case.ports.leadership.acquire(&case.cell, &planner(who), expected).await)
}

async fn given(case: &Case, who: &str, expected: Option<(Term, Stamp)>) -> Mandate {
    match acquire(case, who, expected).await {
        AcquireOutcome::Acquired(mandate) => mandate,
        AcquireOutcome::Held { planner, .. } => panic!("{who} was told that {planner} plans"),
    }
}

async fn held(case: &Case, who: &str) -> (Term, Stamp) {
    match acquire(case, who, None).await {
        AcquireOutcome::Held { term, stamp, .. } => (term, stamp),
        AcquireOutcome::Acquired(_) => panic!("{who} was given a cell that has a planner"),
    }
}

pub async fn acquire_gives_the_cell_to_one(case: &Case) {
    let mandate = given(case, "p1", None).await;
    assert_eq!((&mandate.cell, mandate.planner.as_str()), (&case.cell, "p1"));
    let answer = acquire(case, "p2", None).await;
    assert!(
        matches!(&answer, AcquireOutcome::Held { planner, term, .. } if planner.as_str() == "p1" && *term == mandate.term)
    );
}

pub async fn acquire_at_once_gives_the_cell_to_one(case: &Case) {
    let calls = (0..8).map(|number| {
        let (ports, cell) = (case.ports.clone(), case.cell.clone());
        tokio::spawn(async move { ports.leadership.acquire(&cell, &planner(&format!("p{number}")), None).await })
    });
    let mut given = 0;
    for call in calls.collect::<Vec<_>>() {
        let answer = answered(call.await.expect("a call ends"));
        given += usize::from(matches!(answer, AcquireOutcome::Acquired(_)));
    }
    assert_eq!(given, 1);
}

pub async fn acquire_by_its_holder_is_the_same_term(case: &Case) {
    let first = given(case, "p1", None).await;
    let again = given(case, "p1", None).await;
    assert_eq!((first.term, first.mark.history), (again.term, again.mark.history));
    answered(case.ports.leadership.renew(&first).await);
}

pub async fn takeover_needs_the_stamp_that_is_there(case: &Case) {
    let mandate = given(case, "p1", None).await;
    let seen = held(case, "p2").await;
    answered(case.ports.leadership.renew(&mandate).await);
    assert!(matches!(acquire(case, "p2", Some(seen)).await, AcquireOutcome::Held { .. }));
    let seen = held(case, "p2").await;
    let next = given(case, "p2", Some(seen)).await;
    assert!(next.term > mandate.term);
    assert!(matches!(acquire(case, "p3", Some(seen)).await, AcquireOutcome::Held { .. }), "it is no more as it was");
}

pub async fn takeover_fences_the_planner_before(case: &Case) {
    let before = given(case, "p1", None).await;
    let seen = held(case, "p2").await;
    let now = case.now();
    let after = given(case, "p2", Some(seen)).await;
    assert!(is_stale(&case.ports.leadership.renew(&before).await));
    assert!(is_stale(&case.ports.placements.commit(&before, now, Commit::default()).await));
    assert!(is_stale(&case.ports.placements.lose(&before, now, Vec::new(), 10).await));
    answered(case.ports.leadership.renew(&after).await);
}

pub async fn every_fenced_write_moves_the_stamp(case: &Case) {
    let mandate = given(case, "p1", None).await;
    let now = case.now();
    let mut stamps = vec![held(case, "p2").await];
    answered(case.ports.leadership.renew(&mandate).await);
    stamps.push(held(case, "p2").await);
    answered(case.ports.placements.commit(&mandate, now, Commit::default()).await);
    stamps.push(held(case, "p2").await);
    answered(case.ports.placements.lose(&mandate, now, Vec::new(), 10).await);
    stamps.push(held(case, "p2").await);
    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
}

pub async fn resign_leaves_the_cell_at_once(case: &Case) {
    let mandate = given(case, "p1", None).await;
    answered(case.ports.leadership.resign(&mandate).await);
    answered(case.ports.leadership.resign(&mandate).await);
    assert!(is_stale(&case.ports.leadership.renew(&mandate).await));
    let next = given(case, "p2", None).await;
    assert!(next.term > mandate.term);
}

pub async fn a_late_resignation_is_nobodys(case: &Case) {
    let before = given(case, "p1", None).await;
    let seen = held(case, "p2").await;
    let after = given(case, "p2", Some(seen)).await;
    answered(case.ports.leadership.resign(&before).await);
    answered(case.ports.leadership.renew(&after).await);
}
