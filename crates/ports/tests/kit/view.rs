//! Rows as a store with a flaw shows them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

use domain::container::{ContainerRow, Output};
use domain::id::{Boot, CallNumber, ContainerId, Revision, WorkerId, Workspace};
use domain::model::{CellRow, Filter, FleetChange, MemoryRows, OrderMark, Rows, UsageRow};
use domain::request::{Body, OrderKey};
use domain::time::Timestamp;
use domain::wait::{LotKey, LotRow};
use domain::worker::WorkerRow;
use ports::{PortError, PortResult};

use crate::store::Flaw;

/// A range that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    Ready,
    Parked,
    Owned,
    Containers,
    Workers,
    Ended,
    Fleet,
    Changed,
}

pub(crate) struct View<F> {
    pub(crate) rows: MemoryRows,
    pub(crate) spoilt: BTreeSet<ContainerId>,
    pub(crate) writing: bool,
    pub(crate) flaw: PhantomData<F>,
}

impl<F: Flaw> Rows for View<F> {
    type Error = PortError;

    fn is_corrupt(&self, error: &PortError) -> bool {
        matches!(error, PortError::Corrupt { .. })
    }

    fn boot(&self) -> Boot {
        self.rows.boot()
    }

    fn cell(&self) -> PortResult<CellRow> {
        sure(self.rows.cell())
    }

    fn container(&self, id: &ContainerId) -> PortResult<Option<ContainerRow>> {
        match self.spoilt.contains(id) {
            true if F::CORRUPT_IS_AWAY => Err(PortError::unavailable("a row is torn")),
            true => Err(PortError::corrupt(format!("container {id}"), "it was spoilt")),
            false => sure(self.rows.container(id)),
        }
    }

    fn body(&self, id: &ContainerId) -> PortResult<Option<Arc<Body>>> {
        sure(self.rows.body(id))
    }

    fn output(&self, id: &ContainerId) -> PortResult<Option<Output>> {
        sure(self.rows.output(id))
    }

    fn worker(&self, id: &WorkerId) -> PortResult<Option<WorkerRow>> {
        Ok(sure(self.rows.worker(id))?.map(F::worker))
    }

    fn lot(&self, key: &LotKey) -> PortResult<Option<LotRow>> {
        sure(self.rows.lot(key))
    }

    fn usage(&self, workspace: &Workspace) -> PortResult<Option<UsageRow>> {
        sure(self.rows.usage(workspace))
    }

    fn number(&self, worker: &WorkerId) -> PortResult<CallNumber> {
        if F::NUMBERS_FALL && self.writing { Ok(CallNumber(0)) } else { sure(self.rows.number(worker)) }
    }

    fn ready(&self, after: Option<OrderKey>, limit: usize) -> PortResult<Vec<(OrderKey, ContainerId)>> {
        Ok(F::range(Range::Ready, sure(self.rows.ready(after, limit))?))
    }

    fn parked(&self, lot: &LotKey, after: Option<OrderKey>, limit: usize) -> PortResult<Vec<(OrderKey, ContainerId)>> {
        Ok(F::range(Range::Parked, sure(self.rows.parked(lot, after, limit))?))
    }

    fn owned(&self, worker: &WorkerId, after: Option<&OrderMark>, limit: usize) -> PortResult<Vec<OrderMark>> {
        Ok(F::range(Range::Owned, sure(self.rows.owned(worker, after.filter(|_| !F::FORGETS_MARKS), limit))?))
    }

    fn containers(&self, filter: &Filter, after: Option<&ContainerId>, limit: usize) -> PortResult<Vec<ContainerId>> {
        Ok(F::range(Range::Containers, sure(self.rows.containers(filter, after, limit))?))
    }

    fn workers(&self, after: Option<&WorkerId>, limit: usize) -> PortResult<Vec<WorkerId>> {
        Ok(F::range(Range::Workers, sure(self.rows.workers(after, limit))?))
    }

    fn ended(&self, limit: usize) -> PortResult<Vec<(Timestamp, ContainerId)>> {
        Ok(F::range(Range::Ended, sure(self.rows.ended(limit))?))
    }

    fn changed_fleet(&self, after: Revision, limit: usize) -> PortResult<Vec<(Revision, FleetChange)>> {
        Ok(F::range(Range::Fleet, sure(self.rows.changed_fleet(after, limit))?))
    }

    fn changed_containers(&self, after: Revision, limit: usize) -> PortResult<Vec<(Revision, ContainerId)>> {
        Ok(F::range(Range::Changed, sure(self.rows.changed_containers(after, limit))?))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the trait wants a result")]
fn sure<T>(read: Result<T, Infallible>) -> PortResult<T> {
    let Ok(read) = read;
    Ok(read)
}
