//! Losing: only who was silent all along is given up, and what it held goes elsewhere.

use domain::container::{End, Phase};
use domain::id::{Boot, CallNumber, Incarnation};
use domain::model::placements::{self, Loss, LossOutcome, Outcome, ReportOutcome};
use domain::model::workers::{self, RegisterOutcome};
use domain::model::{Event, Rows};
use domain::worker::{CallAnswer, Life, Status};

use crate::support::{Cell, ask, exited, read, starts, wid};

fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.submit("c1", ask(1));
    cell.running("c1", "w1");
    cell
}

#[test]
fn a_silent_worker_is_given_up_and_its_work_goes_back() {
    let mut cell = cell();
    let loss = cell.silence("w1");
    assert_eq!(cell.lose(&loss), LossOutcome::Done(1));
    assert_eq!(cell.worker("w1").status(), Status::Lost);
    assert_eq!((cell.phase("c1"), cell.row("c1").failures, cell.used("w1")), (Phase::Pending, 1, 0));
    assert_eq!(cell.end("c1"), End::WorkerLost);
    assert_eq!(cell.lose(&loss), LossOutcome::Done(0), "once more changes nothing");
}

#[test]
fn losing_is_refused_if_number_incarnation_or_boot_differ() {
    let mut cell = cell();
    let loss = cell.silence("w1");
    cell.beat("w1");
    assert_eq!(cell.lose(&loss), LossOutcome::Refused, "it called");
    let Loss::Silent { worker, incarnation, number, boot } = cell.silence("w1") else { unreachable!() };
    let others = [
        Loss::Silent { worker: worker.clone(), incarnation: incarnation.next(), number, boot },
        Loss::Silent { worker: worker.clone(), incarnation, number: number.next(), boot },
        Loss::Silent { worker: worker.clone(), incarnation, number, boot: Boot::from_random(99) },
        Loss::Silent { worker: wid("w9"), incarnation, number, boot },
    ];
    for other in others {
        assert_eq!(cell.lose(&other), LossOutcome::Refused, "{other:?}");
    }
    assert_eq!(cell.worker("w1").life, Life::Up);
}

#[test]
fn every_accepted_call_moves_the_number() {
    let mut cell = cell();
    let number = |cell: &Cell| read(cell.rows.number(&wid("w1")));
    let before = number(&cell);
    cell.beat("w1");
    assert_eq!(number(&cell), before.next());
    cell.take("w1", None);
    assert_eq!(number(&cell), before.next().next());
    let placement = cell.placement("c1");
    cell.report("w1", &placement, Event::Running);
    assert_eq!(number(&cell), CallNumber(before.0 + 3));
}

#[test]
fn a_late_call_never_puts_the_number_back() {
    let mut cell = cell();
    let early = cell.caller("w1");
    let late = cell.caller("w1");
    assert_eq!(
        cell.beat_as(&[late.clone(), early.clone()]),
        [CallAnswer::Ok, CallAnswer::Ok],
        "one call may hold both"
    );
    assert_eq!(read(cell.rows.number(&wid("w1"))), late.number);
    cell.beat_as(std::slice::from_ref(&early));
    cell.run(|rows, now| placements::take(rows, now, &early, None, 10));
    assert_eq!(read(cell.rows.number(&wid("w1"))), late.number);
}

#[test]
fn a_lost_workers_calls_are_answered_register() {
    let mut cell = cell();
    cell.lose_worker("w1");
    assert_eq!(cell.beat("w1"), CallAnswer::Register);
    assert_eq!(cell.take("w1", None).call, CallAnswer::Register);
    let placement = cell.placement("c1");
    let answer = cell.report("w1", &placement, Event::Ended(exited(0)));
    assert_eq!((answer.call, answer.outcomes.len()), (CallAnswer::Register, 0));
    assert_eq!(cell.phase("c1"), Phase::Pending);
    let held = [placement];
    let answer = cell.rejoin("w1", &held);
    assert!(matches!(answer, RegisterOutcome::Registered { kills, .. } if kills == held), "it is given away");
}

#[test]
fn a_lost_worker_that_comes_back_empty_takes_work_again() {
    let mut cell = cell();
    cell.lose_worker("w1");
    assert_eq!(cell.place("c1", "w1"), Outcome::WorkerGone);
    cell.rejoin("w1", &[]);
    assert_eq!(cell.place("c1", "w1"), Outcome::Done);
    assert_eq!(starts(&cell.take("w1", None)).len(), 1);
}

#[test]
fn beats_show_who_is_up_and_how_far() {
    let mut cell = cell();
    cell.join("w2", 1);
    cell.beat("w2");
    cell.join("w3", 1);
    cell.lose_worker("w3");
    let beats = read(workers::beats(&cell.rows));
    let number = read(cell.rows.number(&wid("w1")));
    assert_eq!(beats.boot, cell.rows.boot());
    assert_eq!(
        beats.numbers,
        [(wid("w1"), Incarnation(1), number), (wid("w2"), Incarnation(1), CallNumber(1))],
        "the lost are not waited for"
    );
}

#[test]
fn numbers_belong_to_one_boot() {
    let mut cell = cell();
    let loss = cell.silence("w1");
    cell.rows = cell.rows.clone().reopened(Boot::from_random(2));
    assert_eq!(read(cell.rows.number(&wid("w1"))), CallNumber(0));
    assert_eq!(cell.lose(&loss), LossOutcome::Refused);
    assert_eq!(cell.beat("w1"), CallAnswer::Ok, "the worker notices nothing");
    assert_eq!(cell.phase("c1"), Phase::Running);
}

#[test]
fn losing_goes_in_bounded_steps() {
    let mut cell = cell();
    for id in ["c2", "c3"] {
        cell.submit(id, ask(1));
        cell.running(id, "w1");
    }
    let (loss, mandate) = (cell.silence("w1"), cell.mandate.clone());
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let (answer, changes) =
            read(placements::lose(&cell.rows, &mandate, cell.now(), std::slice::from_ref(&loss), 2));
        cell.rows.apply(changes);
        cell.audit();
        outcomes.extend(answer.expect("the mandate holds"));
    }
    assert_eq!(outcomes, [LossOutcome::More(2), LossOutcome::Done(1), LossOutcome::Done(0)]);
}

#[test]
fn a_booting_worker_is_not_lost_for_its_silence() {
    let mut cell = Cell::new();
    let new = placements::NewWorker {
        id: wid("w5"),
        spec: crate::support::spec(1),
        boot_within: std::time::Duration::from_mins(1),
    };
    let commit = placements::Commit { workers: vec![new], ..Default::default() };
    cell.commit(&commit).expect("the mandate holds");
    assert_eq!(cell.lose_worker("w5"), LossOutcome::Refused);
}

#[test]
fn an_end_from_before_the_loss_is_believed_and_a_run_is_not() {
    let mut cell = cell();
    cell.join("w2", 4);
    let old = cell.placement("c1");
    cell.lose_worker("w1");
    cell.running("c1", "w2");
    cell.rejoin("w1", &[]);
    assert_eq!(cell.report("w1", &old, Event::Ended(exited(0))).outcomes, [ReportOutcome::Dropped], "w2 runs it now");
    assert_eq!(cell.phase("c1"), Phase::Running);
}
