//! The backlog and the commit: one outcome per item, and a refusal hurts no other.

use std::time::Duration;

use domain::container::Phase;
use domain::id::{Attempt, History, Mark, PlannerId, Revision};
use domain::model::backlog::{self, SubmitOutcome};
use domain::model::placements::{Commit, Decision, DecisionKind, NewWorker, Outcome, RemovalOutcome};
use domain::model::workers::StatusChange;
use domain::model::{Fence, Mandate};
use domain::quota::{Limit, OverQuota, QuotaLimits, QuotaResource};
use domain::request::Ask;
use domain::wait::{LotKey, Why};
use domain::worker::Status;

use crate::support::{Cell, ask, cid, exited, read, request, spec, wid, workspace};

fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.submit("c1", ask(1));
    cell
}

#[test]
fn a_repeated_submit_is_already_there_and_another_content_is_a_conflict() {
    let mut cell = Cell::new();
    assert_eq!(cell.submit("c1", ask(1)), SubmitOutcome::Accepted);
    assert_eq!(cell.submit("c1", ask(1)), SubmitOutcome::Already(Phase::Pending));
    assert_eq!(cell.submit("c1", ask(2)), SubmitOutcome::Conflict);
    let twice = cell.submit_all(&[request("c2", ask(1)), request("c2", ask(1)), request("c2", ask(3))]);
    assert_eq!(
        twice,
        [SubmitOutcome::Accepted, SubmitOutcome::Already(Phase::Pending), SubmitOutcome::Conflict],
        "within one call too"
    );
}

#[test]
fn an_invalid_submission_names_the_field_and_hurts_no_other() {
    let mut cell = Cell::new();
    let none = Ask { cpu_milli: 0, ..ask(1) };
    let outcomes = cell.submit_all(&[request("c1", none), request("c2", ask(1))]);
    assert!(matches!(&outcomes[0], SubmitOutcome::Invalid(bad) if bad.field == "cpu_milli"), "{outcomes:?}");
    assert_eq!(cell.phase("c2"), Phase::Pending);
}

#[test]
fn the_line_goes_by_priority_and_age() {
    let mut cell = Cell::new();
    for (id, priority) in [("old", 0), ("low", -1), ("high", 2)] {
        cell.submit(id, Ask { priority, ..ask(1) });
    }
    cell.now += 120_000;
    cell.submit("late", Ask { priority: 1, ..ask(1) });
    let line = read(backlog::next(&cell.rows, None, 10, &[]));
    let ids: Vec<_> = line.ready.iter().map(|waiting| waiting.candidate.id.as_str()).collect();
    assert_eq!(ids, ["high", "old", "low", "late"], "a step of priority is a minute; at the same rank the older");
    let after = line.ready[1].candidate.key;
    let rest = read(backlog::next(&cell.rows, Some(after), 1, &[]));
    assert_eq!(rest.ready[0].candidate.id, cid("low"));
    let depth = read(backlog::depth(&cell.rows));
    assert_eq!((depth.ready, depth.parked), (4, 0));
}

#[test]
fn a_request_that_comes_back_keeps_its_place() {
    let mut cell = cell();
    let key = cell.row("c1").key;
    cell.submit("c2", ask(1));
    cell.running("c1", "w1");
    cell.ends("w1", "c1", domain::container::End::NotStarted);
    assert_eq!(cell.row("c1").key, key);
    let line = read(backlog::next(&cell.rows, None, 1, &[]));
    assert_eq!(line.ready[0].candidate.id, cid("c1"));
    assert_eq!(line.ready[0].candidate.attempt, Attempt(1));
}

#[test]
fn lots_follow_those_who_wait_in_them() {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    let lot = LotKey::Shape(ask(1).shape());
    for id in ["c1", "c2", "c3"] {
        cell.submit(id, ask(1));
    }
    for id in ["c2", "c1", "c3"] {
        assert_eq!(cell.park(id, lot.clone()), Outcome::Done);
    }
    assert_eq!(cell.park("c1", lot.clone()), Outcome::AlreadyDone);
    let row = cell.lot(&lot).expect("three wait");
    assert_eq!((row.count, row.first), (3, cell.row("c1").key));
    let line = read(backlog::next(&cell.rows, None, 10, &[(lot.clone(), 2)]));
    assert!(line.ready.is_empty());
    let members: Vec<_> = line.lots[0].1.iter().map(|waiting| waiting.candidate.id.as_str()).collect();
    assert_eq!(members, ["c1", "c2"]);
    assert_eq!(line.lots[0].1[0].candidate.lot.as_ref(), Some(&lot));
    cell.place("c1", "w1");
    assert_eq!(cell.lot(&lot).map(|row| (row.count, row.first)), Some((2, cell.row("c2").key)));
    cell.stop("c2");
    cell.place("c3", "w1");
    assert_eq!(cell.lot(&lot), None, "a lot without any is no row");
    assert_eq!(read(backlog::depth(&cell.rows)).parked, 0);
}

