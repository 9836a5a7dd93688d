//! A row that cannot be decoded stays where it is, and fails nobody else's step.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::audit::{self, Corruption, Finding};
use domain::container::{ContainerRow, End, Output, Phase};
use domain::id::{Attempt, Boot, CallNumber, ContainerId, Incarnation, Revision, WorkerId, Workspace};
use domain::model::backlog::{self, SubmitOutcome};
use domain::model::containers::{self, Keep, StopOutcome};
use domain::model::placements::{self, Commit, Decision, DecisionKind, Loss, LossOutcome, Outcome, ReportOutcome};
use domain::model::workers::{self, Look, RegisterOutcome, Registration, RemoveOutcome};
use domain::model::{CellRow, Change, Event, Filter, FleetChange, MemoryRows, OrderMark, Report, Rows, UsageRow};
use domain::request::{Body, OrderKey};
use domain::time::Timestamp;
use domain::wait::{LotKey, LotRow};
use domain::worker::{CallAnswer, WorkerRow};

use crate::support::{Cell, ask, cid, exited, gone, read, request, starts, wid};

/// A row that cannot be decoded.
#[derive(Debug, PartialEq)]
struct Rotten;

/// Rows of which some cannot be decoded.
struct Rotting<'a> {
    rows: &'a MemoryRows,
    containers: BTreeSet<ContainerId>,
    workers: BTreeSet<WorkerId>,
}

impl Rows for Rotting<'_> {
    type Error = Rotten;

    fn is_corrupt(&self, _: &Rotten) -> bool {
        true
    }

    fn boot(&self) -> Boot {
        self.rows.boot()
    }

    fn cell(&self) -> Result<CellRow, Rotten> {
        Ok(read(self.rows.cell()))
    }

    fn container(&self, id: &ContainerId) -> Result<Option<ContainerRow>, Rotten> {
        if self.containers.contains(id) { Err(Rotten) } else { Ok(read(self.rows.container(id))) }
    }

    fn body(&self, id: &ContainerId) -> Result<Option<Arc<Body>>, Rotten> {
        Ok(read(self.rows.body(id)))
    }

    fn output(&self, id: &ContainerId) -> Result<Option<Output>, Rotten> {
        Ok(read(self.rows.output(id)))
    }

    fn worker(&self, id: &WorkerId) -> Result<Option<WorkerRow>, Rotten> {
        if self.workers.contains(id) { Err(Rotten) } else { Ok(read(self.rows.worker(id))) }
    }

    fn lot(&self, key: &LotKey) -> Result<Option<LotRow>, Rotten> {
        Ok(read(self.rows.lot(key)))
    }

    fn usage(&self, workspace: &Workspace) -> Result<Option<UsageRow>, Rotten> {
        Ok(read(self.rows.usage(workspace)))
    }

    fn number(&self, worker: &WorkerId) -> Result<CallNumber, Rotten> {
        Ok(read(self.rows.number(worker)))
    }

    fn ready(&self, after: Option<OrderKey>, limit: usize) -> Result<Vec<(OrderKey, ContainerId)>, Rotten> {
        Ok(read(self.rows.ready(after, limit)))
    }

    fn parked(
        &self,
        lot: &LotKey,
        after: Option<OrderKey>,
        limit: usize,
    ) -> Result<Vec<(OrderKey, ContainerId)>, Rotten> {
        Ok(read(self.rows.parked(lot, after, limit)))
    }

    fn owned(&self, worker: &WorkerId, after: Option<&OrderMark>, limit: usize) -> Result<Vec<OrderMark>, Rotten> {
        Ok(read(self.rows.owned(worker, after, limit)))
    }

    fn containers(
        &self,
        filter: &Filter,
        after: Option<&ContainerId>,
        limit: usize,
    ) -> Result<Vec<ContainerId>, Rotten> {
        Ok(read(self.rows.containers(filter, after, limit)))
    }

    fn workers(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, Rotten> {
        Ok(read(self.rows.workers(after, limit)))
    }

    fn ended(&self, limit: usize) -> Result<Vec<(Timestamp, ContainerId)>, Rotten> {
        Ok(read(self.rows.ended(limit)))
    }

    fn changed_fleet(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, FleetChange)>, Rotten> {
        Ok(read(self.rows.changed_fleet(after, limit)))
    }

    fn changed_containers(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, ContainerId)>, Rotten> {
        Ok(read(self.rows.changed_containers(after, limit)))
    }
}

/// `bad` runs on w1 beside `good`; `ready` and `waits` are ready.
fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    for id in ["bad", "good", "ready", "waits"] {
        cell.submit(id, ask(1));
    }
    cell.running("bad", "w1");
    cell.running("good", "w1");
    cell
}

