//! What placement is, written for the reader who does not care how long it takes: state is copied whole, every worker
//! is asked every rule, and preferences throw workers out of a list one after the other.

use std::collections::{BTreeMap, BTreeSet};

use domain::fleet::{CpuOnGpuWorkers, Fleet, Policy, Strategy};
use domain::id::{WorkerId, Workspace};
use domain::placement::{Candidate, Verdict};
use domain::quota::{Limit, OverQuota, QuotaLimits, QuotaResource, Usage};
use domain::request::{Ask, Digest, GpuWish, Shape};
use domain::resources::{Booking, Capacity};
use domain::wait::{Largest, LargestOwner, LotKey, Rule, RuleCounts, Why};
use domain::worker::{Status, Worker, WorkerSpec};

/// One worker at some moment of the plan.
#[derive(Clone)]
struct Machine {
    worker: Worker,
    /// May be negative: then it is over-committed.
    free_cpu: i128,
    free_memory: i128,
    /// Of each device; one that the worker has no more, but that is owned, is there with a negative amount.
    free_gpus: Vec<i128>,
}

pub(crate) fn plan(fleet: &Fleet, batch: &[Candidate], policy: &Policy) -> Vec<Verdict> {
    let mut machines: Vec<Machine> = fleet.workers().iter().map(machine).collect();
    let mut usage = fleet.usage.clone();
    let mut failed: BTreeMap<Shape, Why> = BTreeMap::new();
    let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
    let mut line: Vec<usize> = (0..batch.len()).collect();
    line.sort_by_key(|&at| (batch[at].key, at));
    for at in line {
        let candidate = &batch[at];
        let verdict = if let Some(wait) = quota_wait(candidate, fleet, batch, policy, &usage, &verdicts) {
            wait
        } else if let Some(why) = failed.get(&candidate.ask.shape()) {
            Verdict::Wait { lot: shape_lot(candidate), why: why.clone() }
        } else if let Some(best) = best_machine(&machines, &candidate.ask, policy) {
            match ahead(candidate, &shape_lot(candidate), fleet, batch, &verdicts) {
                0 => place(&mut machines[best], &mut usage, &candidate.ask, policy),
                ahead => Verdict::Wait { lot: shape_lot(candidate), why: Why::Behind(ahead) },
            }
        } else {
            let why = no_fit(&machines, fleet, &candidate.ask, policy);
            failed.insert(candidate.ask.shape(), why.clone());
            Verdict::Wait { lot: shape_lot(candidate), why }
        };
        verdicts.insert(at, verdict);
    }
    verdicts.into_values().collect()
}

/// The workers on which a request fits as of now.
pub(crate) fn fitting(fleet: &Fleet, candidate: &Candidate, policy: &Policy) -> Vec<WorkerId> {
    let machines = fleet.workers().iter().map(machine);
    let fits = |machine: &Machine| first_failure(machine, &candidate.ask, policy).is_none();
    machines.filter(fits).map(|machine| machine.worker.id).collect()
}

fn machine(worker: &Worker) -> Machine {
    let (total, used) = (&worker.spec.total, &worker.used);
    let devices = used.gpu_milli.len().max(total.gpu_count as usize);
    let size = |device: usize| if device < total.gpu_count as usize { 1000 } else { 0 };
    let owned = |device: usize| i128::from(used.gpu_milli.get(device).copied().unwrap_or(0));
    Machine {
        worker: worker.clone(),
        free_cpu: i128::from(total.cpu_milli) - i128::from(used.cpu_milli),
        free_memory: i128::from(total.memory_mib) - i128::from(used.memory_mib),
        free_gpus: (0..devices).map(|device| size(device) - owned(device)).collect(),
    }
}

fn empty(spec: &WorkerSpec) -> Machine {
    let worker = Worker {
        id: "empty".parse().expect("a name"),
        spec: spec.clone().into(),
        status: Status::Available,
        incarnation: domain::id::Incarnation(0),
        used: domain::resources::Used::default(),
    };
    machine(&worker)
}

fn shape_lot(candidate: &Candidate) -> LotKey {
    LotKey::Shape(candidate.ask.shape())
}

