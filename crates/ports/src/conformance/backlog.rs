//! Clauses of the backlog.

use std::time::{Duration, Instant};

use domain::container::{End, Phase};
use domain::id::{Attempt, Revision};
use domain::model::Event;
use domain::model::backlog::{Line, SubmitOutcome};
use domain::model::placements::Outcome;
use domain::model::workers::StatusChange;
use domain::request::{Ask, OrderKey};
use domain::wait::LotKey;

use super::case::{Case, answered, ask, exited, request, shape_lot};

/// Longer than any wait that is to be ended by an event.
const LONG: Duration = Duration::from_mins(1);
/// Long enough to notice a wait that is ended by what should not end it.
const SHORT: Duration = Duration::from_millis(300);
/// A wait that something ends is over within this, also on a machine that has much else to do.
const WOKEN: Duration = Duration::from_secs(15);
/// Long enough for what ends no wait to be done in it.
const MEANWHILE: Duration = Duration::from_millis(400);

fn ids(line: &Line) -> Vec<&str> {
    line.ready.iter().map(|waiting| waiting.candidate.id.as_str()).collect()
}

async fn next(case: &Case, after: Option<OrderKey>, limit: usize, lots: Vec<(LotKey, usize)>) -> Line {
    answered(case.ports.backlog.next(&case.cell, after, limit, lots).await)
}

pub async fn submit_accepts_and_next_shows_it(case: &Case) {
    let item = request("c1", ask(2));
    assert_eq!(case.submit_all(vec![item.clone()]).await, [SubmitOutcome::Accepted]);
    let line = next(case, None, 10, Vec::new()).await;
    assert_eq!(ids(&line), ["c1"]);
    let candidate = &line.ready[0].candidate;
    assert_eq!((&candidate.ask, candidate.attempt, &candidate.lot), (&item.ask, Attempt(0), &None));
    assert_eq!(line.ready[0].submitted, case.now());
    let found = case.found("c1").await.expect("it was accepted");
    assert_eq!((found.row.digest, found.body), (item.digest(), Some(item.body)));
}

pub async fn submit_repeated_is_already_there(case: &Case) {
    case.submit("c1", ask(1)).await;
    let before = case.row("c1").await;
    case.later(1000);
    assert_eq!(case.submit("c1", ask(1)).await, SubmitOutcome::Already(Phase::Pending));
    assert_eq!(case.row("c1").await, before);
    case.stop("c1").await;
    assert_eq!(case.submit("c1", ask(1)).await, SubmitOutcome::Already(Phase::Stopped));
}

pub async fn submit_of_another_content_is_a_conflict(case: &Case) {
    let items = vec![request("c1", ask(1)), request("c1", ask(2)), request("c1", ask(1))];
    let outcomes = case.submit_all(items).await;
    assert_eq!(outcomes, [SubmitOutcome::Accepted, SubmitOutcome::Conflict, SubmitOutcome::Already(Phase::Pending)]);
    assert_eq!(case.row("c1").await.ask.cpu_milli, 1000);
}

pub async fn submit_refuses_what_is_invalid_and_takes_the_rest(case: &Case) {
    let none = Ask { cpu_milli: 0, ..ask(1) };
    let outcomes = case.submit_all(vec![request("c1", none), request("c2", ask(1))]).await;
    assert!(matches!(&outcomes[0], SubmitOutcome::Invalid(bad) if bad.field == "cpu_milli"), "{outcomes:?}");
    assert_eq!(outcomes[1], SubmitOutcome::Accepted);
    assert_eq!(case.found("c1").await, None);
}

pub async fn submit_twice_at_once_accepts_once(case: &Case) {
    let items: Vec<_> = (0..20).map(|number| request(&format!("c{number}"), ask(1))).collect();
    let calls = (0..4).map(|_| {
        let (ports, cell, now, items) = (case.ports.clone(), case.cell.clone(), case.now(), items.clone());
        tokio::spawn(async move { ports.backlog.submit(&cell, now, items).await })
    });
    let mut accepted = 0;
    for call in calls.collect::<Vec<_>>() {
        let outcomes = answered(call.await.expect("a call ends"));
        accepted += outcomes.iter().filter(|outcome| **outcome == SubmitOutcome::Accepted).count();
    }
    assert_eq!(accepted, items.len());
    assert_eq!(next(case, None, 100, Vec::new()).await.ready.len(), items.len());
}

pub async fn cells_do_not_see_each_other(case: &Case) {
    let other = Case::fresh(case.ports.clone(), case.likewise);
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    assert_eq!(other.submit("c1", ask(2)).await, SubmitOutcome::Accepted);
    assert!(other.look().await.workers.is_empty());
    assert_ne!(case.mandate().await.cell, other.mandate().await.cell);
    assert_eq!(case.place("c1", "w1").await, Outcome::Done);
    assert_eq!((case.phase("c1").await, other.phase("c1").await), (Phase::Placed, Phase::Pending));
}

pub async fn next_moves_nothing(case: &Case) {
    case.submit("c1", ask(1)).await;
    case.submit("c2", ask(1)).await;
    let first = next(case, None, 10, Vec::new()).await;
    let second = next(case, None, 10, Vec::new()).await;
    assert_eq!(first, second);
    assert_eq!(ids(&first), ["c1", "c2"]);
}

