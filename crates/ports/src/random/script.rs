//! Calls at random, likely to do something: made from what a cell holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::container::{ContainerRow, End, Exit, Output, OutputTail, Phase, PlacementId, State};
use domain::id::{
    Attempt, Boot, CallNumber, CellName, ContainerId, GpuType, History, Incarnation, Mark, Revision, Stamp, Term,
    WorkerId, WorkerKey, Workspace,
};
use domain::model::containers::Keep;
use domain::model::placements::{Commit, Decision, DecisionKind, Loss, NewWorker};
use domain::model::workers::{Held, Look, Registration, RemoveHow, SeenSilent, StatusChange};
use domain::model::{Event, Filter, Mandate, OrderMark, Report};
use domain::quota::{Limit, QuotaLimits};
use domain::request::{Ask, GpuAsk, GpuWish, IfSilent, OrderKey, Submission};
use domain::resources::{Booking, Capacity};
use domain::time::Timestamp;
use domain::wait::{LotKey, Rule, Why};
use domain::worker::{Caller, WorkerRow, WorkerSpec};

use super::call::Op;
use super::dice::Dice;
use crate::Ports;
use crate::conformance::case::{answered, body, cid, planner, spec, wid};

const CONTAINERS: u64 = 14;
const WORKERS: u64 = 4;

/// What a cell holds, as far as it matters for the next call.
pub struct Seen {
    pub cell: CellName,
    pub containers: Vec<ContainerRow>,
    pub workers: Vec<WorkerRow>,
    pub history: History,
    pub boot: Boot,
    pub numbers: BTreeMap<WorkerId, CallNumber>,
    pub settling: bool,
    /// The last mandate that was given.
    pub mandate: Option<Mandate>,
}

impl Seen {
    /// Reads a cell.
    pub async fn of(ports: &Ports, cell: &CellName, mandate: Option<Mandate>) -> Self {
        let found = answered(ports.containers.get(cell, all_containers()).await);
        let beats = answered(ports.workers.beats(cell).await);
        let (workers, settling) = match answered(ports.workers.look(cell, None, 100).await) {
            Look::Page(page) => (page.workers, page.settling),
            Look::Whole => (Vec::new(), false),
        };
        Self {
            cell: cell.clone(),
            containers: found.into_iter().flatten().map(|found| found.row).collect(),
            workers,
            history: beats.history,
            boot: beats.boot,
            numbers: beats.numbers.into_iter().map(|(worker, _, number)| (worker, number)).collect(),
            settling,
            mandate,
        }
    }

    fn worker(&self, id: &WorkerId) -> Option<&WorkerRow> {
        self.workers.iter().find(|row| row.id == *id)
    }

    /// What a worker owns.
    fn owned(&self, worker: &WorkerId) -> Vec<&ContainerRow> {
        let owns = |row: &&ContainerRow| row.state.placement().is_some_and(|place| place.worker == *worker);
        self.containers.iter().filter(owns).collect()
    }
}

impl Dice {
    fn now(&mut self) -> Timestamp {
        Timestamp(1_000 + self.below(4_000))
    }

    fn container(&mut self) -> ContainerId {
        cid(&format!("c{}", self.below(CONTAINERS)))
    }

    pub fn worker(&mut self) -> WorkerId {
        wid(&format!("w{}", self.below(WORKERS)))
    }

    fn workspace(&mut self) -> Workspace {
        Workspace::new(if self.once_in(2) { "red" } else { "blue" }).expect("a name")
    }
}

pub(super) fn all_containers() -> Vec<ContainerId> {
    (0..CONTAINERS).map(|index| cid(&format!("c{index}"))).collect()
}

