//! The ports, each method a step of `domain::model`.

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
use domain::model::{self, Filter, Mandate, OrderMark, Report};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use domain::worker::{CallAnswer, Caller};

use super::{RowPorts, RowStore};
use crate::signals::Heights;
use crate::{
    BacklogRepository, ContainerRepository, Leadership, OrdersWaiting, PlacementRepository, PortResult,
    WorkerRepository,
};

/// How often the cell's row is read while somebody waits for what another process may write.
const POLL: Duration = Duration::from_millis(20);

impl<S: RowStore> RowPorts<S> {
    /// Waits until `reached` holds of the cell's heights; at most so long.
    async fn wait_for(
        &self,
        cell: &CellName,
        at_most: Duration,
        reached: impl Fn(&Heights) -> bool + Send,
    ) -> PortResult<Heights> {
        let poll = if self.store.limits().exclusive { at_most } else { POLL };
        let read = || self.read(cell, |rows| Ok(Heights::of(&rows.cell()?)));
        self.signals.of(cell).wait(at_most, poll, read, reached).await
    }
}

#[async_trait]
impl<S: RowStore> BacklogRepository for RowPorts<S> {
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>> {
        self.write(cell, move |rows| model::backlog::submit(&rows, now, &submissions)).await
    }

    async fn depth(&self, cell: &CellName) -> PortResult<Depth> {
        self.read(cell, |rows| model::backlog::depth(&rows)).await
    }

    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line> {
        self.read(cell, move |rows| model::backlog::next(&rows, after, limit, &lots)).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision> {
        let heights = self.wait_for(cell, at_most, |now| now.woken > seen).await?;
        Ok(heights.revision)
    }
}

#[async_trait]
impl<S: RowStore> WorkerRepository for RowPorts<S> {
    async fn register(
        &self,
        cell: &CellName,
        now: Timestamp,
        registration: Registration,
    ) -> PortResult<RegisterOutcome> {
        self.write(cell, move |rows| model::workers::register(&rows, now, &registration)).await
    }

    async fn beats(&self, cell: &CellName) -> PortResult<Beats> {
        self.read(cell, |rows| model::workers::beats(&rows)).await
    }

    async fn heartbeat(&self, cell: &CellName, callers: Vec<Caller>) -> PortResult<Vec<CallAnswer>> {
        self.write(cell, move |rows| model::workers::heartbeat(&rows, &callers)).await
    }

    async fn set_status(
        &self,
        cell: &CellName,
        now: Timestamp,
        changes: Vec<(WorkerId, StatusChange)>,
    ) -> PortResult<Vec<StatusOutcome>> {
        self.write(cell, move |rows| model::workers::set_status(&rows, now, &changes)).await
    }

    async fn remove(
        &self,
        cell: &CellName,
        now: Timestamp,
        removals: Vec<(WorkerId, RemoveHow)>,
        limit: usize,
    ) -> PortResult<Vec<RemoveOutcome>> {
        self.write(cell, move |rows| model::workers::remove(&rows, now, &removals, limit)).await
    }

    async fn look(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<Look> {
        self.read(cell, move |rows| model::workers::look(&rows, since, limit)).await
    }
}

#[async_trait]
impl<S: RowStore> PlacementRepository for RowPorts<S> {
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer> {
        let held = mandate.clone();
        let step = move |rows: &super::RowsOf<'_>| model::placements::commit(&rows, &held, now, &commit);
        self.write_fenced(&mandate.cell, step).await
    }

    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>> {
        let held = mandate.clone();
        let step = move |rows: &super::RowsOf<'_>| model::placements::lose(&rows, &held, now, &losses, limit);
        self.write_fenced(&mandate.cell, step).await
    }

    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer> {
        self.write(cell, move |rows| model::placements::take(&rows, now, &caller, after.as_ref(), limit)).await
    }

    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer> {
        self.write(cell, move |rows| model::placements::report(&rows, now, &caller, &reports)).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting> {
        let heights = self.wait_for(cell, at_most, |now| now.ordered > seen).await?;
        Ok(self.signals.of(cell).orders_after(seen, &heights))
    }
}

#[async_trait]
impl<S: RowStore> ContainerRepository for RowPorts<S> {
    async fn get(&self, cell: &CellName, ids: Vec<ContainerId>) -> PortResult<Vec<Option<Found>>> {
        self.read(cell, move |rows| model::containers::get(&rows, &ids)).await
    }

    async fn list(
        &self,
        cell: &CellName,
        filter: Filter,
        after: Option<ContainerId>,
        limit: usize,
    ) -> PortResult<ContainerPage> {
        self.read(cell, move |rows| model::containers::list(&rows, &filter, after.as_ref(), limit)).await
    }

    async fn stop(&self, cell: &CellName, now: Timestamp, ids: Vec<ContainerId>) -> PortResult<Vec<StopOutcome>> {
        self.write(cell, move |rows| model::containers::stop(&rows, now, &ids)).await
    }

    async fn forget(&self, cell: &CellName, now: Timestamp, keep: Keep, limit: usize) -> PortResult<Forgotten> {
        self.write(cell, move |rows| model::containers::forget(&rows, now, &keep, limit)).await
    }

    async fn export(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<ExportPage> {
        self.read(cell, move |rows| model::containers::export(&rows, since, limit)).await
    }
}

#[async_trait]
impl<S: RowStore> Leadership for RowPorts<S> {
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome> {
        let (name, planner) = (cell.clone(), planner.clone());
        self.write(cell, move |rows| model::leadership::acquire(&rows, &name, &planner, expected)).await
    }

    async fn renew(&self, mandate: &Mandate) -> PortResult<()> {
        let held = mandate.clone();
        self.write_fenced(&mandate.cell, move |rows| model::leadership::renew(&rows, &held)).await
    }

    async fn resign(&self, mandate: &Mandate) -> PortResult<()> {
        let held = mandate.clone();
        self.write(&mandate.cell, move |rows| model::leadership::resign(&rows, &held)).await
    }
}
