//! Clauses of orders: taken, waited for, reported on.

use std::time::{Duration, Instant};

use domain::container::{End, FAILURES_MAX, Output, OutputTail, Phase, StopCause};
use domain::id::{Attempt, Revision};
use domain::model::containers::StopOutcome;
use domain::model::placements::{Loss, LossOutcome, Outcome, ReportOutcome};
use domain::model::{Event, Order, Report};

use super::case::{Case, answered, ask, body, cid, exited, request, starts, stops, wid};
use crate::WorkersConcerned;

/// Longer than any wait that is to be ended by an event.
const LONG: Duration = Duration::from_mins(1);
/// How long a wait lasts that nothing ends.
const SHORT: Duration = Duration::from_millis(300);
/// A wait that something ends is over within this, also on a machine that has much else to do.
const WOKEN: Duration = Duration::from_secs(15);

pub async fn take_claims_what_it_hands_over(case: &Case) {
    case.join("w1", 4).await;
    case.placed("c1", "w1").await;
    let taken = case.take("w1", None).await;
    let [Order::Start(order)] = &taken.orders[..] else { panic!("{taken:?}") };
    assert_eq!((&order.placement, order.booking.cpu_milli), (&case.placement("c1").await, 1000));
    assert_eq!(*order.body, body());
    let row = case.row("c1").await;
    assert_eq!((row.state.phase(), row.attempt, row.taken_at), (Phase::Starting, Attempt(1), Some(case.now())));
}

pub async fn take_repeated_hands_out_the_same(case: &Case) {
    case.join("w1", 4).await;
    case.placed("c1", "w1").await;
    let first = case.take("w1", None).await;
    let row = case.row("c1").await;
    case.later(1000);
    assert_eq!(case.take("w1", None).await, first);
    assert_eq!(case.row("c1").await, row);
    case.placed("c2", "w1").await;
    let second = case.take("w1", first.upto.clone()).await;
    assert_eq!(starts(&second), ["c2"]);
    assert_eq!(case.take("w1", first.upto).await, second);
    assert_eq!(case.take("w1", second.upto.clone()).await.orders, []);
    assert_eq!(case.take("w1", second.upto.clone()).await.upto, second.upto, "nothing new is no step back");
}

pub async fn take_from_nothing_hands_out_all(case: &Case) {
    case.join("w1", 4).await;
    for id in ["c1", "c2", "c3"] {
        case.running(id, "w1").await;
    }
    case.stop("c2").await;
    let taken = case.take("w1", None).await;
    assert_eq!((starts(&taken), stops(&taken)), (vec!["c1".to_owned(), "c3".to_owned()], vec!["c2".to_owned()]));
}

pub async fn take_in_bites_skips_and_repeats_nothing(case: &Case) {
    case.join("w1", 10).await;
    let names = ["c1", "c2", "c3", "c4", "c5"];
    let mut decisions = Vec::new();
    case.submit_all(names.map(|id| request(id, ask(1))).to_vec()).await;
    for id in names {
        decisions.push(case.placing(id, "w1").await);
    }
    case.decide(decisions.split_off(3)).await;
    case.decide(decisions).await;
    let (mut seen, mut after) = (Vec::new(), None);
    for _ in 0..10 {
        let caller = case.caller("w1");
        let taken = answered(case.ports.placements.take(&case.cell, case.now(), caller, after, 2).await);
        seen.extend(starts(&taken));
        after = taken.upto;
    }
    assert_eq!(seen, ["c4", "c5", "c1", "c2", "c3"]);
}

pub async fn reports_may_skip_states(case: &Case) {
    case.join("w1", 4).await;
    case.placed("c1", "w1").await;
    assert_eq!(case.report("w1", "c1", Event::Running).await, ReportOutcome::Accepted);
    assert_eq!(case.phase("c1").await, Phase::Running);
    case.placed("c2", "w1").await;
    assert_eq!(case.report("w1", "c2", exited(3)).await, ReportOutcome::Accepted);
    assert_eq!(case.phase("c2").await, Phase::Failed);
    assert_eq!(case.report("w1", "c2", Event::Running).await, ReportOutcome::Kill, "what has ended does not run");
}

