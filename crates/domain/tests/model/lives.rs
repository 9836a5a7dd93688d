//! A container's life: taken, reported on, stopped, drained, forgotten.

use std::time::Duration;

use domain::container::{End, Exit, FAILURES_MAX, Output, OutputTail, Phase, StopCause};
use domain::id::{Attempt, PlannerId};
use domain::model::containers::{self, Keep, StopOutcome};
use domain::model::placements::{self, Loss, LossOutcome, Outcome, ReportOutcome, TAKE_BYTES_MAX};
use domain::model::workers::{StatusChange, StatusOutcome};
use domain::model::{Event, Fence, Mandate, Order, Report, Rows};
use domain::request::{BODY_BYTES_MAX, Body, IfSilent, Submission};
use domain::worker::{CallAnswer, Status};

use crate::support::{Cell, ask, body, cid, exited, read, starts, stops};

fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.submit("c1", ask(1));
    cell
}

#[test]
fn a_life_from_submit_to_success() {
    let mut cell = cell();
    assert_eq!(cell.place("c1", "w1"), Outcome::Done);
    assert_eq!((cell.phase("c1"), cell.used("w1"), cell.usage("default")), (Phase::Placed, 1000, 1000));
    let answer = cell.take("w1", None);
    assert_eq!(starts(&answer), [("c1".to_owned(), Attempt(1))]);
    assert_eq!(cell.phase("c1"), Phase::Starting);
    assert_eq!(cell.runs("w1", "c1"), ReportOutcome::Accepted);
    assert_eq!(cell.phase("c1"), Phase::Running);
    assert_eq!(cell.ends("w1", "c1", exited(0)), ReportOutcome::Accepted);
    assert_eq!((cell.phase("c1"), cell.used("w1"), cell.usage("default")), (Phase::Succeeded, 0, 0));
}

#[test]
fn reports_may_skip_states_forward_and_never_go_back() {
    let mut cell = cell();
    cell.place("c1", "w1");
    assert_eq!(cell.ends("w1", "c1", exited(3)), ReportOutcome::Accepted, "placed, and never seen to run");
    assert_eq!(cell.phase("c1"), Phase::Failed);
    assert_eq!(cell.runs("w1", "c1"), ReportOutcome::Kill, "what has ended does not run");
    assert_eq!(cell.ends("w1", "c1", exited(0)), ReportOutcome::Accepted, "told again: the first end stays");
    assert_eq!(cell.end("c1"), exited(3));
}

#[test]
fn an_end_told_three_times_releases_room_once() {
    let mut cell = cell();
    cell.submit("c2", ask(2));
    cell.running("c1", "w1");
    cell.running("c2", "w1");
    for _ in 0..3 {
        assert_eq!(cell.ends("w1", "c1", exited(0)), ReportOutcome::Accepted);
        assert_eq!((cell.used("w1"), cell.usage("default")), (2000, 2000));
    }
}

#[test]
fn reports_of_an_old_attempt_change_nothing() {
    let mut cell = cell();
    cell.join("w2", 4);
    cell.running("c1", "w1");
    let old = cell.placement("c1");
    cell.ends("w1", "c1", End::NotStarted);
    cell.running("c1", "w2");
    assert_eq!(cell.report("w1", &old, Event::Ended(exited(0))).outcomes, [ReportOutcome::Dropped]);
    assert_eq!(cell.report("w1", &old, Event::Running).outcomes, [ReportOutcome::Kill]);
    assert_eq!((cell.phase("c1"), cell.row("c1").attempt), (Phase::Running, Attempt(2)));
}

#[test]
fn only_the_owner_reports() {
    let mut cell = cell();
    cell.join("w2", 4);
    cell.running("c1", "w1");
    assert_eq!(cell.runs("w2", "c1"), ReportOutcome::Kill);
    assert_eq!(cell.ends("w2", "c1", exited(0)), ReportOutcome::Dropped);
    assert_eq!(cell.phase("c1"), Phase::Running);
}

#[test]
fn what_could_not_start_goes_back_and_is_given_up_after_five_failures() {
    let mut cell = cell();
    for attempt in 1..=FAILURES_MAX {
        assert_eq!(cell.phase("c1"), Phase::Pending);
        cell.running("c1", "w1");
        cell.ends("w1", "c1", End::StartFailed("no memory".to_owned()));
        assert_eq!(cell.row("c1").failures, attempt);
    }
    assert_eq!(cell.phase("c1"), Phase::Failed);
}

#[test]
fn what_does_not_count_as_a_failure() {
    let silent = Duration::from_mins(2);
    for end in [End::NotStarted, End::Deadline(silent), End::DrainOrder] {
        let mut cell = cell();
        cell.running("c1", "w1");
        cell.ends("w1", "c1", end.clone());
        assert_eq!((cell.phase("c1"), cell.row("c1").failures), (Phase::Pending, 0), "{end:?}");
    }
}

