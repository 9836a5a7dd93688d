//! A cell at work: its planner, and workers that wait for orders, as in a server's process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use app::http::now;
use app::observe::{Metrics, Watch, metered};
use app::scheduler::{Planner, PoolOf, PoolSettings, Scheduler, Settings};
use async_trait::async_trait;
use domain::batch::BatchPolicy;
use domain::container::PlacementId;
use domain::fleet::{Policy, PoolTemplate, Quotas};
use domain::id::{PlannerId, PoolName, Revision, WorkerId};
use domain::model::containers::Keep;
use domain::model::placements::NewWorker;
use domain::quota::QuotaLimits;
use domain::retry::Backoff;
use ports::{AddOutcome, OrdersWaiting, PortResult, ProviderRemoveOutcome, WorkerProvider, WorkersConcerned};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cell::{Cell, room_for, started, worker_spec};
use super::counts::Counts;

/// How long whatever is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// No worker is given up meanwhile: those of a measurement are not silent for that long.
const KEEPALIVE: Duration = Duration::from_hours(1);
/// How many orders may wait to be looked at.
const HANDED_OVER_MAX: usize = 10_000;

/// Nothing is held back for a quota. The limits are still told and looked up, as in a server.
pub(crate) fn unlimited() -> Policy {
    let quotas = Quotas { default: QuotaLimits::UNLIMITED, workspaces: BTreeMap::new() };
    Policy { quotas: Some(quotas), ..Policy::default() }
}

/// A cell at work.
pub(crate) struct Live {
    pub(crate) cell: Arc<Cell>,
    metrics: Arc<Metrics>,
    planner: Planner,
    handed: mpsc::Receiver<HandedOver>,
    stop: watch::Sender<bool>,
    /// Aborted when this is dropped.
    tasks: JoinSet<anyhow::Result<()>>,
}

/// A container in the hands of its worker.
pub(crate) struct HandedOver {
    /// The worker's index.
    pub(crate) worker: usize,
    pub(crate) placement: PlacementId,
    pub(crate) at: Instant,
}

impl Live {
    /// Starts a planner and the waits of all workers; comes back when the planner has seen them.
    pub(crate) async fn start(cell: Cell, batch: BatchPolicy) -> anyhow::Result<Self> {
        let cell = Arc::new(cell);
        let metrics = Arc::new(Metrics::default());
        let scheduler = Scheduler::new(
            metered(&cell.ports, &metrics, None),
            metered(&cell.ports, &metrics, Some("housekeeping")),
            settings(&cell, batch)?,
            Arc::new(Watch::new(Arc::clone(&metrics))),
        );
        let (stop, stopped) = watch::channel(false);
        let (sender, handed) = mpsc::channel(HANDED_OVER_MAX);
        let planner = scheduler.planner();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            scheduler.run(stopped).await;
            Ok(())
        });
        let wakes: Vec<Arc<Notify>> = cell.workers.iter().map(|_| Arc::default()).collect();
        for (worker, wake) in wakes.iter().enumerate() {
            tasks.spawn(take_orders(Arc::clone(&cell), worker, Arc::clone(wake), sender.clone()));
        }
        tasks.spawn(wake_workers(Arc::clone(&cell), wakes));
        let live = Self { cell, metrics, planner, handed, stop, tasks };
        live.wait_for_workers().await?;
        Ok(live)
    }

    async fn wait_for_workers(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let seen = || self.planner.fleet().map_or(0, |fleet| fleet.workers().len());
        while seen() < self.cell.workers.len() {
            ensure!(began.elapsed() < PATIENCE, "the planner sees {} workers after {PATIENCE:?}", seen());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Waits until so many more containers are in the hands of workers.
    pub(crate) async fn handed_over(&mut self, count: usize) -> anyhow::Result<Vec<HandedOver>> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let next = tokio::select! {
                next = timeout(PATIENCE, self.handed.recv()) => next,
                Some(ended) = self.tasks.join_next() => bail!("a part of the cell ended: {ended:?}"),
            };
            let next = next.with_context(|| format!("{} of {count} were handed over in {PATIENCE:?}", all.len()))?;
            all.push(next.context("all workers have ended")?);
        }
        Ok(all)
    }

    /// Has workers report that what they were handed ended well.
    pub(crate) async fn report_ended(&self, handed: Vec<HandedOver>) -> anyhow::Result<()> {
        let mut of_worker: BTreeMap<usize, Vec<PlacementId>> = BTreeMap::new();
        for HandedOver { worker, placement, .. } in handed {
            of_worker.entry(worker).or_default().push(placement);
        }
        for (worker, placements) in of_worker {
            self.cell.report_ended(worker, placements).await?;
        }
        Ok(())
    }

    /// What the planner has counted so far, as `/metrics` shows it.
    pub(crate) fn counts(&self) -> Counts {
        Counts::of(&self.metrics.render(None, now()))
    }

    /// Lets the planner leave the cell, and ends all waits.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        // The workers' tasks end only when they are aborted; the planner's leaves the cell first.
        let _ = timeout(PATIENCE, self.tasks.join_next()).await;
    }
}

