//! The overlay of one step: reads see what the step has decided, and every consequence of a container's change is
//! booked in one place.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{CALL_ITEMS_MAX, CellRow, Change, FleetName, OrderMark, Replace, Rows, Stepped, UsageRow};
use crate::container::{ContainerRow, Placement, State, Waiting};
use crate::id::{ContainerId, History, Mark, Revision, WorkerId, Workspace};
use crate::ledger;
use crate::quota::Usage;
use crate::request::{Ask, OrderKey};
use crate::time::Timestamp;
use crate::wait::{LotKey, LotRow, Why};
use crate::worker::{Status, WorkerRow};

/// A step at work.
pub(crate) struct Step<'a, R: Rows> {
    rows: &'a R,
    before: CellRow,
    pub(crate) cell: CellRow,
    containers: BTreeMap<ContainerId, Replace<ContainerRow>>,
    workers: BTreeMap<WorkerId, Replace<WorkerRow>>,
    usage: BTreeMap<Workspace, Replace<UsageRow>>,
    lots: BTreeMap<LotKey, TouchedLot>,
    more: Vec<Change>,
}

/// A place in line, and what is asked there if it is known.
type FirstOfLot = (OrderKey, Option<Arc<Ask>>);

/// What a step did to one lot.
struct TouchedLot {
    before: Option<LotRow>,
    /// Who joined, with what they ask; what cannot be decoded asks nothing.
    joined: BTreeMap<OrderKey, Option<Arc<Ask>>>,
    left: BTreeSet<OrderKey>,
    why: Option<Why>,
}

impl<'a, R: Rows> Step<'a, R> {
    /// Begins a step at `now`, or at the greatest time that the cell has seen.
    pub(crate) fn begin(rows: &'a R, now: Timestamp) -> Result<Self, R::Error> {
        let before = rows.cell()?;
        let cell = CellRow { revision: before.revision.next(), now: before.now.max(now), ..before.clone() };
        Ok(Self {
            rows,
            before,
            cell,
            containers: BTreeMap::new(),
            workers: BTreeMap::new(),
            usage: BTreeMap::new(),
            lots: BTreeMap::new(),
            more: Vec::new(),
        })
    }