#[test]
fn a_missing_command_fails_at_once() {
    let mut cell = cell();
    cell.running("c1", "w1");
    cell.ends("w1", "c1", End::Unstartable { code: 127, detail: "no such command".to_owned() });
    assert_eq!((cell.phase("c1"), cell.row("c1").failures), (Phase::Failed, 0));
}

#[test]
fn an_end_is_accepted_while_the_container_waits_again() {
    for (end, phase) in [(exited(0), Phase::Succeeded), (exited(1), Phase::Failed)] {
        let mut cell = cell();
        cell.running("c1", "w1");
        cell.lose_worker("w1");
        assert_eq!((cell.phase("c1"), cell.row("c1").failures), (Phase::Pending, 1));
        let holds = [];
        cell.rejoin("w1", &holds);
        assert_eq!(cell.ends("w1", "c1", end.clone()), ReportOutcome::Accepted);
        assert_eq!((cell.phase("c1"), cell.end("c1")), (phase, end));
    }
}

#[test]
fn a_late_end_corrects_what_was_counted_and_counts_nothing_twice() {
    let mut cell = cell();
    cell.running("c1", "w1");
    cell.lose_worker("w1");
    cell.rejoin("w1", &[]);
    assert_eq!(cell.ends("w1", "c1", End::Gone), ReportOutcome::Accepted);
    assert_eq!((cell.end("c1"), cell.row("c1").failures), (End::Gone, 1));
    let deadline = End::Deadline(Duration::from_mins(2));
    assert_eq!(cell.ends("w1", "c1", deadline.clone()), ReportOutcome::Accepted);
    assert_eq!((cell.end("c1"), cell.row("c1").failures), (deadline, 0), "it was no failure after all");
    assert_eq!(cell.phase("c1"), Phase::Pending);
}

#[test]
fn a_late_end_never_gives_a_container_up() {
    let mut cell = cell();
    for _ in 1..FAILURES_MAX {
        cell.running("c1", "w1");
        cell.lose_worker("w1");
        cell.rejoin("w1", &[]);
    }
    assert_eq!(cell.row("c1").failures, FAILURES_MAX - 1);
    cell.ends("w1", "c1", End::Gone);
    assert_eq!((cell.phase("c1"), cell.row("c1").failures), (Phase::Pending, FAILURES_MAX - 1));
}

#[test]
fn stop_of_what_waits_or_is_only_placed_ends_it_at_once() {
    let mut cell = cell();
    cell.submit("c2", ask(1));
    cell.place("c2", "w1");
    for id in ["c1", "c2"] {
        assert_eq!(cell.stop(id), StopOutcome::Stopped);
        assert_eq!(cell.stop(id), StopOutcome::Ended(Phase::Stopped));
        assert_eq!(cell.phase(id), Phase::Stopped);
    }
    assert_eq!(cell.used("w1"), 0);
    assert_eq!(starts(&cell.take("w1", None)), [], "the worker never hears of it");
    assert_eq!(cell.stop("c9"), StopOutcome::NoSuchContainer);
}

#[test]
fn stop_of_starting_keeps_its_room_until_the_worker_says_so() {
    let mut cell = cell();
    cell.place("c1", "w1");
    let upto = cell.take("w1", None).upto;
    assert_eq!(cell.stop("c1"), StopOutcome::Stopping);
    assert_eq!((cell.phase("c1"), cell.used("w1"), cell.usage("default")), (Phase::Stopping, 1000, 1000));
    let answer = cell.take("w1", upto.as_ref());
    assert_eq!(stops(&answer), ["c1"]);
    assert_eq!(cell.ends("w1", "c1", End::StopOrder), ReportOutcome::Accepted);
    assert_eq!((cell.phase("c1"), cell.used("w1")), (Phase::Stopped, 0));
}

#[test]
fn a_command_that_ended_by_itself_keeps_its_own_end() {
    for cause in [StopCause::Stop, StopCause::Drain] {
        let mut cell = cell();
        cell.running("c1", "w1");
        match cause {
            StopCause::Stop => assert_eq!(cell.stop("c1"), StopOutcome::Stopping),
            StopCause::Drain => {
                cell.drain("w1");
                cell.lose(&drain_due("w1"));
            }
        }
        assert_eq!(cell.phase("c1"), Phase::Stopping);
        cell.ends("w1", "c1", End::Exited(Exit::Code(0)));
        assert_eq!(cell.phase("c1"), Phase::Succeeded, "{cause:?}");
    }
}