pub async fn an_end_releases_room_and_usage_once(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.running("c2", "w1").await;
    let mut rows = Vec::new();
    for code in [0, 0, 1] {
        assert_eq!(case.report("w1", "c1", exited(code)).await, ReportOutcome::Accepted);
        assert_eq!(case.booked("w1").await, (1000, 1000));
        rows.push(case.row("c1").await);
        case.later(1000);
    }
    assert!(rows.iter().all(|row| *row == rows[0]), "the first end stays: {rows:?}");
    assert_eq!(rows[0].state.phase(), Phase::Succeeded);
}

pub async fn report_repeated_changes_nothing(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    for event in [Event::Running, Event::Ended(End::StartFailed("no memory".to_owned()))] {
        assert_eq!(case.report("w1", "c1", event.clone()).await, ReportOutcome::Accepted);
        let row = case.row("c1").await;
        case.later(1000);
        assert_eq!(case.report("w1", "c1", event).await, ReportOutcome::Accepted);
        assert_eq!(case.row("c1").await, row);
    }
    assert_eq!(case.row("c1").await.failures, 1);
}

pub async fn only_the_newest_attempt_is_reported_on(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.running("c1", "w1").await;
    let old = case.placement("c1").await;
    case.report("w1", "c1", Event::Ended(End::NotStarted)).await;
    assert_eq!(case.place("c1", "w2").await, Outcome::Done);
    case.start("c1", "w2").await;
    let newest = case.placement("c1").await;
    for placement in [&old, &newest] {
        assert_eq!(case.report_on("w1", placement, exited(0)).await.outcomes, [ReportOutcome::Dropped]);
        assert_eq!(case.report_on("w1", placement, Event::Running).await.outcomes, [ReportOutcome::Kill]);
    }
    assert_eq!((case.phase("c1").await, case.row("c1").await.attempt), (Phase::Running, Attempt(2)));
    let stranger = domain::container::PlacementId { container: cid("c9"), ..old };
    assert_eq!(case.report_on("w1", &stranger, exited(0)).await.outcomes, [ReportOutcome::Dropped]);
}

pub async fn an_end_is_accepted_while_it_waits_again(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.lose_worker("w1").await;
    case.park("c1", super::case::shape_lot(1)).await;
    case.rejoin("w1", &[]).await;
    assert_eq!(case.report("w1", "c1", exited(0)).await, ReportOutcome::Accepted);
    assert_eq!(case.phase("c1").await, Phase::Succeeded);
    assert_eq!(case.lot(&super::case::shape_lot(1)).await, None);
}

pub async fn a_late_end_corrects_what_was_counted(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.lose_worker("w1").await;
    case.rejoin("w1", &[]).await;
    case.report("w1", "c1", Event::Ended(End::Gone)).await;
    assert_eq!((case.phase("c1").await, case.row("c1").await.failures), (Phase::Pending, 1));
    let deadline = End::Deadline(Duration::from_mins(2));
    case.report("w1", "c1", Event::Ended(deadline.clone())).await;
    let row = case.row("c1").await;
    assert_eq!(
        (row.state.phase(), row.failures, row.last_end.map(|last| last.end)),
        (Phase::Pending, 0, Some(deadline))
    );
}

pub async fn failures_give_a_container_up(case: &Case) {
    case.join("w1", 4).await;
    case.submit("c1", ask(1)).await;
    for failures in 1..=FAILURES_MAX {
        assert_eq!(case.place("c1", "w1").await, Outcome::Done);
        case.start("c1", "w1").await;
        case.report("w1", "c1", Event::Ended(End::Gone)).await;
        assert_eq!(case.row("c1").await.failures, failures);
    }
    assert_eq!(case.phase("c1").await, Phase::Failed);
}

