//! A cell in memory, driven in the words of the protocol. Every step is repeated, and audited.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use domain::audit;
use domain::container::{ContainerRow, End, Exit, Phase, PlacementId};
use domain::id::{
    Attempt, Boot, CallNumber, CellName, ContainerId, History, Incarnation, Mark, PlannerId, PoolName, Revision,
    Runtime, WorkerId, WorkerKey, Workspace,
};
use domain::model::backlog::{self, SubmitOutcome};
use domain::model::containers::{self, StopOutcome};
use domain::model::leadership::{self, AcquireOutcome};
use domain::model::placements::{
    self, Commit, CommitAnswer, Decision, DecisionKind, Loss, LossOutcome, Outcome, ReportAnswer, ReportOutcome,
    TakeAnswer,
};
use domain::model::workers::{
    self, Held, RegisterOutcome, Registration, RemoveHow, RemoveOutcome, SeenSilent, StatusChange, StatusOutcome,
};
use domain::model::{CellRow, Change, Event, Fence, Mandate, MemoryRows, Order, OrderMark, Report, Rows, Stepped};
use domain::quota::QuotaLimits;
use domain::request::{Ask, Body, GpuAsk, GpuWish, IfSilent, Submission};
use domain::resources::{Booking, Capacity};
use domain::time::Timestamp;
use domain::wait::{LotKey, LotRow, Why};
use domain::worker::{CallAnswer, Caller, WorkerRow, WorkerSpec};

pub(crate) type Never = std::convert::Infallible;

/// A cell with a planner, and what its workers remember.
pub(crate) struct Cell {
    pub(crate) rows: MemoryRows,
    pub(crate) mandate: Mandate,
    pub(crate) now: u64,
    pub(crate) agents: BTreeMap<WorkerId, Agent>,
}

/// What one worker remembers of its calls.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) key: WorkerKey,
    pub(crate) incarnation: Incarnation,
    pub(crate) number: CallNumber,
    pub(crate) mark: Mark,
    pub(crate) cpu: u64,
}

pub(crate) fn cid(name: &str) -> ContainerId {
    ContainerId::new(name).expect("a name")
}

pub(crate) fn wid(name: &str) -> WorkerId {
    WorkerId::new(name).expect("a name")
}

pub(crate) fn key(name: &str) -> WorkerKey {
    WorkerKey::new(name).expect("a name")
}

pub(crate) fn workspace(name: &str) -> Workspace {
    Workspace::new(name).expect("a name")
}

pub(crate) fn ask(cpu: u64) -> Ask {
    Ask::plain(workspace("default"), cpu * 1000, 1)
}

pub(crate) fn gpu_ask(count: u32, milli: u32) -> Ask {
    Ask { gpu: Some(GpuAsk { types: GpuWish::Any, count, milli }), ..ask(1) }
}

pub(crate) fn body() -> Body {
    Body { command: vec!["true".to_owned()], ..Body::default() }
}

pub(crate) fn request(id: &str, ask: Ask) -> Submission {
    Submission::new(cid(id), ask, body(), IfSilent::Stop)
}

pub(crate) fn spec(cpu: u64) -> Arc<WorkerSpec> {
    Arc::new(WorkerSpec::plain(
        PoolName::new("default").expect("a name"),
        Runtime::new("process").expect("a name"),
        Capacity { cpu_milli: cpu * 1000, memory_mib: 1024, gpu_type: None, gpu_count: 0 },
    ))
}

pub(crate) fn booking(ask: &Ask) -> Booking {
    Booking { cpu_milli: ask.cpu_milli, memory_mib: ask.memory_mib, gpu_devices: Vec::new(), gpu_milli: 0 }
}

pub(crate) fn exited(code: i32) -> End {
    End::Exited(Exit::Code(code))
}

pub(crate) fn read<T>(answer: Result<T, Never>) -> T {
    let Ok(answer) = answer;
    answer
}