#[test]
fn stop_goes_over_drain_and_never_back() {
    let mut cell = cell();
    cell.running("c1", "w1");
    cell.drain("w1");
    cell.lose(&drain_due("w1"));
    let first = cell.take("w1", None);
    assert!(matches!(first.orders[..], [Order::Stop { cause: StopCause::Drain, .. }]), "{first:?}");
    assert_eq!(cell.stop("c1"), StopOutcome::Stopping);
    let second = cell.take("w1", first.upto.as_ref());
    assert!(matches!(second.orders[..], [Order::Stop { cause: StopCause::Stop, .. }]), "{second:?}");
    assert_eq!(cell.lose(&drain_due("w1")), LossOutcome::Done(0));
    cell.ends("w1", "c1", End::DrainOrder);
    assert_eq!(cell.phase("c1"), Phase::Stopped, "who asked for a stop does not see it run again");
}

#[test]
fn a_stop_order_for_what_was_never_started_is_reported_stopped() {
    let mut cell = cell();
    cell.place("c1", "w1");
    cell.take("w1", None);
    cell.stop("c1");
    cell.ends("w1", "c1", End::NotStarted);
    assert_eq!((cell.phase("c1"), cell.row("c1").failures), (Phase::Stopped, 0));
}

#[test]
fn stopping_ends_stopped_when_its_worker_is_lost() {
    let mut cell = cell();
    cell.submit_keep("c2");
    for id in ["c1", "c2"] {
        cell.running(id, "w1");
        cell.stop(id);
    }
    assert_eq!(cell.lose_worker("w1"), LossOutcome::Done(2));
    assert_eq!((cell.phase("c1"), cell.phase("c2"), cell.used("w1")), (Phase::Stopped, Phase::Stopped, 0));
}

#[test]
fn a_drain_lets_run_until_its_time_is_over() {
    let mut cell = cell();
    cell.submit("c2", ask(1));
    cell.running("c1", "w1");
    cell.place("c2", "w1");
    assert_eq!(cell.drain("w1"), StatusOutcome::Done);
    assert_eq!(cell.drain("w1"), StatusOutcome::Already, "twice is as once");
    assert_eq!((cell.phase("c1"), cell.phase("c2")), (Phase::Running, Phase::Pending), "only what was not told");
    assert_eq!(cell.place("c2", "w1"), Outcome::WorkerClosed);
    assert_eq!(cell.lose(&drain_due("w1")), LossOutcome::Done(1));
    assert_eq!(cell.phase("c1"), Phase::Stopping);
    assert_eq!(cell.worker("w1").status(), Status::Draining);
    cell.ends("w1", "c1", End::DrainOrder);
    assert_eq!((cell.phase("c1"), cell.row("c1").failures), (Phase::Pending, 0));
    assert_eq!(cell.worker("w1").status(), Status::Drained, "only when it owns nothing");
}

#[test]
fn uncordon_ends_what_of_a_drain_has_not_begun() {
    let mut cell = cell();
    cell.running("c1", "w1");
    cell.drain("w1");
    assert_eq!(cell.set("w1", StatusChange::Open), StatusOutcome::Done);
    assert_eq!(cell.lose(&drain_due("w1")), LossOutcome::Refused);
    assert_eq!((cell.phase("c1"), cell.worker("w1").status()), (Phase::Running, Status::Available));
    assert_eq!(cell.set("w1", StatusChange::Open), StatusOutcome::Already);
    assert_eq!(cell.set("w9", StatusChange::Open), StatusOutcome::NoSuchWorker);
}

#[test]
fn a_drain_goes_in_bounded_steps() {
    let mut cell = cell();
    for id in ["c1", "c2", "c3"] {
        cell.submit(id, ask(1));
        cell.running(id, "w1");
    }
    cell.drain("w1");
    let mandate = cell.mandate.clone();
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let (answer, changes) = read(placements::lose(&cell.rows, &mandate, cell.now(), &[drain_due("w1")], 2));
        cell.rows.apply(changes);
        cell.audit();
        outcomes.extend(answer.expect("the mandate holds"));
    }
    assert_eq!(outcomes, [LossOutcome::More(2), LossOutcome::Done(1), LossOutcome::Done(0)]);
}

#[test]
fn a_cordon_leaves_what_is_there_and_takes_nothing_new() {
    let mut cell = cell();
    cell.submit("c2", ask(1));
    cell.place("c1", "w1");
    cell.set("w1", StatusChange::Cordoned);
    assert_eq!(starts(&cell.take("w1", None)), [("c1".to_owned(), Attempt(1))]);
    assert_eq!(cell.place("c2", "w1"), Outcome::WorkerClosed);
}