/// Runs a step while the rows of these containers cannot be decoded.
fn with<T>(cell: &mut Cell, bad: &[&str], step: impl Fn(&Rotting) -> Result<(T, Vec<Change>), Rotten>) -> T {
    let rotting =
        Rotting { rows: &cell.rows, containers: bad.iter().map(|id| cid(id)).collect(), workers: BTreeSet::new() };
    let (answer, changes) = step(&rotting).expect("the step must not fail for others");
    cell.rows.apply(changes);
    answer
}

#[test]
fn submit_takes_the_others_and_keeps_the_name() {
    let mut cell = cell();
    let items = [request("bad", ask(1)), request("new", ask(1))];
    let outcomes = with(&mut cell, &["bad"], |rows| backlog::submit(rows, Timestamp(0), &items));
    assert_eq!(outcomes, [SubmitOutcome::Conflict, SubmitOutcome::Accepted]);
}

#[test]
fn next_names_what_is_ready_and_reads_past_it_in_a_lot() {
    let mut cell = cell();
    let lot = LotKey::Shape(ask(1).shape());
    let line = with(&mut cell, &["ready"], |rows| Ok((backlog::next(rows, None, 10, &[])?, Vec::new())));
    assert_eq!((line.ready.len(), line.corrupt[0].1.clone()), (1, cid("ready")));
    cell.park("ready", lot.clone());
    cell.park("waits", lot.clone());
    let line =
        with(&mut cell, &["ready"], |rows| Ok((backlog::next(rows, None, 10, &[(lot.clone(), 1)])?, Vec::new())));
    let members: Vec<_> = line.lots[0].1.iter().map(|waiting| waiting.candidate.id.as_str()).collect();
    assert_eq!(members, ["waits"]);
}

#[test]
fn commit_parks_it_once_and_places_the_others() {
    let mut cell = cell();
    let key = cell.row("ready").key;
    let park = |key| Decision {
        container: cid("ready"),
        attempt: Attempt(0),
        kind: DecisionKind::ParkCorrupt { key, detail: "torn".to_owned() },
    };
    let decisions = vec![park(key), park(key), cell.placing("bad", "w1"), cell.placing("waits", "w1")];
    let commit = Commit { decisions, ..Commit::default() };
    let mandate = cell.mandate.clone();
    for outcomes in [
        [Outcome::Done, Outcome::AlreadyDone, Outcome::NotPending, Outcome::Done],
        [Outcome::AlreadyDone, Outcome::AlreadyDone, Outcome::NotPending, Outcome::AlreadyDone],
    ] {
        let answer =
            with(&mut cell, &["ready", "bad"], |rows| placements::commit(rows, &mandate, Timestamp(0), &commit));
        assert_eq!(answer.expect("the mandate holds").outcomes, outcomes);
    }
    let depth = read(backlog::depth(&cell.rows));
    assert_eq!((depth.ready, depth.parked), (0, 1));
    assert_eq!(cell.lot(&LotKey::Corrupt).map(|lot| lot.count), Some(1));
    let commit = Commit { decisions: vec![park(cell.row("good").key)], ..Commit::default() };
    let (answer, _) = read(placements::commit(&cell.rows, &mandate, Timestamp(0), &commit));
    assert_eq!(answer.expect("the mandate holds").outcomes, [Outcome::NotPending], "it can be decoded");
    let (answer, _) = read(containers::stop(&cell.rows, Timestamp(0), &[cid("ready")]));
    assert_eq!(answer, [StopOutcome::Stopped], "what was mended can be stopped");
}

#[test]
fn a_worker_takes_reports_and_registers_past_it() {
    let mut cell = cell();
    let caller = cell.caller("w1");
    let answer = with(&mut cell, &["bad"], |rows| placements::take(rows, Timestamp(0), &caller, None, 10));
    assert_eq!(starts(&answer), [("good".to_owned(), Attempt(1))]);
    let caller = cell.caller("w1");
    let report = |cell: &Cell, id: &str, event| Report { placement: cell.placement(id), event, output: None };
    let reports = [
        report(&cell, "bad", Event::Running),
        report(&cell, "bad", Event::Ended(exited(0))),
        report(&cell, "good", Event::Ended(exited(0))),
    ];
    let answer = with(&mut cell, &["bad"], |rows| placements::report(rows, Timestamp(0), &caller, &reports));
    assert_eq!(answer.outcomes, [ReportOutcome::Kill, ReportOutcome::Dropped, ReportOutcome::Accepted]);
    let page = cell.registration("w1");
    let answer = with(&mut cell, &["bad"], |rows| workers::register(rows, Timestamp(0), &page));
    assert!(matches!(answer, RegisterOutcome::Registered { kills, .. } if kills.is_empty()));
    assert_eq!((cell.used("w1"), cell.phase("bad")), (1000, Phase::Running), "its room stays booked");
    let stranger =
        Registration { key: crate::support::key("stranger"), incarnation: Incarnation(99), ..cell.registration("w1") };
    let answer = with(&mut cell, &["bad"], |rows| workers::register(rows, Timestamp(0), &stranger));
    assert_eq!(answer, RegisterOutcome::KeyTaken { taken: 1 });
}