fn quota_wait(
    candidate: &Candidate,
    fleet: &Fleet,
    batch: &[Candidate],
    policy: &Policy,
    usage: &BTreeMap<Workspace, Usage>,
    verdicts: &BTreeMap<usize, Verdict>,
) -> Option<Verdict> {
    let workspace = &candidate.ask.workspace;
    let limits = policy.quotas.as_ref()?.limits(workspace);
    let used = usage.get(workspace).copied().unwrap_or_default();
    let passed = limits_passed(&used, &candidate.ask, limits);
    if let Some(over) = passed.iter().find(|over| over.needs > over.limit) {
        return Some(Verdict::Wait { lot: shape_lot(candidate), why: Why::Quota(*over) });
    }
    let lot = LotKey::Quota(workspace.clone());
    if let Some(over) = passed.first() {
        return Some(Verdict::Wait { lot, why: Why::Quota(*over) });
    }
    let ahead = ahead(candidate, &lot, fleet, batch, verdicts);
    (ahead > 0).then_some(Verdict::Wait { lot, why: Why::Behind(ahead) })
}

fn limits_passed(used: &Usage, ask: &Ask, limits: &QuotaLimits) -> Vec<OverQuota> {
    let gpus = ask.gpu.as_ref().map_or(0, |gpu| u64::from(gpu.count) * u64::from(gpu.milli));
    let rows = [
        (QuotaResource::Cpu, limits.cpu_milli, used.cpu_milli, ask.cpu_milli),
        (QuotaResource::Memory, limits.memory_mib, used.memory_mib, ask.memory_mib),
        (QuotaResource::Gpus, limits.gpu_milli, used.gpu_milli, gpus),
        (QuotaResource::Containers, limits.containers, used.containers, 1),
    ];
    let mut passed = Vec::new();
    for (resource, limit, used, needs) in rows {
        if let Limit::AtMost(limit) = limit
            && needs > 0
            && used + needs > limit
        {
            passed.push(OverQuota { resource, limit, used, needs });
        }
    }
    passed
}

/// How many of `lot` a candidate may not overtake. One that was read from another lot stands only in that one.
fn ahead(
    candidate: &Candidate,
    lot: &LotKey,
    fleet: &Fleet,
    batch: &[Candidate],
    verdicts: &BTreeMap<usize, Verdict>,
) -> u64 {
    if candidate.lot.as_ref().is_some_and(|own| own != lot) {
        return 0;
    }
    let waits_there = |verdict: &&Verdict| matches!(verdict, Verdict::Wait { lot: other, .. } if other == lot);
    let sent_there = verdicts.values().filter(waits_there).count() as u64;
    let read = batch.iter().filter(|other| other.lot.as_ref() == Some(lot)).count() as u64;
    let unread = match fleet.lots.get(lot) {
        Some(row) if candidate.lot.is_none() && row.first < candidate.key && row.count > read => row.count - read,
        _ => 0,
    };
    sent_there + unread
}

fn first_failure(machine: &Machine, ask: &Ask, policy: &Policy) -> Option<Rule> {
    Rule::ALL.into_iter().find(|rule| !passes(*rule, machine, ask, policy))
}

fn passes(rule: Rule, machine: &Machine, ask: &Ask, policy: &Policy) -> bool {
    let spec = &machine.worker.spec;
    let by_failover = failover_pools(ask, policy).contains(&spec.pool.to_string());
    match rule {
        Rule::Machine => match &ask.machine {
            Some(pin) => spec.machine.as_ref() == Some(pin),
            None => true,
        },
        Rule::Workspace => match &spec.workspace {
            Some(only) => *only == ask.workspace,
            None => true,
        },
        Rule::Pool if ask.machine.is_some() => true,
        Rule::Pool => match &ask.pool {
            Some(pool) => spec.pool == *pool,
            None if spec.requires_pool_selector => by_failover,
            None => true,
        },
        Rule::GpuType => match &ask.gpu {
            Some(_) if spec.total.gpu_count == 0 => false,
            Some(_) => wish(ask, spec).is_some() || by_failover,
            None => spec.total.gpu_count == 0 || policy.cpu_on_gpu_workers == CpuOnGpuWorkers::Allowed,
        },
        Rule::Runtime => match &ask.runtime {
            Some(runtime) => spec.runtimes.iter().any(|offered| offered == runtime),
            None => true,
        },
        Rule::Preemptible => !spec.preemptible || ask.preemptible,
        Rule::Labels => ask.labels.iter().all(|(key, value)| spec.labels.get(key).is_some_and(|has| has == value)),
        Rule::Status => machine.worker.status == Status::Available,
        Rule::Cpu => i128::from(ask.cpu_milli) <= machine.free_cpu,
        Rule::Memory => booked_memory(ask, policy) <= machine.free_memory,
        Rule::GpuRoom => {
            let nothing_owed = machine.free_gpus.iter().all(|free| *free >= 0);
            nothing_owed && devices(machine, ask).is_some()
        }
    }
}

