//! Who may serve a request, and who has room for it: the rules of [`Rule`], asked in its order.

use super::devices;
use crate::fleet::{CpuOnGpuWorkers, Policy};
use crate::id::PoolName;
use crate::ledger;
use crate::request::{Ask, GpuWish};
use crate::resources::{Booking, Capacity, Used};
use crate::strategy::Amount;
use crate::wait::Rule;
use crate::worker::{Status, Worker, WorkerSpec};

/// What a request takes of a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    cpu_milli: u64,
    /// What it books: what it asks, and the policy's overhead.
    memory_mib: u64,
    /// So many devices, and so much of each.
    gpu: Option<(u32, u32)>,
}

/// What a request needs under a policy, worked out once.
pub(crate) struct Need<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) room: Room,
    /// Pools that may serve it without the kind of GPU that it wishes, the first choice first.
    failover: Vec<&'a PoolName>,
    cpu_on_gpu_workers: CpuOnGpuWorkers,
}

impl<'a> Need<'a> {
    pub(crate) fn of(ask: &'a Ask, policy: &'a Policy) -> Self {
        Self {
            ask,
            room: Room {
                cpu_milli: ask.cpu_milli,
                memory_mib: with_overhead(ask.memory_mib, policy.memory_overhead_percent),
                gpu: ask.gpu.as_ref().map(|gpu| (gpu.count, gpu.milli)),
            },
            failover: failover(ask, policy),
            cpu_on_gpu_workers: policy.cpu_on_gpu_workers,
        }
    }

    /// The first rule that this worker fails, if it fails one. `used` is what is owned on it by now.
    pub(crate) fn check(&self, worker: &Worker, used: &Used) -> Result<(), Rule> {
        self.check_spec(&worker.spec)?;
        self.check_now(worker.status, &worker.spec.total, used)
    }

    /// Whether a worker takes work, and what is left of it.
    pub(crate) fn check_now(&self, status: Status, total: &Capacity, used: &Used) -> Result<(), Rule> {
        ensure(status == Status::Available, Rule::Status)?;
        self.check_room(total, used)
    }

    /// Whether a worker like this could ever hold it: empty, and whatever its status.
    pub(crate) fn check_empty(&self, spec: &WorkerSpec) -> Result<(), Rule> {
        self.check_spec(spec)?;
        self.check_room(&spec.total, &Used::default())
    }

    /// What a worker is.
    pub(crate) fn check_spec(&self, spec: &WorkerSpec) -> Result<(), Rule> {
        self.check_spec_of(spec, || self.check_kind(spec))
    }

    /// The same where it may be known already whether its kind will do.
    pub(crate) fn check_spec_of(
        &self,
        spec: &WorkerSpec,
        check_kind: impl FnOnce() -> Result<(), Rule>,
    ) -> Result<(), Rule> {
        self.check_machine(spec)?;
        check_kind()?;
        self.check_labels(spec)
    }

    /// Whether it is the machine that may be pinned.
    pub(crate) fn check_machine(&self, spec: &WorkerSpec) -> Result<(), Rule> {
        ensure(self.ask.machine.is_none() || self.ask.machine == spec.machine, Rule::Machine)
    }

    /// Whether it carries all labels that are demanded.
    pub(crate) fn check_labels(&self, spec: &WorkerSpec) -> Result<(), Rule> {
        ensure(self.ask.labels.iter().all(|(key, value)| spec.labels.get(key) == Some(value)), Rule::Labels)
    }

    /// What a worker shares with many others: neither its machine nor its labels.
    pub(crate) fn check_kind(&self, spec: &WorkerSpec) -> Result<(), Rule> {
        let ask = self.ask;
        ensure(spec.workspace.as_ref().is_none_or(|only| *only == ask.workspace), Rule::Workspace)?;
        ensure(ask.machine.is_some() || self.may_use_pool_of(spec), Rule::Pool)?;
        ensure(self.may_use_gpus_of(spec), Rule::GpuType)?;
        ensure(ask.runtime.as_ref().is_none_or(|runtime| spec.runtimes.contains(runtime)), Rule::Runtime)?;
        ensure(ask.preemptible || !spec.preemptible, Rule::Preemptible)
    }

    /// What is left of a worker.
    pub(crate) fn check_room(&self, total: &Capacity, used: &Used) -> Result<(), Rule> {
        self.room.check(total, used)
    }

    /// How much it takes of each resource.
    pub(crate) fn amount(&self) -> Amount {
        let gpu_milli = self.ask.gpu.as_ref().map_or(0, |gpu| u64::from(gpu.count) * u64::from(gpu.milli));
        Amount { cpu_milli: self.ask.cpu_milli, memory_mib: self.room.memory_mib, gpu_milli }
    }

