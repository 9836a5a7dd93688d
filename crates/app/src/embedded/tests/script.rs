//! Steps at random, likely to do something: made from what the reference holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::container::{ContainerRow, End, Exit, Output, OutputTail, PlacementId, State};
use domain::id::{
    Attempt, Boot, CallNumber, ContainerId, GpuType, History, Incarnation, Mark, PlannerId, PoolName, Revision,
    Runtime, Stamp, Term, WorkerId, WorkerKey, Workspace,
};
use domain::model::containers::Keep;
use domain::model::placements::{Commit, Decision, DecisionKind, Loss, NewWorker};
use domain::model::workers::{Held, Registration, RemoveHow, SeenSilent, StatusChange};
use domain::model::{Event, Mandate, OrderMark, Report};
use domain::quota::{Limit, QuotaLimits};
use domain::request::{GpuAsk, GpuWish, IfSilent, OrderKey, Submission};
use domain::resources::{Booking, Capacity};
use domain::time::Timestamp;
use domain::wait::{LotKey, Rule, Why};
use domain::worker::{Caller, WorkerRow, WorkerSpec};

use super::{ask, container, submission};

const CONTAINERS: u64 = 14;
const WORKERS: u64 = 4;

/// A step that may write, with the words of the reference.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Submit(Timestamp, Vec<Submission>),
    Acquire(PlannerId, Option<(Term, Stamp)>),
    Renew(Mandate),
    Resign(Mandate),
    Commit(Mandate, Timestamp, Commit),
    Lose(Mandate, Timestamp, Vec<Loss>, usize),
    Register(Timestamp, Registration),
    Heartbeat(Vec<Caller>),
    Take(Timestamp, Caller, Option<OrderMark>, usize),
    Report(Timestamp, Caller, Vec<Report>),
    SetStatus(Timestamp, Vec<(WorkerId, StatusChange)>),
    Remove(Timestamp, Vec<(WorkerId, RemoveHow)>, usize),
    Stop(Timestamp, Vec<ContainerId>),
    Forget(Timestamp, Keep, usize),
}

/// What the reference holds, as far as it matters for the next step.
pub(super) struct Seen {
    pub(super) containers: Vec<ContainerRow>,
    pub(super) workers: Vec<WorkerRow>,
    pub(super) history: History,
    pub(super) boot: Boot,
    pub(super) numbers: BTreeMap<WorkerId, CallNumber>,
    pub(super) mandate: Option<Mandate>,
}

/// Numbers from a seed (`SplitMix64`).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn size(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).expect("it is small")
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.size(last as u64 + 1));
        }
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.size(of.len() as u64)) }
    }

    fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..=self.below(most)).map(|_| make(self)).collect()
    }

    pub(super) fn now(&mut self) -> Timestamp {
        Timestamp(1_000 + self.below(4_000))
    }

    pub(super) fn container(&mut self) -> ContainerId {
        container(&format!("c{}", self.below(CONTAINERS)))
    }

    pub(super) fn worker(&mut self) -> WorkerId {
        WorkerId::new(&format!("w{}", self.below(WORKERS))).expect("a name")
    }

    fn workspace(&mut self) -> Workspace {
        Workspace::new(if self.once_in(2) { "red" } else { "blue" }).expect("a name")
    }
}

pub(super) fn all_containers() -> Vec<ContainerId> {
    (0..CONTAINERS).map(|index| container(&format!("c{index}"))).collect()
}

