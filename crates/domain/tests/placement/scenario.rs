//! A fleet, a policy and a batch, written as one line each; and what was decided, written as one line a request.
//!
//!     policy strategy=spread overhead=10 cpu_on_gpu_workers=allowed failover.A10G=p1,p2
//!     worker a cpu=4 memory=16Gi gpu=T4:2 pool=p status=cordoned priority=1 preemptible requires_pool_selector
//!              machine=m workspace=w runtime=docker,process label.zone=eu used.cpu=1 used.memory=1Gi used.gpu=500,0
//!     pool p max=3 cpu=4 ...          as a worker
//!     pool p min=1 warm=1 add=2       and what the pool keeps, and how many more it may have now
//!     idle a b                        workers that have had nothing to do for long
//!     quota w cpu=24 memory=1Ti gpus=8 containers=10
//!     used w cpu=12 ...               as a quota
//!     request r cpu=1 memory=1Gi gpu=T4|A100:2x500 pool=p machine=m workspace=w runtime=docker preemptible
//!              affinity=k label.zone=eu key=7 lot=shape|quota
//!     lot like=r count=3 first=1      the lot of r's shape, whose first has this key, or is this request
//!     lot quota=w count=3 first=r
//!
//! Left out: a worker has 4 cpu and 16Gi, a request wants 1 cpu and 1Gi, and requests stand in the order written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use domain::fleet::{CpuOnGpuWorkers, Fleet, Policy, PoolTemplate, Quotas, Strategy};
use domain::id::{Attempt, GpuType, Incarnation, PoolName, Revision, WorkerId, Workspace};
use domain::placement::{Candidate, Explanation, Verdict, explain, fitting, plan, sentence};
use domain::provisioning::{Bound, Demand, Growth, NewWorkers, PoolRoom, new_workers, open_demand, surplus};
use domain::quantity::{Rounding, parse_cpu_milli, parse_gpu_milli, parse_memory_mib, parse_whole};
use domain::quota::{Limit, QuotaLimits, Usage};
use domain::request::{Ask, GpuAsk, GpuWish, IfSilent, OrderKey};
use domain::resources::{Booking, Capacity, Used};
use domain::wait::{LotKey, LotRow, Why};
use domain::worker::{DEFAULT_POOL, DEFAULT_RUNTIME, Status, Worker, WorkerSpec};
use expect_test::Expect;

#[derive(Clone, Default)]
pub(crate) struct Scenario {
    pub(crate) fleet: Fleet,
    pub(crate) policy: Policy,
    pub(crate) batch: Vec<Candidate>,
    /// What each pool of the fleet keeps, and how many more it may have now.
    kept: Vec<Kept>,
    idle: BTreeSet<WorkerId>,
}

#[derive(Clone, Copy)]
struct Kept {
    workers_min: u64,
    warm: u64,
    may_add: u64,
}

/// Plans the batch and compares what became of each request, in the order written.
#[expect(clippy::needless_pass_by_value, reason = "a table reads better without an ampersand")]
pub(crate) fn check(scenario: &str, expected: Expect) {
    let Scenario { fleet, policy, batch, .. } = Scenario::read(scenario);
    let mut table = String::new();
    for (candidate, verdict) in batch.iter().zip(plan(&fleet, &batch, &policy)) {
        let _ = writeln!(table, "{}", decision(candidate, &verdict));
    }
    expected.assert_eq(&table);
}

/// Explains the last request of the scenario: who takes it, who does not, and the sentence.
#[expect(clippy::needless_pass_by_value, reason = "a table reads better without an ampersand")]
pub(crate) fn check_explain(scenario: &str, expected: Expect) {
    let Scenario { fleet, policy, batch, .. } = Scenario::read(scenario);
    let candidate = batch.last().expect("a scenario has a request to explain");
    let explanation = explain(&fleet, candidate, &policy);
    let Explanation { fits, booting, rules, verdict } = &explanation;
    let names = |ids: &[WorkerId]| ids.iter().map(WorkerId::as_str).collect::<Vec<_>>().join(" ");
    let rules: Vec<String> = rules.iter().map(|(rule, count)| format!("{} {count}", rule.as_str())).collect();
    let mut table = format!("fits [{}]\nfails [{}]\n", names(fits), rules.join(", "));
    if !booting.is_empty() {
        let _ = writeln!(table, "boots [{}]", names(booting));
    }
    let _ = writeln!(table, "{}\n{}", decision(candidate, verdict), explanation.sentence(&candidate.ask));
    expected.assert_eq(&table);
}

