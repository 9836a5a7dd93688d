//! What a store that lost writes does: a new history, in which nothing is placed before workers have said what they run.

use domain::container::{End, Phase, State};
use domain::id::{Attempt, CallNumber, Incarnation, Mark, Revision};
use domain::model::containers::StopOutcome;
use domain::model::history;
use domain::model::leadership::{self, AcquireOutcome};
use domain::model::placements::{Commit, Loss, LossOutcome, Outcome, ReportOutcome};
use domain::model::workers::{RegisterOutcome, Registration};
use domain::model::{Event, Fence, MemoryRows, Report, Rows};
use domain::wait::LotKey;
use domain::worker::{CallAnswer, Caller, Life, Status};

use crate::support::{Cell, ask, exited, held, read, starts, wid};

/// A cell with two workers, and a copy of it.
fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.join("w2", 4);
    cell
}

impl Cell {
    /// Everything since `copy` is lost, and the store knows.
    fn restore(&mut self, copy: &MemoryRows) {
        self.rows = copy.clone();
        let (_, changes) = read(history::rewind(&self.rows));
        self.rows.apply(changes);
        self.acquire();
    }

    fn acquire(&mut self) {
        let (cell, planner) = (self.mandate.cell.clone(), self.mandate.planner.clone());
        let outcome = self.run(|rows, _| leadership::acquire(rows, &cell, &planner, None));
        let AcquireOutcome::Acquired(mandate) = outcome else { panic!("it is the same planner: {outcome:?}") };
        self.mandate = mandate;
    }

    fn settle(&mut self) -> LossOutcome {
        self.lose(&Loss::Settled { witness: None })
    }

    fn is_settling(&self) -> bool {
        read(self.rows.cell()).settling
    }
}

const SETTLED: LossOutcome = LossOutcome::Done(0);

#[test]
fn nothing_is_placed_before_all_have_said_what_they_hold() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    let copy = cell.rows.clone();
    cell.running("c1", "w1");
    let placement = cell.placement("c1");
    cell.restore(&copy);
    assert_eq!((cell.phase("c1"), cell.worker("w2").status()), (Phase::Pending, Status::Pending));
    assert_eq!(cell.place("c1", "w2"), Outcome::Settling);
    assert_eq!(cell.beat("w1"), CallAnswer::Register);
    cell.rejoin("w2", &[]);
    assert_eq!(cell.settle(), LossOutcome::Refused, "w1 has not registered");
    assert_eq!(cell.place("c1", "w2"), Outcome::Settling);
    let outcome = cell.rejoin("w1", std::slice::from_ref(&placement));
    assert!(matches!(outcome, RegisterOutcome::Registered { kills, unknown: 0, .. } if kills.is_empty()));
    assert_eq!((cell.phase("c1"), cell.placement("c1")), (Phase::Starting, placement));
    assert_eq!(cell.worker("w1").used.cpu_milli, 1_000);
    assert_eq!(cell.settle(), SETTLED);
    assert_eq!(cell.ends("w1", "c1", exited(0)), ReportOutcome::Accepted);
    assert_eq!(cell.phase("c1"), Phase::Succeeded);
}

#[test]
fn who_is_lost_is_not_waited_for() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    cell.running("c1", "w1");
    let copy = cell.rows.clone();
    cell.restore(&copy);
    cell.rejoin("w2", &[]);
    assert_eq!(cell.settle(), LossOutcome::Refused);
    assert_eq!(cell.lose_worker("w1"), LossOutcome::Done(1));
    assert_eq!(cell.place("c1", "w2"), Outcome::Settling, "the time is not over");
    assert_eq!(cell.settle(), SETTLED);
    assert_eq!(cell.place("c1", "w2"), Outcome::Done);
    assert_eq!(cell.row("c1").attempt, Attempt(2));
}

#[test]
fn a_planner_of_whom_nothing_was_lost_waits_for_nobody() {
    let mut cell = cell();
    let seen = read(cell.rows.cell()).mark();
    let copy = cell.rows.clone();
    cell.restore(&copy);
    let beyond = Mark { revision: seen.revision.next(), ..seen };
    assert_eq!(cell.lose(&Loss::Settled { witness: Some(beyond) }), LossOutcome::Refused);
    assert_eq!(cell.lose(&Loss::Settled { witness: Some(seen) }), SETTLED);
    assert!(!cell.is_settling());
}

#[test]
fn what_ended_in_the_lost_part_does_not_run_again() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    cell.submit("c2", ask(1));
    cell.running("c2", "w1");
    let copy = cell.rows.clone();
    cell.running("c1", "w1");
    let (lost, owned) = (cell.placement("c1"), cell.placement("c2"));
    cell.restore(&copy);
    let report = |placement, event| Report { placement, event, output: None };
    let ends = vec![report(lost, Event::Ended(exited(0))), report(owned, Event::Ended(exited(3)))];
    let again = Registration { ends, ..cell.registration("w1") };
    cell.register(&again);
    assert_eq!((cell.phase("c1"), cell.phase("c2")), (Phase::Succeeded, Phase::Failed));
    assert_eq!(cell.worker("w1").used.containers, 0);
}