    /// What it would own on a worker of size `total`, if its devices can be chosen.
    pub(crate) fn booking(&self, total: &Capacity, used: &Used) -> Option<Booking> {
        let (gpu_devices, gpu_milli) = match &self.ask.gpu {
            Some(gpu) => (devices::choose(total, used, gpu.count, gpu.milli)?, gpu.milli),
            None => (Vec::new(), 0),
        };
        Some(Booking { cpu_milli: self.ask.cpu_milli, memory_mib: self.room.memory_mib, gpu_devices, gpu_milli })
    }

    /// Books as many as fit on a worker of size `total`, one after the other and at most `count`; answers how many.
    pub(crate) fn book(&self, total: &Capacity, used: &mut Used, count: u64) -> u64 {
        let fits = |used: u64, more: u64, total: u64| total.saturating_sub(used) / more.max(1);
        let by_cpu = fits(used.cpu_milli, self.ask.cpu_milli, total.cpu_milli);
        let by_memory = fits(used.memory_mib, self.room.memory_mib, total.memory_mib);
        let count = count.min(by_cpu).min(by_memory);
        let mut booked = 0;
        while booked < count {
            let Some(booking) = self.booking(total, used) else { break };
            let times = devices::repeats(&booking, used).min(count - booked);
            if ledger::book_times(total, used, &booking, times).is_err() {
                break;
            }
            booked += times;
        }
        booked
    }

    /// Where this worker's kind of GPU stands among those wished for; none if it stands in only by failover.
    pub(crate) fn wish_position(&self, spec: &WorkerSpec) -> Option<usize> {
        match self.ask.gpu.as_ref().map(|gpu| &gpu.types) {
            Some(GpuWish::OneOf(types)) => types.iter().position(|kind| Some(kind) == spec.gpu_type()),
            Some(GpuWish::Any) | None => Some(0),
        }
    }

    /// Where this worker's pool stands among those that stand in for the wished GPUs.
    pub(crate) fn failover_position(&self, spec: &WorkerSpec) -> Option<usize> {
        self.failover.iter().position(|pool| **pool == spec.pool)
    }

    fn may_use_pool_of(&self, spec: &WorkerSpec) -> bool {
        match &self.ask.pool {
            Some(pool) => *pool == spec.pool,
            None => !spec.requires_pool_selector || self.failover_position(spec).is_some(),
        }
    }

    fn may_use_gpus_of(&self, spec: &WorkerSpec) -> bool {
        let has_gpus = spec.total.gpu_count > 0;
        if self.ask.gpu.is_none() {
            return !has_gpus || self.cpu_on_gpu_workers == CpuOnGpuWorkers::Allowed;
        }
        has_gpus && (self.wish_position(spec).is_some() || self.failover_position(spec).is_some())
    }
}

impl Room {
    /// Whether this much is left of a worker.
    ///
    /// One that is over-committed, in whatever resource, fails the rule of that resource: what is used and at least 1
    /// more is above the total of cpu or memory, and GPUs are asked last.
    pub(crate) fn check(&self, total: &Capacity, used: &Used) -> Result<(), Rule> {
        let within = |used: u64, more: u64, total: u64| used.checked_add(more).is_some_and(|sum| sum <= total);
        ensure(within(used.cpu_milli, self.cpu_milli, total.cpu_milli), Rule::Cpu)?;
        ensure(within(used.memory_mib, self.memory_mib, total.memory_mib), Rule::Memory)?;
        let has_devices = self.gpu.is_none_or(|(count, milli)| devices::have_room(total, used, count, milli));
        ensure(!total.is_exceeded_by(used) && has_devices, Rule::GpuRoom)
    }
}

fn ensure(passes: bool, rule: Rule) -> Result<(), Rule> {
    if passes { Ok(()) } else { Err(rule) }
}

/// The pools of each wished type, in the order of the wishes. A request that names its pool never fails over.
fn failover<'a>(ask: &Ask, policy: &'a Policy) -> Vec<&'a PoolName> {
    match (&ask.pool, ask.gpu.as_ref().map(|gpu| &gpu.types)) {
        (None, Some(GpuWish::OneOf(types))) => {
            types.iter().filter_map(|kind| policy.failover.get(kind)).flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// Rounded up: what is booked is never less than what will be used.
fn with_overhead(memory_mib: u64, percent: u32) -> u64 {
    let percent = 100 + u64::from(percent);
    match memory_mib.checked_mul(percent) {
        Some(hundredths) => hundredths.div_ceil(100),
        None => u64::try_from((u128::from(memory_mib) * u128::from(percent)).div_ceil(100)).unwrap_or(u64::MAX),
    }
}
