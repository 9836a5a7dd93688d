//! The rows of one cell within one transaction.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::Arc;

use domain::container::{ContainerRow, Output};
use domain::id::{BadName, Boot, CallNumber, CellName, ContainerId, History, Revision, WorkerId, Workspace};
use domain::model::{CellRow, Filter, FleetChange, OrderMark, Rows, UsageRow};
use domain::request::{Body, OrderKey};
use domain::time::Timestamp;
use domain::wait::{LotKey, LotRow};
use domain::worker::WorkerRow;
use ports::wire::Row;
use ports::{PortError, PortResult};
use redb::{AccessGuard, Key, Range, ReadableTable, StorageError, Value};

use super::error::unavailable;
use super::keys;
use super::tables::{Access, GroupKey, Tables};

/// How a worker's number is found.
pub(super) type NumberOf<'a> = dyn Fn(&WorkerId) -> PortResult<CallNumber> + 'a;

/// One cell's rows.
pub(super) struct CellRows<'a, A: Access> {
    cell: &'a CellName,
    tables: &'a Tables<A>,
    boot: Boot,
    number: &'a NumberOf<'a>,
    /// The history of a cell that was never written, the same throughout a step.
    fresh: OnceCell<History>,
}

impl<'a, A: Access> CellRows<'a, A> {
    pub(super) fn new(cell: &'a CellName, tables: &'a Tables<A>, boot: Boot, number: &'a NumberOf<'a>) -> Self {
        Self { cell, tables, boot, number, fresh: OnceCell::new() }
    }

    fn name(&self) -> &'a str {
        self.cell.as_str()
    }

    fn fresh_history(&self) -> PortResult<History> {
        if let Some(history) = self.fresh.get() {
            return Ok(*history);
        }
        let random = getrandom::u64().map_err(PortError::unavailable)?;
        Ok(*self.fresh.get_or_init(|| History::from_random(random)))
    }

    fn decode<T: Row>(&self, found: Found<'_>, kind: &str, name: impl Display) -> PortResult<Option<T>> {
        let Some(bytes) = found.map_err(unavailable)? else { return Ok(None) };
        T::decode(format_args!("{kind} {name} of cell {}", self.cell), bytes.value()).map(Some)
    }

    /// Something that an index names by what is no name.
    fn bad_name(&self, index: &str, bad: impl Into<ports::Source>) -> PortError {
        PortError::corrupt(format!("an entry of {index} of cell {}", self.cell), bad)
    }

    fn container_id(&self, index: &str, text: &str) -> PortResult<ContainerId> {
        ContainerId::new(text).map_err(|bad: BadName| self.bad_name(index, bad))
    }

    /// The containers of one group, by id.
    fn group(
        &self,
        table: &A::Table<GroupKey, ()>,
        group: &str,
        after: Option<&ContainerId>,
        limit: usize,
    ) -> PortResult<Vec<ContainerId>> {
        let from = (self.name(), group, after.map_or("", ContainerId::as_str));
        // No container's name is empty: what comes after "" is all of them.
        let range = table.range((Excluded(from), Unbounded));
        page(range, limit, |key, _| match key.value() {
            (cell, within, id) if cell == self.name() && within == group => self.container_id("a group", id).map(Some),
            _ => Ok(None),
        })
    }

    fn owned_by_id(
        &self,
        worker: &WorkerId,
        after: Option<&ContainerId>,
        limit: usize,
    ) -> PortResult<Vec<ContainerId>> {
        let owned = self.owned(worker, None, usize::MAX)?.into_iter().map(|mark| mark.container);
        let later: BTreeSet<_> = owned.filter(|id| after.is_none_or(|after| id > after)).collect();
        Ok(later.into_iter().take(limit).collect())
    }
}

/// What a table answers for a key.
type Found<'t> = Result<Option<AccessGuard<'t, &'static [u8]>>, StorageError>;

