//! Small fleets in which every rule is met: a handful of names, so that they often agree and often do not.
//!
//! Each thing is read off a few random bytes. A zero is the plain choice, so what proptest shrinks to is plain too.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::fleet::{CpuOnGpuWorkers, Fleet, Policy, PoolTemplate, Quotas, Strategy as Choice};
use domain::id::{Attempt, GpuType, Incarnation, Revision};
use domain::placement::Candidate;
use domain::quota::{Limit, QuotaLimits, Usage};
use domain::request::{Ask, GpuAsk, GpuWish, IfSilent, OrderKey};
use domain::resources::{Capacity, Used};
use domain::wait::{LotKey, LotRow, Why};
use domain::worker::{Status, Worker, WorkerSpec};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) fleet: Fleet,
    pub(crate) batch: Vec<Candidate>,
    pub(crate) policy: Policy,
}

/// Random bytes, read one choice at a time.
pub(crate) struct Bytes<'a>(pub(crate) std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.next() % bound
    }

    /// True once in `times`.
    pub(crate) fn rarely(&mut self, times: u8) -> bool {
        self.next() > 255 - 255 / times
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.next()) % choices.len()]
    }

    /// A name of a few, or once in `times` none.
    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, prefix: &str, names: u8) -> T {
        format!("{prefix}{}", self.below(names)).parse().expect("a name")
    }

    fn rare_name<T: std::str::FromStr<Err: std::fmt::Debug>>(
        &mut self,
        times: u8,
        prefix: &str,
        names: u8,
    ) -> Option<T> {
        let is_there = self.rarely(times);
        let name = self.name(prefix, names);
        is_there.then_some(name)
    }
}

/// The bytes of one worker, pool, ask or candidate.
pub(crate) type Row = [u8; 24];

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let rows = |rows: std::ops::Range<usize>| prop::collection::vec(any::<Row>(), rows);
    let rest = prop::collection::vec(any::<u8>(), 64);
    (rows(1..13), rows(0..3), rows(1..5), rows(1..16), rest)
        .prop_map(|(workers, pools, asks, batch, rest)| case(&workers, &pools, &asks, &batch, &rest))
}

fn case(workers: &[Row], pools: &[Row], asks: &[Row], batch: &[Row], rest: &[u8]) -> Case {
    let mut rest = Bytes(rest.iter());
    let workers = if rest.rarely(20) { &[] } else { workers };
    let mut fleet = Fleet::of(workers.iter().enumerate().map(|(n, row)| worker(n, &mut Bytes(row.iter()))));
    fleet.pools = pools.iter().enumerate().map(|(n, row)| pool(n, &mut Bytes(row.iter()))).collect();
    let is_picky = rest.below(2) == 1;
    let asks: Vec<Ask> = asks.iter().map(|row| ask(is_picky, &mut Bytes(row.iter()))).collect();
    let batch = batch.iter().enumerate().map(|(n, row)| candidate(n, &asks, &mut Bytes(row.iter())));
    let batch: Vec<Candidate> = batch.collect();
    let policy = policy(&mut rest);
    fleet.usage = usage(&mut rest);
    fleet.lots = lots(&batch, &mut rest);
    Case { fleet, batch, policy }
}

pub(crate) fn policy(bytes: &mut Bytes<'_>) -> Policy {
    let mut failover = BTreeMap::new();
    if bytes.below(2) == 1 {
        let pool = |name: &str| name.parse().expect("a name");
        failover.insert(gpu_type("A100"), vec![pool("p1"), pool("p0")]);
        failover.insert(gpu_type("L4"), vec![pool("p2")]);
    }
    Policy {
        strategy: bytes.one_of(&[Choice::BestFit, Choice::Spread]),
        memory_overhead_percent: bytes.one_of(&[0, 0, 0, 7, 7, 100]),
        cpu_on_gpu_workers: bytes.one_of(&[CpuOnGpuWorkers::Never, CpuOnGpuWorkers::Allowed]),
        failover,
        quotas: (bytes.below(3) == 1).then(|| quotas(bytes)),
    }
}

fn quotas(bytes: &mut Bytes<'_>) -> Quotas {
    let mut limit = |unit: u64| match bytes.below(8) {
        0..4 => Limit::Unlimited,
        few => Limit::AtMost(u64::from(few - 4) * 2 * unit),
    };
    let limits =
        QuotaLimits { cpu_milli: limit(2000), memory_mib: limit(4000), gpu_milli: limit(1000), containers: limit(2) };
    let default = QuotaLimits { cpu_milli: limit(3000), containers: limit(3), ..QuotaLimits::UNLIMITED };
    Quotas { default, workspaces: [("ws0".parse().expect("a name"), limits)].into() }
}

