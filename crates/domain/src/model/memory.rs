//! The reference store: a cell in ordered maps.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use super::{CellRow, Change, Filter, FleetChange, FleetName, OrderMark, Replace, Rows, UsageRow};
use crate::container::{ContainerRow, Output, Phase, State, Waiting};
use crate::id::{Boot, CallNumber, ContainerId, Revision, WorkerId, Workspace};
use crate::request::{Body, OrderKey};
use crate::time::Timestamp;
use crate::wait::{LotKey, LotRow};
use crate::worker::WorkerRow;

/// One cell's rows in memory. Reading them cannot fail; `E` is whatever its callers call a failed read.
#[derive(Debug, Clone)]
pub struct MemoryRows<E = Infallible> {
    error: PhantomData<fn() -> E>,
    boot: Boot,
    cell: CellRow,
    containers: BTreeMap<ContainerId, ContainerRow>,
    bodies: BTreeMap<ContainerId, Arc<Body>>,
    outputs: BTreeMap<ContainerId, Output>,
    workers: BTreeMap<WorkerId, WorkerRow>,
    lots: BTreeMap<LotKey, LotRow>,
    usage: BTreeMap<Workspace, UsageRow>,
    numbers: BTreeMap<WorkerId, CallNumber>,
    ready: BTreeMap<OrderKey, ContainerId>,
    parked: BTreeMap<(LotKey, OrderKey), ContainerId>,
    owned: Index<WorkerId, OrderMark>,
    by_phase: Index<Phase, ContainerId>,
    by_workspace: Index<Workspace, ContainerId>,
    ended: BTreeSet<(Timestamp, ContainerId)>,
    fleet_changes: Index<Revision, FleetChange>,
    container_changes: Index<Revision, ContainerId>,
}

/// Sorted entries under sorted keys.
#[derive(Debug, Clone)]
struct Index<K, V>(BTreeMap<K, BTreeSet<V>>);

