//! Which GPU devices of a worker a request gets.

use crate::resources::{Booking, Capacity, GPU_WHOLE_MILLI, Used};

/// Whether `count` devices each have `milli` left.
pub(crate) fn have_room(total: &Capacity, used: &Used, count: u32, milli: u32) -> bool {
    with_room(total, used, milli).nth(count.saturating_sub(1) as usize).is_some()
}

/// The fullest devices that have room, of equals the first; ascending. None if there are not enough.
///
/// Shares gather on devices that are already shared, and whole devices stay whole. Devices that are wanted whole are
/// all equally empty, so they are the first ones.
pub(crate) fn choose(total: &Capacity, used: &Used, count: u32, milli: u32) -> Option<Vec<u32>> {
    if count == 1 {
        return with_room(total, used, milli).min().map(|(_, index)| vec![index]);
    }
    let mut devices: Vec<(u32, u32)> = with_room(total, used, milli).collect();
    devices.sort_unstable();
    let fullest = devices.get(..count as usize)?;
    let mut indices: Vec<u32> = fullest.iter().map(|&(_, index)| index).collect();
    indices.sort_unstable();
    Some(indices)
}

/// How often in a row requests alike get the devices of this booking: they stay the fullest until one has no room.
pub(crate) fn repeats(booking: &Booking, used: &Used) -> u64 {
    let free = |&index: &u32| u64::from(GPU_WHOLE_MILLI.saturating_sub(used.gpu_milli_at(index)));
    let each = booking.gpu_devices.iter().map(|index| free(index) / u64::from(booking.gpu_milli.max(1)));
    each.min().unwrap_or(u64::MAX)
}

/// What is left of each device that has `milli` left, with its index.
fn with_room(total: &Capacity, used: &Used, milli: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..total.gpu_count)
        .map(|index| (GPU_WHOLE_MILLI.saturating_sub(used.gpu_milli_at(index)), index))
        .filter(move |&(free, _)| free >= milli)
}
