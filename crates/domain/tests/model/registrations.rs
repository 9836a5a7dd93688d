//! Who a worker is, what it holds, and what it may not run.

use domain::container::{End, FAILURES_MAX, Phase};
use domain::id::{Attempt, CallNumber, Incarnation};
use domain::model::placements::{self, Outcome, ReportOutcome};
use domain::model::workers::{self, RegisterOutcome, Registration, RemoveHow, RemoveOutcome, StatusChange};
use domain::model::{Event, Report, Rows};
use domain::worker::{CallAnswer, Caller, Life, Status};

use crate::support::{Cell, ask, exited, gone, held, key, read, spec, starts, wid};

fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.submit("c1", ask(1));
    cell
}

fn kills(outcome: &RegisterOutcome) -> usize {
    match outcome {
        RegisterOutcome::Registered { kills, .. } => kills.len(),
        other => panic!("not registered: {other:?}"),
    }
}

fn end_of(cell: &Cell, id: &str, end: End) -> Report {
    Report { placement: cell.placement(id), event: Event::Ended(end), output: None }
}

#[test]
fn what_is_held_stays_and_the_rest_goes_back() {
    let mut cell = cell();
    for id in ["c2", "c3", "c4"] {
        cell.submit(id, ask(1));
    }
    cell.running("c1", "w1");
    cell.running("c2", "w1");
    cell.place("c3", "w1");
    cell.take("w1", None);
    cell.place("c4", "w1");
    let held = [cell.placement("c1")];
    assert_eq!(kills(&cell.rejoin("w1", &held)), 0);
    assert_eq!((cell.phase("c1"), cell.row("c1").attempt), (Phase::Running, Attempt(1)));
    for (id, failures) in [("c2", 1), ("c3", 0), ("c4", 0)] {
        assert_eq!((cell.phase(id), cell.row(id).failures), (Phase::Pending, failures), "{id}");
    }
    assert_eq!(cell.used("w1"), 1000);
    assert_eq!(starts(&cell.take("w1", None)), [("c1".to_owned(), Attempt(1))]);
}

#[test]
fn a_held_container_that_was_only_placed_counts_as_starting() {
    let mut cell = cell();
    cell.place("c1", "w1");
    let held = [cell.placement("c1")];
    cell.rejoin("w1", &held);
    assert_eq!(cell.phase("c1"), Phase::Starting);
}

#[test]
fn stopping_that_comes_back_without_it_is_stopped_or_waits_again() {
    let mut cell = cell();
    cell.submit("c2", ask(1));
    cell.running("c1", "w1");
    cell.stop("c1");
    cell.running("c2", "w1");
    cell.drain("w1");
    cell.lose(&placements::Loss::DrainDue { worker: wid("w1") });
    cell.rejoin("w1", &[]);
    assert_eq!((cell.phase("c1"), cell.phase("c2")), (Phase::Stopped, Phase::Pending));
    assert_eq!(cell.row("c2").failures, 0, "a drain does not count");
}

#[test]
fn a_kill_makes_a_registration_incomplete_until_it_comes_without() {
    let mut cell = cell();
    cell.join("w2", 4);
    cell.running("c1", "w1");
    let held = [cell.placement("c1")];
    cell.submit("c2", ask(1));
    assert_eq!(kills(&cell.rejoin("w2", &held)), 1);
    assert_eq!(cell.worker("w2").status(), Status::Pending);
    assert_eq!(cell.place("c2", "w2"), Outcome::WorkerClosed, "not eligible");
    assert_eq!(cell.beat("w2"), CallAnswer::Ok);
    assert_eq!(kills(&cell.rejoin("w2", &[])), 0);
    assert_eq!(cell.place("c2", "w2"), Outcome::Done);
    assert_eq!(cell.phase("c1"), Phase::Running, "on w1 all along");
}

#[test]
fn an_incomplete_registration_gets_no_orders() {
    let mut cell = cell();
    cell.join("w2", 4);
    cell.submit("c2", ask(1));
    cell.running("c1", "w1");
    cell.running("c2", "w2");
    let held = [cell.placement("c1"), cell.placement("c2")];
    assert_eq!(kills(&cell.rejoin("w2", &held)), 1);
    assert_eq!(cell.take("w2", None).orders, []);
    cell.rejoin("w2", &held[1..]);
    assert_eq!(starts(&cell.take("w2", None)).len(), 1);
}