/// Has no workers to give: a planner that asks for some is counted, and gets none.
struct SoldOut;

#[async_trait]
impl WorkerProvider for SoldOut {
    async fn add(&self, workers: Vec<NewWorker>) -> PortResult<Vec<AddOutcome>> {
        Ok(vec![AddOutcome::Failed("there are no more".to_owned()); workers.len()])
    }

    async fn remove(&self, workers: Vec<WorkerId>) -> PortResult<Vec<ProviderRemoveOutcome>> {
        Ok(vec![ProviderRemoveOutcome::Gone; workers.len()])
    }

    async fn list(&self) -> PortResult<Vec<WorkerId>> {
        Ok(Vec::new())
    }
}

/// A pool that may grow at any moment, so that nothing but the planner's own judgement keeps it from asking.
fn pool() -> anyhow::Result<PoolOf> {
    const AT_ONCE: Duration = Duration::from_millis(1);
    let name = PoolName::new("more")?;
    let spec = Arc::new(worker_spec(room_for(5))?);
    let settings = PoolSettings {
        template: PoolTemplate { name, spec, workers_max: 1_000 },
        workers_min: 0,
        warm: 0,
        idle: KEEPALIVE,
        per_cycle_max: 1_000,
        cooldown: AT_ONCE,
        backoff: Backoff { base: AT_ONCE, max: AT_ONCE },
        boot_within: PATIENCE,
        call_within: PATIENCE,
    };
    Ok(PoolOf { settings, provider: Some(Arc::new(SoldOut)) })
}

fn settings(cell: &Cell, batch: BatchPolicy) -> anyhow::Result<Settings> {
    Ok(Settings {
        cell: cell.name.clone(),
        planner: PlannerId::new("planner-1")?,
        batch,
        policy: unlimited(),
        pools: vec![pool()?],
        keepalive: KEEPALIVE,
        grace: KEEPALIVE,
        lasts: Duration::from_secs(10),
        keep: Keep::default(),
        clock: now,
    })
}

/// A worker: takes its orders, and waits until it is woken when there are none.
async fn take_orders(
    cell: Arc<Cell>,
    worker: usize,
    wake: Arc<Notify>,
    handed: mpsc::Sender<HandedOver>,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let answer = cell.take(worker, after.clone()).await?;
        let at = Instant::now();
        let is_idle = answer.orders.is_empty();
        after = answer.upto.or(after);
        for placement in started(answer.orders) {
            handed.send(HandedOver { worker, placement, at }).await?;
        }
        if is_idle {
            wake.notified().await;
        }
    }
}

/// Waits once for all workers, and wakes those whom it concerns.
async fn wake_workers(cell: Arc<Cell>, wakes: Vec<Arc<Notify>>) -> anyhow::Result<()> {
    let mut seen = Revision(0);
    loop {
        let waited = cell.ports.placements.wait(&cell.name, seen, Duration::from_secs(5)).await;
        let OrdersWaiting { upto, workers } = waited?;
        seen = upto;
        match workers {
            WorkersConcerned::All => wakes.iter().for_each(|wake| wake.notify_one()),
            WorkersConcerned::These(ids) => {
                let found = ids.iter().filter_map(|id| cell.workers.binary_search_by(|worker| worker.id.cmp(id)).ok());
                found.for_each(|index| wakes[index].notify_one());
            }
        }
    }
}