/// Plans the batch, and compares what became of it and which workers the rest would need.
#[expect(clippy::needless_pass_by_value, reason = "a table reads better without an ampersand")]
pub(crate) fn check_growth(scenario: &str, expected: Expect) {
    let scenario = Scenario::read(scenario);
    let verdicts = plan(&scenario.fleet, &scenario.batch, &scenario.policy);
    let mut table = String::new();
    for (candidate, verdict) in scenario.batch.iter().zip(&verdicts) {
        if !verdict.is_demand() {
            let _ = writeln!(table, "{}", decision(candidate, verdict));
        }
    }
    for new in scenario.growth(&verdicts) {
        let ids: Vec<String> = new.for_ids.iter().map(ToString::to_string).collect();
        let _ = writeln!(table, "{} of {} for {}", new.count(), new.pool, ids.join(" "));
    }
    expected.assert_eq(&table);
}

/// Lays the batch and the lots, none of which is placed yet, and compares what each pool grows by and why, what stays
/// unserved and why, and which idle workers may go.
#[expect(clippy::needless_pass_by_value, reason = "a table reads better without an ampersand")]
pub(crate) fn check_pools(scenario: &str, expected: Expect) {
    let scenario = Scenario::read(scenario);
    let (Growth { new_workers, unserved }, going) = (scenario.open_growth(), scenario.surplus());
    let mut table = String::new();
    for NewWorkers { pool, for_min, for_demand, for_warm, left_empty, for_ids } in new_workers {
        let ids: Vec<String> = for_ids.iter().map(|id| format!(" {id}")).collect();
        let _ = write!(table, "{pool}: {for_min} for min, {for_demand} for demand, {for_warm} for warm;");
        let left_empty = if left_empty > 0 { format!("; {left_empty} left empty") } else { String::new() };
        let _ = writeln!(table, "{}{left_empty}", ids.concat());
    }
    for (bound, count) in unserved {
        let why = match bound {
            Bound::Quota => "quota".to_owned(),
            Bound::NoTemplate => "no template".to_owned(),
            Bound::WorkersMax(pool) => format!("{pool} at its max"),
            Bound::MayAdd(pool) => format!("no more of {pool} now"),
        };
        let _ = writeln!(table, "{count} unserved: {why}");
    }
    for id in going {
        let _ = writeln!(table, "{id} may go");
    }
    expected.assert_eq(&table);
}

/// Asks the lots of the scenario how many of them fit, by the key of their first: one line for each that is answered.
#[expect(clippy::needless_pass_by_value, reason = "a table reads better without an ampersand")]
pub(crate) fn check_fitting(scenario: &str, requests_max: usize, expected: Expect) {
    let Scenario { fleet, policy, .. } = Scenario::read(scenario);
    let mut lots: Vec<_> = fleet.lots.values().collect();
    lots.sort_by_key(|lot| lot.first);
    let mut table = String::new();
    for (lot, count) in lots.iter().zip(fitting(&fleet, &lots, &policy, requests_max)) {
        let _ = match &lot.key {
            LotKey::Shape(shape) => writeln!(table, "{count} of {}", shape.as_str()),
            LotKey::Quota(workspace) => writeln!(table, "{count} of the quota lot of {workspace}"),
            other => panic!("no scenario has a lot {other:?}"),
        };
    }
    expected.assert_eq(&table);
}

fn decision(candidate: &Candidate, verdict: &Verdict) -> String {
    let id = &candidate.id;
    match verdict {
        Verdict::Place { worker, booking: Booking { gpu_devices, .. }, .. } if gpu_devices.is_empty() => {
            format!("{id} -> {worker}")
        }
        Verdict::Place { worker, booking, .. } => {
            let devices: Vec<String> = booking.gpu_devices.iter().map(u32::to_string).collect();
            format!("{id} -> {worker} gpu[{}]", devices.join(","))
        }
        Verdict::Wait { lot, why } => {
            let lot = match lot {
                LotKey::Quota(workspace) => format!(" in the quota lot of {workspace}"),
                _ => String::new(),
            };
            format!("{id} waits{lot}: {}", sentence(why, &candidate.ask))
        }
    }
}

