//! One case: a fresh cell of a store, driven in the words of the protocol.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::container::{ContainerRow, End, Exit, Phase, PlacementId};
use domain::id::{
    CallNumber, CellName, ContainerId, History, Incarnation, Mark, PlannerId, Revision, WorkerId, WorkerKey,
};
use domain::model::backlog::SubmitOutcome;
use domain::model::containers::{Found, StopOutcome};
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{
    Commit, CommitAnswer, Decision, DecisionKind, Loss, LossOutcome, Outcome, ReportAnswer, ReportOutcome, TakeAnswer,
};
use domain::model::workers::{
    Held, Look, RegisterOutcome, Registration, RemoveHow, RemoveOutcome, SeenSilent, StatusChange, StatusOutcome,
};
use domain::model::{Event, Mandate, OrderMark, Report};
use domain::request::{Ask, Body, GpuAsk, GpuWish, IfSilent, Submission};
use domain::resources::{Booking, Capacity};
use domain::time::Timestamp;
use domain::wait::{LotKey, LotRow, Why};
use domain::worker::{CallAnswer, Caller, WorkerRow, WorkerSpec};

use crate::{PortError, PortResult, Ports};

/// One case: a cell that nobody used before.
pub struct Case {
    pub(crate) ports: Ports,
    pub(crate) cell: CellName,
    /// See [`Harness::likewise`](super::Harness::likewise).
    pub(crate) likewise: fn(Ports) -> Ports,
    memory: Memory,
}

/// What outlives the store's process: what callers remember.
pub(crate) struct Memory {
    cell: CellName,
    now: AtomicU64,
    mandate: Mutex<Option<Mandate>>,
    agents: Mutex<BTreeMap<WorkerId, Agent>>,
}

/// What one worker remembers of its calls.
#[derive(Debug, Clone)]
struct Agent {
    key: WorkerKey,
    incarnation: Incarnation,
    number: CallNumber,
    mark: Mark,
    total: Capacity,
}

pub(crate) fn cid(name: &str) -> ContainerId {
    ContainerId::new(name).expect("a name")
}

pub(crate) fn wid(name: &str) -> WorkerId {
    WorkerId::new(name).expect("a name")
}

pub(crate) fn planner(name: &str) -> PlannerId {
    PlannerId::new(name).expect("a name")
}

