//! The ports, every call counted by operation, and every hand-over timed.
//!
//! Not made with `ports::around`: that copies the arguments of every call, which a whole batch is too large for, and
//! shows no answers.

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
use domain::model::{Filter, Mandate, Order, OrderMark, Report};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use domain::worker::{CallAnswer, Caller};
use ports::{
    BacklogRepository, ContainerRepository, Leadership, OrdersWaiting, PlacementRepository, PortResult, Ports,
    WorkerRepository,
};

use super::Metrics;

/// Wraps every port.
pub(super) fn over(ports: &Ports, metrics: &Arc<Metrics>, caller: Option<&'static str>) -> Ports {
    let metered = Arc::new(Metered { inner: ports.clone(), metrics: Arc::clone(metrics), caller });
    Ports {
        backlog: metered.clone(),
        workers: metered.clone(),
        placements: metered.clone(),
        containers: metered.clone(),
        leadership: metered,
        limits: ports.limits,
    }
}

/// Ports under a counter.
struct Metered {
    inner: Ports,
    metrics: Arc<Metrics>,
    caller: Option<&'static str>,
}

impl Metered {
    fn count(&self, operation: &str) {
        match self.caller {
            Some(caller) => self.metrics.count_call(&format!("{caller}_{operation}")),
            None => self.metrics.count_call(operation),
        }
    }

    fn count_handovers(&self, now: Timestamp, orders: &[Order]) {
        for order in orders {
            if let Order::Start(start) = order {
                self.metrics.count_handover(start.submitted.until(now));
            }
        }
    }
}

#[async_trait]
impl BacklogRepository for Metered {
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>> {
        self.count("submit");
        self.inner.backlog.submit(cell, now, submissions).await
    }

    async fn depth(&self, cell: &CellName) -> PortResult<Depth> {
        self.count("depth");
        self.inner.backlog.depth(cell).await
    }

    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line> {
        self.count("next");
        self.inner.backlog.next(cell, after, limit, lots).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision> {
        self.count("backlog_wait");
        self.inner.backlog.wait(cell, seen, at_most).await
    }
}

#[async_trait]
impl WorkerRepository for Metered {
    async fn register(
        &self,
        cell: &CellName,
        now: Timestamp,
        registration: Registration,
    ) -> PortResult<RegisterOutcome> {
        self.count("register");
        let outcome = self.inner.workers.register(cell, now, registration).await?;
        if let RegisterOutcome::Registered { unknown, .. } = &outcome {
            self.metrics.count_unknown(*unknown);
        }
        Ok(outcome)
    }

    async fn beats(&self, cell: &CellName) -> PortResult<Beats> {
        self.count("beats");
        self.inner.workers.beats(cell).await
    }

    async fn heartbeat(&self, cell: &CellName, callers: Vec<Caller>) -> PortResult<Vec<CallAnswer>> {
        self.count("heartbeat");
        self.inner.workers.heartbeat(cell, callers).await
    }

    async fn set_status(
        &self,
        cell: &CellName,
        now: Timestamp,
        changes: Vec<(WorkerId, StatusChange)>,
    ) -> PortResult<Vec<StatusOutcome>> {
        self.count("set_status");
        self.inner.workers.set_status(cell, now, changes).await
    }

    async fn remove(
        &self,
        cell: &CellName,
        now: Timestamp,
        removals: Vec<(WorkerId, RemoveHow)>,
        limit: usize,
    ) -> PortResult<Vec<RemoveOutcome>> {
        self.count("remove");
        self.inner.workers.remove(cell, now, removals, limit).await
    }

    async fn look(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<Look> {
        self.count("look");
        self.inner.workers.look(cell, since, limit).await
    }
}

#[async_trait]
impl PlacementRepository for Metered {
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer> {
        self.count("commit");
        self.inner.placements.commit(mandate, now, commit).await
    }

    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>> {
        self.count("lose");
        self.inner.placements.lose(mandate, now, losses, limit).await
    }

    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer> {
        self.count("take");
        let answer = self.inner.placements.take(cell, now, caller, after, limit).await?;
        self.count_handovers(now, &answer.orders);
        Ok(answer)
    }

    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer> {
        self.count("report");
        self.inner.placements.report(cell, now, caller, reports).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting> {
        self.count("placements_wait");
        self.inner.placements.wait(cell, seen, at_most).await
    }
}

#[async_trait]
impl ContainerRepository for Metered {
    async fn get(&self, cell: &CellName, ids: Vec<ContainerId>) -> PortResult<Vec<Option<Found>>> {
        self.count("get");
        self.inner.containers.get(cell, ids).await
    }

    async fn list(
        &self,
        cell: &CellName,
        filter: Filter,
        after: Option<ContainerId>,
        limit: usize,
    ) -> PortResult<ContainerPage> {
        self.count("list");
        self.inner.containers.list(cell, filter, after, limit).await
    }

    async fn stop(&self, cell: &CellName, now: Timestamp, ids: Vec<ContainerId>) -> PortResult<Vec<StopOutcome>> {
        self.count("stop");
        self.inner.containers.stop(cell, now, ids).await
    }

    async fn forget(&self, cell: &CellName, now: Timestamp, keep: Keep, limit: usize) -> PortResult<Forgotten> {
        self.count("forget");
        self.inner.containers.forget(cell, now, keep, limit).await
    }

    async fn export(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<ExportPage> {
        self.count("export");
        self.inner.containers.export(cell, since, limit).await
    }
}

#[async_trait]
impl Leadership for Metered {
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome> {
        self.count("acquire");
        self.inner.leadership.acquire(cell, planner, expected).await
    }

    async fn renew(&self, mandate: &Mandate) -> PortResult<()> {
        self.count("renew");
        self.inner.leadership.renew(mandate).await
    }

    async fn resign(&self, mandate: &Mandate) -> PortResult<()> {
        self.count("resign");
        self.inner.leadership.resign(mandate).await
    }
}

#[cfg(test)]
mod tests {
    use ports::conformance::Harness;
    use ports::rows::{MemoryStore, RowPorts};

    use super::*;

    /// The memory store, metered.
    struct Counted(Ports);

    impl Harness for Counted {
        async fn open() -> Self {
            let memory = RowPorts::over(MemoryStore::new().expect("memory is there"));
            Self(over(&memory, &Arc::default(), Some("kit")))
        }

        fn ports(&self) -> Ports {
            self.0.clone()
        }
    }

    ports::conformance!(Counted);
}