impl Scenario {
    pub(crate) fn read(text: &str) -> Self {
        let mut scenario = Self::default();
        let mut workers = Vec::new();
        let mut lots = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "policy" => scenario.read_policy(rest),
                "worker" => workers.push(read_worker(rest)),
                "pool" => {
                    let (pool, kept) = read_pool(rest);
                    scenario.fleet.pools.push(pool);
                    scenario.kept.push(kept);
                }
                "idle" => scenario.idle = rest.split(' ').map(named).collect(),
                "quota" => {
                    let (workspace, limits) = read_quota(rest);
                    let quotas = scenario.policy.quotas.get_or_insert_with(Quotas::default);
                    quotas.default = QuotaLimits::UNLIMITED;
                    quotas.workspaces.insert(workspace, limits);
                }
                "used" => {
                    let (workspace, limits) = read_quota(rest);
                    scenario.fleet.usage.insert(workspace, usage(limits));
                }
                "request" => {
                    let position = u32::try_from(scenario.batch.len()).expect("a small batch");
                    scenario.batch.push(read_request(rest, position));
                }
                "lot" => lots.push(rest),
                _ => panic!("no such line: {line}"),
            }
        }
        let mut fleet = Fleet::of(workers);
        (fleet.usage, fleet.pools) = (scenario.fleet.usage, scenario.fleet.pools);
        fleet.lots =
            lots.iter().map(|rest| read_lot(rest, &scenario.batch)).map(|row| (row.key.clone(), row)).collect();
        Self { fleet, ..scenario }
    }

    /// The new workers for what `verdicts` left unplaced, once the rest is booked.
    pub(crate) fn growth(&self, verdicts: &[Verdict]) -> Vec<NewWorkers> {
        let mut fleet = self.fleet.clone();
        let mut unplaced = Vec::new();
        for (candidate, verdict) in self.batch.iter().zip(verdicts) {
            match verdict {
                Verdict::Place { worker, booking, .. } => {
                    fleet.book(worker, &candidate.ask, booking);
                }
                Verdict::Wait { .. } if verdict.is_demand() => unplaced.push(Demand::of_one(candidate)),
                Verdict::Wait { .. } => {}
            }
        }
        new_workers(&self.rooms(), &fleet, &unplaced, &self.policy).new_workers
    }

    /// The pools as they may change now.
    pub(crate) fn rooms(&self) -> Vec<PoolRoom<'_>> {
        let pools = self.fleet.pools.iter().zip(&self.kept);
        let room = |(template, kept): (_, &Kept)| {
            let Kept { workers_min, warm, may_add } = *kept;
            PoolRoom { template, workers_min, warm, may_add }
        };
        pools.map(room).collect()
    }

    /// What the fleet should grow by for the batch and the lots, none of which is placed yet.
    pub(crate) fn open_growth(&self) -> Growth {
        new_workers(&self.rooms(), &self.fleet, &open_demand(&self.fleet.lots, &self.batch), &self.policy)
    }

    /// The idle workers that may go.
    pub(crate) fn surplus(&self) -> Vec<WorkerId> {
        let demand = open_demand(&self.fleet.lots, &self.batch);
        surplus(&self.rooms(), &self.fleet, &self.idle, &demand, &self.policy)
    }

    /// The same with so many more available workers of each pool.
    pub(crate) fn with_workers(&self, counts: &BTreeMap<PoolName, u64>) -> Self {
        let mut fleet = self.fleet.clone();
        for pool in &self.fleet.pools {
            for n in 0..counts.get(&pool.name).copied().unwrap_or(0) {
                let (spec, status, used) = (Arc::clone(&pool.spec), Status::Available, Used::default());
                let id = named(&format!("{}-new-{n}", pool.name));
                fleet.put(Worker { id, spec, status, incarnation: Incarnation(1), used });
            }
        }
        Self { fleet, ..self.clone() }
    }

    fn read_policy(&mut self, rest: &str) {
        let policy = &mut self.policy;
        for (name, value) in fields(rest) {
            match name {
                "strategy" => policy.strategy = if value == "spread" { Strategy::Spread } else { Strategy::BestFit },
                "overhead" => policy.memory_overhead_percent = value.parse().expect(value),
                "cpu_on_gpu_workers" => policy.cpu_on_gpu_workers = CpuOnGpuWorkers::Allowed,
                _ => {
                    let kind = name.strip_prefix("failover.").expect(name);
                    policy.failover.insert(GpuType::new(kind).expect(kind), value.split(',').map(named).collect());
                }
            }
        }
    }
}