#[test]
fn a_registration_in_pages_concludes_with_the_last() {
    let mut cell = cell();
    for id in ["c2", "c3"] {
        cell.submit(id, ask(1));
    }
    for id in ["c1", "c2", "c3"] {
        cell.running(id, "w1");
    }
    let first = Registration { holds: vec![held(cell.placement("c1"))], more: true, ..cell.registration("w1") };
    let second = Registration { holds: vec![held(cell.placement("c2"))], more: false, ..first.clone() };
    assert_eq!(kills(&cell.register(&first)), 0);
    assert_eq!(cell.worker("w1").status(), Status::Pending);
    assert_eq!(cell.phase("c3"), Phase::Running, "not yet known to be gone");
    assert_eq!(kills(&cell.register(&second)), 0);
    assert_eq!(cell.worker("w1").status(), Status::Available);
    assert_eq!(
        (cell.phase("c1"), cell.phase("c2"), cell.phase("c3")),
        (Phase::Running, Phase::Running, Phase::Pending)
    );
    let late = cell.register(&first);
    assert_eq!(kills(&late), 0, "a page that comes late changes nothing");
    assert_eq!(cell.worker("w1").status(), Status::Available);
}

#[test]
fn a_kill_on_any_page_spoils_the_whole_registration() {
    let mut cell = cell();
    cell.join("w2", 4);
    cell.running("c1", "w1");
    let first = Registration { holds: vec![held(cell.placement("c1"))], more: true, ..cell.registration("w2") };
    let last = Registration { holds: Vec::new(), more: false, ..first.clone() };
    assert_eq!(kills(&cell.register(&first)), 1);
    assert_eq!(kills(&cell.register(&last)), 0);
    assert_eq!(cell.worker("w2").status(), Status::Pending, "it may still run what it was told to kill");
    cell.rejoin("w2", &[]);
    assert_eq!(cell.worker("w2").status(), Status::Available);
}

#[test]
fn ends_travel_in_a_registration() {
    let mut cell = cell();
    cell.submit("c2", ask(1));
    cell.running("c1", "w1");
    cell.running("c2", "w1");
    cell.lose_worker("w1");
    assert_eq!(cell.phase("c1"), Phase::Pending);
    let ends = vec![end_of(&cell, "c1", exited(0)), end_of(&cell, "c2", exited(1))];
    let page = Registration { ends, ..cell.registration("w1") };
    cell.register(&page);
    assert_eq!((cell.phase("c1"), cell.phase("c2")), (Phase::Succeeded, Phase::Failed), "finished work stays so");
}

#[test]
fn the_end_of_an_older_attempt_does_not_hide_that_the_newest_is_not_held() {
    let mut cell = cell();
    cell.running("c1", "w1");
    let old = end_of(&cell, "c1", exited(0));
    cell.ends("w1", "c1", End::NotStarted);
    cell.running("c1", "w1");
    let page = Registration { ends: vec![old], ..cell.registration("w1") };
    cell.register(&page);
    assert_eq!((cell.phase("c1"), cell.used("w1")), (Phase::Pending, 0));
    assert_eq!(cell.place("c1", "w1"), Outcome::Done, "attempt 3");
}

#[test]
fn the_same_key_replaces_only_upwards() {
    let mut cell = cell();
    let late = cell.registration("w1");
    cell.rejoin("w1", &[]);
    cell.running("c1", "w1");
    assert_eq!(cell.register(&late), RegisterOutcome::Replaced, "a late one with empty hands is not believed");
    assert_eq!(cell.phase("c1"), Phase::Running);
    let registered = Registration { incarnation: cell.worker("w1").incarnation, ..late };
    assert!(matches!(cell.register(&registered), RegisterOutcome::Registered { .. }));
    assert_eq!(cell.phase("c1"), Phase::Running, "nor is a repeat of what was complete");
}

