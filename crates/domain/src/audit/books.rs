//! Capacity, ownership and usage, summed anew from the containers.

use std::collections::BTreeMap;

use super::line::Line;
use super::{Amount, Corruption, Finding, Notice};
use crate::container::{ContainerRow, Placement};
use crate::fleet::Quotas;
use crate::id::{ContainerId, Incarnation, Revision, WorkerId, Workspace};
use crate::model::{CellRow, UsageRow};
use crate::quota::Limit;
use crate::request::Ask;
use crate::resources::{Capacity, Used};
use crate::wait::LotRow;
use crate::worker::{Life, WorkerRow};

/// Takes rows one by one, in any order, and says at the end what does not add up.
#[derive(Debug, Default)]
pub struct Audit {
    workers: BTreeMap<WorkerId, WorkerRow>,
    owned: BTreeMap<WorkerId, Sums>,
    owners: Vec<(ContainerId, WorkerId, Incarnation)>,
    booked: BTreeMap<Workspace, BTreeMap<Amount, u64>>,
    used: BTreeMap<Workspace, BTreeMap<Amount, u64>>,
    line: Line,
    newest: Option<(String, Revision)>,
    undecodable: u64,
    found: Vec<Finding>,
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
        self.workers.insert(row.id.clone(), row.clone());
    }

    /// Takes a container.
    pub fn container(&mut self, row: &ContainerRow) {
        self.note_change(|| format!("container {}", row.id), row.changed);
        self.line.container(row, &mut self.found);
        if row.state.phase().is_ended() && row.last_end.is_none() {
            self.found.push(Corruption::EndUnknown { container: row.id.clone() }.into());
        }
        if let Some(place) = row.state.placement() {
            self.owner(row, place);
        }
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

    /// What of workers, owners and usage does not add up.
    pub fn books(&self) -> Vec<Finding> {
        let mut found = self.found.clone();
        self.check_owners(&mut found);
        for (id, row) in &self.workers {
            self.check_worker(id, row, &mut found);
        }
        self.check_usage(&mut found);
        found
    }

    /// What does not add up, the line, the lots and the cell's counts included: for who has taken every row.
    pub fn whole(&self, cell: &CellRow) -> Vec<Finding> {
        let mut found = self.books();
        self.line.check(cell, self.undecodable > 0, &mut found);
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

    fn owner(&mut self, row: &ContainerRow, place: &Placement) {
        let booking = &place.booking;
        let sums = self.owned.entry(place.worker.clone()).or_default();
        add(sums, Amount::CpuMilli, booking.cpu_milli);
        add(sums, Amount::MemoryMib, booking.memory_mib);
        add(sums, Amount::Containers, 1);
        for device in &booking.gpu_devices {
            add(sums, Amount::DeviceMilli(*device), u64::from(booking.gpu_milli));
        }
        let used = self.used.entry(row.ask.workspace.clone()).or_default();
        for (amount, asked) in asked(&row.ask) {
            add(used, amount, asked);
        }
        if row.attempt.0 == 0 || row.placed_in.is_none() {
            let phase = row.state.phase();
            self.found.push(Corruption::NeverPlaced { container: row.id.clone(), phase }.into());
        }
        self.found.extend(booking_faults(row, place).into_iter().map(Finding::from));
        self.owners.push((row.id.clone(), place.worker.clone(), place.incarnation));
    }

    fn check_owners(&self, found: &mut Vec<Finding>) {
        for (container, worker, placed) in &self.owners {
            let (container, worker, placed) = (container.clone(), worker.clone(), *placed);
            match self.workers.get(&worker) {
                None => found.push(Corruption::NoSuchWorker { container, worker }.into()),
                Some(row) if row.complete && placed != row.incarnation || placed > row.incarnation => {
                    let registered = row.incarnation;
                    found.push(Corruption::NotClaimed { container, worker, placed, registered }.into());
                }
                Some(_) => {}
            }
        }
    }

    fn check_worker(&self, id: &WorkerId, row: &WorkerRow, found: &mut Vec<Finding>) {
        let nothing = Sums::new();
        let owned = self.owned.get(id).unwrap_or(&nothing);
        let books = amounts_of(&row.used);
        let amounts: std::collections::BTreeSet<_> = books.keys().chain(owned.keys()).copied().collect();
        for amount in amounts {
            let booked = books.get(&amount).copied().unwrap_or(0);
            let owned = owned.get(&amount).copied().unwrap_or(0);
            if self.differs(booked, owned) {
                found.push(Corruption::Worker { worker: id.clone(), amount, booked, owned }.into());
            }
            let total = total_of(&row.spec.total, amount);
            if owned > total {
                found.push(Notice::OverCommitted { worker: id.clone(), amount, total, owned }.into());
            }
        }
        let containers = owned.get(&Amount::Containers).copied().unwrap_or(0);
        if row.life == Life::Lost && containers > 0 {
            found.push(Notice::KeptByLost { worker: id.clone(), containers }.into());
        }
    }

    fn check_usage(&self, found: &mut Vec<Finding>) {
        let nothing = Sums::new();
        let workspaces: std::collections::BTreeSet<_> = self.booked.keys().chain(self.used.keys()).collect();
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
pub(super) fn booking_faults(row: &ContainerRow, place: &Placement) -> Vec<Corruption> {
    let (ask, booking) = (&row.ask, &place.booking);
    let (count, milli) = ask.gpu.as_ref().map_or((0, 0), |gpu| (u64::from(gpu.count), u64::from(gpu.milli)));
    let rows = [
        (Amount::CpuMilli, booking.cpu_milli, ask.cpu_milli),
        (Amount::MemoryMib, booking.memory_mib.min(ask.memory_mib), ask.memory_mib),
        (Amount::GpuDevices, booking.gpu_devices.len() as u64, count),
        (Amount::GpuMilli, u64::from(booking.gpu_milli), milli),
    ];
    let differ = rows.into_iter().filter(|(_, owned, asked)| owned != asked);
    let mut faults: Vec<_> = differ
        .map(|(amount, owned, asked)| Corruption::Booking { container: row.id.clone(), amount, owned, asked })
        .collect();
    if !booking.gpu_devices.windows(2).all(|pair| pair[0] < pair[1]) {
        faults.push(Corruption::Devices { container: row.id.clone() });
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