pub async fn next_goes_by_priority_and_age(case: &Case) {
    for (id, priority) in [("old", 0), ("low", -1), ("high", 2)] {
        case.submit(id, Ask { priority, ..ask(1) }).await;
    }
    case.later(120_000);
    case.submit("late", Ask { priority: 1, ..ask(1) }).await;
    assert_eq!(ids(&next(case, None, 10, Vec::new()).await), ["high", "old", "low", "late"]);
}

pub async fn next_reads_on_after_a_place(case: &Case) {
    let names: Vec<_> = (0..25).map(|number| format!("c{}", (number * 7) % 25)).collect();
    case.submit_all(names.iter().map(|name| request(name, ask(1))).collect()).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let line = next(case, after, 10, Vec::new()).await;
        seen.extend(line.ready.iter().map(|waiting| waiting.candidate.id.to_string()));
        match line.ready.last() {
            Some(last) => after = Some(last.candidate.key),
            None => break,
        }
    }
    assert_eq!(seen, names);
}

pub async fn next_reads_the_first_of_each_named_lot(case: &Case) {
    for (id, cpu) in [("c1", 1), ("c2", 2), ("c3", 1), ("c4", 1), ("c5", 3)] {
        case.submit(id, ask(cpu)).await;
        assert_eq!(case.park(id, shape_lot(cpu)).await, Outcome::Done);
    }
    let line = next(case, None, 10, vec![(shape_lot(1), 2), (shape_lot(2), 5), (shape_lot(9), 1)]).await;
    assert!(line.ready.is_empty());
    let members = |(lot, members): &(LotKey, Vec<domain::model::backlog::InLine>)| {
        assert!(members.iter().all(|waiting| waiting.candidate.lot.as_ref() == Some(lot)));
        members.iter().map(|waiting| waiting.candidate.id.to_string()).collect::<Vec<_>>()
    };
    let lots: Vec<_> = line.lots.iter().map(members).collect();
    assert_eq!(lots, [vec!["c1", "c3"], vec!["c2"], vec![]]);
}

pub async fn a_returned_request_keeps_its_place(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.submit("c2", ask(1)).await;
    case.report("w1", "c1", Event::Ended(End::NotStarted)).await;
    let line = next(case, None, 10, Vec::new()).await;
    assert_eq!(ids(&line), ["c1", "c2"]);
    assert_eq!(line.ready[0].candidate.attempt, Attempt(1));
}

pub async fn depth_counts_who_waits(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    for id in ["c2", "c3", "c4", "c5"] {
        case.submit(id, ask(1)).await;
    }
    case.park("c3", shape_lot(1)).await;
    case.stop("c5").await;
    let depth = answered(case.ports.backlog.depth(&case.cell).await);
    assert_eq!((depth.ready, depth.parked, depth.oldest_ready), (2, 1, Some(case.now())));
    assert_eq!(depth.phases[Phase::Pending as usize], 3);
    assert_eq!(depth.phases[Phase::Running as usize], 1);
    assert_eq!(depth.phases[Phase::Stopped as usize], 1);
}

/// Runs `event` while a wait is under way that is over soon after it, and says how long that wait took.
async fn wait_during<T>(case: &Case, at_most: Duration, event: impl Future<Output = T>) -> Duration {
    let seen = case.revision().await;
    let (ports, cell) = (case.ports.clone(), case.cell.clone());
    let begun = Instant::now();
    let wait = tokio::spawn(async move { ports.backlog.wait(&cell, seen, at_most).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    event.await;
    let woken = tokio::time::timeout(WOKEN, wait).await.expect("a wait is woken");
    let reached = answered(woken.expect("a wait ends"));
    assert!(reached >= seen, "a cell does not go back");
    begun.elapsed()
}

pub async fn backlog_wait_wakes_on_submit(case: &Case) {
    wait_during(case, LONG, case.submit("c1", ask(1))).await;
}

pub async fn backlog_wait_wakes_on_freed_room(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    wait_during(case, LONG, case.report("w1", "c1", exited(0))).await;
}

pub async fn backlog_wait_wakes_on_an_opened_worker(case: &Case) {
    case.join("w1", 4).await;
    case.set("w1", StatusChange::Cordoned).await;
    wait_during(case, LONG, case.set("w1", StatusChange::Open)).await;
}

pub async fn backlog_wait_sleeps_through_own_commits(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    case.submit("c2", ask(9)).await;
    let event = async {
        case.place("c1", "w1").await;
        case.park("c2", shape_lot(9)).await;
        case.start("c1", "w1").await;
    };
    let begun = Instant::now();
    let took = wait_during(case, MEANWHILE, event).await;
    assert!(took >= MEANWHILE, "woken after {took:?} of {:?}", begun.elapsed());
}

pub async fn backlog_wait_ends_in_time(case: &Case) {
    let took = wait_during(case, SHORT, async {}).await;
    assert!(took >= SHORT, "{took:?}");
}

pub async fn backlog_wait_answers_at_once_what_it_missed(case: &Case) {
    case.submit("c1", ask(1)).await;
    let missed = tokio::time::timeout(WOKEN, case.ports.backlog.wait(&case.cell, Revision(0), LONG)).await;
    assert!(answered(missed.expect("it is answered at once")) > Revision(0));
}