/// One step at random; a planner and workers come first.
pub(super) fn step(dice: &mut Dice, seen: &Seen) -> Op {
    let now = dice.now();
    if seen.mandate.is_none() && dice.once_in(2) {
        return acquire(dice, seen);
    }
    if seen.workers.len() < 2 && dice.once_in(2) {
        return Op::Register(now, registration(dice, seen));
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

/// Mostly a worker that is there.
fn known_worker(dice: &mut Dice, seen: &Seen) -> WorkerId {
    let known = dice.pick(&seen.workers).map(|row| row.id.clone());
    known.filter(|_| !dice.once_in(10)).unwrap_or_else(|| dice.worker())
}

fn take(dice: &mut Dice, seen: &Seen, now: Timestamp) -> Op {
    let mark = OrderMark { revision: Revision(dice.below(60)), container: dice.container() };
    let after = dice.once_in(4).then_some(mark);
    Op::Take(now, caller(dice, seen), after, dice.size(6))
}

fn reports(dice: &mut Dice, seen: &Seen, now: Timestamp) -> Op {
    let caller = caller(dice, seen);
    let reports = dice.some(3, |dice| report(dice, seen, &caller.worker));
    Op::Report(now, caller, reports)
}

fn submit_one(dice: &mut Dice) -> Submission {
    let workspace = dice.workspace();
    let mut ask =
        ask(workspace.as_str(), (1 + dice.below(4)) * 500, i8::try_from(dice.below(3)).expect("it is small") - 1);
    if dice.once_in(4) {
        ask.gpu = Some(GpuAsk { types: GpuWish::Any, count: 1, milli: 500 });
    }
    let id = dice.container();
    let plain = submission(id.as_str(), ask);
    let if_silent = if dice.once_in(3) { IfSilent::Keep } else { IfSilent::Stop };
    Submission::new(id, (*plain.ask).clone(), (*plain.body).clone(), if_silent)
}

fn mandate(dice: &mut Dice, seen: &Seen) -> Mandate {
    let held = seen.mandate.clone().unwrap_or_else(|| Mandate {
        cell: super::cell(),
        planner: PlannerId::new("nobody").expect("a name"),
        term: Term(0),
        mark: domain::id::Mark { history: seen.history, revision: Revision(0) },
    });
    match dice.below(30) {
        0 => Mandate { term: held.term.next(), ..held },
        1 if dice.once_in(2) => {
            Mandate { mark: domain::id::Mark { history: History::from_random(1), ..held.mark }, ..held }
        }
        _ => held,
    }
}

fn acquire(dice: &mut Dice, seen: &Seen) -> Op {
    let planner = PlannerId::new(if dice.once_in(4) { "p2" } else { "p1" }).expect("a name");
    let term = seen.mandate.as_ref().map_or(Term(0), |mandate| mandate.term);
    Op::Acquire(planner, dice.once_in(2).then(|| (term, Stamp(dice.below(8)))))
}

fn commit(dice: &mut Dice, seen: &Seen) -> Commit {
    let mut commit = Commit { decisions: dice.some(4, |dice| decision(dice, seen)), ..Commit::default() };
    if dice.once_in(3) {
        let boot_within = Duration::from_millis(dice.below(5_000));
        commit.workers.push(NewWorker { id: dice.worker(), spec: spec(dice), boot_within });
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
            let incarnation =
                seen.workers.iter().find(|row| row.id == worker).map_or(Incarnation(0), |row| row.incarnation);
            DecisionKind::Place { worker, incarnation, booking: booking(dice, row.as_ref()) }
        }
    };
    Decision { container, attempt, kind }
}

fn booking(dice: &mut Dice, row: Option<&ContainerRow>) -> Booking {
    let cpu_milli = row.map_or(100, |row| row.ask.cpu_milli);
    let wants_gpu = row.is_some_and(|row| row.ask.gpu.is_some());
    let gpu_devices = if wants_gpu { vec![u32::from(dice.once_in(2))] } else { Vec::new() };
    let gpu_milli = if wants_gpu { 500 } else { 0 };
    Booking { cpu_milli, memory_mib: 64, gpu_devices, gpu_milli }
}

fn spec(dice: &mut Dice) -> Arc<WorkerSpec> {
    let gpu_type = dice.once_in(2).then(|| GpuType::new("T4").expect("a name"));
    let gpu_count = if gpu_type.is_some() { 2 } else { 0 };
    Arc::new(WorkerSpec::plain(
        PoolName::new("default").expect("a name"),
        Runtime::new("process").expect("a name"),
        Capacity { cpu_milli: 1_000 + dice.below(3) * 1_000, memory_mib: 1_024, gpu_type, gpu_count },
    ))
}

fn loss(dice: &mut Dice, seen: &Seen) -> Loss {
    let Some(row) = dice.pick(&seen.workers) else { return Loss::DrainDue { worker: dice.worker() } };
    if dice.once_in(3) {
        return Loss::DrainDue { worker: row.id.clone() };
    }
    let number = seen.numbers.get(&row.id).copied().unwrap_or_default();
    let boot = if dice.once_in(8) { Boot::from_random(1) } else { seen.boot };
    Loss::Silent { worker: row.id.clone(), incarnation: row.incarnation, number, boot }
}

/// What a worker owns, and what it may believe to own.
fn held(dice: &mut Dice, seen: &Seen, worker: &WorkerId) -> Vec<PlacementId> {
    let owns = |row: &&ContainerRow| row.state.placement().is_some_and(|place| place.worker == *worker);
    let mut held: Vec<_> = seen.containers.iter().filter(owns).filter_map(ContainerRow::placement_id).collect();
    held.retain(|_| !dice.once_in(5));
    if dice.once_in(6) {
        held.push(PlacementId { container: dice.container(), attempt: Attempt(1), history: seen.history });
    }
    held
}

fn registration(dice: &mut Dice, seen: &Seen) -> Registration {
    let worker = dice.worker();
    let row = seen.workers.iter().find(|row| row.id == worker);
    let before = row.map_or(0, |row| row.incarnation.0);
    let mut holds = held(dice, seen, &worker);
    let ends = if holds.is_empty() || dice.once_in(2) {
        Vec::new()
    } else {
        vec![Report { placement: holds.remove(0), event: Event::Ended(end(dice)), output: output(dice) }]
    };
    let key = if dice.once_in(8) { "stranger" } else { worker.as_str() };
    Registration {
        incarnation: Incarnation((before + 1).saturating_sub(if dice.once_in(4) { dice.below(3) } else { 0 })),
        key: WorkerKey::new(key).expect("a name"),
        spec: row.filter(|_| dice.once_in(2)).map_or_else(|| spec(dice), |row| Arc::clone(&row.spec)),
        ready: !dice.once_in(10),
        worker,
        holds: holds.into_iter().map(|placement| Held { placement, booking: Booking::default() }).collect(),
        ends,
        more: dice.once_in(8),
    }
}

fn caller(dice: &mut Dice, seen: &Seen) -> Caller {
    let worker = known_worker(dice, seen);
    let incarnation = seen.workers.iter().find(|row| row.id == worker).map_or(Incarnation(1), |row| row.incarnation);
    let history = if dice.once_in(20) { History::from_random(1) } else { seen.history };
    let other = if dice.once_in(2) { incarnation.next() } else { Incarnation(0) };
    let incarnation = if dice.once_in(12) { other } else { incarnation };
    Caller { worker, incarnation, number: CallNumber(dice.below(50)), mark: Mark { history, revision: Revision(0) } }
}

/// Mostly about something that the worker owns.
fn report(dice: &mut Dice, seen: &Seen, worker: &WorkerId) -> Report {
    let owns = |row: &&ContainerRow| row.state.placement().is_some_and(|place| place.worker == *worker);
    let owned: Vec<_> = seen.containers.iter().filter(owns).filter_map(ContainerRow::placement_id).collect();
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
    let incarnation = seen.workers.iter().find(|row| row.id == worker).map_or(Incarnation(0), |row| row.incarnation);
    let how = if dice.once_in(2) { RemoveHow::IfEmpty } else { lost(dice, seen, &worker, incarnation) };
    (worker, how)
}
