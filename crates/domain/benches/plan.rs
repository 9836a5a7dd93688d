//! How many requests a second are planned and booked: `cargo bench -p domain --bench plan [-- WORD..]`.
//!
//! Each line is one JSON object. Times are those that the processor spent on it, so that others on the machine matter
//! little. Batches are planned as the scheduler does it: against one fleet that lives on and in
//! which every placement is booked, and that counts into the time. A WORD is a number of workers, a state, a strategy
//! or `batch=N`; only what has all of them is measured, with batches of 1,000 if none is named.
//!
//! - `filling`: an empty fleet takes batch after batch until it refuses some, and then another begins;
//! - `full`: nothing but what a few ends give back has room;
//! - `gathering`: filling, and every request has one of 100 affinities.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::fleet::{Fleet, Policy, Strategy};
use domain::id::{Attempt, ContainerId, GpuType, Incarnation, PoolName, Revision, Runtime, WorkerId, Workspace};
use domain::ledger;
use domain::placement::{Candidate, Verdict, place_on, plan};
use domain::request::{Ask, GpuAsk, GpuWish, IfSilent, OrderKey};
use domain::resources::{Booking, Capacity, Used};
use domain::worker::{Status, Worker, WorkerSpec};
use rustix::time::{ClockId, clock_gettime};

const SHAPES: usize = 100;
const FLEETS: [usize; 3] = [1_000, 10_000, 100_000];
const STATES: [&str; 3] = ["filling", "full", "gathering"];
const STRATEGIES: [(&str, Strategy); 2] = [("best-fit", Strategy::BestFit), ("spread", Strategy::Spread)];
/// How long each line is measured.
const PERIOD: Duration = Duration::from_secs(3);

fn main() {
    // `cargo bench` adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let size =
        words.iter().find_map(|word| word.strip_prefix("batch=")).map_or(1_000, |size| size.parse().expect("a number"));
    for workers in FLEETS {
        for state in STATES {
            for (name, strategy) in STRATEGIES {
                let tags = [workers.to_string(), state.to_owned(), name.to_owned()];
                if words.iter().all(|word| word.starts_with("batch=") || tags.contains(word)) {
                    let measured = measure(workers, state, strategy, size);
                    println!(
                        r#"{{"workers":{workers},"state":"{state}","strategy":"{name}","batch":{size},{measured}}}"#
                    );
                }
            }
        }
    }
}

/// A generator that needs no crate: the same requests meet the same fleets in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

/// What is asked, in as many shapes as [`SHAPES`]; one in five asks for GPUs, one in four of these for shares.
fn asks(dice: &mut Dice) -> Vec<Ask> {
    let ask = |n: usize| {
        let cpu_milli = dice.one_of(&[250, 500, 1000, 1000, 2000, 4000, 8000]) + (n as u64) * 10;
        let memory_mib = cpu_milli * dice.one_of(&[1, 2, 4, 8]);
        let workspace: Workspace = name(&format!("team-{}", n % 10));
        let mut ask = Ask::plain(workspace, cpu_milli, memory_mib);
        if n.is_multiple_of(5) {
            let milli = dice.one_of(&[1000, 1000, 1000, 250]);
            let count = if milli == 1000 { dice.one_of(&[1, 1, 2, 4]) } else { 1 };
            let types = dice.one_of(&[&["T4"][..], &["A100"], &["A100", "T4"], &[]]);
            let types: Vec<GpuType> = types.iter().map(|kind| GpuType::new(kind).expect("a name")).collect();
            let types = if types.is_empty() { GpuWish::Any } else { GpuWish::OneOf(types) };
            ask.gpu = Some(GpuAsk { types, count, milli });
        }
        if n.is_multiple_of(20) {
            ask.labels.insert("zone".into(), dice.one_of(&["a", "b", "c"]).into());
        }
        ask
    };
    (1..=SHAPES).map(ask).collect()
}

/// Machines of five sizes in three pools, no two of exactly the same memory within some hundred.
fn fleet(workers: usize, dice: &mut Dice) -> Fleet {
    let worker = |n: usize| {
        let (pool, cpus, memory_gib, gpus, kind) = dice.one_of(&[
            ("small", 16, 64, 0, ""),
            ("small", 16, 32, 0, ""),
            ("large", 64, 256, 0, ""),
            ("large", 96, 384, 4, "T4"),
            ("gpu", 128, 1024, 8, "A100"),
        ]);
        let total = Capacity {
            cpu_milli: cpus * 1000,
            memory_mib: memory_gib * 1024 - dice.below(100) as u64,
            gpu_type: (gpus > 0).then(|| GpuType::new(kind).expect("a name")),
            gpu_count: gpus,
        };
        let mut spec = WorkerSpec::plain(name::<PoolName>(pool), name::<Runtime>("process"), total);
        spec.machine = Some(name(&format!("host-{n}")));
        spec.labels.insert("zone".into(), dice.one_of(&["a", "b", "c"]).into());
        let id: WorkerId = name(&format!("worker-{n:06}"));
        Worker {
            id,
            spec: Arc::new(spec),
            status: Status::Available,
            incarnation: Incarnation(1),
            used: Used::default(),
        }
    };
    Fleet::of((0..workers).map(worker))
}

