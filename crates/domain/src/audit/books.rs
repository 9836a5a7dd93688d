//! Capacity, ownership and usage, summed anew from the containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::line::Line;
use super::{Amount, Corruption, Finding, Notice};
use crate::container::ContainerRow;
use crate::fleet::Quotas;
use crate::id::{ContainerId, History, Incarnation, Revision, WorkerId, Workspace};
use crate::model::{CellRow, UsageRow};
use crate::quota::Limit;
use crate::request::Ask;
use crate::resources::{Booking, Capacity, Used};
use crate::wait::LotRow;
use crate::worker::{Life, WorkerRow};

/// Takes rows one by one, in any order, and says at the end what does not add up.
#[derive(Debug, Default)]
pub struct Audit {
    workers: BTreeMap<WorkerId, Room>,
    owned: BTreeMap<WorkerId, Sums>,
    owners: Vec<(ContainerId, WorkerId, Option<Incarnation>)>,
    booked: BTreeMap<Workspace, BTreeMap<Amount, u64>>,
    used: BTreeMap<Workspace, BTreeMap<Amount, u64>>,
    line: Line,
    /// How many workers registered last in each history.
    registered: BTreeMap<Option<History>, u64>,
    newest: Option<(String, Revision)>,
    undecodable: u64,
    undecodable_workers: BTreeSet<WorkerId>,
    found: Vec<Finding>,
}

/// A worker, as far as its books go.
#[derive(Debug, Clone)]
pub struct Room {
    /// What it has.
    pub total: Capacity,
    /// What it books.
    pub used: Used,
    /// Whether it is lost.
    pub is_lost: bool,
    /// Its run that registered last, and whether all that the run then held is claimed; none if that is not known.
    pub run: Option<(Incarnation, bool)>,
}

/// A container that owns room.
#[derive(Debug, Clone)]
pub struct Owner {
    /// What it asked.
    pub ask: Arc<Ask>,
    /// Whose room it is.
    pub worker: WorkerId,
    /// The run of that worker; none if that is not known.
    pub run: Option<Incarnation>,
    /// What it owns.
    pub booking: Booking,
}

type Sums = BTreeMap<Amount, u64>;

fn add(sums: &mut Sums, amount: Amount, more: u64) {
    let sum = sums.entry(amount).or_default();
    *sum = sum.saturating_add(more);
}

impl Audit {
    /// Takes a worker.
    pub fn worker(&mut self, row: &WorkerRow) {
        self.note_change(|| format!("worker {}", row.id), row.changed);
        *self.registered.entry(row.registered_in).or_default() += 1;
        let room = Room {
            total: row.spec.total.clone(),
            used: row.used.clone(),
            is_lost: row.life == Life::Lost,
            run: Some((row.incarnation, row.complete)),
        };
        self.room(row.id.clone(), room);
    }

    /// Takes what is known of a worker.
    pub fn room(&mut self, worker: WorkerId, room: Room) {
        self.workers.insert(worker, room);
    }

    /// Takes a container.
    pub fn container(&mut self, row: &ContainerRow) {
        self.note_change(|| format!("container {}", row.id), row.changed);
        self.line.container(row, &mut self.found);
        if row.state.phase().is_ended() && row.last_end.is_none() {
            self.found.push(Corruption::EndUnknown { container: row.id.clone() }.into());
        }
        let Some(place) = row.state.placement() else { return };
        if row.attempt.0 == 0 || row.placed_in.is_none() {
            let phase = row.state.phase();
            self.found.push(Corruption::NeverPlaced { container: row.id.clone(), phase }.into());
        }
        let owner = Owner {
            ask: Arc::clone(&row.ask),
            worker: place.worker.clone(),
            run: Some(place.incarnation),
            booking: place.booking.clone(),
        };
        self.owner(&row.id, &owner);
    }

    /// Takes what is known of a container that owns room.
    pub fn owner(&mut self, container: &ContainerId, owner: &Owner) {
        let booking = &owner.booking;
        let sums = self.owned.entry(owner.worker.clone()).or_default();
        add(sums, Amount::CpuMilli, booking.cpu_milli);
        add(sums, Amount::MemoryMib, booking.memory_mib);
        add(sums, Amount::Containers, 1);
        for device in &booking.gpu_devices {
            add(sums, Amount::DeviceMilli(*device), u64::from(booking.gpu_milli));
        }
        let used = self.used.entry(owner.ask.workspace.clone()).or_default();
        for (amount, asked) in asked(&owner.ask) {
            add(used, amount, asked);
        }
        self.found.extend(booking_faults(container, owner).into_iter().map(Finding::from));
        self.owners.push((container.clone(), owner.worker.clone(), owner.run));
    }