fn usage(bytes: &mut Bytes<'_>) -> BTreeMap<domain::id::Workspace, Usage> {
    let amount = |unit: u64, bytes: &mut Bytes<'_>| u64::from(bytes.below(3)) * unit;
    let used = Usage {
        cpu_milli: amount(1000, bytes),
        memory_mib: amount(2000, bytes),
        gpu_milli: amount(500, bytes),
        containers: amount(1, bytes),
    };
    [(bytes.name("ws", 3), used)].into()
}

fn gpu_type(name: &str) -> GpuType {
    GpuType::new(name).expect("a name")
}

fn spec(bytes: &mut Bytes<'_>) -> WorkerSpec {
    let gpu_count = bytes.one_of(&[0, 0, 0, 1, 2, 4]);
    let kind = bytes.one_of(&["T4", "t4", "A100", "A100", "L4"]);
    let total = Capacity {
        cpu_milli: bytes.one_of(&[4000, 2000, 1999, 8000, 8000, 500]),
        memory_mib: bytes.one_of(&[4096, 1229, 10_000, 954]),
        gpu_type: (gpu_count > 0).then(|| gpu_type(kind)),
        gpu_count,
    };
    let runtimes: &[&str] = bytes.one_of(&[&["process"], &["process", "docker"], &["process", "docker"], &["docker"]]);
    WorkerSpec {
        pool: bytes.name("p", 3),
        total,
        priority: bytes.one_of(&[0, 0, 1, 2, -1]),
        preemptible: bytes.rarely(8),
        requires_pool_selector: bytes.rarely(8),
        machine: bytes.rare_name(4, "m", 2),
        workspace: bytes.rare_name(12, "ws", 3),
        runtimes: runtimes.iter().map(|name| name.parse().expect("a name")).collect(),
        labels: labels(bytes, 2),
    }
}

/// The same worker, but of the kind that serves whoever fits.
pub(crate) fn plain(spec: &WorkerSpec) -> WorkerSpec {
    let process = "process".parse().expect("a name");
    let plain = WorkerSpec::plain("p0".parse().expect("a name"), process, spec.total.clone());
    WorkerSpec { machine: spec.machine.clone(), labels: spec.labels.clone(), ..plain }
}

fn labels(bytes: &mut Bytes<'_>, times: u8) -> BTreeMap<Arc<str>, Arc<str>> {
    let (zone, disk) = (bytes.rarely(times), bytes.rarely(times));
    let value = bytes.one_of(&["eu", "us"]);
    [(zone, "zone", value), (disk, "disk", "ssd")]
        .into_iter()
        .filter(|(is_there, ..)| *is_there)
        .map(|(_, key, value)| (key.into(), value.into()))
        .collect()
}

pub(crate) fn worker(n: usize, bytes: &mut Bytes<'_>) -> Worker {
    let spec = spec(bytes);
    let status = match bytes.next() {
        0..216 => Status::Available,
        216..228 => Status::Pending,
        228..240 => Status::Cordoned,
        _ => Status::Lost,
    };
    // One in eight parts too much: then it is over-committed.
    let eighths = |total: u64, bytes: &mut Bytes<'_>| total * u64::from(bytes.one_of(&[0_u8, 1, 2, 4, 4, 8, 9])) / 8;
    let cpu_milli = if bytes.rarely(3) { eighths(spec.total.cpu_milli, bytes) } else { 0 };
    let memory_mib = if bytes.rarely(3) { eighths(spec.total.memory_mib, bytes) } else { 0 };
    let devices = if spec.total.gpu_count > 0 { spec.total.gpu_count + u32::from(bytes.rarely(12)) } else { 0 };
    let used_devices = if bytes.rarely(2) { devices } else { 0 };
    let mut gpu_milli: Vec<u32> = (0..used_devices).map(|_| bytes.one_of(&[0, 300, 500, 1000])).collect();
    while gpu_milli.last() == Some(&0) {
        gpu_milli.pop();
    }
    let used = Used { cpu_milli, memory_mib, gpu_milli, containers: 1 };
    // The order of ids is not the order of making.
    let id = format!("w{:02}", (n * 5) % 12).parse().expect("a name");
    Worker { id, spec: spec.into(), status, incarnation: Incarnation(n as u64), used }
}