/// A call at random that may write; a planner and workers come first, also in a new history.
pub fn step(dice: &mut Dice, seen: &Seen) -> Op {
    let now = dice.now();
    let plans = seen.mandate.as_ref().is_some_and(|mandate| mandate.mark.history == seen.history);
    if !plans && dice.once_in(2) {
        return acquire(dice, seen);
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        seen.workers.iter().partition(|row| row.registered_in == Some(seen.history));
    if (known.len() < 2 || !unknown.is_empty()) && dice.once_in(2) {
        return Op::Register(now, registration(dice, seen));
    }
    if seen.settling && dice.once_in(4) {
        return Op::Lose(mandate(dice, seen), now, vec![Loss::Settled { witness: None }], dice.size(4));
    }
    match dice.below(24) {
        0..=2 => Op::Submit(now, dice.some(4, submit_one)),
        3 if dice.once_in(2) => acquire(dice, seen),
        3 if dice.once_in(4) => Op::Resign(mandate(dice, seen)),
        3 => Op::Renew(mandate(dice, seen)),
        4..=8 => Op::Commit(mandate(dice, seen), now, commit(dice, seen)),
        9 => Op::Lose(mandate(dice, seen), now, dice.some(1, |dice| loss(dice, seen)), dice.size(4)),
        10 | 11 => Op::Register(now, registration(dice, seen)),
        12 => Op::Heartbeat(dice.some(3, |dice| caller(dice, seen))),
        13..=16 => take(dice, seen, now),
        17..=20 => reports(dice, seen, now),
        21 if dice.once_in(3) => Op::Remove(now, dice.some(1, |dice| removal(dice, seen)), dice.size(4)),
        21 => Op::SetStatus(now, dice.some(2, |dice| (known_worker(dice, seen), status(dice)))),
        22 => Op::Stop(now, dice.some(1, Dice::container)),
        _ => {
            let keep = Keep { within: Duration::from_millis(dice.below(4_000)), ended_max: dice.below(8) };
            Op::Forget(now, keep, dice.size(4))
        }
    }
}

/// A call at random that only reads.
pub fn reading(dice: &mut Dice, seen: &Seen) -> Op {
    let since = dice.once_in(2).then(|| Revision(dice.below(200)));
    let place = dice.pick(&seen.containers).map(|row| row.key);
    let after = place.filter(|_| dice.once_in(2));
    let limit = 1 + dice.size(6);
    match dice.below(9) {
        0 => Op::Depth,
        1 => Op::Next(after, limit, dice.some(3, |dice| (lot(dice, seen), 1 + dice.size(3)))),
        2 => Op::Reached(since.unwrap_or_default()),
        3 => Op::Beats,
        4 => Op::Ordered(since.unwrap_or_default()),
        5 => Op::Look(since, limit),
        6 => Op::Get(dice.some(3, Dice::container)),
        7 => Op::List(filter(dice), dice.once_in(2).then(|| dice.container()), limit),
        _ => Op::Export(since, limit),
    }
}

/// Mostly one that somebody waits in.
fn lot(dice: &mut Dice, seen: &Seen) -> LotKey {
    let parked: Vec<_> = seen.containers.iter().filter_map(|row| row.state.lot()).collect();
    dice.pick(&parked).map_or_else(|| LotKey::Quota(dice.workspace()), |lot| (*lot).clone())
}

fn filter(dice: &mut Dice) -> Filter {
    match dice.below(4) {
        0 => Filter::All,
        1 => Filter::Workspace(dice.workspace()),
        2 => Filter::Worker(dice.worker()),
        _ => dice.pick(&Phase::ALL).map_or(Filter::All, |phase| Filter::Phase(*phase)),
    }
}

/// The call without what no planner decides: the books of a cell in which that was done do not add up.
pub fn sound(mut op: Op, seen: &Seen) -> Op {
    let workspace = |id: &ContainerId| seen.containers.iter().find(|row| row.id == *id).map(|row| &row.ask.workspace);
    if let Op::Commit(_, _, commit) = &mut op {
        commit.decisions.retain(|decision| match &decision.kind {
            DecisionKind::Park { lot: LotKey::Quota(of), .. } => workspace(&decision.container) == Some(of),
            DecisionKind::ParkCorrupt { .. } => false,
            _ => true,
        });
    }
    op
}

/// Mostly a worker that is there.
fn known_worker(dice: &mut Dice, seen: &Seen) -> WorkerId {
    let known = dice.pick(&seen.workers).map(|row| row.id.clone());
    known.filter(|_| !dice.once_in(10)).unwrap_or_else(|| dice.worker())
}

/// Mostly after nothing, or after what the worker was told.
fn take(dice: &mut Dice, seen: &Seen, now: Timestamp) -> Op {
    let caller = caller(dice, seen);
    let mark =
        |row: &ContainerRow| Some(OrderMark { revision: row.state.placement()?.order, container: row.id.clone() });
    let told: Vec<_> = seen.owned(&caller.worker).into_iter().filter_map(mark).collect();
    let any = OrderMark { revision: Revision(dice.below(60)), container: dice.container() };
    let after = dice.once_in(3).then(|| dice.pick(&told).cloned().unwrap_or(any));
    Op::Take(now, caller, after, dice.size(6))
}

fn reports(dice: &mut Dice, seen: &Seen, now: Timestamp) -> Op {
    let caller = caller(dice, seen);
    let reports = dice.some(3, |dice| report(dice, seen, &caller.worker));
    Op::Report(now, caller, reports)
}

fn submit_one(dice: &mut Dice) -> Submission {
    let number = dice.below(CONTAINERS);
    // What is asked follows from the name, so that most repeats are the same request.
    let mut content = Dice(if dice.once_in(8) { dice.below(1_000) } else { number });
    let mut ask = Ask::plain(content.workspace(), (1 + content.below(4)) * 500, 64);
    ask.priority = i8::try_from(content.below(3)).expect("it is small") - 1;
    if content.once_in(4) {
        ask.gpu = Some(GpuAsk { types: GpuWish::Any, count: 1, milli: 500 });
    }
    if dice.once_in(30) {
        ask.cpu_milli = 0;
    }
    let if_silent = if content.once_in(3) { IfSilent::Keep } else { IfSilent::Stop };
    Submission::new(cid(&format!("c{number}")), ask, body(), if_silent)
}

fn mandate(dice: &mut Dice, seen: &Seen) -> Mandate {
    let held = seen.mandate.clone().unwrap_or_else(|| Mandate {
        cell: seen.cell.clone(),
        planner: planner("nobody"),
        term: Term(0),
        mark: Mark { history: seen.history, revision: Revision(0) },
    });
    match dice.below(30) {
        0 => Mandate { term: held.term.next(), ..held },
        1 if dice.once_in(2) => Mandate { mark: Mark { history: History::from_random(1), ..held.mark }, ..held },
        _ => held,
    }
}

fn acquire(dice: &mut Dice, seen: &Seen) -> Op {
    let planner = planner(if dice.once_in(4) { "p2" } else { "p1" });
    let term = seen.mandate.as_ref().map_or(Term(0), |mandate| mandate.term);
    Op::Acquire(planner, dice.once_in(2).then(|| (term, Stamp(dice.below(8)))))
}

fn commit(dice: &mut Dice, seen: &Seen) -> Commit {
    let mut commit = Commit { decisions: dice.some(4, |dice| decision(dice, seen)), ..Commit::default() };
    if dice.once_in(3) {
        let boot_within = Duration::from_millis(dice.below(5_000));
        commit.workers.push(NewWorker { id: dice.worker(), spec: any_spec(dice), boot_within });
    }
    if dice.once_in(5) {
        commit.removals.push(dice.worker());
    }
    if dice.once_in(4) {
        let limits = QuotaLimits { cpu_milli: Limit::AtMost(dice.below(4) * 2_000), ..QuotaLimits::UNLIMITED };
        commit.limits.insert(dice.workspace(), limits);
    }
    commit
}

fn decision(dice: &mut Dice, seen: &Seen) -> Decision {
    let waiting: Vec<_> = seen.containers.iter().filter(|row| matches!(row.state, State::Pending(_))).collect();
    let row = dice.pick(&waiting).copied().cloned();
    let container = row.as_ref().map_or_else(|| dice.container(), |row| row.id.clone());
    let attempt = row.as_ref().map_or(Attempt(0), |row| row.attempt);
    let kind = match dice.below(6) {
        0 => {
            let key = row.map_or_else(OrderKey::default, |row| row.key);
            DecisionKind::ParkCorrupt { key, detail: "spoilt".into() }
        }
        1 | 2 => {
            let lot = match &row {
                Some(row) if dice.once_in(2) => LotKey::Shape(row.ask.shape()),
                _ => LotKey::Quota(dice.workspace()),
            };
            let rules = BTreeMap::from([(Rule::Cpu, dice.below(5))]);
            DecisionKind::Park { lot, why: Why::NoFit { rules, never: None } }
        }
        _ => {
            let worker = dice.worker();
            let incarnation = seen.worker(&worker).map_or(Incarnation(0), |row| row.incarnation);
            DecisionKind::Place { worker, incarnation, booking: booking(dice, row.as_ref()) }
        }
    };
    Decision { container, attempt, kind }
}

fn booking(dice: &mut Dice, row: Option<&ContainerRow>) -> Booking {
    let Some(row) = row else { return Booking { cpu_milli: 100, memory_mib: 64, ..Booking::default() } };
    let mut booking = plain_booking(row);
    for device in &mut booking.gpu_devices {
        *device = u32::from(dice.once_in(2));
    }
    booking
}

/// What a container would own, on the first of its worker's devices.
fn plain_booking(row: &ContainerRow) -> Booking {
    let (gpu_devices, gpu_milli) = row.ask.gpu.as_ref().map_or((Vec::new(), 0), |gpu| (vec![0], gpu.milli));
    Booking { cpu_milli: row.ask.cpu_milli, memory_mib: row.ask.memory_mib, gpu_devices, gpu_milli }
}

fn any_spec(dice: &mut Dice) -> Arc<WorkerSpec> {
    let gpu_type = dice.once_in(2).then(|| GpuType::new("T4").expect("a name"));
    let gpu_count = if gpu_type.is_some() { 2 } else { 0 };
    spec(Capacity { cpu_milli: 1_000 + dice.below(3) * 1_000, memory_mib: 1_024, gpu_type, gpu_count })
}

fn loss(dice: &mut Dice, seen: &Seen) -> Loss {
    let Some(row) = dice.pick(&seen.workers) else { return Loss::DrainDue { worker: dice.worker() } };
    let worker = row.id.clone();
    match dice.below(6) {
        0 => Loss::DrainDue { worker },
        1 => Loss::Rest { worker },
        2 => {
            let witness = seen.mandate.as_ref().map(|mandate| mandate.mark);
            Loss::Settled { witness: witness.filter(|_| dice.once_in(2)) }
        }
        _ => {
            let number = seen.numbers.get(&worker).copied().unwrap_or_default();
            let boot = if dice.once_in(8) { Boot::from_random(1) } else { seen.boot };
            Loss::Silent { worker, incarnation: row.incarnation, number, boot }
        }
    }
}

/// What a worker owns, and what it may believe to own: another's, or an attempt that nobody here knows.
fn holds(dice: &mut Dice, seen: &Seen, worker: &WorkerId) -> Vec<Held> {
    let hold = |row: &ContainerRow| {
        let booking = row.state.placement().map_or_else(|| plain_booking(row), |place| place.booking.clone());
        Some(Held { placement: row.placement_id()?, booking })
    };
    let mut holds: Vec<_> = seen.owned(worker).into_iter().filter_map(hold).collect();
    holds.retain(|_| !dice.once_in(5));
    if dice.once_in(6) {
        let strange = dice.pick(&seen.containers).map(|row| {
            let history = if dice.once_in(2) { seen.history } else { History::from_random(7) };
            let attempt = Attempt(row.attempt.0 + dice.below(2));
            Held { placement: PlacementId { container: row.id.clone(), attempt, history }, booking: plain_booking(row) }
        });
        holds.extend(strange);
    }
    holds
}

fn registration(dice: &mut Dice, seen: &Seen) -> Registration {
    let worker = dice.worker();
    let row = seen.worker(&worker);
    let before = row.map_or(0, |row| row.incarnation.0);
    let mut holds = holds(dice, seen, &worker);
    let ends = if holds.is_empty() || dice.once_in(2) {
        Vec::new()
    } else {
        vec![Report { placement: holds.remove(0).placement, event: Event::Ended(end(dice)), output: output(dice) }]
    };
    let key = if dice.once_in(8) { "stranger" } else { worker.as_str() };
    Registration {
        incarnation: Incarnation((before + 1).saturating_sub(if dice.once_in(4) { dice.below(3) } else { 0 })),
        key: WorkerKey::new(key).expect("a name"),
        spec: row.filter(|_| dice.once_in(2)).map_or_else(|| any_spec(dice), |row| Arc::clone(&row.spec)),
        ready: !dice.once_in(10),
        worker,
        holds,
        ends,
        more: dice.once_in(8),
    }
}

fn caller(dice: &mut Dice, seen: &Seen) -> Caller {
    let worker = known_worker(dice, seen);
    let incarnation = seen.worker(&worker).map_or(Incarnation(1), |row| row.incarnation);
    let history = if dice.once_in(20) { History::from_random(1) } else { seen.history };
    let other = if dice.once_in(2) { incarnation.next() } else { Incarnation(0) };
    let incarnation = if dice.once_in(12) { other } else { incarnation };
    Caller { worker, incarnation, number: CallNumber(dice.below(50)), mark: Mark { history, revision: Revision(0) } }
}

/// Mostly about something that the worker owns.
fn report(dice: &mut Dice, seen: &Seen, worker: &WorkerId) -> Report {
    let owned: Vec<_> = seen.owned(worker).into_iter().filter_map(ContainerRow::placement_id).collect();
    let placed: Vec<_> = seen.containers.iter().filter_map(ContainerRow::placement_id).collect();
    let from = if owned.is_empty() || dice.once_in(8) { &placed } else { &owned };
    let placement = dice.pick(from).cloned();
    let placement =
        placement.unwrap_or(PlacementId { container: dice.container(), attempt: Attempt(1), history: seen.history });
    let event = if dice.once_in(2) { Event::Running } else { Event::Ended(end(dice)) };
    Report { placement, event, output: output(dice) }
}

fn end(dice: &mut Dice) -> End {
    match dice.below(8) {
        0 | 1 => End::Exited(Exit::Code(0)),
        2 => End::Exited(Exit::Signal(9)),
        3 => End::StopOrder,
        4 => End::Timeout(Duration::from_millis(1_500)),
        5 => End::StartFailed("no space".into()),
        6 => End::Gone,
        _ => End::NotStarted,
    }
}

fn output(dice: &mut Dice) -> Option<Output> {
    let stdout = OutputTail { text: "done\n".into(), dropped_bytes: dice.below(10) };
    dice.once_in(2).then(|| Output { stdout, stderr: OutputTail::default() })
}

fn status(dice: &mut Dice) -> StatusChange {
    match dice.below(6) {
        0..=3 => StatusChange::Open,
        4 => StatusChange::Cordoned,
        _ => StatusChange::Draining { within: Duration::from_millis(500) },
    }
}

fn lost(dice: &mut Dice, seen: &Seen, worker: &WorkerId, incarnation: Incarnation) -> RemoveHow {
    let number = seen.numbers.get(worker).copied().unwrap_or_default();
    let seen = if dice.once_in(4) { None } else { Some(SeenSilent { number, boot: seen.boot }) };
    RemoveHow::Lost { incarnation, seen }
}

fn removal(dice: &mut Dice, seen: &Seen) -> (WorkerId, RemoveHow) {
    let worker = dice.worker();
    let incarnation = seen.worker(&worker).map_or(Incarnation(0), |row| row.incarnation);
    let how = if dice.once_in(2) { RemoveHow::IfEmpty } else { lost(dice, seen, &worker, incarnation) };
    (worker, how)
}