impl<K: Ord + Clone, V: Ord + Clone> Index<K, V> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn insert(&mut self, key: K, value: V) {
        self.0.entry(key).or_default().insert(value);
    }

    fn remove(&mut self, key: &K, value: &V) {
        if let Some(values) = self.0.get_mut(key) {
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// The values under one key, after one of them.
    fn under(&self, key: &K, after: Option<&V>) -> impl Iterator<Item = &V> {
        let from = after.map_or(Unbounded, Excluded);
        self.0.get(key).into_iter().flat_map(move |values| values.range::<V, _>((from, Unbounded)))
    }

    /// Keys and values after a key.
    fn after(&self, key: &K, limit: usize) -> Vec<(K, V)> {
        let later = self.0.range((Excluded(key), Unbounded));
        later.flat_map(|(key, values)| values.iter().map(|value| (key.clone(), value.clone()))).take(limit).collect()
    }
}

impl<E> MemoryRows<E> {
    /// An empty cell.
    pub fn new(cell: CellRow, boot: Boot) -> Self {
        Self {
            error: PhantomData,
            boot,
            cell,
            containers: BTreeMap::new(),
            bodies: BTreeMap::new(),
            outputs: BTreeMap::new(),
            workers: BTreeMap::new(),
            lots: BTreeMap::new(),
            usage: BTreeMap::new(),
            numbers: BTreeMap::new(),
            ready: BTreeMap::new(),
            parked: BTreeMap::new(),
            owned: Index::new(),
            by_phase: Index::new(),
            by_workspace: Index::new(),
            ended: BTreeSet::new(),
            fleet_changes: Index::new(),
            container_changes: Index::new(),
        }
    }

    /// Makes the changes of one step.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.apply_one(change);
        }
    }

    /// A copy under another boot, as a store is after it was closed and opened: numbers are forgotten.
    #[must_use]
    pub fn reopened(mut self, boot: Boot) -> Self {
        self.boot = boot;
        self.numbers.clear();
        self
    }

    fn apply_one(&mut self, change: Change) {
        match change {
            Change::Cell(row) => self.cell = row,
            Change::Container(replace) => self.replace_container(*replace),
            Change::Worker(replace) => {
                let name = |row: &WorkerRow| (row.changed, FleetName::Worker(row.id.clone()));
                self.move_change(&replace, name);
                put(&mut self.workers, *replace, |row| row.id.clone());
            }
            Change::Lot(replace) => {
                let name = |row: &LotRow| (row.changed, FleetName::Lot(row.key.clone()));
                self.move_change(&replace, name);
                put(&mut self.lots, *replace, |row| row.key.clone());
            }
            Change::Usage(replace) => {
                let name = |row: &UsageRow| (row.changed, FleetName::Usage(row.workspace.clone()));
                self.move_change(&replace, name);
                put(&mut self.usage, replace, |row| row.workspace.clone());
            }
            Change::Body(id, body) => set(&mut self.bodies, id, body),
            Change::Output(id, output) => set(&mut self.outputs, id, output),
            Change::Gone(revision, name) => {
                self.fleet_changes.insert(revision, FleetChange::Gone(name));
            }
            Change::ForgetGone(revision, name) => {
                self.fleet_changes.remove(&revision, &FleetChange::Gone(name));
            }
            Change::ParkCorrupt(key, id) => {
                self.ready.remove(&key);
                self.parked.insert((LotKey::Corrupt, key), id);
            }
            Change::Number(worker, number) => set(&mut self.numbers, worker, number),
        }
    }

    fn replace_container(&mut self, replace: Replace<ContainerRow>) {
        if let Some(row) = &replace.before {
            self.unindex(row);
        }
        if let Some(row) = &replace.after {
            self.index(row);
        }
        put(&mut self.containers, replace, |row| row.id.clone());
    }

    fn unindex(&mut self, row: &ContainerRow) {
        match &row.state {
            State::Pending(Waiting::Ready) => drop(self.ready.remove(&row.key)),
            State::Pending(Waiting::Parked(lot)) => drop(self.parked.remove(&(lot.clone(), row.key))),
            _ => {}
        }
        if let Some((worker, mark)) = ownership(row) {
            self.owned.remove(&worker, &mark);
        }
        if let Some(at) = ended_at(row) {
            self.ended.remove(&(at, row.id.clone()));
        }
        self.by_phase.remove(&row.state.phase(), &row.id);
        self.by_workspace.remove(&row.ask.workspace, &row.id);
        self.container_changes.remove(&row.changed, &row.id);
    }

    fn index(&mut self, row: &ContainerRow) {
        match &row.state {
            State::Pending(Waiting::Ready) => drop(self.ready.insert(row.key, row.id.clone())),
            State::Pending(Waiting::Parked(lot)) => {
                self.parked.insert((lot.clone(), row.key), row.id.clone());
            }
            _ => {}
        }
        if let Some((worker, mark)) = ownership(row) {
            self.owned.insert(worker, mark);
        }
        self.ended.extend(ended_at(row).map(|at| (at, row.id.clone())));
        self.by_phase.insert(row.state.phase(), row.id.clone());
        self.by_workspace.insert(row.ask.workspace.clone(), row.id.clone());
        self.container_changes.insert(row.changed, row.id.clone());
    }

    fn move_change<T>(&mut self, replace: &Replace<T>, name: impl Fn(&T) -> (Revision, FleetName)) {
        if let Some((revision, name)) = replace.before.as_ref().map(&name) {
            self.fleet_changes.remove(&revision, &FleetChange::Changed(name));
        }
        if let Some((revision, name)) = replace.after.as_ref().map(&name) {
            self.fleet_changes.insert(revision, FleetChange::Changed(name));
        }
    }
}

fn ownership(row: &ContainerRow) -> Option<(WorkerId, OrderMark)> {
    let place = row.state.placement()?;
    Some((place.worker.clone(), OrderMark { revision: place.order, container: row.id.clone() }))
}

/// When an ended container ended.
fn ended_at(row: &ContainerRow) -> Option<Timestamp> {
    let end = row.last_end.as_ref()?;
    row.state.phase().is_ended().then_some(end.at)
}

fn put<K: Ord, T>(table: &mut BTreeMap<K, T>, replace: Replace<T>, key: impl Fn(&T) -> K) {
    match (replace.before, replace.after) {
        (_, Some(row)) => drop(table.insert(key(&row), row)),
        (Some(row), None) => drop(table.remove(&key(&row))),
        (None, None) => {}
    }
}