impl Cell {
    /// A cell whose planner is `p1`.
    pub(crate) fn new() -> Self {
        let rows = MemoryRows::new(CellRow::new(History::from_random(7)), Boot::from_random(1));
        let planner = PlannerId::new("p1").expect("a name");
        let name = CellName::new("main").expect("a name");
        let mut rows = rows;
        let (answer, changes) = read(leadership::acquire(&rows, &name, &planner, None));
        let AcquireOutcome::Acquired(mandate) = answer else { panic!("nobody plans: {answer:?}") };
        rows.apply(changes);
        Self { rows, mandate, now: 1_000_000, agents: BTreeMap::new() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Runs a step, repeats it as a caller does that lost the answer, and audits.
    pub(crate) fn run<T: Debug>(&mut self, step: impl Fn(&MemoryRows, Timestamp) -> Stepped<T, Never>) -> T {
        let now = self.now();
        let (answer, changes) = read(step(&self.rows, now));
        self.rows.apply(changes);
        let (_, again) = read(step(&self.rows, now));
        assert!(self.changes_nothing(&again), "a repeat of the step answered {answer:?} changes {again:#?}");
        self.audit();
        answer
    }

    /// Whether all that changes is the planner's stamp.
    pub(crate) fn changes_nothing(&self, changes: &[Change]) -> bool {
        let before = read(self.rows.cell());
        changes.iter().all(|change| match change {
            Change::Cell(after) => {
                let stamp = after.planner.clone();
                *after == CellRow { revision: after.revision, now: after.now, planner: stamp, ..before.clone() }
            }
            _ => false,
        })
    }

    /// No corruption may be found.
    pub(crate) fn audit(&self) {
        let found = read(audit::of_rows(&self.rows));
        let corrupt: Vec<_> = found.iter().filter(|finding| finding.is_corruption()).collect();
        assert!(corrupt.is_empty(), "{corrupt:#?}");
    }

    pub(crate) fn row(&self, id: &str) -> ContainerRow {
        read(self.rows.container(&cid(id))).unwrap_or_else(|| panic!("there is no {id}"))
    }

    pub(crate) fn phase(&self, id: &str) -> Phase {
        self.row(id).state.phase()
    }

    pub(crate) fn end(&self, id: &str) -> End {
        self.row(id).last_end.unwrap_or_else(|| panic!("{id} has no end")).end
    }

    pub(crate) fn worker(&self, id: &str) -> WorkerRow {
        read(self.rows.worker(&wid(id))).unwrap_or_else(|| panic!("there is no {id}"))
    }

    /// Thousandths of a cpu that are booked on a worker.
    pub(crate) fn used(&self, id: &str) -> u64 {
        self.worker(id).used.cpu_milli
    }

    pub(crate) fn usage(&self, id: &str) -> u64 {
        read(self.rows.usage(&workspace(id))).map_or(0, |row| row.usage.cpu_milli)
    }

    pub(crate) fn lot(&self, key: &LotKey) -> Option<LotRow> {
        read(self.rows.lot(key))
    }

    pub(crate) fn cell(&self) -> CellRow {
        read(self.rows.cell())
    }

    pub(crate) fn placement(&self, id: &str) -> PlacementId {
        self.row(id).placement_id().unwrap_or_else(|| panic!("{id} was never placed"))
    }

    // What users say.

    pub(crate) fn submit(&mut self, id: &str, ask: Ask) -> SubmitOutcome {
        self.submit_all(&[request(id, ask)]).remove(0)
    }

    pub(crate) fn submit_keep(&mut self, id: &str) -> SubmitOutcome {
        self.submit_all(&[Submission::new(cid(id), ask(1), body(), IfSilent::Keep)]).remove(0)
    }

    pub(crate) fn submit_all(&mut self, items: &[Submission]) -> Vec<SubmitOutcome> {
        self.run(|rows, now| backlog::submit(rows, now, items))
    }

    pub(crate) fn stop(&mut self, id: &str) -> StopOutcome {
        self.run(|rows, now| containers::stop(rows, now, &[cid(id)])).remove(0)
    }

    pub(crate) fn set(&mut self, id: &str, change: StatusChange) -> StatusOutcome {
        self.run(|rows, now| workers::set_status(rows, now, &[(wid(id), change)])).remove(0)
    }

    pub(crate) fn drain(&mut self, id: &str) -> StatusOutcome {
        self.set(id, StatusChange::Draining { within: Duration::from_mins(1) })
    }

    pub(crate) fn remove(&mut self, id: &str, how: RemoveHow) -> RemoveOutcome {
        self.run(|rows, now| workers::remove(rows, now, &[(wid(id), how)], 100)).remove(0)
    }

    // What the planner says.

    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<CommitAnswer, Fence> {
        let mandate = self.mandate.clone();
        self.run(|rows, now| placements::commit(rows, &mandate, now, commit))
    }

    pub(crate) fn decide(&mut self, decisions: Vec<Decision>) -> Vec<Outcome> {
        let commit = Commit { decisions, ..Commit::default() };
        self.commit(&commit).expect("the mandate holds").outcomes
    }

    /// What a planner decides that reads the rows now.
    pub(crate) fn placing(&self, id: &str, worker: &str) -> Decision {
        let row = self.row(id);
        let incarnation = read(self.rows.worker(&wid(worker))).map_or(Incarnation(0), |row| row.incarnation);
        let kind = DecisionKind::Place { worker: wid(worker), incarnation, booking: booking(&row.ask) };
        Decision { container: cid(id), attempt: row.attempt, kind }
    }

    pub(crate) fn place(&mut self, id: &str, worker: &str) -> Outcome {
        let decision = self.placing(id, worker);
        self.decide(vec![decision]).remove(0)
    }

    pub(crate) fn place_within(&mut self, id: &str, worker: &str, limits: QuotaLimits) -> Outcome {
        let workspace = self.row(id).ask.workspace.clone();
        let commit = Commit {
            decisions: vec![self.placing(id, worker)],
            limits: BTreeMap::from([(workspace, limits)]),
            ..Commit::default()
        };
        self.commit(&commit).expect("the mandate holds").outcomes.remove(0)
    }

    pub(crate) fn park(&mut self, id: &str, lot: LotKey) -> Outcome {
        let kind = DecisionKind::Park { lot, why: Why::NoWorkers };
        let decision = Decision { container: cid(id), attempt: self.row(id).attempt, kind };
        self.decide(vec![decision]).remove(0)
    }

    /// The loss of a worker that stays as it is now.
    pub(crate) fn silence(&self, id: &str) -> Loss {
        let number = read(self.rows.number(&wid(id)));
        Loss::Silent { worker: wid(id), incarnation: self.worker(id).incarnation, number, boot: self.rows.boot() }
    }

    pub(crate) fn lose(&mut self, loss: &Loss) -> LossOutcome {
        let mandate = self.mandate.clone();
        let losses = [loss.clone()];
        self.run(|rows, now| placements::lose(rows, &mandate, now, &losses, 100)).expect("the mandate holds").remove(0)
    }

    pub(crate) fn lose_worker(&mut self, id: &str) -> LossOutcome {
        let loss = self.silence(id);
        self.lose(&loss)
    }

    // What workers say.

    /// A worker of so many cpus registers, empty, under a key of its own.
    pub(crate) fn join(&mut self, id: &str, cpu: u64) {
        let agent = Agent {
            key: key(&format!("key-of-{id}")),
            incarnation: Incarnation(0),
            number: CallNumber(0),
            mark: Mark { history: History::from_random(0), revision: Revision(0) },
            cpu,
        };
        self.agents.insert(wid(id), agent);
        self.rejoin(id, &[]);
    }

    /// A worker registers again, holding these.
    pub(crate) fn rejoin(&mut self, id: &str, holds: &[PlacementId]) -> RegisterOutcome {
        let holds = holds.iter().map(|placement| held(placement.clone())).collect();
        let call = Registration { holds, ..self.registration(id) };
        self.register(&call)
    }

    /// The next registration of a worker, empty-handed; raises its incarnation.
    pub(crate) fn registration(&mut self, id: &str) -> Registration {
        let agent = self.agents.get_mut(&wid(id)).unwrap_or_else(|| panic!("{id} never joined"));
        agent.incarnation = agent.incarnation.next();
        agent.number = CallNumber(0);
        Registration::plain(wid(id), agent.incarnation, agent.key.clone(), spec(agent.cpu))
    }

    pub(crate) fn register(&mut self, call: &Registration) -> RegisterOutcome {
        let outcome = self.run(|rows, now| workers::register(rows, now, call));
        if let RegisterOutcome::Registered { mark, .. } = &outcome
            && let Some(agent) = self.agents.get_mut(&call.worker)
        {
            agent.mark = *mark;
        }
        outcome
    }

    pub(crate) fn caller(&mut self, id: &str) -> Caller {
        let agent = self.agents.get_mut(&wid(id)).unwrap_or_else(|| panic!("{id} never joined"));
        agent.number = agent.number.next();
        Caller { worker: wid(id), incarnation: agent.incarnation, number: agent.number, mark: agent.mark }
    }

    pub(crate) fn beat(&mut self, id: &str) -> CallAnswer {
        let caller = self.caller(id);
        self.beat_as(&[caller]).remove(0)
    }

    pub(crate) fn beat_as(&mut self, callers: &[Caller]) -> Vec<CallAnswer> {
        self.run(|rows, _| workers::heartbeat(rows, callers))
    }

    pub(crate) fn take(&mut self, id: &str, after: Option<&OrderMark>) -> TakeAnswer {
        let caller = self.caller(id);
        self.run(|rows, now| placements::take(rows, now, &caller, after, 100))
    }

    pub(crate) fn report(&mut self, id: &str, placement: &PlacementId, event: Event) -> ReportAnswer {
        let caller = self.caller(id);
        let reports = [Report { placement: placement.clone(), event, output: None }];
        self.run(|rows, now| placements::report(rows, now, &caller, &reports))
    }

    pub(crate) fn runs(&mut self, worker: &str, id: &str) -> ReportOutcome {
        let placement = self.placement(id);
        self.report(worker, &placement, Event::Running).outcomes.remove(0)
    }

    pub(crate) fn ends(&mut self, worker: &str, id: &str, end: End) -> ReportOutcome {
        let placement = self.placement(id);
        self.report(worker, &placement, Event::Ended(end)).outcomes.remove(0)
    }

    /// `c1` on `w1`, taken and running.
    pub(crate) fn running(&mut self, id: &str, worker: &str) {
        assert_eq!(self.place(id, worker), Outcome::Done);
        self.take(worker, None);
        assert_eq!(self.runs(worker, id), ReportOutcome::Accepted);
    }
}

/// A placement of one cpu that a worker holds.
pub(crate) fn held(placement: PlacementId) -> Held {
    Held { placement, booking: Booking { cpu_milli: 1_000, memory_mib: 1, ..Booking::default() } }
}

/// What the caller saw of a worker that is said to be gone: as it is now.
pub(crate) fn gone(cell: &Cell, id: &str) -> RemoveHow {
    let seen = SeenSilent { number: read(cell.rows.number(&wid(id))), boot: cell.rows.boot() };
    RemoveHow::Lost { incarnation: cell.worker(id).incarnation, seen: Some(seen) }
}

/// Names the containers that orders start.
pub(crate) fn starts(answer: &TakeAnswer) -> Vec<(String, Attempt)> {
    let start = |order: &Order| match order {
        Order::Start(start) => Some((start.placement.container.to_string(), start.placement.attempt)),
        Order::Stop { .. } => None,
    };
    answer.orders.iter().filter_map(start).collect()
}

/// Names the containers that orders stop.
pub(crate) fn stops(answer: &TakeAnswer) -> Vec<String> {
    let stop = |order: &Order| match order {
        Order::Stop { placement, .. } => Some(placement.container.to_string()),
        Order::Start(_) => None,
    };
    answer.orders.iter().filter_map(stop).collect()
}
