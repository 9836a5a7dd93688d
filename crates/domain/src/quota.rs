//! What a workspace may use together, and what it uses.

use crate::request::Ask;

/// How much of one resource a workspace may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No bound.
    Unlimited,
    /// At most this much; 0 means none at all.
    AtMost(u64),
}

/// The limits of one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Thousandths of a cpu.
    pub cpu_milli: Limit,
    /// Mebibytes of memory.
    pub memory_mib: Limit,
    /// Thousandths of a GPU.
    pub gpu_milli: Limit,
    /// Containers.
    pub containers: Limit,
}

impl Default for QuotaLimits {
    /// What a workspace may use that no configuration names: wide, but bounded.
    fn default() -> Self {
        Self {
            cpu_milli: Limit::AtMost(10_000 * 1000),
            memory_mib: Limit::AtMost(40 * 1024 * 1024),
            gpu_milli: Limit::AtMost(1_000 * 1000),
            containers: Limit::AtMost(100_000),
        }
    }
}

impl QuotaLimits {
    /// Limits nothing.
    pub const UNLIMITED: Self = Self {
        cpu_milli: Limit::Unlimited,
        memory_mib: Limit::Unlimited,
        gpu_milli: Limit::Unlimited,
        containers: Limit::Unlimited,
    };
}

/// What a workspace uses; booked by a placement, released by an end. A lowered limit changes none of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes of memory.
    pub memory_mib: u64,
    /// Thousandths of a GPU.
    pub gpu_milli: u64,
    /// Containers.
    pub containers: u64,
}

/// A resource that a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaResource {
    /// Thousandths of a cpu.
    Cpu,
    /// Mebibytes of memory.
    Memory,
    /// Thousandths of a GPU.
    Gpus,
    /// Containers.
    Containers,
}

impl QuotaResource {
    /// The word that formats use, with its unit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_milli",
            Self::Memory => "memory_mib",
            Self::Gpus => "gpu_milli",
            Self::Containers => "containers",
        }
    }
}

/// A limit that stands in the way of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverQuota {
    /// Which resource.
    pub resource: QuotaResource,
    /// How much may be used.
    pub limit: u64,
    /// How much is used.
    pub used: u64,
    /// How much the request needs.
    pub needs: u64,
}

impl OverQuota {
    /// What is left under the limit; 0 when more is used than the limit allows.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Whether the request would not fit the limit even if nothing else were used.
    pub fn can_never_fit(&self) -> bool {
        self.needs > self.limit
    }
}

impl Usage {
    /// What one container of `ask` uses.
    pub fn of(ask: &Ask) -> Self {
        let gpu_milli = ask.gpu.as_ref().map_or(0, |gpu| u64::from(gpu.count) * u64::from(gpu.milli));
        Self { cpu_milli: ask.cpu_milli, memory_mib: ask.memory_mib, gpu_milli, containers: 1 }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// So many times this.
    #[must_use]
    pub fn times(&self, count: u64) -> Self {
        let count = Self { cpu_milli: count, memory_mib: count, gpu_milli: count, containers: count };
        self.each(&count, u64::saturating_mul)
    }

    /// This without `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    fn each(&self, other: &Self, apply: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            cpu_milli: apply(self.cpu_milli, other.cpu_milli),
            memory_mib: apply(self.memory_mib, other.memory_mib),
            gpu_milli: apply(self.gpu_milli, other.gpu_milli),
            containers: apply(self.containers, other.containers),
        }
    }

    /// Whether more is used than `other`, of any resource.
    pub fn exceeds(&self, other: &Self) -> bool {
        self.cpu_milli > other.cpu_milli
            || self.memory_mib > other.memory_mib
            || self.gpu_milli > other.gpu_milli
            || self.containers > other.containers
    }

    /// Whether nothing is used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// How many more containers of `ask` pass no limit.
    pub fn room_for(&self, ask: &Ask, limits: &QuotaLimits) -> u64 {
        let needs = Self::of(ask);
        let rows = [
            (limits.cpu_milli, self.cpu_milli, needs.cpu_milli),
            (limits.memory_mib, self.memory_mib, needs.memory_mib),
            (limits.gpu_milli, self.gpu_milli, needs.gpu_milli),
            (limits.containers, self.containers, needs.containers),
        ];
        let each = rows.into_iter().filter_map(|(limit, used, needs)| match limit {
            Limit::AtMost(limit) => limit.saturating_sub(used).checked_div(needs),
            Limit::Unlimited => None,
        });
        each.min().unwrap_or(u64::MAX)
    }

    /// The first limit that one more container of `ask` would pass: one that it can never fit, if there is such.
    pub fn obstacle(&self, ask: &Ask, limits: &QuotaLimits) -> Option<OverQuota> {
        let needs = Self::of(ask);
        let rows = [
            (QuotaResource::Cpu, limits.cpu_milli, self.cpu_milli, needs.cpu_milli),
            (QuotaResource::Memory, limits.memory_mib, self.memory_mib, needs.memory_mib),
            (QuotaResource::Gpus, limits.gpu_milli, self.gpu_milli, needs.gpu_milli),
            (QuotaResource::Containers, limits.containers, self.containers, needs.containers),
        ];
        let mut passed = rows.into_iter().filter_map(|(resource, limit, used, needs)| match limit {
            Limit::AtMost(limit) if needs > 0 && used.saturating_add(needs) > limit => {
                Some(OverQuota { resource, limit, used, needs })
            }
            _ => None,
        });
        let first = passed.next()?;
        Some(if first.can_never_fit() { first } else { passed.find(OverQuota::can_never_fit).unwrap_or(first) })
    }
}
