//! The five ports: writes are repeated, reads are not.

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

use super::answers::Asked;
use super::{Repeating, Repeats};
use crate::around::Answering;
use crate::{
    BacklogRepository, ContainerRepository, Leadership, OrdersWaiting, PlacementRepository, PortResult, Ports,
    WorkerRepository,
};

/// A call that can be made again and again: each time with copies of its arguments.
macro_rules! call {
    (|$ports:ident $(, $argument:ident)*| $call:expr) => {
        |$ports: Ports| -> Answering<'static, _> {
            $(let $argument = $argument.clone();)*
            Box::pin(async move { $call.await })
        }
    };
}

#[async_trait]
impl<R: Repeats> BacklogRepository for Repeating<R> {
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>> {
        let write = call!(|ports, cell, submissions| ports.backlog.submit(&cell, now, submissions));
        Ok(self.said(cell, Asked::default(), write).await?.meant)
    }

    async fn depth(&self, cell: &CellName) -> PortResult<Depth> {
        self.reads.backlog.depth(cell).await
    }

    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line> {
        self.reads.backlog.next(cell, after, limit, lots).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision> {
        self.reads.backlog.wait(cell, seen, at_most).await
    }
}

#[async_trait]
impl<R: Repeats> WorkerRepository for Repeating<R> {
    async fn register(
        &self,
        cell: &CellName,
        now: Timestamp,
        registration: Registration,
    ) -> PortResult<RegisterOutcome> {
        let held = registration.holds.iter().map(|held| &held.placement.container);
        let ended = registration.ends.iter().map(|report| &report.placement.container);
        let asked = Asked::about(held.chain(ended));
        let write = call!(|ports, cell, registration| ports.workers.register(&cell, now, registration));
        Ok(self.said(cell, asked, write).await?.meant)
    }

    async fn beats(&self, cell: &CellName) -> PortResult<Beats> {
        self.reads.workers.beats(cell).await
    }

    async fn heartbeat(&self, cell: &CellName, callers: Vec<Caller>) -> PortResult<Vec<CallAnswer>> {
        let write = call!(|ports, cell, callers| ports.workers.heartbeat(&cell, callers));
        Ok(self.said(cell, Asked::default(), write).await?.meant)
    }

    async fn set_status(
        &self,
        cell: &CellName,
        now: Timestamp,
        changes: Vec<(WorkerId, StatusChange)>,
    ) -> PortResult<Vec<StatusOutcome>> {
        let asked = Asked::about(changes.iter().map(|(worker, _)| worker));
        let write = call!(|ports, cell, changes| ports.workers.set_status(&cell, now, changes));
        Ok(self.said(cell, asked, write).await?.meant)
    }

    async fn remove(
        &self,
        cell: &CellName,
        now: Timestamp,
        removals: Vec<(WorkerId, RemoveHow)>,
        limit: usize,
    ) -> PortResult<Vec<RemoveOutcome>> {
        let asked = Asked::about(removals.iter().map(|(worker, _)| worker));
        let write = call!(|ports, cell, removals| ports.workers.remove(&cell, now, removals, limit));
        let said = self.said(cell, asked, write).await?;
        let Some(mut bites) = self.bites() else { return Ok(said.meant) };
        let each = removals.iter().zip(said.meant).zip(said.again);
        Ok(each.map(|(((worker, _), first), again)| bites.remove(cell, worker, first, again)).collect())
    }

    async fn look(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<Look> {
        self.reads.workers.look(cell, since, limit).await
    }
}

#[async_trait]
impl<R: Repeats> PlacementRepository for Repeating<R> {
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer> {
        let asked = Asked::about(commit.decisions.iter().map(|decision| &decision.container)).by_planner();
        let write = call!(|ports, mandate, commit| ports.placements.commit(&mandate, now, commit));
        Ok(self.said(&mandate.cell, asked, write).await?.meant)
    }

    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>> {
        let cell = &mandate.cell;
        // One worker's loss may be what a settling, or the rest of that loss, waited for.
        let asked = Asked::about(losses.iter().map(|_| ())).by_planner();
        let write = call!(|ports, mandate, losses| ports.placements.lose(&mandate, now, losses, limit));
        let said = self.said(cell, asked, write).await?;
        let Some(mut bites) = self.bites() else { return Ok(said.meant) };
        let each = losses.iter().zip(said.meant).zip(said.again);
        Ok(each.map(|((loss, first), again)| bites.lose(cell, loss, limit, first, again)).collect())
    }

    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer> {
        let write = call!(|ports, cell, caller, after| ports.placements.take(&cell, now, caller, after, limit));
        Ok(self.said(cell, Asked::default(), write).await?.meant)
    }

    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer> {
        let asked = Asked::about(reports.iter().map(|report| &report.placement.container));
        let write = call!(|ports, cell, caller, reports| ports.placements.report(&cell, now, caller, reports));
        Ok(self.said(cell, asked, write).await?.meant)
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting> {
        self.reads.placements.wait(cell, seen, at_most).await
    }
}

#[async_trait]
impl<R: Repeats> ContainerRepository for Repeating<R> {
    async fn get(&self, cell: &CellName, ids: Vec<ContainerId>) -> PortResult<Vec<Option<Found>>> {
        self.reads.containers.get(cell, ids).await
    }

    async fn list(
        &self,
        cell: &CellName,
        filter: Filter,
        after: Option<ContainerId>,
        limit: usize,
    ) -> PortResult<ContainerPage> {
        self.reads.containers.list(cell, filter, after, limit).await
    }

    async fn stop(&self, cell: &CellName, now: Timestamp, ids: Vec<ContainerId>) -> PortResult<Vec<StopOutcome>> {
        let write = call!(|ports, cell, ids| ports.containers.stop(&cell, now, ids));
        Ok(self.said(cell, Asked::default(), write).await?.meant)
    }

    async fn forget(&self, cell: &CellName, now: Timestamp, keep: Keep, limit: usize) -> PortResult<Forgotten> {
        let write = call!(|ports, cell| ports.containers.forget(&cell, now, keep, limit));
        let said = self.said(cell, Asked::default(), write).await?;
        let bites = self.bites();
        Ok(bites.map_or(said.meant, |mut bites| bites.forget(cell, limit, said.meant, said.again)))
    }

    async fn export(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<ExportPage> {
        self.reads.containers.export(cell, since, limit).await
    }
}

#[async_trait]
impl<R: Repeats> Leadership for Repeating<R> {
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome> {
        let write = call!(|ports, cell, planner| ports.leadership.acquire(&cell, &planner, expected));
        Ok(self.said(cell, Asked::default(), write).await?.meant)
    }

    async fn renew(&self, mandate: &Mandate) -> PortResult<()> {
        let write = call!(|ports, mandate| ports.leadership.renew(&mandate));
        self.said(&mandate.cell, Asked::default().by_planner(), write).await.map(|said| said.meant)
    }

    async fn resign(&self, mandate: &Mandate) -> PortResult<()> {
        let write = call!(|ports, mandate| ports.leadership.resign(&mandate));
        self.said(&mandate.cell, Asked::default(), write).await.map(|said| said.meant)
    }
}