#[test]
fn the_lot_of_a_quota_says_what_its_first_asks() {
    let mut cell = Cell::new();
    let lot = LotKey::Quota(workspace("default"));
    for (id, cpu) in [("c1", 3), ("c2", 2), ("c3", 1)] {
        cell.submit(id, ask(cpu));
    }
    for id in ["c2", "c3", "c1"] {
        cell.park(id, lot.clone());
    }
    for (id, cpu) in [("c1", 3), ("c2", 2), ("c3", 1)] {
        let row = cell.lot(&lot).expect("somebody waits");
        assert_eq!(row.ask.map(|ask| ask.cpu_milli), Some(cpu * 1000));
        cell.stop(id);
    }
}

#[test]
fn a_request_moves_from_lot_to_lot() {
    let mut cell = cell();
    let (shape, quota) = (LotKey::Shape(ask(1).shape()), LotKey::Quota(workspace("default")));
    cell.park("c1", shape.clone());
    cell.park("c1", quota.clone());
    assert_eq!((cell.lot(&shape), cell.lot(&quota).map(|row| row.count)), (None, Some(1)));
}

#[test]
fn a_commit_never_books_more_than_a_worker_has() {
    let mut cell = Cell::new();
    cell.join("w1", 2);
    let decisions: Vec<_> = ["c1", "c2", "c3"]
        .into_iter()
        .map(|id| {
            cell.submit(id, ask(1));
            cell.placing(id, "w1")
        })
        .collect();
    let outcomes = cell.decide(decisions.clone());
    assert_eq!(outcomes[..2], [Outcome::Done, Outcome::Done]);
    assert!(matches!(&outcomes[2], Outcome::NoRoom(free) if free.cpu_milli == 0), "{outcomes:?}");
    assert_eq!((cell.used("w1"), cell.phase("c3")), (2000, Phase::Pending));
    let again = cell.decide(decisions);
    assert_eq!(again[..2], [Outcome::AlreadyDone, Outcome::AlreadyDone]);
    assert_eq!(cell.used("w1"), 2000);
}

#[test]
fn refusals_have_a_precedence_and_hurt_no_other() {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.join("w2", 4);
    cell.set("w2", StatusChange::Cordoned);
    for id in ["gone", "closed", "large", "fits", "ended"] {
        cell.submit(id, ask(if id == "large" { 5 } else { 1 }));
    }
    let decisions = vec![
        cell.placing("gone", "w9"),
        cell.placing("closed", "w2"),
        cell.placing("large", "w1"),
        cell.placing("fits", "w1"),
        Decision { attempt: Attempt(7), ..cell.placing("ended", "w1") },
        Decision { container: cid("c9"), ..cell.placing("fits", "w1") },
    ];
    let outcomes = cell.decide(decisions);
    assert_eq!(outcomes[0], Outcome::WorkerGone);
    assert_eq!(outcomes[1], Outcome::WorkerClosed);
    assert!(matches!(outcomes[2], Outcome::NoRoom(_)));
    assert_eq!(outcomes[3..], [Outcome::Done, Outcome::NotPending, Outcome::NotPending]);
    assert_eq!((cell.phase("gone"), cell.phase("fits")), (Phase::Pending, Phase::Placed));
}

#[test]
fn a_placement_on_another_run_of_the_worker_is_refused() {
    let mut cell = cell();
    let decision = cell.placing("c1", "w1");
    cell.rejoin("w1", &[]);
    assert_eq!(cell.decide(vec![decision]), [Outcome::WorkerGone]);
    cell.lose_worker("w1");
    assert_eq!(cell.place("c1", "w1"), Outcome::WorkerGone);
}

#[test]
fn a_repeat_that_decides_otherwise_is_told_so() {
    let mut cell = cell();
    cell.join("w2", 4);
    let elsewhere = cell.placing("c1", "w2");
    let same = cell.placing("c1", "w1");
    cell.place("c1", "w1");
    assert_eq!(cell.decide(vec![elsewhere, same]), [Outcome::NotPending, Outcome::AlreadyDone]);
    assert_eq!((cell.used("w1"), cell.used("w2")), (1000, 0));
}

#[test]
fn quota_is_booked_with_the_placement() {
    let mut cell = Cell::new();
    cell.join("w1", 100);
    let limits = QuotaLimits { cpu_milli: Limit::AtMost(24_000), ..QuotaLimits::UNLIMITED };
    for (id, cpu) in [("c1", 12), ("c2", 12), ("c3", 16), ("c4", 25)] {
        cell.submit(id, ask(cpu));
    }
    assert_eq!(cell.place_within("c1", "w1", limits), Outcome::Done);
    assert_eq!(cell.place_within("c2", "w1", limits), Outcome::Done);
    let over = OverQuota { resource: QuotaResource::Cpu, limit: 24_000, used: 24_000, needs: 16_000 };
    assert_eq!(cell.place_within("c3", "w1", limits), Outcome::OverQuota(over));
    cell.ends("w1", "c1", exited(0));
    assert_eq!(cell.place_within("c3", "w1", limits), Outcome::OverQuota(OverQuota { used: 12_000, ..over }));
    cell.ends("w1", "c2", exited(0));
    assert_eq!(cell.place_within("c3", "w1", limits), Outcome::Done);
    let outcome = cell.place_within("c4", "w1", limits);
    assert!(matches!(outcome, Outcome::OverQuota(over) if over.can_never_fit()), "{outcome:?}");
    assert_eq!(cell.usage("default"), 16_000);
}

