//! A cell with workers that are called by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{bail, ensure};
use app::http::now;
use domain::container::{End, Exit, PlacementId};
use domain::id::{
    CallNumber, CellName, ContainerId, Incarnation, Mark, PoolName, Runtime, WorkerId, WorkerKey, Workspace,
};
use domain::model::backlog::SubmitOutcome;
use domain::model::placements::{ReportOutcome, TakeAnswer};
use domain::model::workers::{RegisterOutcome, Registration};
use domain::model::{CALL_ITEMS_MAX, Event, Order, OrderMark, Report};
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::resources::Capacity;
use domain::worker::{CallAnswer, Caller, DEFAULT_POOL, DEFAULT_RUNTIME, WorkerSpec};
use ports::Ports;
use tokio::task::JoinSet;

/// How many workers call at once.
const AT_ONCE: usize = 32;

/// A container of every measurement.
pub(crate) const CONTAINER_CPU_MILLI: u64 = 2_000;
pub(crate) const CONTAINER_MEMORY_MIB: u64 = 4 * 1024;

/// A request for one container, with a body of usual size.
pub(crate) fn submission(id: &str) -> anyhow::Result<Submission> {
    let ask = Ask::plain(Workspace::new("team")?, CONTAINER_CPU_MILLI, CONTAINER_MEMORY_MIB);
    let command = ["python", "train.py", "--epochs", "10"].map(String::from).to_vec();
    let env = BTreeMap::from([("MODEL".to_owned(), "small".to_owned())]);
    Ok(Submission::new(ContainerId::new(id)?, ask, Body { command, env, ..Body::default() }, IfSilent::Stop))
}

/// What holds so many containers and no more.
pub(crate) fn room_for(containers: u64) -> Capacity {
    let (cpu_milli, memory_mib) = (containers * CONTAINER_CPU_MILLI, containers * CONTAINER_MEMORY_MIB);
    Capacity { cpu_milli, memory_mib, gpu_type: None, gpu_count: 0 }
}

pub(crate) fn worker_id(index: usize) -> anyhow::Result<WorkerId> {
    Ok(WorkerId::new(&format!("w{index:05}"))?)
}

pub(crate) fn worker_spec(total: Capacity) -> anyhow::Result<WorkerSpec> {
    Ok(WorkerSpec::plain(PoolName::new(DEFAULT_POOL)?, Runtime::new(DEFAULT_RUNTIME)?, total))
}

/// A cell of its own, and its workers by their index.
pub(crate) struct Cell {
    pub(crate) name: CellName,
    pub(crate) ports: Ports,
    pub(crate) workers: Vec<Worker>,
}

/// A registered worker.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    mark: Mark,
    calls: AtomicU64,
}

impl Worker {
    fn caller(&self) -> Caller {
        let number = CallNumber(self.calls.fetch_add(1, Ordering::Relaxed) + 1);
        Caller { worker: self.id.clone(), incarnation: Incarnation(1), number, mark: self.mark }
    }
}

impl Cell {
    /// A new cell in which so many workers of this size have registered.
    pub(crate) async fn with_workers(ports: Ports, name: &str, count: usize, total: Capacity) -> anyhow::Result<Self> {
        let mut cell = Self { name: CellName::new(name)?, ports, workers: Vec::with_capacity(count) };
        let spec = Arc::new(worker_spec(total)?);
        for from in (0..count).step_by(AT_ONCE) {
            let mut registering = JoinSet::new();
            for index in from..count.min(from + AT_ONCE) {
                registering.spawn(register(cell.ports.clone(), cell.name.clone(), index, Arc::clone(&spec)));
            }
            for worker in registering.join_all().await {
                cell.workers.push(worker?);
            }
        }
        cell.workers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(cell)
    }

    /// Hands requests in, all of which must be new.
    pub(crate) async fn submit(&self, submissions: Vec<Submission>) -> anyhow::Result<()> {
        let outcomes = self.ports.backlog.submit(&self.name, now(), submissions).await?;
        let other = outcomes.iter().find(|outcome| **outcome != SubmitOutcome::Accepted);
        ensure!(other.is_none(), "a request was not accepted: {other:?}");
        Ok(())
    }

    /// Takes a worker's orders after a mark.
    pub(crate) async fn take(&self, worker: usize, after: Option<OrderMark>) -> anyhow::Result<TakeAnswer> {
        let caller = self.workers[worker].caller();
        let answer = self.ports.placements.take(&self.name, now(), caller, after, CALL_ITEMS_MAX).await?;
        ensure!(answer.call == CallAnswer::Ok, "a take was answered {:?}", answer.call);
        Ok(answer)
    }

    /// Reports that placements of a worker ended well.
    pub(crate) async fn report_ended(&self, worker: usize, placements: Vec<PlacementId>) -> anyhow::Result<()> {
        let event = || Event::Ended(End::Exited(Exit::Code(0)));
        let report = |placement| Report { placement, event: event(), output: None };
        let reports = placements.into_iter().map(report).collect();
        let caller = self.workers[worker].caller();
        let answer = self.ports.placements.report(&self.name, now(), caller, reports).await?;
        let other = answer.outcomes.iter().find(|outcome| **outcome != ReportOutcome::Accepted);
        ensure!(answer.call == CallAnswer::Ok && other.is_none(), "a report was answered {answer:?}");
        Ok(())
    }
}

/// The placements that orders start.
pub(crate) fn started(orders: Vec<Order>) -> impl Iterator<Item = PlacementId> {
    orders.into_iter().filter_map(|order| match order {
        Order::Start(start) => Some(start.placement),
        Order::Stop { .. } => None,
    })
}

async fn register(ports: Ports, cell: CellName, index: usize, spec: Arc<WorkerSpec>) -> anyhow::Result<Worker> {
    let id = worker_id(index)?;
    let registration = Registration::plain(id.clone(), Incarnation(1), WorkerKey::new("key")?, spec);
    match ports.workers.register(&cell, now(), registration).await? {
        RegisterOutcome::Registered { mark, .. } => Ok(Worker { id, mark, calls: AtomicU64::new(0) }),
        refused => bail!("worker {id} was refused: {refused:?}"),
    }
}