fn failover_pools(ask: &Ask, policy: &Policy) -> Vec<String> {
    let mut pools = Vec::new();
    if let (None, Some(GpuWish::OneOf(types))) = (&ask.pool, ask.gpu.as_ref().map(|gpu| &gpu.types)) {
        for kind in types {
            for (of, chain) in &policy.failover {
                if of.as_str().eq_ignore_ascii_case(kind.as_str()) {
                    pools.extend(chain.iter().map(ToString::to_string));
                }
            }
        }
    }
    pools
}

/// Which wish the worker's GPUs are; the first for those who wish for nothing in particular.
fn wish(ask: &Ask, spec: &WorkerSpec) -> Option<usize> {
    let Some(gpu) = &ask.gpu else { return Some(0) };
    let GpuWish::OneOf(types) = &gpu.types else { return Some(0) };
    let kind = spec.total.gpu_type.as_ref()?.as_str().to_lowercase();
    types.iter().position(|wished| wished.as_str().to_lowercase() == kind)
}

fn booked_memory(ask: &Ask, policy: &Policy) -> i128 {
    let hundredths = i128::from(ask.memory_mib) * (100 + i128::from(policy.memory_overhead_percent));
    if hundredths % 100 == 0 { hundredths / 100 } else { hundredths / 100 + 1 }
}

/// The devices that the request would get: again and again the fullest that still has room.
fn devices(machine: &Machine, ask: &Ask) -> Option<Vec<u32>> {
    let Some(gpu) = &ask.gpu else { return Some(Vec::new()) };
    let mut chosen = BTreeSet::new();
    for _ in 0..gpu.count {
        let mut fullest: Option<usize> = None;
        for (device, free) in machine.free_gpus.iter().enumerate() {
            let has_room = *free >= i128::from(gpu.milli) && !chosen.contains(&device);
            if has_room && fullest.is_none_or(|fullest| *free < machine.free_gpus[fullest]) {
                fullest = Some(device);
            }
        }
        chosen.insert(fullest?);
    }
    Some(chosen.into_iter().map(|device| u32::try_from(device).expect("few devices")).collect())
}

/// Throws out all but the most liked, one preference after the other.
fn best_machine(machines: &[Machine], ask: &Ask, policy: &Policy) -> Option<usize> {
    let mut left: Vec<usize> = (0..machines.len()).collect();
    left.retain(|&at| first_failure(&machines[at], ask, policy).is_none());
    keep_least(&mut left, |at| failover_rank(&machines[at].worker.spec, ask, policy));
    keep_least(&mut left, |at| {
        let spec = &machines[at].worker.spec;
        wish(ask, spec).unwrap_or(0) as i128 - i128::from(spec.priority)
    });
    if let Some(key) = &ask.affinity {
        keep_least(&mut left, |at| u128::MAX - weight(key, &machines[at].worker.id));
    }
    keep_least(&mut left, |at| match policy.strategy {
        Strategy::BestFit => free_after(machines, at, ask, policy),
        Strategy::Spread => -free_after(machines, at, ask, policy),
    });
    left.into_iter().min_by_key(|&at| machines[at].worker.id.clone())
}

fn keep_least<T: Ord>(left: &mut Vec<usize>, measure: impl Fn(usize) -> T) {
    let least = left.iter().map(|&at| measure(at)).min();
    left.retain(|&at| Some(measure(at)) == least);
}

fn failover_rank(spec: &WorkerSpec, ask: &Ask, policy: &Policy) -> usize {
    if wish(ask, spec).is_some() {
        return 0;
    }
    let pools = failover_pools(ask, policy);
    1 + pools.iter().position(|pool| *pool == spec.pool.as_str()).expect("it is eligible by failover")
}

