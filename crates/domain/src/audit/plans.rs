//! Whether a plan fits the fleet that it was made for.

use std::collections::BTreeMap;

use super::Amount;
use super::books::{amounts_of, total_of};
use crate::fleet::Fleet;
use crate::id::{ContainerId, WorkerId};
use crate::placement::{Candidate, Verdict};
use crate::request::Ask;
use crate::resources::Booking;
use crate::worker::Status;

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what its fields are")]
pub enum PlanFault {
    #[error("{verdicts} verdicts for {candidates} candidates")]
    Count { candidates: usize, verdicts: usize },
    #[error("{container} goes to worker {worker}, which is not in the fleet")]
    NoSuchWorker { container: ContainerId, worker: WorkerId },
    #[error("{container} goes to worker {worker}, which takes no work")]
    Closed { container: ContainerId, worker: WorkerId },
    #[error("{container} goes to another run of worker {worker} than the fleet has")]
    AnotherRun { container: ContainerId, worker: WorkerId },
    #[error("{container} is booked {booked} {amount}, it asks {asked}")]
    Booking { container: ContainerId, amount: Amount, booked: u64, asked: u64 },
    #[error("{container} is booked GPU devices out of order or twice")]
    Devices { container: ContainerId },
    #[error("worker {worker} has {total} {amount}, the plan needs {needed}")]
    Overbooked { worker: WorkerId, amount: Amount, total: u64, needed: u64 },
}

/// Checks that a plan gives each candidate a verdict, what it asks, and no worker more than it has.
pub fn plan(fleet: &Fleet, batch: &[Candidate], verdicts: &[Verdict]) -> Vec<PlanFault> {
    let mut faults = Vec::new();
    if batch.len() != verdicts.len() {
        faults.push(PlanFault::Count { candidates: batch.len(), verdicts: verdicts.len() });
    }
    let mut needed: BTreeMap<WorkerId, BTreeMap<Amount, u64>> = BTreeMap::new();
    for (candidate, verdict) in batch.iter().zip(verdicts) {
        let Verdict::Place { worker, incarnation, booking } = verdict else { continue };
        let container = || candidate.id.clone();
        match fleet.workers().iter().find(|row| row.id == *worker) {
            None => faults.push(PlanFault::NoSuchWorker { container: container(), worker: worker.clone() }),
            Some(row) if row.status != Status::Available => {
                faults.push(PlanFault::Closed { container: container(), worker: worker.clone() });
            }
            Some(row) if row.incarnation != *incarnation => {
                faults.push(PlanFault::AnotherRun { container: container(), worker: worker.clone() });
            }
            Some(_) => {}
        }
        check_booking(&candidate.id, &candidate.ask, booking, &mut faults);
        let sums = needed.entry(worker.clone()).or_default();
        for (amount, more) in amounts(booking) {
            let sum = sums.entry(amount).or_default();
            *sum = sum.saturating_add(more);
        }
    }
    check_room(fleet, &needed, &mut faults);
    faults
}

fn check_booking(container: &ContainerId, ask: &Ask, booking: &Booking, faults: &mut Vec<PlanFault>) {
    let (count, milli) = ask.gpu.as_ref().map_or((0, 0), |gpu| (u64::from(gpu.count), u64::from(gpu.milli)));
    let rows = [
        (Amount::CpuMilli, booking.cpu_milli, ask.cpu_milli),
        (Amount::MemoryMib, booking.memory_mib.min(ask.memory_mib), ask.memory_mib),
        (Amount::GpuDevices, booking.gpu_devices.len() as u64, count),
        (Amount::GpuMilli, u64::from(booking.gpu_milli), milli),
    ];
    for (amount, booked, asked) in rows {
        if booked != asked {
            faults.push(PlanFault::Booking { container: container.clone(), amount, booked, asked });
        }
    }
    if !booking.gpu_devices.windows(2).all(|pair| pair[0] < pair[1]) {
        faults.push(PlanFault::Devices { container: container.clone() });
    }
}

fn check_room(fleet: &Fleet, needed: &BTreeMap<WorkerId, BTreeMap<Amount, u64>>, faults: &mut Vec<PlanFault>) {
    for row in fleet.workers() {
        let Some(sums) = needed.get(&row.id) else { continue };
        let used = amounts_of(&row.used);
        for (&amount, more) in sums {
            let needed = used.get(&amount).copied().unwrap_or(0).saturating_add(*more);
            let total = total_of(&row.spec.total, amount);
            if needed > total {
                faults.push(PlanFault::Overbooked { worker: row.id.clone(), amount, total, needed });
            }
        }
    }
}

fn amounts(booking: &Booking) -> Vec<(Amount, u64)> {
    let devices = booking.gpu_devices.iter();
    let mut amounts: Vec<_> =
        devices.map(|device| (Amount::DeviceMilli(*device), u64::from(booking.gpu_milli))).collect();
    amounts.push((Amount::CpuMilli, booking.cpu_milli));
    amounts.push((Amount::MemoryMib, booking.memory_mib));
    amounts
}
