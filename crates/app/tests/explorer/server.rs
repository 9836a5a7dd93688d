//! What the server makes of a call: the step of `domain::model`, and the same translation that HTTP uses. Most rules
//! are broken here, between the two.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use app::agent::core::{Action, Answer, Call};
use app::agent::executor::{Cause, StopRequest};
use app::api::calls::{
    self, Order, OrderMark, PlacementName, RegisterAnswer, ReportAnswer, ReportCall, TakeAnswer, TakeCall, Verdict,
};
use app::scheduler::Silent;
use domain::container::{ContainerRow, End, Phase, PlacementId, State, StopCause};
use domain::id::{Attempt, CallNumber, ContainerId, History, PlannerId, Revision, Term, WorkerId};
use domain::model::containers::{self, StopOutcome};
use domain::model::placements::{self, Loss};
use domain::model::workers::{self, RegisterOutcome, Registration, RemoveHow, SeenSilent, StatusChange};
use domain::model::{CellRow, Change, Event, Fence, Mandate, MemoryRows, Replace, Report, Rows, Stepped};
use domain::time::Timestamp;
use domain::worker::{CallAnswer, Caller, Life, WorkerRow};

use crate::planner::{Planner, PlannerCall};
use crate::rules::Rule;
use crate::world::{Due, KEEPALIVE, TICK_MS, UserCall, World, read};

/// Time only labels rows, and labels would tell states apart that are alike.
const NOW: Timestamp = Timestamp(0);
/// More containers than there are.
const LIMIT: usize = 100;

type Step<T> = Stepped<T, Infallible>;

impl World {
    /// Makes a step and writes its changes.
    pub(crate) fn step<T>(&mut self, step: impl FnOnce(&MemoryRows) -> Step<T>) -> T {
        let (answer, changes) = read(step(&self.store));
        self.write(changes);
        answer
    }

