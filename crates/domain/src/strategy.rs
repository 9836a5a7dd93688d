//! Which of several workers that are liked equally: one file a strategy.

pub(crate) mod affinity;
mod best_fit;
mod spread;

use crate::fleet::Strategy;
use crate::resources::{Capacity, GPU_WHOLE_MILLI, Used};

/// Some of each resource, GPUs together whatever the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount {
    pub(crate) cpu_milli: u64,
    pub(crate) memory_mib: u64,
    pub(crate) gpu_milli: u64,
}

impl Amount {
    /// What is left of a worker of size `total`.
    pub(crate) fn left(total: &Capacity, used: &Used) -> Self {
        let device = |index| u64::from(GPU_WHOLE_MILLI.saturating_sub(used.gpu_milli_at(index)));
        Self {
            cpu_milli: total.cpu_milli.saturating_sub(used.cpu_milli),
            memory_mib: total.memory_mib.saturating_sub(used.memory_mib),
            gpu_milli: (0..total.gpu_count).map(device).sum(),
        }
    }

    /// Whether there is at least `other` of each resource.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.cpu_milli >= other.cpu_milli && self.memory_mib >= other.memory_mib && self.gpu_milli >= other.gpu_milli
    }

    /// The larger of both, of each resource.
    pub(crate) fn max(self, other: Self) -> Self {
        self.each(other, u64::max)
    }

    /// The smaller of both, of each resource.
    pub(crate) fn min(self, other: Self) -> Self {
        self.each(other, u64::min)
    }

    fn each(self, other: Self, apply: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            cpu_milli: apply(self.cpu_milli, other.cpu_milli),
            memory_mib: apply(self.memory_mib, other.memory_mib),
            gpu_milli: apply(self.gpu_milli, other.gpu_milli),
        }
    }

    /// This without `other`, which is part of it.
    pub(crate) fn minus(self, other: Self) -> Self {
        self.each(other, |whole, part| whole - part)
    }
}

/// The fleet's largest total of each resource: what makes a cpu and a GPU comparable.
///
/// It is taken over all workers, whatever their status, so that a cordon does not change how the others compare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Yardstick {
    largest: Amount,
}

impl Yardstick {
    pub(crate) fn of<'a>(totals: impl IntoIterator<Item = &'a Capacity>) -> Self {
        let mut largest = Amount::default();
        for total in totals {
            largest = largest.max(Amount::left(total, &Used::default()));
        }
        Self { largest }
    }

    pub(crate) fn largest(&self) -> Amount {
        self.largest
    }

    /// The sum over all resources, each in millionths of the largest total. CPU-only requests count GPUs too: else
    /// they would settle beside free ones and use up the cpu that these need.
    pub(crate) fn measure(&self, amount: Amount) -> u64 {
        let shares = self.shares(amount);
        shares.cpu_milli.saturating_add(shares.memory_mib).saturating_add(shares.gpu_milli)
    }

    /// Of each resource, how many millionths of the largest total.
    pub(crate) fn shares(&self, amount: Amount) -> Amount {
        amount.each(self.largest, |part, whole| match whole {
            0 => 0,
            _ => match part.checked_mul(1_000_000) {
                Some(part) => part / whole,
                None => u64::try_from(u128::from(part) * 1_000_000 / u128::from(whole)).unwrap_or(u64::MAX),
            },
        })
    }
}

/// What `strategy` thinks of a worker with `left` left after the placement; the smallest is chosen.
pub(crate) fn cost(strategy: Strategy, left: Amount, yardstick: &Yardstick) -> u64 {
    match strategy {
        Strategy::BestFit => best_fit::cost(left, yardstick),
        Strategy::Spread => spread::cost(left, yardstick),
    }
}