#[test]
fn a_stop_that_a_worker_obeyed_in_the_lost_part_holds() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    let copy = cell.rows.clone();
    cell.running("c1", "w1");
    cell.stop("c1");
    let placement = cell.placement("c1");
    cell.restore(&copy);
    let ends = vec![Report { placement, event: Event::Ended(End::StopOrder), output: None }];
    let again = Registration { ends, ..cell.registration("w1") };
    cell.register(&again);
    assert_eq!(cell.phase("c1"), Phase::Stopped);
}

#[test]
fn a_stop_while_settling_waits_for_those_who_may_run_it() {
    let mut cell = cell();
    for id in ["c1", "c2"] {
        cell.submit(id, ask(1));
    }
    let copy = cell.rows.clone();
    cell.running("c1", "w1");
    let placement = cell.placement("c1");
    cell.restore(&copy);
    for id in ["c1", "c2"] {
        assert_eq!((cell.stop(id), cell.stop(id)), (StopOutcome::Stopping, StopOutcome::Stopping));
    }
    assert_eq!(cell.row("c2").state.lot(), Some(&LotKey::Stop));
    assert_eq!(cell.place("c2", "w2"), Outcome::NotPending);
    cell.rejoin("w2", &[]);
    cell.rejoin("w1", std::slice::from_ref(&placement));
    assert!(matches!(cell.row("c1").state, State::Stopping(..)), "it is told to stop");
    assert_eq!(cell.settle(), LossOutcome::Done(1));
    assert_eq!((cell.phase("c1"), cell.phase("c2")), (Phase::Stopping, Phase::Stopped));
    assert_eq!(cell.ends("w1", "c1", End::StopOrder), ReportOutcome::Accepted);
    assert_eq!(cell.phase("c1"), Phase::Stopped);
}

#[test]
fn a_placement_of_an_earlier_history_counts_as_handed_over() {
    let mut cell = cell();
    for id in ["c1", "c2", "c3"] {
        cell.submit(id, ask(1));
        cell.place(id, "w1");
    }
    let copy = cell.rows.clone();
    cell.restore(&copy);
    assert_eq!(cell.stop("c1"), StopOutcome::Stopping, "it may have been taken in the lost part");
    cell.drain("w1");
    assert_eq!(cell.phase("c2"), Phase::Placed, "nor does a drain give it back");
    let c3 = cell.placement("c3");
    cell.rejoin("w1", std::slice::from_ref(&c3));
    let phases = ["c1", "c2", "c3"].map(|id| cell.phase(id));
    assert_eq!(phases, [Phase::Stopped, Phase::Pending, Phase::Starting]);
    assert_eq!(cell.row("c2").failures, 0, "lost histories do not count");
}

#[test]
fn what_is_to_be_kept_waits_for_every_worker_lost_or_not() {
    let mut cell = cell();
    cell.submit_keep("c1");
    let copy = cell.rows.clone();
    cell.running("c1", "w1");
    let placement = cell.placement("c1");
    cell.restore(&copy);
    cell.rejoin("w2", &[]);
    cell.lose_worker("w1");
    assert_eq!(cell.settle(), SETTLED);
    assert_eq!(cell.place("c1", "w2"), Outcome::Settling, "w1 may run it on, cut off");
    assert_eq!(cell.stop("c1"), StopOutcome::Stopping);
    assert_eq!(cell.settle(), SETTLED, "not stopped yet");
    cell.rejoin("w1", std::slice::from_ref(&placement));
    assert_eq!((cell.phase("c1"), cell.worker("w1").life), (Phase::Stopping, Life::Up));
}

#[test]
fn a_worker_of_the_lost_part_is_told_to_register_and_keeps_its_work() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    let copy = cell.rows.clone();
    cell.join("w3", 4);
    cell.running("c1", "w3");
    let placement = cell.placement("c1");
    cell.restore(&copy);
    assert_eq!(cell.beat("w3"), CallAnswer::Register, "not: removed");
    cell.rejoin("w3", std::slice::from_ref(&placement));
    assert_eq!((cell.phase("c1"), cell.worker("w3").used.containers), (Phase::Starting, 1));
    let taken = cell.take("w3", None);
    assert_eq!(starts(&taken), [("c1".to_owned(), Attempt(1))]);
}