fn fields(rest: &str) -> impl Iterator<Item = (&str, &str)> {
    rest.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")))
}

fn named<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect(text)
}

fn name_and_fields(rest: &str) -> (&str, &str) {
    rest.split_once(' ').unwrap_or((rest, ""))
}

fn cpu(text: &str, rounding: Rounding) -> u64 {
    parse_cpu_milli(text, rounding).expect(text)
}

fn memory(text: &str, rounding: Rounding) -> u64 {
    parse_memory_mib(text, rounding).expect(text)
}

fn blank_spec() -> WorkerSpec {
    WorkerSpec::plain(
        named(DEFAULT_POOL),
        named(DEFAULT_RUNTIME),
        Capacity { cpu_milli: 4000, memory_mib: 16 * 1024, ..Capacity::default() },
    )
}

/// Takes a field that says what a worker is, or leaves it.
fn read_spec_field(spec: &mut WorkerSpec, name: &str, value: &str) -> bool {
    match name {
        "pool" => spec.pool = named(value),
        "cpu" => spec.total.cpu_milli = cpu(value, Rounding::Down),
        "memory" => spec.total.memory_mib = memory(value, Rounding::Down),
        "gpu" => {
            let (kind, count) = value.split_once(':').unwrap_or((value, "1"));
            spec.total.gpu_type = Some(GpuType::new(kind).expect(kind));
            spec.total.gpu_count = count.parse().expect(count);
        }
        "priority" => spec.priority = value.parse().expect(value),
        "preemptible" => spec.preemptible = true,
        "requires_pool_selector" => spec.requires_pool_selector = true,
        "machine" => spec.machine = Some(named(value)),
        "workspace" => spec.workspace = Some(named(value)),
        "runtime" => spec.runtimes = value.split(',').map(named).collect(),
        _ => match name.strip_prefix("label.") {
            Some(label) => drop(spec.labels.insert(label.into(), value.into())),
            None => return false,
        },
    }
    true
}

fn read_worker(rest: &str) -> Worker {
    let (id, rest) = name_and_fields(rest);
    let (mut spec, mut used, mut status) = (blank_spec(), Used::default(), Status::Available);
    for (name, value) in fields(rest) {
        match name {
            "status" => status = read_status(value),
            "used.cpu" => used.cpu_milli = cpu(value, Rounding::Up),
            "used.memory" => used.memory_mib = memory(value, Rounding::Up),
            "used.gpu" => used.gpu_milli = value.split(',').map(|milli| milli.parse().expect(milli)).collect(),
            _ => assert!(read_spec_field(&mut spec, name, value), "a worker has no {name}"),
        }
    }
    Worker { id: named(id), spec: Arc::new(spec), status, incarnation: Incarnation(1), used }
}

fn read_status(word: &str) -> Status {
    use Status::{Available, Cordoned, Drained, Draining, Lost, Pending};
    let all = [Available, Cordoned, Drained, Draining, Lost, Pending];
    all.into_iter().find(|status| status.as_str() == word).expect(word)
}

fn read_pool(rest: &str) -> (PoolTemplate, Kept) {
    let (pool, rest) = name_and_fields(rest);
    let (mut spec, mut workers_max) = (WorkerSpec { pool: named(pool), ..blank_spec() }, 10);
    let mut kept = Kept { workers_min: 0, warm: 0, may_add: u64::MAX };
    for (name, value) in fields(rest) {
        match name {
            "max" => workers_max = value.parse().expect(value),
            "min" => kept.workers_min = value.parse().expect(value),
            "warm" => kept.warm = value.parse().expect(value),
            "add" => kept.may_add = value.parse().expect(value),
            _ => assert!(read_spec_field(&mut spec, name, value), "a pool has no {name}"),
        }
    }
    (PoolTemplate { name: named(pool), spec: Arc::new(spec), workers_max }, kept)
}

