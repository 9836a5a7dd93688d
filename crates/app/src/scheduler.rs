//! The scheduler: reads a batch in line, looks at the fleet once, plans, commits, follows up.
//!
//! `cycle` is one turn of it; `view` is the fleet as it was seen last, by `look`; `silence` counts who is silent; `housekeeping`
//! gives those up and forgets what ended long ago; `mandate` makes sure that one planner does all this for a cell.

mod cycle;
mod housekeeping;
mod look;
mod mandate;
mod pools;
mod refill;
mod report;
mod silence;
#[cfg(test)]
mod tests;
mod view;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::batch::BatchPolicy;
use domain::fleet::{Fleet, Policy};
use domain::id::{CellName, Incarnation, PlannerId, WorkerId};
use domain::model::containers::Keep;
use domain::request::Submission;
use domain::time::Timestamp;
use ports::{PortError, Ports};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use cycle::Scheduled;
use pools::Pools;
pub use pools::{PoolOf, PoolSettings, PoolState};
pub use report::{BatchReport, Observer};
pub use silence::{Brake, Silence};
pub use view::{Silent, View};

/// What a scheduler is told once.
#[derive(Clone)]
pub struct Settings {
    /// The cell that it plans.
    pub cell: CellName,
    /// Who it is: a new name at every start.
    pub planner: PlannerId,
    /// How requests are gathered.
    pub batch: BatchPolicy,
    /// How they are placed.
    pub policy: Policy,
    /// What the fleet can grow by.
    pub pools: Vec<PoolOf>,
    /// How long a worker may be silent, and then how long until its work is given away.
    pub keepalive: Duration,
    /// See `keepalive`.
    pub grace: Duration,
    /// How long a planner's stamp must stand still before another may take over.
    pub lasts: Duration,
    /// How long ended containers are kept.
    pub keep: Keep,
    /// Reads the wall clock.
    pub clock: fn() -> Timestamp,
}

/// The planner of one cell, as the rest of the process sees it.
#[derive(Clone)]
pub struct Planner {
    view: Arc<RwLock<View>>,
    pools: Arc<Pools>,
    holds_mandate: Arc<AtomicBool>,
    calls: mpsc::Sender<ScheduleCall>,
}

/// Why a request was not placed on a worker by name.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Another process plans this cell.
    #[error("this process does not plan the cell")]
    NotPlanner,
    /// The store did not answer.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// One request for one worker, by name.
struct ScheduleCall {
    worker: WorkerId,
    request: Submission,
    answer: oneshot::Sender<Result<Scheduled, PortError>>,
}

/// The scheduler of one cell.
pub struct Scheduler {
    ports: Ports,
    housekeeping: Ports,
    settings: Settings,
    observer: Arc<dyn Observer>,
    planner: Planner,
    calls: mpsc::Receiver<ScheduleCall>,
}

/// How many requests for a worker by name may wait for the cycle to end.
const SCHEDULE_CALLS_MAX: usize = 64;
/// How long a planner that stepped down waits before it asks for the cell again.
const STEPPED_DOWN: Duration = Duration::from_millis(500);

impl Scheduler {
    /// Puts a scheduler together; it does nothing before [`Scheduler::run`]. Batches and housekeeping have ports of their
    /// own, over the same store, so that their calls can be told apart.
    pub fn new(ports: Ports, housekeeping: Ports, settings: Settings, observer: Arc<dyn Observer>) -> Self {
        let (sender, calls) = mpsc::channel(SCHEDULE_CALLS_MAX);
        let pools = Arc::new(Pools::new(&settings.pools, &settings.planner, settings.keepalive + settings.grace));
        let planner = Planner { view: Arc::default(), pools, holds_mandate: Arc::default(), calls: sender };
        Self { ports, housekeeping, settings, observer, planner, calls }
    }

    /// What the rest of the process sees of it.
    pub fn planner(&self) -> Planner {
        self.planner.clone()
    }