/// The weight of rendezvous hashing, written out once more: it must never change.
fn weight(key: &str, worker: &WorkerId) -> u128 {
    let Digest(mut hash) = Digest::of(&format!("{key}\0{worker}"));
    for _ in 0..2 {
        hash ^= hash >> 64;
        hash = hash.wrapping_mul(210_306_068_529_402_873_165_736_369_884_012_333_109);
    }
    hash ^ (hash >> 64)
}

fn free_after(machines: &[Machine], at: usize, ask: &Ask, policy: &Policy) -> i128 {
    let totals = || machines.iter().map(|machine| &machine.worker.spec.total);
    let largest = |of: fn(&Capacity) -> i128| totals().map(of).max().unwrap_or(0);
    let machine = &machines[at];
    let gpus: i128 = machine.free_gpus.iter().sum();
    let wanted = ask.gpu.as_ref().map_or(0, |gpu| i128::from(gpu.count) * i128::from(gpu.milli));
    let parts = [
        (machine.free_cpu - i128::from(ask.cpu_milli), largest(|total| i128::from(total.cpu_milli))),
        (machine.free_memory - booked_memory(ask, policy), largest(|total| i128::from(total.memory_mib))),
        (gpus - wanted, largest(|total| 1000 * i128::from(total.gpu_count))),
    ];
    parts.into_iter().filter(|(_, largest)| *largest > 0).map(|(free, largest)| free * 1_000_000 / largest).sum()
}

fn place(machine: &mut Machine, usage: &mut BTreeMap<Workspace, Usage>, ask: &Ask, policy: &Policy) -> Verdict {
    let gpu_devices = devices(machine, ask).expect("it has room");
    let gpu_milli = ask.gpu.as_ref().map_or(0, |gpu| gpu.milli);
    let memory_mib = u64::try_from(booked_memory(ask, policy)).expect("small amounts");
    machine.free_cpu -= i128::from(ask.cpu_milli);
    machine.free_memory -= i128::from(memory_mib);
    for device in &gpu_devices {
        machine.free_gpus[*device as usize] -= i128::from(gpu_milli);
    }
    let used = usage.entry(ask.workspace.clone()).or_default();
    used.cpu_milli += ask.cpu_milli;
    used.memory_mib += ask.memory_mib;
    used.gpu_milli += gpu_devices.len() as u64 * u64::from(gpu_milli);
    used.containers += 1;
    Verdict::Place {
        worker: machine.worker.id.clone(),
        incarnation: machine.worker.incarnation,
        booking: Booking { cpu_milli: ask.cpu_milli, memory_mib, gpu_devices, gpu_milli },
    }
}

fn no_fit(machines: &[Machine], fleet: &Fleet, ask: &Ask, policy: &Policy) -> Why {
    let never = largest_misfit(fleet, ask, policy);
    if machines.is_empty() && never.is_none() {
        return Why::NoWorkers;
    }
    let mut rules = RuleCounts::new();
    for machine in machines {
        *rules.entry(first_failure(machine, ask, policy).expect("none fits")).or_insert(0) += 1;
    }
    Why::NoFit { rules, never }
}

fn largest_misfit(fleet: &Fleet, ask: &Ask, policy: &Policy) -> Option<Largest> {
    let mut all: Vec<(LargestOwner, Machine)> = Vec::new();
    for worker in fleet.workers() {
        all.push((LargestOwner::Worker(worker.id.clone()), empty(&worker.spec)));
    }
    let mut pools: Vec<_> = fleet.pools.iter().filter(|pool| pool.workers_max > 0).collect();
    pools.sort_by_key(|pool| pool.name.clone());
    for pool in pools {
        all.push((LargestOwner::Pool(pool.name.clone()), empty(&pool.spec)));
    }
    let failures: Vec<Option<Rule>> = all.iter().map(|(_, machine)| first_failure(machine, ask, policy)).collect();
    if failures.iter().any(Option::is_none) {
        return None;
    }
    let furthest = failures.iter().copied().max()??;
    let mut closest = (0..all.len()).filter(|&at| failures[at] == Some(furthest)).collect::<Vec<_>>();
    keep_least(&mut closest, |at| match furthest {
        Rule::Cpu => -all[at].1.free_cpu,
        Rule::Memory => -all[at].1.free_memory,
        Rule::GpuRoom => -(all[at].1.free_gpus.len() as i128),
        _ => 0,
    });
    let (who, machine) = &all[closest[0]];
    Some(Largest { who: who.clone(), size: machine.worker.spec.total.clone(), fails: furthest })
}