fn read_quota(rest: &str) -> (Workspace, QuotaLimits) {
    let (workspace, rest) = name_and_fields(rest);
    let mut limits = QuotaLimits::UNLIMITED;
    for (name, value) in fields(rest) {
        match name {
            "cpu" => limits.cpu_milli = Limit::AtMost(cpu(value, Rounding::Down)),
            "memory" => limits.memory_mib = Limit::AtMost(memory(value, Rounding::Down)),
            "gpus" => limits.gpu_milli = Limit::AtMost(parse_gpu_milli(value, Rounding::Down).expect(value)),
            "containers" => limits.containers = Limit::AtMost(parse_whole(value).expect(value)),
            _ => panic!("a quota has no {name}"),
        }
    }
    (named(workspace), limits)
}

fn usage(limits: QuotaLimits) -> Usage {
    let amount = |limit| if let Limit::AtMost(amount) = limit { amount } else { 0 };
    Usage {
        cpu_milli: amount(limits.cpu_milli),
        memory_mib: amount(limits.memory_mib),
        gpu_milli: amount(limits.gpu_milli),
        containers: amount(limits.containers),
    }
}

fn read_request(rest: &str, position: u32) -> Candidate {
    let (id, rest) = name_and_fields(rest);
    let mut ask = Ask::plain(named("default"), 1000, 1024);
    let (mut rank, mut lot) = (i64::from(position), "");
    for (name, value) in fields(rest) {
        match name {
            "workspace" => ask.workspace = named(value),
            "cpu" => ask.cpu_milli = cpu(value, Rounding::Up),
            "memory" => ask.memory_mib = memory(value, Rounding::Up),
            "gpu" => ask.gpu = Some(read_gpu_ask(value)),
            "pool" => ask.pool = Some(named(value)),
            "machine" => ask.machine = Some(named(value)),
            "runtime" => ask.runtime = Some(named(value)),
            "preemptible" => ask.preemptible = true,
            "affinity" => ask.affinity = Some(value.into()),
            "key" => rank = value.parse().expect(value),
            "lot" => lot = value,
            _ => {
                let label = name.strip_prefix("label.").expect(name);
                ask.labels.insert(label.into(), value.into());
            }
        }
    }
    let lot = match lot {
        "" => None,
        "shape" => Some(LotKey::Shape(ask.shape())),
        "quota" => Some(LotKey::Quota(ask.workspace.clone())),
        _ => panic!("no such lot: {lot}"),
    };
    let key = OrderKey { rank, revision: Revision(1), position };
    ask.check().expect("a request that a store would accept");
    Candidate { id: named(id), key, attempt: Attempt(0), ask: Arc::new(ask), if_silent: IfSilent::Stop, lot }
}

fn read_gpu_ask(text: &str) -> GpuAsk {
    let (kinds, amount) = text.split_once(':').unwrap_or((text, "1"));
    let (count, milli) = amount.split_once('x').unwrap_or((amount, "1000"));
    let types = match kinds {
        "any" => GpuWish::Any,
        _ => GpuWish::OneOf(kinds.split('|').map(|kind| GpuType::new(kind).expect(kind)).collect()),
    };
    GpuAsk { types, count: count.parse().expect(count), milli: milli.parse().expect(milli) }
}

fn read_lot(rest: &str, batch: &[Candidate]) -> LotRow {
    let (mut key, mut ask, mut count, mut first) = (LotKey::Corrupt, None, 1, OrderKey::default());
    let named_like = |id: &str| batch.iter().find(|candidate| candidate.id.as_str() == id);
    for (name, value) in fields(rest) {
        match name {
            "like" => {
                let like = named_like(value).expect(value);
                (key, ask) = (LotKey::Shape(like.ask.shape()), Some(Arc::clone(&like.ask)));
            }
            "quota" => key = LotKey::Quota(named(value)),
            "count" => count = value.parse().expect(value),
            "first" => match named_like(value) {
                Some(candidate) => {
                    first = candidate.key;
                    ask.get_or_insert_with(|| Arc::clone(&candidate.ask));
                }
                None => first.rank = value.parse().expect(value),
            },
            _ => panic!("a lot has no {name}"),
        }
    }
    LotRow { key, ask, count, first, why: Why::NoWorkers, changed: Revision(1) }
}