/// What a request of so many cpus asks.
pub(crate) fn ask(cpu: u64) -> Ask {
    Ask::plain("default".parse().expect("a name"), cpu * 1000, 1)
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

pub(crate) fn shape_lot(cpu: u64) -> LotKey {
    LotKey::Shape(ask(cpu).shape())
}

pub(crate) fn spec(total: Capacity) -> Arc<WorkerSpec> {
    Arc::new(WorkerSpec::plain("default".parse().expect("a name"), "process".parse().expect("a name"), total))
}

pub(crate) fn cpus(cpu: u64) -> Capacity {
    Capacity { cpu_milli: cpu * 1000, memory_mib: 4096, gpu_type: None, gpu_count: 0 }
}

pub(crate) fn exited(code: i32) -> Event {
    Event::Ended(End::Exited(Exit::Code(code)))
}

/// The answer of a port that must answer.
pub(crate) fn answered<T>(answer: PortResult<T>) -> T {
    answer.unwrap_or_else(|error| panic!("the store did not answer: {error} ({error:?})"))
}

pub(crate) fn is_stale<T>(answer: &PortResult<T>) -> bool {
    matches!(answer, Err(PortError::StaleTerm))
}

pub(crate) fn is_rewound<T>(answer: &PortResult<T>) -> bool {
    matches!(answer, Err(PortError::Rewound))
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub(crate) fn over(self, ports: Ports, likewise: fn(Ports) -> Ports) -> Case {
        Case { ports, cell: self.cell.clone(), likewise, memory: self }
    }
}

impl Case {
    /// A case in a cell of a random name.
    pub(crate) fn fresh(ports: Ports, likewise: fn(Ports) -> Ports) -> Self {
        let random = getrandom::u64().expect("the system has random numbers");
        let cell = CellName::new(&format!("kit-{random:016x}")).expect("a name");
        let memory = Memory {
            cell,
            now: AtomicU64::new(1_700_000_000_000),
            mandate: Mutex::default(),
            agents: Mutex::default(),
        };
        memory.over(ports, likewise)
    }

    /// Lets go of the ports.
    pub(crate) fn close(self) -> Memory {
        self.memory
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.memory.now.load(Ordering::Relaxed))
    }

    /// Lets the callers' clock go on.
    pub(crate) fn later(&self, milliseconds: u64) {
        self.memory.now.fetch_add(milliseconds, Ordering::Relaxed);
    }

    // What is there.

    pub(crate) async fn found(&self, id: &str) -> Option<Found> {
        answered(self.ports.containers.get(&self.cell, vec![cid(id)]).await).remove(0)
    }

    pub(crate) async fn row(&self, id: &str) -> ContainerRow {
        self.found(id).await.unwrap_or_else(|| panic!("there is no container {id}")).row
    }

    pub(crate) async fn phase(&self, id: &str) -> Phase {
        self.row(id).await.state.phase()
    }

    pub(crate) async fn placement(&self, id: &str) -> PlacementId {
        self.row(id).await.placement_id().unwrap_or_else(|| panic!("{id} was never placed"))
    }

    /// All that a look shows, from the beginning.
    pub(crate) async fn look(&self) -> domain::model::workers::LookPage {
        match answered(self.ports.workers.look(&self.cell, None, 5_000).await) {
            Look::Page(page) => page,
            Look::Whole => panic!("who begins with nothing is told to begin with nothing"),
        }
    }

    pub(crate) async fn revision(&self) -> Revision {
        self.look().await.upto.revision
    }

    pub(crate) async fn worker_or_none(&self, id: &str) -> Option<WorkerRow> {
        self.look().await.workers.into_iter().find(|row| row.id == wid(id))
    }

    pub(crate) async fn worker(&self, id: &str) -> WorkerRow {
        self.worker_or_none(id).await.unwrap_or_else(|| panic!("there is no worker {id}"))
    }

    /// Thousandths of a cpu that a worker's containers own, and that the default workspace uses.
    pub(crate) async fn booked(&self, worker: &str) -> (u64, u64) {
        let page = self.look().await;
        let row = page.workers.iter().find(|row| row.id == wid(worker));
        let usage = page.usage.get("default").map_or(0, |usage| usage.cpu_milli);
        (row.map_or(0, |row| row.used.cpu_milli), usage)
    }

    pub(crate) async fn lot(&self, key: &LotKey) -> Option<LotRow> {
        self.look().await.lots.into_iter().find(|lot| lot.key == *key)
    }

    /// The greatest number of a worker's call, if the store waits for it.
    pub(crate) async fn number(&self, worker: &str) -> Option<CallNumber> {
        let beats = answered(self.ports.workers.beats(&self.cell).await);
        beats.numbers.into_iter().find(|(id, ..)| *id == wid(worker)).map(|(.., number)| number)
    }

    // What users say.

    pub(crate) async fn submit(&self, id: &str, ask: Ask) -> SubmitOutcome {
        self.submit_all(vec![request(id, ask)]).await.remove(0)
    }

    pub(crate) async fn submit_keep(&self, id: &str) {
        let submission = Submission::new(cid(id), ask(1), body(), IfSilent::Keep);
        assert_eq!(self.submit_all(vec![submission]).await, [SubmitOutcome::Accepted]);
    }

    pub(crate) async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<SubmitOutcome> {
        answered(self.ports.backlog.submit(&self.cell, self.now(), submissions).await)
    }

    pub(crate) async fn stop(&self, id: &str) -> StopOutcome {
        answered(self.ports.containers.stop(&self.cell, self.now(), vec![cid(id)]).await).remove(0)
    }

    pub(crate) async fn set(&self, worker: &str, change: StatusChange) -> StatusOutcome {
        let changes = vec![(wid(worker), change)];
        answered(self.ports.workers.set_status(&self.cell, self.now(), changes).await).remove(0)
    }

    pub(crate) async fn drain(&self, worker: &str) -> StatusOutcome {
        self.set(worker, StatusChange::Draining { within: std::time::Duration::from_mins(1) }).await
    }

    pub(crate) async fn remove(&self, worker: &str, how: RemoveHow) -> RemoveOutcome {
        let removals = vec![(wid(worker), how)];
        answered(self.ports.workers.remove(&self.cell, self.now(), removals, 100).await).remove(0)
    }

    // What the planner says.

    /// The mandate of the case's planner, who takes the cell when it is first asked.
    pub(crate) async fn mandate(&self) -> Mandate {
        if let Some(mandate) = held(&self.memory.mandate).clone() {
            return mandate;
        }
        let mandate = match answered(self.ports.leadership.acquire(&self.cell, &planner("kit"), None).await) {
            AcquireOutcome::Acquired(mandate) => mandate,
            AcquireOutcome::Held { planner, .. } => panic!("a fresh cell has a planner: {planner}"),
        };
        *held(&self.memory.mandate) = Some(mandate.clone());
        mandate
    }

    /// The case's planner takes the cell anew: its mandate was of a history that is over.
    pub(crate) async fn take_over(&self) {
        *held(&self.memory.mandate) = None;
        self.mandate().await;
    }

    /// The planner says that the settling is over.
    pub(crate) async fn settle(&self, witness: Option<Mark>) -> LossOutcome {
        self.lose(Loss::Settled { witness }).await
    }

    pub(crate) async fn commit(&self, commit: Commit) -> CommitAnswer {
        let mandate = self.mandate().await;
        answered(self.ports.placements.commit(&mandate, self.now(), commit).await)
    }

    pub(crate) async fn decide(&self, decisions: Vec<Decision>) -> Vec<Outcome> {
        self.commit(Commit { decisions, ..Commit::default() }).await.outcomes
    }

    /// What a planner decides that reads the rows now.
    pub(crate) async fn placing(&self, id: &str, worker: &str) -> Decision {
        let row = self.row(id).await;
        let incarnation = self.worker_or_none(worker).await.map_or(Incarnation(1), |row| row.incarnation);
        let booking = Booking {
            cpu_milli: row.ask.cpu_milli,
            memory_mib: row.ask.memory_mib,
            gpu_devices: Vec::new(),
            gpu_milli: 0,
        };
        let kind = DecisionKind::Place { worker: wid(worker), incarnation, booking };
        Decision { container: cid(id), attempt: row.attempt, kind }
    }

    pub(crate) async fn place(&self, id: &str, worker: &str) -> Outcome {
        let decision = self.placing(id, worker).await;
        self.decide(vec![decision]).await.remove(0)
    }

    pub(crate) async fn park(&self, id: &str, lot: LotKey) -> Outcome {
        let attempt = self.row(id).await.attempt;
        let kind = DecisionKind::Park { lot, why: Why::NoWorkers };
        self.decide(vec![Decision { container: cid(id), attempt, kind }]).await.remove(0)
    }

    /// The loss of a worker that stays as it is now.
    pub(crate) async fn silence(&self, worker: &str) -> Loss {
        let beats = answered(self.ports.workers.beats(&self.cell).await);
        let seen = beats.numbers.into_iter().find(|(id, ..)| *id == wid(worker));
        let (worker, incarnation, number) = seen.unwrap_or_else(|| panic!("{worker} is not waited for"));
        Loss::Silent { worker, incarnation, number, boot: beats.boot }
    }

    pub(crate) async fn lose(&self, loss: Loss) -> LossOutcome {
        let mandate = self.mandate().await;
        answered(self.ports.placements.lose(&mandate, self.now(), vec![loss], 100).await).remove(0)
    }

    pub(crate) async fn lose_worker(&self, worker: &str) -> LossOutcome {
        let loss = self.silence(worker).await;
        self.lose(loss).await
    }

    // What workers say.

    /// A worker of so many cpus registers, empty-handed, under a key of its own.
    pub(crate) async fn join(&self, worker: &str, cpu: u64) {
        self.join_as(worker, cpus(cpu)).await;
    }

    pub(crate) async fn join_as(&self, worker: &str, total: Capacity) {
        let agent = Agent {
            key: WorkerKey::new(&format!("key-of-{worker}")).expect("a name"),
            incarnation: Incarnation(0),
            number: CallNumber(0),
            mark: Mark { history: History::from_random(0), revision: Revision(0) },
            total,
        };
        held(&self.memory.agents).insert(wid(worker), agent);
        let outcome = self.rejoin(worker, &[]).await;
        assert!(matches!(outcome, RegisterOutcome::Registered { .. }), "{worker} was answered {outcome:?}");
    }

    /// A worker changes its size before it registers again.
    pub(crate) fn resize(&self, worker: &str, total: Capacity) {
        self.with_agent(worker, |agent| agent.total = total);
    }

    /// A worker registers again, holding these.
    pub(crate) async fn rejoin(&self, worker: &str, holds: &[PlacementId]) -> RegisterOutcome {
        let holds = holds.iter().map(|placement| held_one(placement.clone())).collect();
        let registration = Registration { holds, ..self.registration(worker) };
        self.register(registration).await
    }

    /// The next registration of a worker, empty-handed; raises its incarnation.
    pub(crate) fn registration(&self, worker: &str) -> Registration {
        self.with_agent(worker, |agent| {
            agent.incarnation = agent.incarnation.next();
            agent.number = CallNumber(0);
            Registration::plain(wid(worker), agent.incarnation, agent.key.clone(), spec(agent.total.clone()))
        })
    }

    pub(crate) async fn register(&self, registration: Registration) -> RegisterOutcome {
        let worker = registration.worker.clone();
        let outcome = answered(self.ports.workers.register(&self.cell, self.now(), registration).await);
        if let RegisterOutcome::Registered { mark, .. } = &outcome
            && let Some(agent) = held(&self.memory.agents).get_mut(&worker)
        {
            agent.mark = *mark;
        }
        outcome
    }

    /// The next call of a worker.
    pub(crate) fn caller(&self, worker: &str) -> Caller {
        self.with_agent(worker, |agent| {
            agent.number = agent.number.next();
            Caller { worker: wid(worker), incarnation: agent.incarnation, number: agent.number, mark: agent.mark }
        })
    }

    /// The next call of a worker that has seen the cell come as far as this.
    pub(crate) fn caller_who_saw(&self, worker: &str, mark: Mark) -> Caller {
        Caller { mark, ..self.caller(worker) }
    }

    /// Says that a worker is gone, having seen it as it is now.
    pub(crate) async fn gone(&self, worker: &str) -> RemoveHow {
        let beats = answered(self.ports.workers.beats(&self.cell).await);
        let number = beats.numbers.iter().find(|(id, ..)| *id == wid(worker)).map(|(.., number)| *number);
        let seen = number.map(|number| SeenSilent { number, boot: beats.boot });
        RemoveHow::Lost { incarnation: self.worker(worker).await.incarnation, seen }
    }

    fn with_agent<T>(&self, worker: &str, run: impl FnOnce(&mut Agent) -> T) -> T {
        let mut agents = held(&self.memory.agents);
        run(agents.get_mut(&wid(worker)).unwrap_or_else(|| panic!("{worker} never joined")))
    }

    pub(crate) async fn beat(&self, worker: &str) -> CallAnswer {
        let caller = self.caller(worker);
        self.beat_as(vec![caller]).await.remove(0)
    }

    pub(crate) async fn beat_as(&self, callers: Vec<Caller>) -> Vec<CallAnswer> {
        answered(self.ports.workers.heartbeat(&self.cell, callers).await)
    }

    pub(crate) async fn take(&self, worker: &str, after: Option<OrderMark>) -> TakeAnswer {
        let caller = self.caller(worker);
        answered(self.ports.placements.take(&self.cell, self.now(), caller, after, 100).await)
    }

    pub(crate) async fn report_all(&self, worker: &str, reports: Vec<Report>) -> ReportAnswer {
        let caller = self.caller(worker);
        answered(self.ports.placements.report(&self.cell, self.now(), caller, reports).await)
    }

    pub(crate) async fn report_on(&self, worker: &str, placement: &PlacementId, event: Event) -> ReportAnswer {
        let report = Report { placement: placement.clone(), event, output: None };
        self.report_all(worker, vec![report]).await
    }

    pub(crate) async fn report(&self, worker: &str, id: &str, event: Event) -> ReportOutcome {
        let placement = self.placement(id).await;
        let mut answer = self.report_on(worker, &placement, event).await;
        assert_eq!(answer.call, CallAnswer::Ok, "{worker} reported on {id}");
        answer.outcomes.remove(0)
    }

    /// A request of one cpu that is placed on a worker.
    pub(crate) async fn placed(&self, id: &str, worker: &str) {
        self.submit(id, ask(1)).await;
        assert_eq!(self.place(id, worker).await, Outcome::Done, "{id} goes to {worker}");
    }

    /// A request of one cpu that is placed on a worker, taken by it, and running.
    pub(crate) async fn running(&self, id: &str, worker: &str) {
        self.placed(id, worker).await;
        self.start(id, worker).await;
    }

    /// A worker takes what was placed on it, and says that it runs.
    pub(crate) async fn start(&self, id: &str, worker: &str) {
        let taken = self.take(worker, None).await;
        assert_eq!(taken.call, CallAnswer::Ok, "{worker} takes {id}");
        assert_eq!(self.report(worker, id, Event::Running).await, ReportOutcome::Accepted, "{id} runs on {worker}");
    }
}

/// A placement of one cpu that a worker holds.
pub(crate) fn held_one(placement: PlacementId) -> Held {
    Held { placement, booking: Booking { cpu_milli: 1_000, memory_mib: 1, ..Booking::default() } }
}

/// Names the containers that orders start.
pub(crate) fn starts(answer: &TakeAnswer) -> Vec<String> {
    let start = |order: &domain::model::Order| match order {
        domain::model::Order::Start(start) => Some(start.placement.container.to_string()),
        domain::model::Order::Stop { .. } => None,
    };
    answer.orders.iter().filter_map(start).collect()
}

/// Names the containers that orders stop.
pub(crate) fn stops(answer: &TakeAnswer) -> Vec<String> {
    let stop = |order: &domain::model::Order| match order {
        domain::model::Order::Stop { placement, .. } => Some(placement.container.to_string()),
        domain::model::Order::Start(_) => None,
    };
    answer.orders.iter().filter_map(stop).collect()
}

/// What a registration was told to kill.
pub(crate) fn kills(outcome: &RegisterOutcome) -> Vec<PlacementId> {
    match outcome {
        RegisterOutcome::Registered { kills, .. } => kills.clone(),
        other => panic!("not registered: {other:?}"),
    }
}
