//! Capacity and ownership: the only code that books room, releases it, and says whether there is any.

use crate::id::WorkerId;
use crate::resources::{Booking, Capacity, GPU_WHOLE_MILLI, Used};

/// A booking that does not fit what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room")]
pub struct NoRoom;

/// Whether `booking` fits a worker of size `total` on which `used` is owned.
///
/// A worker that is over-committed in any resource takes nothing new.
pub fn fits(total: &Capacity, used: &Used, booking: &Booking) -> bool {
    let within = |used: u64, more: u64, total: u64| used.checked_add(more).is_some_and(|sum| sum <= total);
    let device_free =
        |index: &u32| *index < total.gpu_count && used.gpu_milli_at(*index) + booking.gpu_milli <= GPU_WHOLE_MILLI;
    !total.is_exceeded_by(used)
        && within(used.cpu_milli, booking.cpu_milli, total.cpu_milli)
        && within(used.memory_mib, booking.memory_mib, total.memory_mib)
        && booking.gpu_devices.is_sorted_by(|a, b| a < b)
        && booking.gpu_devices.iter().all(device_free)
}

/// Books `booking` if it fits.
pub fn book(total: &Capacity, used: &mut Used, booking: &Booking) -> Result<(), NoRoom> {
    if !fits(total, used, booking) {
        return Err(NoRoom);
    }
    adopt(used, booking);
    Ok(())
}

/// Books `booking` so many times, on the same devices, if all of them fit.
pub fn book_times(total: &Capacity, used: &mut Used, booking: &Booking, times: u64) -> Result<(), NoRoom> {
    let all = Booking {
        cpu_milli: booking.cpu_milli.checked_mul(times).ok_or(NoRoom)?,
        memory_mib: booking.memory_mib.checked_mul(times).ok_or(NoRoom)?,
        gpu_milli: milli_times(booking, times).ok_or(NoRoom)?,
        gpu_devices: booking.gpu_devices.clone(),
    };
    let containers = u32::try_from(times).ok().and_then(|times| used.containers.checked_add(times)).ok_or(NoRoom)?;
    book(total, used, &all)?;
    used.containers = containers;
    Ok(())
}

fn milli_times(booking: &Booking, times: u64) -> Option<u32> {
    if booking.gpu_devices.is_empty() {
        return Some(0);
    }
    u32::try_from(times).ok()?.checked_mul(booking.gpu_milli)
}

/// Books what a worker already holds, whether or not it fits.
pub fn adopt(used: &mut Used, booking: &Booking) {
    used.cpu_milli = used.cpu_milli.saturating_add(booking.cpu_milli);
    used.memory_mib = used.memory_mib.saturating_add(booking.memory_mib);
    for &index in &booking.gpu_devices {
        let index = index as usize;
        if used.gpu_milli.len() <= index {
            used.gpu_milli.resize(index + 1, 0);
        }
        used.gpu_milli[index] += booking.gpu_milli;
    }
    used.containers += 1;
}

/// Gives back what `booking` owned.
///
/// # Panics
/// If less is in use than is given back: the ledger was wrong before.
pub fn release(used: &mut Used, booking: &Booking, worker: &WorkerId) {
    let take = |used: u64, less: u64| used.checked_sub(less);
    let cpu = take(used.cpu_milli, booking.cpu_milli);
    let memory = take(used.memory_mib, booking.memory_mib);
    let containers = used.containers.checked_sub(1);
    let (Some(cpu), Some(memory), Some(containers)) = (cpu, memory, containers) else {
        panic!("worker {worker} gives back {booking:?}, more than is in use: {used:?}");
    };
    for &index in &booking.gpu_devices {
        let left = used.gpu_milli_at(index).checked_sub(booking.gpu_milli);
        let left = left.unwrap_or_else(|| panic!("worker {worker} gives back {booking:?} of {used:?}"));
        used.gpu_milli[index as usize] = left;
    }
    while used.gpu_milli.last() == Some(&0) {
        used.gpu_milli.pop();
    }
    (used.cpu_milli, used.memory_mib, used.containers) = (cpu, memory, containers);
}