/// What runs where, to be ended.
type Running = Vec<(WorkerId, Booking)>;

/// Books on every worker whatever fits until hardly anything does.
fn fill(fleet: &mut Fleet, asks: &[Ask], policy: &Policy) -> Running {
    let mut running = Running::new();
    let mut workers = fleet.workers().to_vec();
    for worker in &mut workers {
        for ask in asks.iter().rev().chain(asks.iter().rev()) {
            while let Ok(booking) = place_on(worker, ask, policy) {
                ledger::adopt(&mut worker.used, &booking);
                running.push((worker.id.clone(), booking));
            }
        }
    }
    *fleet = Fleet::of(workers);
    running
}

/// Ends a few, as a look shows them.
fn end(fleet: &mut Fleet, running: &mut Running, count: usize, dice: &mut Dice) {
    for _ in 0..count {
        let (id, booking) = running.swap_remove(dice.below(running.len()));
        let mut worker = fleet.worker(&id).expect("it is there").clone();
        ledger::release(&mut worker.used, &booking, &id);
        worker.spec = Arc::new((*worker.spec).clone());
        fleet.put(worker);
    }
}

fn batch(asks: &[Ask], size: usize, state: &str, dice: &mut Dice) -> Vec<Candidate> {
    let candidate = |n: usize| {
        let mut ask = asks[dice.below(asks.len())].clone();
        if state == "gathering" {
            ask.affinity = Some(format!("model-{}", dice.below(100)).into());
        }
        Candidate {
            id: name::<ContainerId>(&format!("request-{n}")),
            key: OrderKey { rank: 0, revision: Revision(1), position: u32::try_from(n).expect("it is small") },
            attempt: Attempt(0),
            // Each is a value of its own, as it is when it was read from a store.
            ask: Arc::new(ask),
            if_silent: IfSilent::Stop,
            lot: None,
        }
    };
    (0..size).map(candidate).collect()
}

/// What this thread has had of a processor so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).expect("no clock goes back"), u32::try_from(time.tv_nsec).expect("nanos"))
}

fn since(began: Duration) -> Duration {
    processor_time().saturating_sub(began)
}

/// Plans and books one batch; answers how long each took, and what was placed.
fn turn(fleet: &mut Fleet, batch: &[Candidate], policy: &Policy) -> (Duration, Duration, Running) {
    let began = processor_time();
    let verdicts = plan(fleet, batch, policy);
    let planned = since(began);
    let placed = batch.iter().zip(&verdicts).filter_map(|(candidate, verdict)| match verdict {
        Verdict::Place { worker, booking, .. } => Some((worker, &*candidate.ask, booking)),
        Verdict::Wait { .. } => None,
    });
    fleet.book_all(placed);
    let took = since(began);
    let placed = verdicts.into_iter().filter_map(|verdict| match verdict {
        Verdict::Place { worker, booking, .. } => Some((worker, booking)),
        Verdict::Wait { .. } => None,
    });
    (planned, took.saturating_sub(planned), placed.collect())
}

fn measure(workers: usize, state: &str, strategy: Strategy, size: usize) -> String {
    let mut dice = Dice(7);
    let policy = Policy { strategy, ..Policy::default() };
    let asks = asks(&mut dice);
    let empty = fleet(workers, &mut dice);
    let mut fleet = empty.clone();
    let mut running = if state == "full" { fill(&mut fleet, &asks, &policy) } else { Running::new() };
    // A store has been planned for before: what is worked out once is not measured.
    turn(&mut fleet, &batch(&asks, size, state, &mut dice), &policy);
    let (mut planning, mut booking, mut requests, mut placed_in_all, mut fills) =
        (Duration::ZERO, Duration::ZERO, 0, 0, 0);
    let (began, mut turns) = (Instant::now(), 0);
    while turns < 3 || began.elapsed() < PERIOD {
        if state == "full" {
            let began = processor_time();
            end(&mut fleet, &mut running, size / 100, &mut dice);
            booking += since(began);
        }
        let batch = batch(&asks, size, state, &mut dice);
        let (planned, booked, placed) = turn(&mut fleet, &batch, &policy);
        (planning, booking, requests, turns) = (planning + planned, booking + booked, requests + size, turns + 1);
        placed_in_all += placed.len();
        if state == "full" {
            running.extend(placed);
        } else if placed.len() < size * 9 / 10 {
            fleet = empty.clone();
            fills += 1;
        }
    }
    let nanos = |period: Duration| period.as_nanos() / requests as u128;
    format!(
        r#""requests":{requests},"placed":{placed_in_all},"fills":{fills},"plan_ns":{},"book_ns":{},"requests_per_second":{}"#,
        nanos(planning),
        nanos(booking),
        1_000_000_000 / nanos(planning + booking),
    )
}
