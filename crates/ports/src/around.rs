//! Decorators: what is done around each call of a port, said once for all of them.
//!
//! Who decorates says in [`Around::around`] how a call is made: once, again, or not at all. [`wrap`] puts that around
//! every method of every port, in plain sight below.

mod retried;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CellName, ContainerId, PlannerId, Revision, Stamp, Term, WorkerId};
use domain::model::backlog::{Depth, Line, SubmitOutcome};
use domain::model::containers::{ContainerPage, ExportPage, Forgotten, Found, Keep, StopOutcome};
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, CommitAnswer, Loss, LossOutcome, ReportAnswer, TakeAnswer};
use domain::model::workers::{
    Beats, Look, RegisterOutcome, Registration, RemoveHow, RemoveOutcome, StatusChange, StatusOutcome,
};
use domain::model::{Filter, Mandate, OrderMark, Report};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use domain::worker::{CallAnswer, Caller};

use crate::{
    BacklogRepository, ContainerRepository, Leadership, OrdersWaiting, PlacementRepository, PortResult, Ports,
    WorkerRepository,
};
pub use retried::{Retried, WAITS, counting_repeats};

/// A call under way.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = PortResult<T>> + Send + 'a>>;

/// What is done around each call.
pub trait Around: Send + Sync + 'static {
    /// Answers `operation`, which `call` makes; each time with the same arguments.
    fn around<'a, T: Send + 'static>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> impl Future<Output = PortResult<T>> + Send + 'a;
}

/// The same ports, with this around each call.
pub fn wrap(ports: &Ports, around: impl Around) -> Ports {
    let wrapped = Arc::new(Wrapped { inner: ports.clone(), around });
    Ports {
        backlog: wrapped.clone(),
        workers: wrapped.clone(),
        placements: wrapped.clone(),
        containers: wrapped.clone(),
        leadership: wrapped,
        limits: ports.limits,
    }
}

/// Ports with something around them.
struct Wrapped<A> {
    inner: Ports,
    around: A,
}

#[async_trait]
impl<A: Around> BacklogRepository for Wrapped<A> {
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>> {
        self.around.around("submit", || self.inner.backlog.submit(cell, now, submissions.clone())).await
    }

    async fn depth(&self, cell: &CellName) -> PortResult<Depth> {
        self.around.around("depth", || self.inner.backlog.depth(cell)).await
    }

    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line> {
        self.around.around("next", || self.inner.backlog.next(cell, after, limit, lots.clone())).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision> {
        self.around.around("backlog_wait", || self.inner.backlog.wait(cell, seen, at_most)).await
    }
}

#[async_trait]
impl<A: Around> WorkerRepository for Wrapped<A> {
    async fn register(
        &self,
        cell: &CellName,
        now: Timestamp,
        registration: Registration,
    ) -> PortResult<RegisterOutcome> {
        self.around.around("register", || self.inner.workers.register(cell, now, registration.clone())).await
    }

    async fn beats(&self, cell: &CellName) -> PortResult<Beats> {
        self.around.around("beats", || self.inner.workers.beats(cell)).await
    }

    async fn heartbeat(&self, cell: &CellName, callers: Vec<Caller>) -> PortResult<Vec<CallAnswer>> {
        self.around.around("heartbeat", || self.inner.workers.heartbeat(cell, callers.clone())).await
    }

    async fn set_status(
        &self,
        cell: &CellName,
        now: Timestamp,
        changes: Vec<(WorkerId, StatusChange)>,
    ) -> PortResult<Vec<StatusOutcome>> {
        self.around.around("set_status", || self.inner.workers.set_status(cell, now, changes.clone())).await
    }

    async fn remove(
        &self,
        cell: &CellName,
        now: Timestamp,
        removals: Vec<(WorkerId, RemoveHow)>,
        limit: usize,
    ) -> PortResult<Vec<RemoveOutcome>> {
        self.around.around("remove", || self.inner.workers.remove(cell, now, removals.clone(), limit)).await
    }

    async fn look(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<Look> {
        self.around.around("look", || self.inner.workers.look(cell, since, limit)).await
    }
}

#[async_trait]
impl<A: Around> PlacementRepository for Wrapped<A> {
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer> {
        self.around.around("commit", || self.inner.placements.commit(mandate, now, commit.clone())).await
    }

    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>> {
        self.around.around("lose", || self.inner.placements.lose(mandate, now, losses.clone(), limit)).await
    }

    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer> {
        self.around.around("take", || self.inner.placements.take(cell, now, caller.clone(), after.clone(), limit)).await
    }

    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer> {
        self.around.around("report", || self.inner.placements.report(cell, now, caller.clone(), reports.clone())).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting> {
        self.around.around("placements_wait", || self.inner.placements.wait(cell, seen, at_most)).await
    }
}

#[async_trait]
impl<A: Around> ContainerRepository for Wrapped<A> {
    async fn get(&self, cell: &CellName, ids: Vec<ContainerId>) -> PortResult<Vec<Option<Found>>> {
        self.around.around("get", || self.inner.containers.get(cell, ids.clone())).await
    }

    async fn list(
        &self,
        cell: &CellName,
        filter: Filter,
        after: Option<ContainerId>,
        limit: usize,
    ) -> PortResult<ContainerPage> {
        self.around.around("list", || self.inner.containers.list(cell, filter.clone(), after.clone(), limit)).await
    }

    async fn stop(&self, cell: &CellName, now: Timestamp, ids: Vec<ContainerId>) -> PortResult<Vec<StopOutcome>> {
        self.around.around("stop", || self.inner.containers.stop(cell, now, ids.clone())).await
    }

    async fn forget(&self, cell: &CellName, now: Timestamp, keep: Keep, limit: usize) -> PortResult<Forgotten> {
        self.around.around("forget", || self.inner.containers.forget(cell, now, keep, limit)).await
    }

    async fn export(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<ExportPage> {
        self.around.around("export", || self.inner.containers.export(cell, since, limit)).await
    }
}

#[async_trait]
impl<A: Around> Leadership for Wrapped<A> {
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome> {
        self.around.around("acquire", || self.inner.leadership.acquire(cell, planner, expected)).await
    }

    async fn renew(&self, mandate: &Mandate) -> PortResult<()> {
        self.around.around("renew", || self.inner.leadership.renew(mandate)).await
    }

    async fn resign(&self, mandate: &Mandate) -> PortResult<()> {
        self.around.around("resign", || self.inner.leadership.resign(mandate)).await
    }
}