#[test]
fn calls_of_older_runs_are_refused_and_of_later_ones_told_to_register() {
    let mut cell = cell();
    let old = cell.caller("w1");
    cell.rejoin("w1", &[]);
    let next = Caller { incarnation: cell.worker("w1").incarnation.next(), ..old.clone() };
    let elsewhere = Caller { worker: wid("w9"), ..old.clone() };
    let answers = cell.beat_as(&[old, next, elsewhere]);
    assert_eq!(answers, [CallAnswer::Refused, CallAnswer::Register, CallAnswer::Removed]);
}

#[test]
fn a_refused_call_moves_no_number() {
    let mut cell = cell();
    let old = Caller { number: CallNumber(99), ..cell.caller("w1") };
    cell.rejoin("w1", &[]);
    let refused = cell.run(|rows, now| placements::take(rows, now, &old, None, 10));
    assert_eq!(refused.call, CallAnswer::Refused);
    let refused = cell.run(|rows, now| placements::report(rows, now, &old, &[]));
    assert_eq!(refused.call, CallAnswer::Refused);
    assert_eq!(read(cell.rows.number(&wid("w1"))), CallNumber(0));
}

fn stranger(incarnation: u64) -> Registration {
    Registration::plain(wid("w1"), Incarnation(incarnation), key("stranger"), spec(2))
}

#[test]
fn another_key_is_refused_while_the_name_owns_what_was_taken() {
    let mut cell = cell();
    cell.submit("c2", ask(1));
    cell.running("c1", "w1");
    cell.place("c2", "w1");
    assert_eq!(cell.register(&stranger(9)), RegisterOutcome::KeyTaken { taken: 1 });
    assert_eq!(cell.beat("w1"), CallAnswer::Ok, "the worker itself feels nothing");
    cell.ends("w1", "c1", exited(0));
    assert!(matches!(cell.register(&stranger(9)), RegisterOutcome::Registered { .. }), "c2 was never handed over");
    assert_eq!((cell.phase("c2"), cell.used("w1"), cell.worker("w1").spec.total.cpu_milli), (Phase::Pending, 0, 2000));
    assert_eq!(cell.beat("w1"), CallAnswer::Refused);
}

#[test]
fn a_stranger_raises_its_incarnation_above_the_one_before() {
    let mut cell = cell();
    cell.beat("w1");
    let above = cell.worker("w1").incarnation;
    let old = cell.caller("w1");
    assert_eq!(cell.register(&stranger(above.0)), RegisterOutcome::Raise { above });
    assert!(matches!(cell.register(&stranger(above.0 + 1)), RegisterOutcome::Registered { .. }));
    assert_eq!(read(cell.rows.number(&wid("w1"))), CallNumber(0), "its calls are counted from their own beginning");
    cell.place("c1", "w1");
    assert_eq!(cell.beat_as(&[old]), [CallAnswer::Refused], "a late call of the other is not taken for its own");
}

#[test]
fn keep_goes_elsewhere_only_when_the_same_key_comes_without_it() {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.submit_keep("c1");
    cell.running("c1", "w1");
    cell.lose_worker("w1");
    assert_eq!((cell.phase("c1"), cell.used("w1")), (Phase::Running, 1000), "it may well live");
    assert_eq!(cell.register(&stranger(9)), RegisterOutcome::KeyTaken { taken: 1 });
    let held = [cell.placement("c1")];
    assert_eq!(kills(&cell.rejoin("w1", &held)), 0);
    assert_eq!((cell.phase("c1"), cell.row("c1").attempt), (Phase::Running, Attempt(1)));
    cell.rejoin("w1", &[]);
    assert_eq!(cell.phase("c1"), Phase::Pending);
}