    /// The rows as they were before the step: ranges are read from here.
    pub(crate) fn rows(&self) -> &'a R {
        self.rows
    }

    /// The time of this step.
    pub(crate) fn now(&self) -> Timestamp {
        self.cell.now
    }

    /// The revision that this step will make, if it writes.
    pub(crate) fn revision(&self) -> Revision {
        self.cell.revision
    }

    /// How far the cell was before it.
    pub(crate) fn mark_before(&self) -> Mark {
        self.before.mark()
    }

    /// The revision before it.
    pub(crate) fn revision_before(&self) -> Revision {
        self.before.revision
    }

    /// A container as the step has left it.
    pub(crate) fn container(&self, id: &ContainerId) -> Result<Option<ContainerRow>, R::Error> {
        self.containers.get(id).map_or_else(|| self.rows.container(id), |touched| Ok(touched.after.clone()))
    }

    /// A container as the step has left it; none also for one that cannot be decoded, which must not hurt others.
    pub(crate) fn legible(&self, id: &ContainerId) -> Result<Option<ContainerRow>, R::Error> {
        super::legible(self.rows, self.container(id))
    }

    /// All that a worker owned before the step: bounded by what it owns, read in pages.
    pub(crate) fn owned(&self, worker: &WorkerId) -> Result<Vec<OrderMark>, R::Error> {
        let mut owned = self.rows.owned(worker, None, CALL_ITEMS_MAX)?;
        let mut page = owned.len();
        while page == CALL_ITEMS_MAX {
            let more = self.rows.owned(worker, owned.last(), CALL_ITEMS_MAX)?;
            page = more.len();
            owned.extend(more);
        }
        Ok(owned)
    }

    /// A worker as the step has left it.
    pub(crate) fn worker(&self, id: &WorkerId) -> Result<Option<WorkerRow>, R::Error> {
        self.workers.get(id).map_or_else(|| self.rows.worker(id), |touched| Ok(touched.after.clone()))
    }

    /// Usage as the step has left it.
    pub(crate) fn usage(&self, workspace: &Workspace) -> Result<Usage, R::Error> {
        let row = self.usage.get(workspace).map_or_else(|| self.rows.usage(workspace), |row| Ok(row.after.clone()))?;
        Ok(row.map_or_else(Usage::default, |row| row.usage))
    }

    /// Adds a write that nothing else follows from.
    pub(crate) fn write(&mut self, change: Change) {
        self.more.push(change);
    }

    /// Puts a worker's row, but not what it owns: that follows its containers.
    pub(crate) fn put_worker(&mut self, row: WorkerRow) -> Result<(), R::Error> {
        let touched = self.touch_worker(&row.id)?;
        touched.after = Some(row);
        Ok(())
    }

    /// Takes a worker's row away. It must own nothing.
    pub(crate) fn remove_worker(&mut self, row: &WorkerRow) -> Result<(), R::Error> {
        assert_eq!(row.used.containers, 0, "worker {} is removed while it owns containers", row.id);
        let touched = self.touch_worker(&row.id)?;
        touched.after = None;
        let was_there = touched.before.is_some();
        self.more.push(Change::Number(row.id.clone(), None));
        if was_there {
            self.note_gone(FleetName::Worker(row.id.clone()));
        }
        Ok(())
    }

    /// Puts a container, and books all that follows: room and usage, its lot, and the cell's counts.
    ///
    /// If it fails, the step is as it was before: all that it reads is read first.
    pub(crate) fn put_container(&mut self, row: ContainerRow) -> Result<(), R::Error> {
        let current = self.container(&row.id)?;
        self.touch_what_follows(current.as_ref(), &row)?;
        self.follow_ownership(current.as_ref(), &row);
        self.follow_lot(current.as_ref().map(|row| &row.state), &row, None);
        self.follow_counts(current.as_ref().map(|row| &row.state), Some(&row.state));
        self.replace_container(row.id.clone(), current, Some(row));
        Ok(())
    }

    /// Parks a pending container in a lot, and says why all in that lot wait.
    pub(crate) fn park(&mut self, mut row: ContainerRow, lot: LotKey, why: Why) -> Result<(), R::Error> {
        let current = row.clone();
        row.state = State::Pending(Waiting::Parked(lot));
        self.touch_what_follows(Some(&current), &row)?;
        self.follow_lot(Some(&current.state), &row, Some(why));
        self.follow_counts(Some(&current.state), Some(&row.state));
        self.replace_container(row.id.clone(), Some(current), Some(row));
        Ok(())
    }

    /// Counts a request whose row cannot be decoded into the lot of such; answers whether it was not there already.
    pub(crate) fn park_corrupt(&mut self, key: OrderKey, id: ContainerId, why: Why) -> Result<bool, R::Error> {
        let lot = self.touch_lot(&LotKey::Corrupt)?;
        if lot.joined.contains_key(&key) {
            return Ok(false);
        }
        lot.joined.insert(key, None);
        lot.why = Some(why);
        self.cell.ready = self.cell.ready.saturating_sub(1);
        self.more.push(Change::ParkCorrupt(key, id));
        Ok(true)
    }

    /// Takes an ended container and all its rows away.
    pub(crate) fn forget_container(&mut self, row: ContainerRow) {
        assert!(row.state.phase().is_ended(), "container {} is forgotten before its end", row.id);
        self.follow_counts(Some(&row.state), None);
        let id = row.id.clone();
        self.replace_container(id.clone(), Some(row), None);
        self.more.push(Change::Body(id.clone(), None));
        self.more.push(Change::Output(id, None));
    }

    /// Ends the step: what it writes, in an order that a reader of the log can follow.
    pub(crate) fn finish<T>(mut self, answer: T) -> Stepped<T, R::Error> {
        let mut changes = self.finish_lots()?;
        changes.extend(self.finish_rows());
        changes.append(&mut self.more);
        let durable = changes.iter().any(|change| !matches!(change, Change::Number(..)));
        let settled = CellRow { revision: self.before.revision, now: self.before.now, ..self.cell.clone() };
        if durable || settled != self.before {
            changes.insert(0, Change::Cell(self.cell));
        }
        Ok((answer, changes))
    }

    fn replace_container(&mut self, id: ContainerId, current: Option<ContainerRow>, after: Option<ContainerRow>) {
        let touched = self.containers.entry(id).or_insert(Replace { before: current, after: None });
        touched.after = after;
    }

    /// Reads every row that a container's change may change.
    fn touch_what_follows(&mut self, current: Option<&ContainerRow>, row: &ContainerRow) -> Result<(), R::Error> {
        for state in current.map(|row| &row.state).into_iter().chain([&row.state]) {
            if let Some(place) = state.placement() {
                self.touch_worker(&place.worker)?;
                self.touch_usage(&row.ask.workspace)?;
            }
            if let Some(lot) = state.lot() {
                self.touch_lot(lot)?;
            }
        }
        Ok(())
    }

    fn follow_ownership(&mut self, current: Option<&ContainerRow>, row: &ContainerRow) {
        let old = current.and_then(|row| row.state.placement());
        let new = row.state.placement();
        if new.is_some_and(|new| new.order == self.cell.revision) {
            self.cell.ordered = self.cell.revision;
        }
        let same_room = |a: &Placement, b: &Placement| a.worker == b.worker && a.booking == b.booking;
        if let (Some(old), Some(new)) = (old, new)
            && same_room(old, new)
        {
            return;
        }
        if let Some(old) = old {
            self.cell.woken = self.cell.revision;
            self.change_worker(&old.worker, |worker| ledger::release(&mut worker.used, &old.booking, &old.worker));
            self.change_usage(row, Usage::minus);
        }
        if let Some(new) = new {
            self.change_worker(&new.worker, |worker| ledger::adopt(&mut worker.used, &new.booking));
            self.change_usage(row, Usage::plus);
        }
    }

    fn change_worker(&mut self, id: &WorkerId, change: impl FnOnce(&mut WorkerRow)) {
        let row = self.workers.get_mut(id).and_then(|touched| touched.after.as_mut());
        change(row.unwrap_or_else(|| panic!("worker {id} owns containers but has no row")));
    }

    fn change_usage(&mut self, row: &ContainerRow, apply: fn(&Usage, &Usage) -> Usage) {
        let workspace = &row.ask.workspace;
        let changed = self.cell.revision;
        if let Some(touched) = self.usage.get_mut(workspace) {
            let used = touched.after.as_ref().map_or_else(Usage::default, |row| row.usage);
            let usage = apply(&used, &Usage::of(&row.ask));
            touched.after = (!usage.is_zero()).then(|| UsageRow { workspace: workspace.clone(), usage, changed });
        }
    }

    fn follow_lot(&mut self, current: Option<&State>, row: &ContainerRow, why: Option<Why>) {
        let (old, new) = (current.and_then(State::lot), row.state.lot());
        if old == new {
            return;
        }
        if let Some(lot) = old.and_then(|old| self.lots.get_mut(old))
            && lot.joined.remove(&row.key).is_none()
        {
            lot.left.insert(row.key);
        }
        if let Some(lot) = new.and_then(|new| self.lots.get_mut(new)) {
            if !lot.left.remove(&row.key) {
                lot.joined.insert(row.key, Some(Arc::clone(&row.ask)));
            }
            // Who only stands behind others knows nothing of why they wait.
            let news = why.filter(|why| !matches!(why, Why::Behind(_)));
            lot.why = news.or(lot.why.take());
        }
    }

    fn touch_worker(&mut self, id: &WorkerId) -> Result<&mut Replace<WorkerRow>, R::Error> {
        Ok(match self.workers.entry(id.clone()) {
            Entry::Occupied(touched) => touched.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(untouched(self.rows.worker(id)?)),
        })
    }

    fn touch_usage(&mut self, workspace: &Workspace) -> Result<(), R::Error> {
        if let Entry::Vacant(vacant) = self.usage.entry(workspace.clone()) {
            vacant.insert(untouched(self.rows.usage(workspace)?));
        }
        Ok(())
    }

    fn touch_lot(&mut self, key: &LotKey) -> Result<&mut TouchedLot, R::Error> {
        Ok(match self.lots.entry(key.clone()) {
            Entry::Occupied(touched) => touched.into_mut(),
            Entry::Vacant(vacant) => {
                let before = self.rows.lot(key)?;
                vacant.insert(TouchedLot { before, joined: BTreeMap::new(), left: BTreeSet::new(), why: None })
            }
        })
    }

    fn follow_counts(&mut self, old: Option<&State>, new: Option<&State>) {
        let ready = |state: Option<&State>| u64::from(matches!(state, Some(State::Pending(Waiting::Ready))));
        if let Some(old) = old {
            self.cell.phases[old.phase() as usize] -= 1;
        }
        if let Some(new) = new {
            self.cell.phases[new.phase() as usize] += 1;
        }
        // A row that was parked as undecodable, and can be decoded again, still says that it is ready: it was taken off
        // the count before.
        self.cell.ready = (self.cell.ready + ready(new)).saturating_sub(ready(old));
        if ready(new) > ready(old) {
            self.cell.woken = self.cell.revision;
        }
    }

    fn finish_lots(&mut self) -> Result<Vec<Change>, R::Error> {
        let mut changes = Vec::new();
        for (key, touched) in std::mem::take(&mut self.lots) {
            if touched.joined.is_empty() && touched.left.is_empty() {
                continue;
            }
            let after = self.lot_after(&key, &touched)?;
            if after.is_none() && touched.before.is_none() {
                continue;
            }
            if after.is_none() {
                self.note_gone(FleetName::Lot(key));
            }
            changes.push(Change::Lot(Box::new(Replace { before: touched.before, after })));
        }
        Ok(changes)
    }

    fn lot_after(&self, key: &LotKey, touched: &TouchedLot) -> Result<Option<LotRow>, R::Error> {
        let before = touched.before.as_ref();
        let count = before.map_or(0, |lot| lot.count) + touched.joined.len() as u64 - touched.left.len() as u64;
        let stayed = self.first_who_stayed(key, touched)?;
        let joined = touched.joined.first_key_value().map(|(key, ask)| (*key, ask.clone()));
        let (Some((first, ask)), true) = (stayed.into_iter().chain(joined).min_by_key(|(key, _)| *key), count > 0)
        else {
            return Ok(None);
        };
        Ok(Some(LotRow {
            key: key.clone(),
            ask: ask.or_else(|| before.and_then(|lot| lot.ask.clone())),
            count,
            first,
            why: touched.why.clone().or_else(|| before.map(|lot| lot.why.clone())).unwrap_or(Why::NoWorkers),
            changed: self.cell.revision,
        }))
    }

    /// The first of those who were in the lot before the step and still are, and what it asks.
    fn first_who_stayed(&self, key: &LotKey, touched: &TouchedLot) -> Result<Option<FirstOfLot>, R::Error> {
        let Some(before) = &touched.before else {
            return Ok(None);
        };
        if !touched.left.contains(&before.first) {
            return Ok(Some((before.first, before.ask.clone())));
        }
        let members = self.rows.parked(key, None, touched.left.len() + 1)?;
        let Some((first, id)) = members.into_iter().find(|(key, _)| !touched.left.contains(key)) else {
            return Ok(None);
        };
        // All in the lot of a shape ask the same; in another lot the next may ask something else.
        let ask = match key {
            LotKey::Quota(_) | LotKey::Keep | LotKey::Stop => self.legible(&id)?.map(|row| row.ask),
            LotKey::Shape(_) | LotKey::Corrupt => None,
        };
        Ok(Some((first, ask)))
    }

    fn finish_rows(&mut self) -> Vec<Change> {
        let revision = self.cell.revision;
        let mut changes = Vec::new();
        for mut touched in std::mem::take(&mut self.containers).into_values() {
            if touched.before == touched.after {
                continue;
            }
            if let Some(row) = &mut touched.after {
                row.changed = revision;
            }
            changes.push(Change::Container(Box::new(touched)));
        }
        for mut touched in std::mem::take(&mut self.workers).into_values() {
            // Also of a row that stays as it is: a new history makes it one of a worker that has not registered.
            self.follow_registrations(&touched);
            if touched.before == touched.after {
                continue;
            }
            let opens = |row: &&WorkerRow| row.status() == Status::Available;
            let was_open = touched.before.as_ref().filter(opens).map(|row| (row.incarnation, &row.spec));
            let is_open = touched.after.as_ref().filter(opens).map(|row| (row.incarnation, &row.spec));
            if is_open.is_some() && is_open != was_open {
                self.cell.woken = revision;
            }
            if let Some(row) = &mut touched.after {
                row.changed = revision;
            }
            changes.push(Change::Worker(Box::new(touched)));
        }
        for (workspace, touched) in std::mem::take(&mut self.usage) {
            let amount = |row: &Option<UsageRow>| row.as_ref().map(|row| row.usage);
            if amount(&touched.before) == amount(&touched.after) {
                continue;
            }
            if touched.after.is_none() {
                self.note_gone(FleetName::Usage(workspace));
            }
            changes.push(Change::Usage(touched));
        }
        changes
    }

    /// Counts the workers that have not registered in this history; when the last has, what waited for it may go on.
    fn follow_registrations(&mut self, touched: &Replace<WorkerRow>) {
        let is_missing = |row: &Option<WorkerRow>, history: History| {
            u64::from(row.as_ref().is_some_and(|row| row.registered_in != Some(history)))
        };
        let was = is_missing(&touched.before, self.before.history);
        let is = is_missing(&touched.after, self.cell.history);
        self.cell.unregistered = (self.cell.unregistered + is).saturating_sub(was);
        if was > is && self.cell.unregistered == 0 {
            self.cell.woken = self.cell.revision;
        }
    }

    fn note_gone(&mut self, name: FleetName) {
        self.cell.gone += 1;
        self.more.push(Change::Gone(self.cell.revision, name));
    }
}

/// How far the cell is once these changes are made.
pub(crate) fn mark_after(before: Mark, changes: &[Change]) -> Mark {
    let written = changes.iter().find_map(|change| match change {
        Change::Cell(row) => Some(row.mark()),
        _ => None,
    });
    written.unwrap_or(before)
}

/// A row that the step has read and not yet changed.
fn untouched<T: Clone>(row: Option<T>) -> Replace<T> {
    Replace { before: row.clone(), after: row }
}