#[test]
fn losing_draining_and_removing_go_past_it() {
    let mut cell = cell();
    let mandate = cell.mandate.clone();
    cell.drain("w1");
    for (loss, outcome) in
        [(Loss::DrainDue { worker: wid("w1") }, LossOutcome::Done(1)), (cell.silence("w1"), LossOutcome::Done(1))]
    {
        let losses = [loss];
        let answer = with(&mut cell, &["bad"], |rows| placements::lose(rows, &mandate, Timestamp(0), &losses, 10));
        assert_eq!(answer, Ok(vec![outcome]));
    }
    assert_eq!(cell.end("good"), End::WorkerLost);
    let how = gone(&cell, "w1");
    let answer = with(&mut cell, &["bad"], |rows| workers::remove(rows, Timestamp(0), &[(wid("w1"), how)], 10));
    assert_eq!(answer, [RemoveOutcome::Owns(1)], "what it owns cannot be given back");
    assert_eq!(cell.used("w1"), 1000);
}

#[test]
fn lists_exports_and_forgetting_go_past_it() {
    let mut cell = cell();
    cell.submit("old", ask(1));
    cell.stop("old");
    cell.stop("waits");
    let page = with(&mut cell, &["bad"], |rows| Ok((containers::list(rows, &Filter::All, None, 10)?, Vec::new())));
    assert_eq!(page.rows.len(), 4);
    let page = with(&mut cell, &["bad"], |rows| Ok((containers::export(rows, None, 10)?, Vec::new())));
    assert_eq!((page.undecodable, page.containers.len()), (vec![cid("bad")], 2));
    let keep = Keep { ended_max: 0, ..Keep::default() };
    let forgotten = with(&mut cell, &["old"], |rows| containers::forget(rows, Timestamp(0), &keep, 2));
    assert_eq!((forgotten.containers, forgotten.more), (1, true));
    let forgotten = with(&mut cell, &["old"], |rows| containers::forget(rows, Timestamp(0), &keep, 1));
    assert_eq!((forgotten.containers, forgotten.more), (0, false), "nobody asks for ever");
}

#[test]
fn a_worker_that_cannot_be_decoded_hides_no_other() {
    let mut cell = cell();
    cell.join("w2", 4);
    let (callers, decisions) =
        ([cell.caller("w1"), cell.caller("w2")], vec![cell.placing("ready", "w1"), cell.placing("waits", "w2")]);
    let commit = Commit { decisions, ..Commit::default() };
    let (mandate, silence) = (cell.mandate.clone(), [cell.silence("w1")]);
    let rotting = Rotting { rows: &cell.rows, containers: BTreeSet::new(), workers: BTreeSet::from([wid("w1")]) };
    let Ok(Look::Page(page)) = workers::look(&rotting, None, 10) else { panic!("the others are there") };
    assert_eq!(page.workers.len(), 1);
    assert_eq!(workers::beats(&rotting).map(|beats| beats.numbers.len()), Ok(1));
    let answers = workers::heartbeat(&rotting, &callers).map(|(answers, _)| answers);
    assert_eq!(answers, Ok(vec![CallAnswer::Register, CallAnswer::Ok]));
    let outcomes = placements::commit(&rotting, &mandate, Timestamp(0), &commit)
        .map(|(answer, _)| answer.expect("the mandate holds").outcomes);
    assert_eq!(outcomes, Ok(vec![Outcome::WorkerGone, Outcome::Done]));
    let lost = placements::lose(&rotting, &mandate, Timestamp(0), &silence, 10).map(|(answer, _)| answer);
    assert_eq!(lost, Ok(Ok(vec![LossOutcome::Refused])));
    let found = audit::of_rows(&rotting).expect("an audit names it");
    let named = Corruption::Undecodable { what: "worker w1".to_owned() };
    assert!(found.contains(&Finding::from(named)), "{found:?}");
}