#[test]
fn the_owner_of_an_older_attempt_gives_way_and_of_a_newer_one_does_not() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    cell.running("c1", "w1");
    let first = cell.placement("c1");
    let copy = cell.rows.clone();
    cell.lose_worker("w1");
    cell.running("c1", "w2");
    let second = cell.placement("c1");
    cell.restore(&copy);
    cell.rejoin("w2", std::slice::from_ref(&second));
    assert_eq!((cell.worker("w1").used.containers, cell.worker("w2").used.containers), (0, 1));
    let outcome = cell.rejoin("w1", std::slice::from_ref(&first));
    assert!(matches!(outcome, RegisterOutcome::Registered { kills, .. } if kills == [first]));
    cell.rejoin("w1", &[]);
    cell.settle();
    cell.ends("w2", "c1", End::NotStarted);
    assert_eq!(cell.place("c1", "w1"), Outcome::Done);
    assert_eq!(cell.row("c1").attempt, Attempt(3), "the greatest that is known, and one");
    let outcome = cell.rejoin("w2", std::slice::from_ref(&second));
    assert!(matches!(outcome, RegisterOutcome::Registered { kills, .. } if kills == [second]));
}

#[test]
fn what_was_placed_since_is_not_adopted() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    let copy = cell.rows.clone();
    for _ in 0..2 {
        cell.running("c1", "w1");
        cell.ends("w1", "c1", End::NotStarted);
    }
    cell.running("c1", "w1");
    let third = cell.placement("c1");
    cell.restore(&copy);
    cell.rejoin("w2", &[]);
    cell.lose_worker("w1");
    cell.settle();
    cell.running("c1", "w2");
    let outcome = cell.rejoin("w1", std::slice::from_ref(&third));
    assert!(matches!(outcome, RegisterOutcome::Registered { kills, .. } if kills == [third]));
    assert_eq!(cell.phase("c1"), Phase::Running);
}

#[test]
fn what_was_accepted_and_is_lost_is_counted_and_killed() {
    let mut cell = cell();
    let copy = cell.rows.clone();
    cell.submit("c1", ask(1));
    cell.running("c1", "w1");
    let placement = cell.placement("c1");
    cell.restore(&copy);
    let outcome = cell.rejoin("w1", std::slice::from_ref(&placement));
    assert!(matches!(outcome, RegisterOutcome::Registered { kills, unknown: 1, .. } if kills == [placement]));
}

#[test]
fn a_holding_that_does_not_fit_its_request_is_not_believed() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    let copy = cell.rows.clone();
    cell.running("c1", "w1");
    let mut hold = held(cell.placement("c1"));
    hold.booking.cpu_milli += 1;
    cell.restore(&copy);
    let again = Registration { holds: vec![hold.clone()], ..cell.registration("w1") };
    let outcome = cell.register(&again);
    assert!(matches!(outcome, RegisterOutcome::Registered { kills, .. } if kills == [hold.placement]));
}

#[test]
fn a_worker_that_had_not_said_all_is_waited_for_too() {
    let mut cell = cell();
    cell.submit("c1", ask(1));
    cell.running("c1", "w1");
    let foreign = cell.placement("c1");
    cell.rejoin("w2", &[foreign]);
    assert!(!cell.worker("w2").complete, "it was told to kill something");
    let copy = cell.rows.clone();
    cell.restore(&copy);
    assert_eq!(read(cell.rows.cell()).unregistered, 2);
    let running = cell.placement("c1");
    cell.rejoin("w1", &[running]);
    assert_eq!(read(cell.rows.cell()).unregistered, 1, "w2 may run what is to be kept");
    cell.rejoin("w2", &[]);
    assert_eq!(read(cell.rows.cell()).unregistered, 0);
}

#[test]
fn a_caller_who_saw_more_than_there_is_starts_a_new_history() {
    let mut cell = cell();
    let history = read(cell.rows.cell()).history;
    let caller = cell.caller("w1");
    let ahead = Mark { revision: Revision(caller.mark.revision.0 + 100), ..caller.mark };
    assert_eq!(cell.beat_as(&[Caller { mark: ahead, ..caller }]), [CallAnswer::Register]);
    let row = read(cell.rows.cell());
    let rewind = row.rewind.expect("writes were lost");
    assert!(row.settling && row.history != history && row.unregistered == 2);
    assert_eq!((rewind.survived.history, rewind.reached), (history, ahead.revision));
    assert_eq!(cell.beat("w2"), CallAnswer::Register, "so do all others");
    let commit = Commit::default();
    assert_eq!(cell.commit(&commit), Err(Fence::Rewound), "and the planner looks anew");
    let survived = rewind.survived;
    cell.acquire();
    let witness = Loss::Settled { witness: Some(survived) };
    assert_eq!(cell.lose(&witness), LossOutcome::Refused, "what was lost was lost before it looked");
    cell.rejoin("w1", &[]);
    cell.rejoin("w2", &[]);
    assert_eq!(cell.lose(&witness), LossOutcome::Refused, "and says nothing of the time");
    assert_eq!(cell.settle(), SETTLED);
}

#[test]
fn a_stranger_of_the_new_history_is_still_a_stranger() {
    let mut cell = cell();
    let copy = cell.rows.clone();
    cell.restore(&copy);
    let mark = read(cell.rows.cell()).mark();
    let nobody = Caller { worker: wid("w9"), incarnation: Incarnation(1), number: CallNumber(1), mark };
    assert_eq!(cell.beat_as(&[nobody]), [CallAnswer::Removed]);
}