pub(crate) fn pool(n: usize, bytes: &mut Bytes<'_>) -> PoolTemplate {
    let name: domain::id::PoolName = format!("p{n}").parse().expect("a name");
    let spec = WorkerSpec { pool: name.clone(), ..spec(bytes) };
    PoolTemplate { name, spec: spec.into(), workers_max: u64::from(bytes.below(4)) }
}

/// What one kind of request asks; one that is not picky, and so mostly a matter of preference, names nothing.
pub(crate) fn ask(is_picky: bool, bytes: &mut Bytes<'_>) -> Ask {
    let has_gpu = bytes.below(3) == 1;
    let gpu = GpuAsk {
        types: gpu_wish(bytes),
        count: bytes.one_of(&[1, 1, 2, 3]),
        milli: bytes.one_of(&[1000, 500, 300, 1]),
    };
    let mut ask = Ask {
        workspace: bytes.name("ws", 3),
        cpu_milli: bytes.one_of(&[1000, 1, 250, 500, 500, 1000, 1500, 2000, 2000, 4000, 9000]),
        memory_mib: bytes.one_of(&[512, 1, 954, 1229, 3000]),
        gpu: has_gpu.then_some(gpu),
        pool: bytes.rare_name(8, "p", 3),
        machine: bytes.rare_name(14, "m", 3),
        runtime: bytes.rarely(5).then(|| bytes.one_of(&["docker", "process"]).parse().expect("a name")),
        preemptible: bytes.below(2) == 0,
        priority: 0,
        affinity: None,
        labels: labels(bytes, 10),
    };
    if !is_picky {
        (ask.pool, ask.machine, ask.runtime, ask.preemptible) = (None, None, None, true);
        ask.labels.clear();
    }
    ask
}

fn gpu_wish(bytes: &mut Bytes<'_>) -> GpuWish {
    let (first, second) = (bytes.one_of(&["T4", "A100", "l4"]), bytes.one_of(&["A100", "L4", "t4"]));
    match bytes.below(4) {
        0 => GpuWish::OneOf(vec![gpu_type(first)]),
        1 | 2 => GpuWish::OneOf(vec![gpu_type(first), gpu_type(second)]),
        _ => GpuWish::Any,
    }
}

pub(crate) fn candidate(n: usize, asks: &[Ask], bytes: &mut Bytes<'_>) -> Candidate {
    let mut ask = asks[usize::from(bytes.next()) % asks.len()].clone();
    ask.affinity = bytes.rarely(3).then(|| bytes.one_of(&["x", "y"]).into());
    let key =
        OrderKey { rank: i64::from(bytes.below(16)), revision: Revision(1), position: u32::try_from(n).expect("few") };
    let lot = match bytes.below(8) {
        6 => Some(LotKey::Shape(ask.shape())),
        7 => Some(LotKey::Quota(ask.workspace.clone())),
        _ => None,
    };
    Candidate {
        id: format!("r{n}").parse().expect("a name"),
        key,
        attempt: Attempt(0),
        ask: ask.into(),
        if_silent: IfSilent::Stop,
        lot,
    }
}

/// Lots that hold at least what was read of them, and some that nothing was read of.
pub(crate) fn lots(batch: &[Candidate], bytes: &mut Bytes<'_>) -> BTreeMap<LotKey, LotRow> {
    let mut lots = BTreeMap::new();
    for candidate in batch {
        for key in [LotKey::Shape(candidate.ask.shape()), LotKey::Quota(candidate.ask.workspace.clone())] {
            let read = batch.iter().filter(|other| other.lot.as_ref() == Some(&key)).map(|other| other.key);
            let count = read.clone().count() as u64 + u64::from(bytes.one_of(&[0_u8, 0, 0, 0, 0, 1, 3]));
            let first = read.min().unwrap_or(OrderKey { rank: i64::from(bytes.below(16)), ..OrderKey::default() });
            if count > 0 {
                let ask = matches!(key, LotKey::Shape(_)).then(|| Arc::clone(&candidate.ask));
                let row = LotRow { key: key.clone(), ask, count, first, why: Why::NoWorkers, changed: Revision(1) };
                lots.entry(key).or_insert(row);
            }
        }
    }
    lots
}

/// Fisher-Yates, with a generator that needs no crate.
pub(crate) fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for last in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (seed >> 33) as usize % (last + 1));
    }
}