#[test]
fn a_commit_announces_workers_and_removes_empty_ones() {
    let mut cell = cell();
    cell.join("w2", 4);
    let commit = Commit {
        decisions: vec![cell.placing("c1", "w1")],
        workers: vec![NewWorker { id: wid("w3"), spec: spec(8), boot_within: Duration::from_mins(1) }],
        removals: vec![wid("w1"), wid("w2"), wid("w9")],
        ..Commit::default()
    };
    let answer = cell.commit(&commit).expect("the mandate holds");
    assert_eq!(answer.removals, [RemovalOutcome::Owns(1), RemovalOutcome::Done, RemovalOutcome::Done]);
    assert_eq!(answer.after, Revision(answer.before.0 + 1));
    assert_eq!(cell.worker("w3").status(), Status::Pending);
    cell.submit("c2", ask(1));
    assert_eq!(cell.place("c2", "w3"), Outcome::WorkerClosed, "it only boots");
}

#[test]
fn a_commit_is_fenced_on_planner_term_and_history() {
    let mut cell = cell();
    let mark = |history| Mark { history: History::from_random(history), revision: Revision(0) };
    let stranger = Mandate { planner: PlannerId::new("p2").expect("a name"), ..cell.mandate.clone() };
    let older = Mandate { term: domain::id::Term(0), ..cell.mandate.clone() };
    let elsewhere = Mandate { mark: mark(8), ..cell.mandate.clone() };
    let commit = Commit { decisions: vec![cell.placing("c1", "w1")], ..Commit::default() };
    for (mandate, fence) in [(stranger, Fence::StaleTerm), (older, Fence::StaleTerm), (elsewhere, Fence::Rewound)] {
        let answer = cell.run(|rows, now| domain::model::placements::commit(rows, &mandate, now, &commit));
        assert_eq!(answer, Err(fence));
    }
    assert_eq!(cell.phase("c1"), Phase::Pending);
}

#[test]
fn only_what_gives_the_planner_work_wakes_it() {
    let mut cell = cell();
    let woken = |cell: &Cell| cell.cell().woken == cell.cell().revision;
    assert!(woken(&cell), "a submit");
    for (id, cpu) in [("c2", 1), ("c3", 9)] {
        cell.submit(id, ask(cpu));
    }
    let lot = LotKey::Shape(ask(9).shape());
    let park = DecisionKind::Park { lot, why: Why::NoWorkers };
    let (first, second) = (cell.placing("c1", "w1"), cell.placing("c2", "w1"));
    let parked = Decision { container: cid("c3"), attempt: Attempt(0), kind: park };
    let before = cell.cell().woken;
    cell.decide(vec![first, second, parked]);
    cell.take("w1", None);
    cell.runs("w1", "c1");
    cell.beat("w1");
    assert_eq!(cell.cell().woken, before, "neither its own commits nor what workers do with them");
    let mandate = cell.mandate.clone();
    let (_, changes) = read(domain::model::leadership::renew(&cell.rows, &mandate));
    cell.rows.apply(changes);
    assert_eq!(cell.cell().woken, before);
    cell.ends("w1", "c1", exited(0));
    assert!(cell.cell().woken > before, "freed room");
    let before = cell.cell().woken;
    cell.set("w1", StatusChange::Cordoned);
    assert_eq!(cell.cell().woken, before);
    cell.set("w1", StatusChange::Open);
    assert!(cell.cell().woken > before, "a worker that opens");
    let before = cell.cell().woken;
    cell.join("w2", 4);
    assert!(cell.cell().woken > before, "a worker that comes");
}

#[test]
fn orders_are_told_by_their_revision() {
    let mut cell = cell();
    cell.place("c1", "w1");
    let placed = cell.cell().ordered;
    assert_eq!(Some(placed), cell.row("c1").state.placement().map(|place| place.order));
    cell.take("w1", None);
    cell.runs("w1", "c1");
    assert_eq!(cell.cell().ordered, placed, "taking and running gives nobody an order");
    cell.stop("c1");
    assert!(cell.cell().ordered > placed);
}

#[test]
fn time_never_goes_back() {
    let mut cell = Cell::new();
    cell.now = 5_000_000;
    cell.submit("c1", ask(1));
    cell.now = 1_000_000;
    cell.submit("c2", ask(1));
    assert_eq!(cell.row("c2").submitted, cell.row("c1").submitted);
    assert!(cell.row("c1").key < cell.row("c2").key);
}