    /// Takes the usage of a workspace.
    pub fn usage(&mut self, row: &UsageRow) {
        self.note_change(|| format!("the usage of {}", row.workspace), row.changed);
        let booked = self.booked.entry(row.workspace.clone()).or_default();
        add(booked, Amount::CpuMilli, row.usage.cpu_milli);
        add(booked, Amount::MemoryMib, row.usage.memory_mib);
        add(booked, Amount::GpuMilli, row.usage.gpu_milli);
        add(booked, Amount::Containers, row.usage.containers);
    }

    /// Takes a lot.
    pub fn lot(&mut self, row: &LotRow) {
        self.note_change(|| "a lot".to_owned(), row.changed);
        self.line.lot(row);
    }

    /// Takes note of a row that cannot be decoded: what it owned or counted cannot be told from what is missing.
    pub fn undecodable(&mut self, what: impl Into<String>) {
        self.undecodable += 1;
        self.found.push(Corruption::Undecodable { what: what.into() }.into());
    }

    /// Takes note of a worker that cannot be decoded: it is there, whatever it books.
    pub fn undecodable_worker(&mut self, id: WorkerId) {
        self.undecodable(format!("worker {id}"));
        self.undecodable_workers.insert(id);
    }

    /// How many workers there are, and how many containers own room.
    pub fn counts(&self) -> (usize, usize) {
        (self.workers.len(), self.owners.len())
    }

    /// What of workers, owners and usage does not add up.
    pub fn books(&self) -> Vec<Finding> {
        let mut found = self.found.clone();
        self.check_owners(&mut found);
        for (id, room) in &self.workers {
            self.check_worker(id, room, &mut found);
        }
        self.check_usage(&mut found);
        found
    }

    /// What does not add up, the line, the lots and the cell's counts included: for who has taken every row.
    pub fn whole(&self, cell: &CellRow) -> Vec<Finding> {
        let mut found = self.books();
        self.line.check(cell, self.undecodable > 0, &mut found);
        let elsewhere = self.registered.iter().filter(|(history, _)| **history != Some(cell.history));
        let unregistered = elsewhere.map(|(_, workers)| workers).sum();
        if cell.unregistered != unregistered && self.undecodable_workers.is_empty() {
            found.push(Corruption::UnregisteredCount { counted: cell.unregistered, found: unregistered }.into());
        }
        if let Some((what, changed)) = self.newest.clone().filter(|(_, changed)| *changed > cell.revision) {
            found.push(Corruption::Future { what, changed, revision: cell.revision }.into());
        }
        found
    }

    /// Who uses more than it may: legal after a limit was lowered.
    pub fn limits(&self, quotas: &Quotas) -> Vec<Finding> {
        let mut found = Vec::new();
        for (workspace, used) in &self.used {
            let limits = quotas.limits(workspace);
            let rows = [
                (Amount::CpuMilli, limits.cpu_milli),
                (Amount::MemoryMib, limits.memory_mib),
                (Amount::GpuMilli, limits.gpu_milli),
                (Amount::Containers, limits.containers),
            ];
            for (amount, limit) in rows {
                let used = used.get(&amount).copied().unwrap_or(0);
                if let Limit::AtMost(limit) = limit
                    && used > limit
                {
                    found.push(Notice::AboveLimit { workspace: workspace.clone(), amount, limit, used }.into());
                }
            }
        }
        found
    }

    fn note_change(&mut self, what: impl FnOnce() -> String, changed: Revision) {
        if self.newest.as_ref().is_none_or(|(_, newest)| changed > *newest) {
            self.newest = Some((what(), changed));
        }
    }

    fn check_owners(&self, found: &mut Vec<Finding>) {
        for (container, worker, placed) in &self.owners {
            let (container, worker) = (container.clone(), worker.clone());
            match (self.workers.get(&worker), *placed) {
                (None, _) if self.undecodable_workers.contains(&worker) => {}
                (None, _) => found.push(Corruption::NoSuchWorker { container, worker }.into()),
                (Some(Room { run: Some((registered, is_complete)), .. }), Some(placed))
                    if *is_complete && placed != *registered || placed > *registered =>
                {
                    let registered = *registered;
                    found.push(Corruption::NotClaimed { container, worker, placed, registered }.into());
                }
                _ => {}
            }
        }
    }