/// Reads the first `limit` entries of a range, up to where `read` says that it leaves what is wanted.
fn page<'t, K: Key, V: Value, T>(
    range: Result<Range<'t, K, V>, StorageError>,
    limit: usize,
    read: impl Fn(&AccessGuard<'t, K>, &AccessGuard<'t, V>) -> PortResult<Option<T>>,
) -> PortResult<Vec<T>> {
    let mut entries = Vec::new();
    for entry in range.map_err(unavailable)?.take(limit) {
        let (key, value) = entry.map_err(unavailable)?;
        match read(&key, &value)? {
            Some(entry) => entries.push(entry),
            None => break,
        }
    }
    Ok(entries)
}

/// From after a key, or from the least key of what is wanted.
fn after<T>(key: Option<T>, least: T) -> Bound<T> {
    key.map_or(Included(least), Excluded)
}

const LEAST: keys::Place = (i64::MIN, 0, 0);

fn order_key((rank, revision, position): keys::Place) -> OrderKey {
    OrderKey { rank, revision: Revision(revision), position }
}

impl<A: Access> Rows for CellRows<'_, A> {
    type Error = PortError;

    fn is_corrupt(&self, error: &PortError) -> bool {
        matches!(error, PortError::Corrupt { .. })
    }

    fn boot(&self) -> Boot {
        self.boot
    }

    fn cell(&self) -> PortResult<CellRow> {
        let row = self.decode(self.tables.cells.get(self.name()), "the row", "itself")?;
        row.map_or_else(|| self.fresh_history().map(CellRow::new), Ok)
    }

    fn container(&self, id: &ContainerId) -> PortResult<Option<ContainerRow>> {
        self.decode(self.tables.containers.get((self.name(), id.as_str())), "container", id)
    }

    fn body(&self, id: &ContainerId) -> PortResult<Option<Arc<Body>>> {
        let body = self.decode(self.tables.bodies.get((self.name(), id.as_str())), "the body of container", id)?;
        Ok(body.map(Arc::new))
    }

    fn output(&self, id: &ContainerId) -> PortResult<Option<Output>> {
        self.decode(self.tables.outputs.get((self.name(), id.as_str())), "the output of container", id)
    }

    fn worker(&self, id: &WorkerId) -> PortResult<Option<WorkerRow>> {
        self.decode(self.tables.workers.get((self.name(), id.as_str())), "worker", id)
    }

    fn lot(&self, key: &LotKey) -> PortResult<Option<LotRow>> {
        let (kind, text) = keys::lot(key);
        self.decode(self.tables.lots.get((self.name(), kind, text)), "lot", text)
    }

    fn usage(&self, workspace: &Workspace) -> PortResult<Option<UsageRow>> {
        self.decode(self.tables.usage.get((self.name(), workspace.as_str())), "the usage of workspace", workspace)
    }

    fn number(&self, worker: &WorkerId) -> PortResult<CallNumber> {
        (self.number)(worker)
    }

    fn ready(&self, from: Option<OrderKey>, limit: usize) -> PortResult<Vec<(OrderKey, ContainerId)>> {
        let at = |(rank, revision, position): keys::Place| (self.name(), rank, revision, position);
        let from = after(from.map(|key| at(keys::place(key))), at(LEAST));
        page(self.tables.ready.range((from, Unbounded)), limit, |key, id| match key.value() {
            (cell, rank, revision, position) if cell == self.name() => {
                Ok(Some((order_key((rank, revision, position)), self.container_id("ready", id.value())?)))
            }
            _ => Ok(None),
        })
    }

    fn parked(&self, lot: &LotKey, from: Option<OrderKey>, limit: usize) -> PortResult<Vec<(OrderKey, ContainerId)>> {
        let (kind, text) = keys::lot(lot);
        let at = |(rank, revision, position): keys::Place| (self.name(), kind, text, rank, revision, position);
        let from = after(from.map(|key| at(keys::place(key))), at(LEAST));
        page(self.tables.parked.range((from, Unbounded)), limit, |key, id| match key.value() {
            (cell, of_kind, of, rank, revision, position) if (cell, of_kind, of) == (self.name(), kind, text) => {
                Ok(Some((order_key((rank, revision, position)), self.container_id("parked", id.value())?)))
            }
            _ => Ok(None),
        })
    }

    fn owned(&self, worker: &WorkerId, from: Option<&OrderMark>, limit: usize) -> PortResult<Vec<OrderMark>> {
        let at = |revision: u64, id| (self.name(), worker.as_str(), revision, id);
        let from = after(from.map(|mark| at(mark.revision.0, mark.container.as_str())), at(0, ""));
        page(self.tables.owned.range((from, Unbounded)), limit, |key, _| match key.value() {
            (cell, of, revision, id) if (cell, of) == (self.name(), worker.as_str()) => {
                let container = self.container_id("owned", id)?;
                Ok(Some(OrderMark { revision: Revision(revision), container }))
            }
            _ => Ok(None),
        })
    }

    fn containers(&self, filter: &Filter, from: Option<&ContainerId>, limit: usize) -> PortResult<Vec<ContainerId>> {
        match filter {
            Filter::All => {
                let from = (self.name(), from.map_or("", ContainerId::as_str));
                page(self.tables.containers.range((Excluded(from), Unbounded)), limit, |key, _| match key.value() {
                    (cell, id) if cell == self.name() => self.container_id("containers", id).map(Some),
                    _ => Ok(None),
                })
            }
            Filter::Phase(phase) => self.group(&self.tables.by_phase, keys::phase(*phase), from, limit),
            Filter::Workspace(workspace) => self.group(&self.tables.by_workspace, workspace.as_str(), from, limit),
            Filter::Worker(worker) => self.owned_by_id(worker, from, limit),
        }
    }

    fn workers(&self, from: Option<&WorkerId>, limit: usize) -> PortResult<Vec<WorkerId>> {
        let from = (self.name(), from.map_or("", WorkerId::as_str));
        page(self.tables.workers.range((Excluded(from), Unbounded)), limit, |key, _| match key.value() {
            (cell, id) if cell == self.name() => {
                WorkerId::new(id).map(Some).map_err(|bad| self.bad_name("workers", bad))
            }
            _ => Ok(None),
        })
    }

    fn ended(&self, limit: usize) -> PortResult<Vec<(Timestamp, ContainerId)>> {
        page(self.tables.ended.range((self.name(), 0, "")..), limit, |key, _| match key.value() {
            (cell, at, id) if cell == self.name() => Ok(Some((Timestamp(at), self.container_id("ended", id)?))),
            _ => Ok(None),
        })
    }

    fn changed_fleet(&self, since: Revision, limit: usize) -> PortResult<Vec<(Revision, FleetChange)>> {
        let Some(first) = since.0.checked_add(1) else { return Ok(Vec::new()) };
        page(self.tables.fleet_changes.range((self.name(), first, 0, "")..), limit, |key, _| match key.value() {
            (cell, revision, kind, text) if cell == self.name() => {
                let change = keys::read_fleet_change(kind, text);
                Ok(Some((Revision(revision), change.map_err(|bad| self.bad_name("changes of the fleet", bad))?)))
            }
            _ => Ok(None),
        })
    }

    fn changed_containers(&self, since: Revision, limit: usize) -> PortResult<Vec<(Revision, ContainerId)>> {
        let Some(first) = since.0.checked_add(1) else { return Ok(Vec::new()) };
        page(self.tables.container_changes.range((self.name(), first, "")..), limit, |key, _| match key.value() {
            (cell, revision, id) if cell == self.name() => {
                Ok(Some((Revision(revision), self.container_id("changes of containers", id)?)))
            }
            _ => Ok(None),
        })
    }
}