    fn write(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            Rc::make_mut(&mut self.store).apply(changes);
            self.check_store();
        }
    }

    /// Answers an agent's call; a take without orders waits instead, if somebody waits for it.
    pub(crate) fn serve(&mut self, at: usize, call: &Call, is_waited_for: bool) -> Option<Answer> {
        if self.machines[at].is_cut {
            return Some(Answer::Unreachable("cut off".to_owned()));
        }
        let worker = self.machines[at].worker();
        Some(match call {
            Call::Register(call) => self.register(at, call.to_registration().unwrap()),
            Call::Heartbeat(call) => {
                let caller = self.caller(call.caller, worker);
                Answer::Heartbeat(self.heartbeat(at, &caller))
            }
            Call::Take(call) => {
                let answer = self.take_orders(&worker, call);
                let is_idle = answer.verdict == Verdict::Ok && answer.orders.is_empty();
                if is_idle && is_waited_for {
                    return None;
                }
                Answer::Take(answer)
            }
            Call::Report(call) => Answer::Report(self.report(&worker, call)),
            Call::Drain | Call::Remove | Call::Open => Answer::Done,
        })
    }

    /// Who calls; the broken store does not look how much of the history its caller saw.
    fn caller(&self, call: calls::Caller, worker: WorkerId) -> Caller {
        let mut caller = call.to_caller(worker).unwrap();
        if self.breaks(Rule::AMarkBeyondIsNoticed) {
            caller.mark.revision = Revision(0);
        }
        caller
    }

    fn register(&mut self, at: usize, mut call: Registration) -> Answer {
        if let Some(row) = read(self.store.worker(&call.worker)) {
            let is_late = row.key.as_ref() == Some(&call.key) && call.incarnation < row.incarnation;
            if is_late && self.breaks(Rule::IncarnationsAreCompared) {
                call.incarnation = row.incarnation.next();
            }
            if row.key.as_ref() != Some(&call.key) && self.breaks(Rule::OnlyTheSameKeySpeaksForAWorker) {
                call.key = row.key.unwrap_or(call.key);
                call.incarnation = call.incarnation.max(row.incarnation.next());
            }
        }
        if self.breaks(Rule::EndsTravelInRegister) {
            call.ends.clear();
        }
        self.sharpen_registration(&mut call);
        for end in &mut call.ends {
            self.twist_end(end);
        }
        match self.step(|rows| workers::register(rows, NOW, &call)) {
            RegisterOutcome::Registered { mark, kills, .. } => Answer::Registered(RegisterAnswer {
                history: mark.history.get(),
                revision: mark.revision.0,
                kill: self.told_to_kill(at, &call, &kills),
                keepalive_ms: KEEPALIVE * TICK_MS,
                raise_above: None,
            }),
            RegisterOutcome::Raise { above } => Answer::Registered(RegisterAnswer {
                history: 0,
                revision: 0,
                kill: Vec::new(),
                keepalive_ms: KEEPALIVE * TICK_MS,
                raise_above: Some(above.0),
            }),
            RegisterOutcome::Replaced => Answer::Rejected("replaced".to_owned()),
            RegisterOutcome::KeyTaken { .. } => Answer::Conflict("another machine has this name".to_owned()),
        }
    }

    /// What a registration is answered that it may not run. The broken store and agent go on at once, while that is told
    /// to end.
    fn told_to_kill(&mut self, at: usize, call: &Registration, kills: &[PlacementId]) -> Vec<PlacementName> {
        let mut names: Vec<PlacementName> = kills.iter().map(Into::into).collect();
        for name in &mut names {
            self.blur(name);
        }
        if names.is_empty() || call.more || !self.breaks(Rule::AKillMakesIncomplete) {
            return names;
        }
        let before = read(self.store.worker(&call.worker));
        let after = before.clone().map(|row| WorkerRow { complete: true, ..row });
        self.write(vec![Change::Worker(Box::new(Replace { before, after }))]);
        let request = StopRequest { cause: Cause::Kill, kill_after_ms: None };
        let stop = |name| Due::Act { machine: at, action: Action::Stop(name, request) };
        self.due.extend(names.into_iter().map(stop));
        Vec::new()
    }

    fn heartbeat(&mut self, at: usize, caller: &Caller) -> Verdict {
        let is_lost = read(self.store.worker(&caller.worker)).is_some_and(|row| row.life == Life::Lost);
        let answer = self.step(|rows| workers::heartbeat(rows, std::slice::from_ref(caller)))[0];
        let verdict = Verdict::from(answer);
        self.put_number_back(caller, answer);
        if verdict == Verdict::Register && is_lost && self.breaks(Rule::ALostWorkersCallsAreRefused) {
            return Verdict::Ok;
        }
        if verdict == Verdict::Register && self.breaks(Rule::RefusalsMoveNoDeadline) {
            let deadline_ms = self.now_ms() + KEEPALIVE * TICK_MS;
            let disk = &mut Rc::make_mut(&mut self.machines[at]).disk;
            disk.deadline_ms = deadline_ms;
            disk.processes.values_mut().for_each(|process| process.start_by_ms = deadline_ms);
        }
        verdict
    }

    /// The broken store keeps the number of the last call, not the greatest.
    fn put_number_back(&mut self, caller: &Caller, answer: CallAnswer) {
        if answer == CallAnswer::Ok && self.breaks(Rule::TheGreatestNumberIsKept) {
            self.write(vec![Change::Number(caller.worker.clone(), Some(caller.number))]);
        }
    }

    fn take_orders(&mut self, worker: &WorkerId, call: &TakeCall) -> TakeAnswer {
        let (answer, changes) = self.taken(worker, call);
        self.write(self.without_number(changes));
        self.put_number_back(&self.caller(call.caller, worker.clone()), answer.call);
        let mut orders: Vec<_> = answer.orders.iter().map(Order::from).collect();
        for order in &mut orders {
            self.blur_order(order);
        }
        TakeAnswer {
            verdict: answer.call.into(),
            orders,
            upto: answer.upto.as_ref().map(OrderMark::from),
            revision: answer.mark.revision.0,
        }
    }

    fn taken(&self, worker: &WorkerId, call: &TakeCall) -> (placements::TakeAnswer, Vec<Change>) {
        let caller = self.caller(call.caller, worker.clone());
        let after = call.after.as_ref().map(|mark| mark.to_mark().unwrap());
        read(placements::take(&*self.store, NOW, &caller, after.as_ref(), call.limit as usize))
    }

    /// Whether a take that waits would be handed something now.
    pub(crate) fn has_orders(&self, at: usize, call: &Call) -> bool {
        let Call::Take(call) = call else { return false };
        !self.taken(&self.machines[at].worker(), call).0.orders.is_empty()
    }

    fn report(&mut self, worker: &WorkerId, call: &ReportCall) -> ReportAnswer {
        let caller = self.caller(call.caller, worker.clone());
        let mut reports: Vec<_> = call.reports.iter().map(|report| report.to_report().unwrap()).collect();
        for report in &mut reports {
            self.sharpen_report(report);
            self.twist_end(report);
        }
        let (answer, changes) = read(placements::report(&*self.store, NOW, &caller, &reports));
        self.write(self.without_number(changes));
        self.put_number_back(&caller, answer.call);
        ReportAnswer {
            verdict: answer.call.into(),
            outcomes: answer.outcomes.into_iter().map(Into::into).collect(),
            revision: answer.mark.revision.0,
        }
    }

    /// The broken stores that do not believe how something ended.
    fn twist_end(&self, report: &mut Report) {
        let Event::Ended(end) = &mut report.event else { return };
        let Some(row) = self.row(report.placement.container.as_str()) else { return };
        let is_draining = matches!(row.state, State::Stopping(_, StopCause::Drain));
        if is_draining && matches!(end, End::Exited(_)) && self.breaks(Rule::ADrainedOneThatEndedKeepsItsEnd) {
            *end = End::DrainOrder;
        }
        let is_pending = matches!(row.state, State::Pending(_));
        let is_refused = is_pending && self.breaks(Rule::EndsAreAcceptedWhilePending);
        let is_dropped = *end == End::NotStarted && self.breaks(Rule::OrdersNotStartedAreReported);
        if is_refused || is_dropped {
            report.placement.attempt = Attempt(0); // an attempt that nobody waits for
        }
    }

    fn without_number(&self, mut changes: Vec<Change>) -> Vec<Change> {
        if self.breaks(Rule::EveryCallMovesTheNumber) {
            changes.retain(|change| !matches!(change, Change::Number(..)));
        }
        changes
    }

    pub(crate) fn serve_planner(&mut self, at: usize, call: &PlannerCall, is_answered: bool) {
        let Some(mandate) = self.planners[at].mandate.clone() else { return };
        let mandate = self.fenced_as(mandate);
        let fence = match call {
            PlannerCall::Commit(commit) => {
                let (answer, changes) = read(placements::commit(&*self.store, &mandate, NOW, commit));
                self.check_mandate(at, &changes);
                self.write(changes);
                answer.err()
            }
            PlannerCall::Lose(losses) => {
                let losses: Vec<_> = losses.iter().map(|loss| self.seen_now(loss)).collect();
                let (answer, changes) = read(placements::lose(&*self.store, &mandate, NOW, &losses, LIMIT));
                self.check_mandate(at, &changes);
                self.write(changes);
                answer.err()
            }
        };
        if !is_answered {
            self.planners[at].seen = None;
            return;
        }
        match fence {
            None => {}
            Some(Fence::StaleTerm) => {
                self.planners[at].mandate = None;
                self.tell(|| "it is told that another plans".to_owned());
            }
            Some(Fence::Rewound) => self.look_anew(at, &mandate),
        }
    }

    /// A planner that is told of a new history asks for the cell again, and says how far it saw the one before.
    fn look_anew(&mut self, at: usize, old: &Mandate) {
        let seen = self.planners[at].seen;
        let mandate = self.acquire(&old.planner, None);
        let is_same_term = mandate.as_ref().is_some_and(|mandate| mandate.term == old.term);
        self.tell(|| format!("it is told of a new history, and plans in it: {}", mandate.is_some()));
        let mut planner = Planner::new(old.clone());
        planner.witness = seen.filter(|_| is_same_term);
        planner.seen = mandate.as_ref().map(|mandate| mandate.mark);
        planner.mandate = mandate;
        self.planners[at] = planner;
    }

    /// Who plans, as the store knows it.
    pub(crate) fn present_mandate(&self) -> Option<(PlannerId, Term, History)> {
        let cell = read(self.store.cell());
        let planner = cell.planner?.planner;
        let plans = |planning: &Planner| planning.mandate.as_ref().is_some_and(|mandate| mandate.planner == planner);
        self.planners.iter().any(plans).then(|| (planner.clone(), cell.term, cell.history))
    }

    /// What the server asks of the store for an operator who says that a worker is gone; nothing if the worker was heard
    /// of too short a while ago, or is not there.
    pub(crate) fn called_lost(&self, worker: &WorkerId) -> Option<RemoveHow> {
        let row = read(self.store.worker(worker))?;
        let is_known_lost = row.life == Life::Lost || row.key.is_none();
        let planner = self.planners.iter().rev().find(|planner| planner.mandate.is_some());
        let silent = planner.and_then(|planner| planner.silence_of(worker));
        let is_of_this_run =
            |silent: &Silent| silent.run == row.incarnation || self.breaks(Rule::RemovalWaitsForSilenceOfTheRun);
        let seen = silent.filter(is_of_this_run).map(|silent| silent.seen);
        let is_heard = is_known_lost || seen.is_some() || self.breaks(Rule::RemovalWaitsForSilence);
        let now = SeenSilent { number: read(self.store.number(worker)), boot: self.store.boot() };
        let seen = (!is_known_lost).then(|| seen.unwrap_or(now));
        is_heard.then_some(RemoveHow::Lost { incarnation: row.incarnation, seen })
    }

    /// The broken stores that remove a worker as it is now, not as the operator saw it.
    fn removed_now(&self, worker: &WorkerId, how: RemoveHow) -> RemoveHow {
        let RemoveHow::Lost { mut incarnation, mut seen } = how else { return how };
        if self.breaks(Rule::RemovalNamesTheIncarnation) {
            incarnation = read(self.store.worker(worker)).map_or(incarnation, |row| row.incarnation);
        }
        if self.breaks(Rule::RemovalNamesTheNumber) {
            seen = Some(SeenSilent { number: read(self.store.number(worker)), boot: self.store.boot() });
        }
        RemoveHow::Lost { incarnation, seen }
    }

    /// The broken store believes that it has settled as soon as its history begins.
    pub(crate) fn unsettle(&mut self) {
        let cell = read(self.store.cell());
        self.write(vec![Change::Cell(CellRow { settling: false, ..cell })]);
    }

    /// The broken fence takes every mandate for the present one.
    fn fenced_as(&self, mandate: Mandate) -> Mandate {
        let cell = read(self.store.cell());
        let Some(held) = &cell.planner else { return mandate };
        let term = if self.breaks(Rule::AMandateIsFenced) {
            cell.term
        } else if self.breaks(Rule::AMandateIsFencedByMoreThanItsTerm) {
            mandate.term
        } else {
            return mandate;
        };
        Mandate { planner: held.planner.clone(), term, mark: cell.mark(), ..mandate }
    }

    /// The broken stores that lose a worker as it is now, not as the planner saw it.
    fn seen_now(&self, loss: &Loss) -> Loss {
        let mut loss = loss.clone();
        if let Loss::Silent { worker, number, boot, .. } = &mut loss {
            if self.breaks(Rule::LoseNamesTheNumber) {
                *number = read(self.store.number(worker));
            }
            if self.breaks(Rule::LoseNamesTheBoot) {
                *boot = self.store.boot();
            }
        }
        loss
    }

    pub(crate) fn serve_user(&mut self, call: &UserCall) {
        match call {
            UserCall::Stop(container) => self.stop(container),
            UserCall::Drain(worker) => {
                let drain = StatusChange::Draining { within: Duration::ZERO };
                self.step(|rows| workers::set_status(rows, NOW, &[(worker.clone(), drain)]));
            }
            UserCall::Remove(worker, how) => {
                let how = self.removed_now(worker, *how);
                let outcomes = self.step(|rows| workers::remove(rows, NOW, &[(worker.clone(), how)], LIMIT));
                self.tell(|| format!("the removal is answered {:?}", outcomes[0]));
            }
        }
    }

    fn stop(&mut self, container: &ContainerId) {
        let row = self.row(container.as_str());
        let is_draining = row.is_some_and(|row| matches!(row.state, State::Stopping(_, StopCause::Drain)));
        let cell = read(self.store.cell());
        let is_hasty = cell.settling && self.breaks(Rule::AStopWaitsForTheSettling);
        if is_hasty {
            self.unsettle();
        }
        let outcome = if is_draining && self.breaks(Rule::AStopPrevailsOverADrain) {
            StopOutcome::Stopping
        } else {
            self.step(|rows| containers::stop(rows, NOW, std::slice::from_ref(container)))[0]
        };
        self.tell(|| format!("the stop of {container} is answered {outcome:?}"));
        if outcome == StopOutcome::Stopping && self.breaks(Rule::AStopKeepsTheRoom) {
            self.forge_end(container);
        }
        if is_hasty {
            let cell = read(self.store.cell());
            self.write(vec![Change::Cell(CellRow { settling: true, ..cell })]);
        }
        self.note_stop(container, outcome);
    }

    /// The broken store ends what it told to stop before its worker says that it is over.
    fn forge_end(&mut self, container: &ContainerId) {
        let Some(row) = self.row(container.as_str()) else { return };
        let (Some(place), Some(placement)) = (row.state.placement(), row.placement_id()) else { return };
        let mark = read(self.store.cell()).mark();
        let (worker, incarnation) = (place.worker.clone(), place.incarnation);
        let caller = Caller { worker, incarnation, number: CallNumber(0), mark };
        let report = Report { placement, event: Event::Ended(End::StopOrder), output: None };
        self.step(|rows| placements::report(rows, NOW, &caller, &[report]));
    }

    pub(crate) fn row(&self, container: &str) -> Option<ContainerRow> {
        read(self.store.container(&ContainerId::new(container).unwrap()))
    }

    pub(crate) fn phase(&self, container: &str) -> Option<Phase> {
        self.row(container).map(|row| row.state.phase())
    }
}