    fn check_worker(&self, id: &WorkerId, room: &Room, found: &mut Vec<Finding>) {
        let nothing = Sums::new();
        let owned = self.owned.get(id).unwrap_or(&nothing);
        let books = amounts_of(&room.used);
        let amounts: BTreeSet<_> = books.keys().chain(owned.keys()).copied().collect();
        for amount in amounts {
            let booked = books.get(&amount).copied().unwrap_or(0);
            let owned = owned.get(&amount).copied().unwrap_or(0);
            if self.differs(booked, owned) {
                found.push(Corruption::Worker { worker: id.clone(), amount, booked, owned }.into());
            }
            let total = total_of(&room.total, amount);
            if owned > total {
                found.push(Notice::OverCommitted { worker: id.clone(), amount, total, owned }.into());
            }
        }
        let containers = owned.get(&Amount::Containers).copied().unwrap_or(0);
        if room.is_lost && containers > 0 {
            found.push(Notice::KeptByLost { worker: id.clone(), containers }.into());
        }
    }

    fn check_usage(&self, found: &mut Vec<Finding>) {
        let nothing = Sums::new();
        let workspaces: BTreeSet<_> = self.booked.keys().chain(self.used.keys()).collect();
        for workspace in workspaces {
            let booked = self.booked.get(workspace).unwrap_or(&nothing);
            let used = self.used.get(workspace).unwrap_or(&nothing);
            for amount in [Amount::CpuMilli, Amount::MemoryMib, Amount::GpuMilli, Amount::Containers] {
                let booked = booked.get(&amount).copied().unwrap_or(0);
                let used = used.get(&amount).copied().unwrap_or(0);
                if self.differs(booked, used) {
                    found.push(Corruption::Usage { workspace: workspace.clone(), amount, booked, used }.into());
                }
            }
        }
    }

    /// Whether two sums differ by more than what may be on rows that cannot be decoded.
    fn differs(&self, booked: u64, found: u64) -> bool {
        if self.undecodable > 0 { booked < found } else { booked != found }
    }
}

/// Where a booking is not what was asked. The memory may be more: a policy adds an overhead.
fn booking_faults(container: &ContainerId, owner: &Owner) -> Vec<Corruption> {
    let (ask, booking) = (&owner.ask, &owner.booking);
    let (count, milli) = ask.gpu.as_ref().map_or((0, 0), |gpu| (u64::from(gpu.count), u64::from(gpu.milli)));
    let rows = [
        (Amount::CpuMilli, booking.cpu_milli, ask.cpu_milli),
        (Amount::MemoryMib, booking.memory_mib.min(ask.memory_mib), ask.memory_mib),
        (Amount::GpuDevices, booking.gpu_devices.len() as u64, count),
        (Amount::GpuMilli, u64::from(booking.gpu_milli), milli),
    ];
    let differ = rows.into_iter().filter(|(_, owned, asked)| owned != asked);
    let mut faults: Vec<_> = differ
        .map(|(amount, owned, asked)| Corruption::Booking { container: container.clone(), amount, owned, asked })
        .collect();
    if !booking.gpu_devices.windows(2).all(|pair| pair[0] < pair[1]) {
        faults.push(Corruption::Devices { container: container.clone() });
    }
    faults
}

fn asked(ask: &Ask) -> [(Amount, u64); 4] {
    let gpus = ask.gpu.as_ref().map_or(0, |gpu| u64::from(gpu.count) * u64::from(gpu.milli));
    [
        (Amount::CpuMilli, ask.cpu_milli),
        (Amount::MemoryMib, ask.memory_mib),
        (Amount::GpuMilli, gpus),
        (Amount::Containers, 1),
    ]
}

pub(super) fn amounts_of(used: &Used) -> BTreeMap<Amount, u64> {
    let mut amounts = BTreeMap::from([
        (Amount::CpuMilli, used.cpu_milli),
        (Amount::MemoryMib, used.memory_mib),
        (Amount::Containers, u64::from(used.containers)),
    ]);
    for (device, milli) in (0..).zip(&used.gpu_milli) {
        amounts.insert(Amount::DeviceMilli(device), u64::from(*milli));
    }
    amounts
}

pub(super) fn total_of(total: &Capacity, amount: Amount) -> u64 {
    match amount {
        Amount::CpuMilli => total.cpu_milli,
        Amount::MemoryMib => total.memory_mib,
        Amount::DeviceMilli(device) if device < total.gpu_count => 1000,
        Amount::DeviceMilli(_) => 0,
        Amount::GpuMilli => u64::from(total.gpu_count) * 1000,
        Amount::GpuDevices => u64::from(total.gpu_count),
        Amount::Containers => u64::MAX,
    }
}