#[test]
fn a_take_is_the_claim_and_its_repeat_answers_the_same() {
    let mut cell = cell();
    cell.submit("c2", ask(1));
    cell.place("c1", "w1");
    let first = cell.take("w1", None);
    let again = cell.take("w1", None);
    assert_eq!(first, again);
    cell.place("c2", "w1");
    let second = cell.take("w1", first.upto.as_ref());
    assert_eq!(starts(&second), [("c2".to_owned(), Attempt(1))], "only what is new");
    assert_eq!(starts(&cell.take("w1", None)).len(), 2, "none gives all that is held");
    assert_eq!(starts(&cell.take("w1", second.upto.as_ref())), []);
}

#[test]
fn a_take_in_bites_skips_nothing_and_repeats_nothing() {
    let mut cell = cell();
    let ids = ["c1", "c2", "c3", "c4"];
    let decisions = ids.map(|id| {
        cell.submit(id, ask(1));
        cell.placing(id, "w1")
    });
    cell.decide(decisions.to_vec());
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let caller = cell.caller("w1");
        let answer = cell.run(|rows, now| placements::take(rows, now, &caller, after.as_ref(), 1));
        if answer.orders.is_empty() {
            break;
        }
        seen.extend(starts(&answer).into_iter().map(|(id, _)| id));
        after = answer.upto;
    }
    assert_eq!(seen, ids);
}

#[test]
fn a_take_is_bounded_in_bytes() {
    let mut cell = Cell::new();
    cell.join("w1", 64);
    let large = Body { command: vec!["x".repeat(BODY_BYTES_MAX - 1)], ..body() };
    for number in 0..40 {
        let id = format!("c{number}");
        cell.submit_all(&[Submission::new(cid(&id), ask(1), large.clone(), IfSilent::Stop)]);
        cell.place(&id, "w1");
    }
    let first = cell.take("w1", None);
    assert_eq!(first.orders.len(), TAKE_BYTES_MAX / BODY_BYTES_MAX);
    let second = cell.take("w1", first.upto.as_ref());
    assert_eq!(first.orders.len() + second.orders.len(), 40);
}

#[test]
fn output_comes_with_an_end_and_goes_with_the_container() {
    let mut cell = cell();
    cell.running("c1", "w1");
    let output = Output { stdout: OutputTail { text: "hello".to_owned(), dropped_bytes: 0 }, ..Output::default() };
    let caller = cell.caller("w1");
    let report =
        Report { placement: cell.placement("c1"), event: Event::Ended(exited(0)), output: Some(output.clone()) };
    cell.run(|rows, now| placements::report(rows, now, &caller, std::slice::from_ref(&report)));
    let found = read(containers::get(&cell.rows, &[cid("c1"), cid("c9")]));
    assert_eq!(found[0].as_ref().and_then(|found| found.output.clone()), Some(output));
    assert_eq!(found[1], None);
    cell.now += 3_600_001;
    cell.run(|rows, now| containers::forget(rows, now, &Keep::default(), 10));
    assert_eq!(read(cell.rows.container(&cid("c1"))), None);
    assert_eq!((read(cell.rows.body(&cid("c1"))), read(cell.rows.output(&cid("c1")))), (None, None));
}

#[test]
fn ended_containers_are_kept_for_a_while_and_up_to_a_number() {
    let mut cell = Cell::new();
    for number in 0..5 {
        let id = format!("c{number}");
        cell.submit(&id, ask(1));
        cell.stop(&id);
        cell.now += 1000;
    }
    cell.submit("waits", ask(1));
    let keep = Keep { within: Duration::from_millis(3500), ended_max: 10 };
    let forgotten = cell.run(|rows, now| containers::forget(rows, now, &keep, 10));
    assert_eq!((forgotten.containers, forgotten.more), (2, false), "the two that ended 4 and 5 s ago");
    let keep = Keep { within: Duration::from_secs(100), ended_max: 1 };
    let (first, changes) = read(containers::forget(&cell.rows, cell.now(), &keep, 1));
    cell.rows.apply(changes);
    assert_eq!((first.containers, first.more), (1, true), "in bounded steps");
    let second = cell.run(|rows, now| containers::forget(rows, now, &keep, 10));
    assert_eq!((second.containers, second.more), (1, false));
    assert_eq!(cell.phase("c4"), Phase::Stopped, "the last that ended");
    assert_eq!(cell.phase("waits"), Phase::Pending);
}

#[test]
fn losses_are_fenced() {
    let mut cell = cell();
    cell.running("c1", "w1");
    let stranger = Mandate { planner: PlannerId::new("p2").expect("a name"), ..cell.mandate.clone() };
    let losses = [cell.silence("w1")];
    let (answer, changes) = read(placements::lose(&cell.rows, &stranger, cell.now(), &losses, 10));
    assert_eq!((answer, changes), (Err(Fence::StaleTerm), Vec::new()));
    assert_eq!(cell.beat("w1"), CallAnswer::Ok);
}

fn drain_due(worker: &str) -> Loss {
    Loss::DrainDue { worker: crate::support::wid(worker) }
}