fn set<K: Ord, T>(table: &mut BTreeMap<K, T>, key: K, value: Option<T>) {
    match value {
        Some(value) => drop(table.insert(key, value)),
        None => drop(table.remove(&key)),
    }
}

impl<E> Rows for MemoryRows<E> {
    type Error = E;

    fn is_corrupt(&self, _error: &E) -> bool {
        false
    }

    fn boot(&self) -> Boot {
        self.boot
    }

    fn cell(&self) -> Result<CellRow, E> {
        Ok(self.cell.clone())
    }

    fn container(&self, id: &ContainerId) -> Result<Option<ContainerRow>, E> {
        Ok(self.containers.get(id).cloned())
    }

    fn body(&self, id: &ContainerId) -> Result<Option<Arc<Body>>, E> {
        Ok(self.bodies.get(id).cloned())
    }

    fn output(&self, id: &ContainerId) -> Result<Option<Output>, E> {
        Ok(self.outputs.get(id).cloned())
    }

    fn worker(&self, id: &WorkerId) -> Result<Option<WorkerRow>, E> {
        Ok(self.workers.get(id).cloned())
    }

    fn lot(&self, key: &LotKey) -> Result<Option<LotRow>, E> {
        Ok(self.lots.get(key).cloned())
    }

    fn usage(&self, workspace: &Workspace) -> Result<Option<UsageRow>, E> {
        Ok(self.usage.get(workspace).cloned())
    }

    fn number(&self, worker: &WorkerId) -> Result<CallNumber, E> {
        Ok(self.numbers.get(worker).copied().unwrap_or_default())
    }

    fn ready(&self, after: Option<OrderKey>, limit: usize) -> Result<Vec<(OrderKey, ContainerId)>, E> {
        let from = after.map_or(Unbounded, Excluded);
        Ok(self.ready.range((from, Unbounded)).take(limit).map(|(key, id)| (*key, id.clone())).collect())
    }

    fn parked(&self, lot: &LotKey, after: Option<OrderKey>, limit: usize) -> Result<Vec<(OrderKey, ContainerId)>, E> {
        let lowest = OrderKey { rank: i64::MIN, ..OrderKey::default() };
        let from = after.map_or(Included((lot.clone(), lowest)), |key| Excluded((lot.clone(), key)));
        let rows = self.parked.range((from, Unbounded)).take_while(|((of, _), _)| of == lot);
        Ok(rows.take(limit).map(|((_, key), id)| (*key, id.clone())).collect())
    }

    fn owned(&self, worker: &WorkerId, after: Option<&OrderMark>, limit: usize) -> Result<Vec<OrderMark>, E> {
        Ok(self.owned.under(worker, after).take(limit).cloned().collect())
    }

    fn containers(&self, filter: &Filter, after: Option<&ContainerId>, limit: usize) -> Result<Vec<ContainerId>, E> {
        let from = after.map_or(Unbounded, Excluded);
        Ok(match filter {
            Filter::All => self
                .containers
                .range::<ContainerId, _>((from, Unbounded))
                .take(limit)
                .map(|(id, _)| id.clone())
                .collect(),
            Filter::Phase(phase) => self.by_phase.under(phase, after).take(limit).cloned().collect(),
            Filter::Workspace(workspace) => self.by_workspace.under(workspace, after).take(limit).cloned().collect(),
            Filter::Worker(worker) => {
                let owned = self.owned.under(worker, None).map(|mark| &mark.container);
                let later: BTreeSet<_> = owned.filter(|id| after.is_none_or(|after| *id > after)).collect();
                later.into_iter().take(limit).cloned().collect()
            }
        })
    }

    fn workers(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, E> {
        let from = after.map_or(Unbounded, Excluded);
        Ok(self.workers.range::<WorkerId, _>((from, Unbounded)).take(limit).map(|(id, _)| id.clone()).collect())
    }

    fn ended(&self, limit: usize) -> Result<Vec<(Timestamp, ContainerId)>, E> {
        Ok(self.ended.iter().take(limit).cloned().collect())
    }

    fn changed_fleet(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, FleetChange)>, E> {
        Ok(self.fleet_changes.after(&after, limit))
    }

    fn changed_containers(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, ContainerId)>, E> {
        Ok(self.container_changes.after(&after, limit))
    }
}
