//! The most that is left on any of several workers, so that all of them can be passed over at once.

use crate::id::MachineName;
use crate::placement::eligibility::Need;
use crate::request::Labels;
use crate::resources::{Capacity, GPU_WHOLE_MILLI, Used};
use crate::retry::mixed;
use crate::strategy::Amount;

/// How many things are compared at once.
const LANES: usize = 16;

/// What is left of a worker, or the most that is left of each thing on any of several; or the least that a request needs.
///
/// Whoever has room for a request covers what it needs. The other way round it is not certain: amounts are rounded down
/// to ten bits, and one worker may have the cpu and another the memory. To keep the second rare, the smaller of two
/// resources is compared too, in several ratios of them: `min(cpu, memory)` tells that nobody has both.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::placement) struct Most {
    lanes: [i16; LANES],
    /// A bit for each label and machine, which others may share.
    marks: u64,
}

impl Most {
    /// What is left of a worker of this size that bears these marks.
    pub(in crate::placement) fn left(total: &Capacity, used: &Used, left: Amount, marks: u64) -> Self {
        let devices = || free_devices(total, used);
        let largest = devices().max().unwrap_or(0);
        let whole = devices().filter(|&free| free == GPU_WHOLE_MILLI).count() as u64;
        Self { lanes: lanes(left, u64::from(largest), whole), marks }
    }

    /// The least that has room for a request.
    pub(in crate::placement) fn needed(need: &Need<'_>) -> Self {
        let ask = need.ask;
        let (largest, whole) = ask.gpu.as_ref().map_or((0, 0), |gpu| {
            (u64::from(gpu.milli), if gpu.milli == GPU_WHOLE_MILLI { u64::from(gpu.count) } else { 0 })
        });
        Self { lanes: lanes(need.amount(), largest, whole), marks: marks(&ask.labels, ask.machine.as_ref()) }
    }

    /// Whether there may be room for what is `needed`.
    pub(in crate::placement) fn covers(&self, needed: &Self) -> bool {
        let mut is_short = false;
        for (has, needs) in self.lanes.iter().zip(&needed.lanes) {
            is_short |= has < needs;
        }
        !is_short && self.marks & needed.marks == needed.marks
    }

    /// The larger of both, of each.
    pub(in crate::placement) fn max(mut self, other: &Self) -> Self {
        for (most, other) in self.lanes.iter_mut().zip(&other.lanes) {
            *most = (*most).max(*other);
        }
        self.marks |= other.marks;
        self
    }
}

fn free_devices(total: &Capacity, used: &Used) -> impl Iterator<Item = u32> {
    (0..total.gpu_count).map(|index| GPU_WHOLE_MILLI.saturating_sub(used.gpu_milli_at(index)))
}

fn lanes(amount: Amount, largest: u64, whole: u64) -> [i16; LANES] {
    let Amount { cpu_milli: cpu, memory_mib: memory, gpu_milli: gpu } = amount;
    let both = |a: u64, b: u64, ratio: u64| a.min(b.saturating_mul(ratio));
    let amounts = [
        cpu,
        memory,
        gpu,
        largest,
        whole,
        both(cpu, memory, 2),
        both(memory, cpu, 1),
        both(memory, cpu, 2),
        both(memory, cpu, 4),
        both(memory, cpu, 8),
        both(memory, cpu, 16),
        both(cpu, whole, 1000),
        both(cpu, whole, 4000),
        both(cpu, whole, 16_000),
        both(cpu, largest, 8),
        both(memory, largest, 32),
    ];
    let mut lanes = [0; LANES];
    for (lane, amount) in lanes.iter_mut().zip(amounts) {
        *lane = rounded(amount);
    }
    lanes
}

/// Fewer bits in the same order: exact up to 1024, then the ten highest bits.
fn rounded(amount: u64) -> i16 {
    // What is below 1024 has an exponent of 0 and stays as it is.
    let exponent = u64::from((amount | 512).ilog2()) - 9;
    i16::try_from(exponent * 512 + (amount >> exponent)).unwrap_or(i16::MAX)
}

/// The bits of labels and a machine.
pub(super) fn marks(labels: &Labels, machine: Option<&MachineName>) -> u64 {
    let of_machine = machine.map_or(0, |machine| mark(&["", machine.as_str()]));
    labels.iter().fold(of_machine, |marks, (key, value)| marks | mark(&[key, value]))
}

/// One of 64 bits for a name.
fn mark(words: &[&str]) -> u64 {
    let with = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| with(word.bytes().fold(hash, with), 0));
    1 << (mixed(hash, 0) >> 58)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_the_order_and_small_amounts() {
        let mut amounts: Vec<u64> = (0..4096).chain((0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1])).collect();
        amounts.push(u64::MAX);
        amounts.sort_unstable();
        assert!(amounts.is_sorted_by_key(|&amount| rounded(amount)));
        assert!((0..=1024).all(|amount| i64::from(rounded(amount)) == i64::try_from(amount).unwrap()));
        assert!(rounded(u64::MAX) < i16::MAX);
    }
}