    /// Plans the cell whenever it holds the mandate, until it is told to stop; then leaves the cell to the next.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut witness = None;
        while !*stop.borrow_and_update() {
            let mandate = tokio::select! {
                mandate = mandate::acquire(&self.housekeeping, &self.settings, &self.planner.view, &*self.observer) => mandate,
                _ = stop.changed() => return,
            };
            let witness_now = witness.take().filter(|(term, _)| *term == mandate.term).map(|(_, mark)| mark);
            self.planner.holds_mandate.store(true, Ordering::Release);
            self.observer.mandate_changed(true);
            self.view_mut().forget_all();
            self.planner.pools.forget_all();
            self.view_mut().note_templates(self.planner.pools.templates());
            let Planner { view, pools, .. } = &self.planner;
            let error = tokio::select! {
                error = cycle::run(&self.ports, &self.settings, &mandate, view, pools, &*self.observer, &mut self.calls) => Some(error),
                error = housekeeping::run(&self.housekeeping, &self.settings, &mandate, witness_now, view, pools, &*self.observer) =>
                    Some(error),
                never = pools.tend(&self.observer) => match never {},
                _ = stop.changed() => {
                    mandate::resign(&self.housekeeping, &mandate).await;
                    None
                }
            };
            self.planner.holds_mandate.store(false, Ordering::Release);
            self.observer.mandate_changed(false);
            if let Some(error) = error {
                witness = self.view_mut().witness(mandate.mark).map(|mark| (mandate.term, mark));
                self.view_mut().note_stepped_down(&error);
                self.observer.stepped_down(&error);
                // What made it leave may still be so.
                let _ = timeout(STEPPED_DOWN, stop.changed()).await;
            }
        }
    }

    fn view_mut(&self) -> std::sync::RwLockWriteGuard<'_, View> {
        self.planner.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Planner {
    /// Whether this process plans the cell.
    pub fn holds_mandate(&self) -> bool {
        self.holds_mandate.load(Ordering::Acquire)
    }

    /// Why no batch can be committed now; none if one can.
    pub fn trouble(&self) -> Option<String> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let trouble = view.trouble();
        if self.holds_mandate() {
            return trouble.map(str::to_owned);
        }
        let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
        let by = view.held_by().map(|planner| format!(", {planner} does")).unwrap_or_default();
        Some(format!("this server does not plan the cell{by}{why}"))
    }

    /// Who planned the cell when this process asked for it last; none if this one does.
    pub fn planned_by(&self) -> Option<PlannerId> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.held_by().filter(|_| !self.holds_mandate()).cloned()
    }

    /// Reads the fleet as it was seen last; none if this process does not plan the cell, or has not looked yet.
    pub fn fleet(&self) -> Option<Arc<Fleet>> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        (self.holds_mandate() && view.was_read()).then(|| view.fleet())
    }

    /// The pools as they stand; none if this process does not plan the cell, or has not looked yet.
    pub fn pools(&self) -> Option<Vec<PoolState>> {
        self.fleet().map(|fleet| self.pools.states(&fleet))
    }

    /// How long this run of a worker has been silent, as far as this planner has watched it.
    pub fn silence_of(&self, worker: &WorkerId, run: Incarnation) -> Option<Silent> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).silence_of(worker, run)
    }

    /// Places a request on this worker, if it is eligible and has room: the seed's old entry point.
    ///
    /// Hands the request in if it is new, then commits its one placement between two cycles.
    pub async fn schedule_request(&self, worker: WorkerId, request: Submission) -> Result<Scheduled, ScheduleError> {
        if !self.holds_mandate() {
            return Err(ScheduleError::NotPlanner);
        }
        let (answer, placed) = oneshot::channel();
        self.calls.send(ScheduleCall { worker, request, answer }).await.map_err(|_| ScheduleError::NotPlanner)?;
        Ok(placed.await.map_err(|_| ScheduleError::NotPlanner)??)
    }
}