#[test]
fn remove_lost_names_the_incarnation_and_gives_keep_back() {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.submit_keep("c1");
    cell.running("c1", "w1");
    assert_eq!(cell.remove("w1", RemoveHow::IfEmpty), RemoveOutcome::Owns(1));
    let incarnation = cell.worker("w1").incarnation;
    let old = RemoveHow::Lost { incarnation: Incarnation(incarnation.0 - 1), seen: None };
    assert_eq!(cell.remove("w1", old), RemoveOutcome::Registered);
    let seen = gone(&cell, "w1");
    assert_eq!(cell.beat("w1"), CallAnswer::Ok);
    assert_eq!(cell.remove("w1", seen), RemoveOutcome::Lives, "it has called since");
    assert_eq!(cell.remove("w1", RemoveHow::Lost { incarnation, seen: None }), RemoveOutcome::Lives);
    assert_eq!(cell.remove("w1", gone(&cell, "w1")), RemoveOutcome::Done);
    assert_eq!((cell.phase("c1"), cell.usage("default")), (Phase::Pending, 0));
    assert_eq!(cell.beat("w1"), CallAnswer::Removed);
    assert_eq!(cell.remove("w1", RemoveHow::IfEmpty), RemoveOutcome::NoSuchWorker);
}

#[test]
fn remove_lost_goes_in_bounded_steps() {
    let mut cell = cell();
    for id in ["c1", "c2", "c3"] {
        cell.submit(id, ask(1));
        cell.running(id, "w1");
    }
    let how = gone(&cell, "w1");
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let (answer, changes) = read(workers::remove(&cell.rows, cell.now(), &[(wid("w1"), how)], 2));
        cell.rows.apply(changes);
        cell.audit();
        outcomes.extend(answer);
    }
    assert_eq!(outcomes, [RemoveOutcome::More(2), RemoveOutcome::Done, RemoveOutcome::NoSuchWorker]);
}

#[test]
fn a_worker_that_comes_back_smaller_keeps_what_runs_and_takes_nothing_new() {
    let mut cell = cell();
    cell.submit("c2", ask(3));
    cell.submit("c3", ask(1));
    cell.running("c1", "w1");
    cell.running("c2", "w1");
    cell.agents.get_mut("w1").expect("it joined").cpu = 3;
    let held = [cell.placement("c1"), cell.placement("c2")];
    assert_eq!(kills(&cell.rejoin("w1", &held)), 0);
    assert!(cell.worker("w1").is_over_committed());
    assert!(matches!(cell.place("c3", "w1"), Outcome::NoRoom(free) if free.cpu_milli == 0));
    cell.ends("w1", "c2", exited(0));
    assert_eq!(cell.place("c3", "w1"), Outcome::Done);
}

#[test]
fn a_cordon_survives_incarnations_losses_and_strangers() {
    let mut cell = cell();
    cell.set("w1", StatusChange::Cordoned);
    cell.rejoin("w1", &[]);
    assert_eq!(cell.worker("w1").status(), Status::Cordoned);
    cell.lose_worker("w1");
    assert_eq!(cell.worker("w1").status(), Status::Lost);
    cell.register(&stranger(9));
    assert_eq!(cell.worker("w1").status(), Status::Cordoned);
    cell.set("w1", StatusChange::Open);
    assert_eq!(cell.worker("w1").status(), Status::Available);
}

#[test]
fn a_worker_that_boots_is_not_yet_ready() {
    let mut cell = cell();
    let booting = Registration { ready: false, ..cell.registration("w1") };
    cell.register(&booting);
    assert_eq!((cell.worker("w1").status(), cell.worker("w1").life), (Status::Pending, Life::Up));
    assert_eq!(cell.place("c1", "w1"), Outcome::WorkerClosed);
    cell.rejoin("w1", &[]);
    assert_eq!(cell.place("c1", "w1"), Outcome::Done);
}

#[test]
fn registering_with_empty_hands_counts_each_loss_once() {
    let mut cell = cell();
    for attempt in 1..=FAILURES_MAX {
        cell.running("c1", "w1");
        cell.rejoin("w1", &[]);
        assert_eq!(cell.row("c1").failures, attempt);
        assert_eq!((cell.used("w1"), cell.usage("default")), (0, 0));
    }
    assert_eq!(cell.phase("c1"), Phase::Failed);
    assert_eq!(cell.ends("w1", "c1", exited(0)), ReportOutcome::Accepted, "given up, and acknowledged, is for good");
    assert_eq!(cell.phase("c1"), Phase::Failed);
}