pub async fn a_command_that_ended_by_itself_keeps_its_end(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.running("c2", "w1").await;
    case.stop("c1").await;
    case.drain("w1").await;
    case.lose(Loss::DrainDue { worker: wid("w1") }).await;
    for id in ["c1", "c2"] {
        assert_eq!(case.phase(id).await, Phase::Stopping);
        case.report("w1", id, exited(0)).await;
        assert_eq!(case.phase(id).await, Phase::Succeeded, "{id}");
    }
}

pub async fn stop_goes_over_drain(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    case.drain("w1").await;
    let due = Loss::DrainDue { worker: wid("w1") };
    case.lose(due.clone()).await;
    let first = case.take("w1", None).await;
    assert!(matches!(first.orders[..], [Order::Stop { cause: StopCause::Drain, .. }]), "{first:?}");
    assert_eq!(case.stop("c1").await, StopOutcome::Stopping);
    let second = case.take("w1", first.upto).await;
    assert!(matches!(second.orders[..], [Order::Stop { cause: StopCause::Stop, .. }]), "{second:?}");
    assert_eq!(case.lose(due).await, LossOutcome::Done(0));
    case.report("w1", "c1", Event::Ended(End::DrainOrder)).await;
    assert_eq!(case.phase("c1").await, Phase::Stopped);
}

pub async fn output_comes_with_an_end(case: &Case) {
    case.join("w1", 4).await;
    case.running("c1", "w1").await;
    let tail = OutputTail { text: "h\u{e9}llo\n\0".to_owned(), dropped_bytes: 5 };
    let output = Output { stdout: tail, stderr: OutputTail::default() };
    let report = Report { placement: case.placement("c1").await, event: exited(0), output: Some(output.clone()) };
    case.report_all("w1", vec![report]).await;
    assert_eq!(case.found("c1").await.and_then(|found| found.output), Some(output));
}

/// Waits for orders, and fails unless the wait is over soon.
async fn wait(case: &Case, seen: Revision, at_most: Duration) -> crate::OrdersWaiting {
    let waited = tokio::time::timeout(WOKEN, case.ports.placements.wait(&case.cell, seen, at_most)).await;
    answered(waited.expect("a wait is over soon"))
}

pub async fn orders_wait_names_the_worker_concerned(case: &Case) {
    case.join("w1", 4).await;
    case.join("w2", 4).await;
    case.submit("c1", ask(1)).await;
    let mut seen = wait(case, Revision(0), Duration::ZERO).await.upto;
    let decision = case.placing("c1", "w1").await;
    for stops in [false, true] {
        let (ports, cell) = (case.ports.clone(), case.cell.clone());
        let waiting = tokio::spawn(async move { ports.placements.wait(&cell, seen, LONG).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        if stops {
            case.start("c1", "w1").await;
            case.stop("c1").await;
        } else {
            case.decide(vec![decision.clone()]).await;
        }
        let told = tokio::time::timeout(WOKEN, waiting).await.expect("a wait is woken");
        let told = answered(told.expect("a wait ends"));
        match told.workers {
            WorkersConcerned::These(workers) => assert_eq!(workers, [wid("w1")]),
            WorkersConcerned::All => {}
        }
        assert!(told.upto > seen);
        seen = told.upto;
    }
}

pub async fn orders_wait_ends_in_time_and_misses_nothing(case: &Case) {
    case.join("w1", 4).await;
    let seen = wait(case, Revision(0), Duration::ZERO).await.upto;
    let begun = Instant::now();
    let told = wait(case, seen, SHORT).await;
    assert!(begun.elapsed() >= SHORT);
    assert_eq!((told.workers, told.upto), (WorkersConcerned::These(Vec::new()), seen));
    case.placed("c1", "w1").await;
    let told = wait(case, seen, LONG).await;
    assert!(told.workers != WorkersConcerned::These(Vec::new()), "{told:?}");
}
