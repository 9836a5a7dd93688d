//! 100 requests at once, one at a time under locks (`old_flow`) and in batches: the same server, the same proxy before it,
//! the same workers and requests, in turns.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Proxy, Server};
use anyhow::ensure;
use domain::batch::BatchPolicy;
use domain::request::Submission;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::cell::{Cell, room_for, submission};
use super::live::Live;
use super::old_flow::{self, OldFlow};
use super::result::{Output, Table, Value};
use super::samples::{Samples, float, millis};
use super::server::{self, CommandCounts};

const REQUESTS: usize = 100;
/// 10 cpu and 20 GiB.
const CONTAINERS_PER_WORKER: u64 = 5;
const WORKERS: [usize; 2] = [20, 40];
/// Of the proxy, in each direction.
const DELAYS_MS: [u64; 2] = [0, 1];
/// Of the old flow, between two tries of a lock.
const PAUSES_MS: [u64; 3] = [0, 10, 100];
const RUNS: u32 = 30;
/// The target: from submit to handed over, on 20 workers without delay.
const GOAL_MS: f64 = 5.0;
/// Longer than the planner's look at the fleet serves: each burst begins with a look, as after a quiet moment.
const QUIET: Duration = Duration::from_millis(600);

const COLUMNS: &[(&str, &str)] = &[
    ("flow", ""),
    ("workers", ""),
    ("delay each way", "ms"),
    ("retry pause", "ms"),
    ("time p50", "ms"),
    ("time p99", "ms"),
    ("all placed p50", "ms"),
    ("times faster", ""),
    ("times faster to all placed", ""),
    ("locks taken", ""),
    ("lock waits", ""),
    ("stale reads", ""),
    ("store calls", ""),
    ("calls in a decision", ""),
    ("round trips in a decision", ""),
    ("workers asked", ""),
    ("not placed", ""),
    ("cache hits", "%"),
    ("workers used", ""),
];

/// What is varied.
#[derive(Clone, Copy)]
struct Case {
    workers: usize,
    delay_ms: u64,
    pause_ms: u64,
}

/// What one burst took and did.
#[derive(Default)]
struct Run {
    time_ms: f64,
    /// Until those were placed too that were out of tries at first.
    all_placed_ms: f64,
    locks: f64,
    lock_waits: f64,
    stale_reads: f64,
    calls: f64,
    /// A decision is a request of the old flow, and a batch of ours.
    calls_of_decision: f64,
    round_trips_of_decision: f64,
    workers_asked: f64,
    not_placed: f64,
    cache_hits_percent: f64,
    workers_used: f64,
}

/// All runs of one flow.
#[derive(Default)]
struct Flow(Vec<Run>);

impl Flow {
    fn of(&self, of: impl Fn(&Run) -> f64) -> Samples {
        let mut samples = Samples::default();
        self.0.iter().for_each(|run| samples.push(of(run)));
        samples
    }

    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        self.of(of).median()
    }

    fn max(&self, of: impl Fn(&Run) -> f64) -> f64 {
        self.of(of).percentile(100)
    }
}

pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let runs = output.runs(RUNS);
    let about = format!(
        "{REQUESTS} requests of 2 cpu and 4 GiB at once, on workers of 10 cpu and 20 GiB, Redis without AOF, all through \
         one proxy. Of each run the total; medians of {runs} runs, the flows in turns."
    );
    let mut table = output.table("before-after", "Before and after", about, runs, COLUMNS);
    seeds_claims(&mut table);
    let mut judged = Judged::default();
    for case in cases(output.is_quick()) {
        let (old, ours) = measure_case(case, runs).await?;
        judged.take(case, &old, &ours);
        table.rows.push(row("one at a time", case, &old, None));
        table.rows.push(row("batches", case, &ours, Some(&old)));
        output.keep(&table)?;
    }
    table.notes = judged.notes();
    table.notes.extend(READING.map(String::from));
    output.put(&table)
}

/// How many times faster batches are than one at a time, without delays.
pub(crate) async fn times_faster_alone(runs: u32) -> anyhow::Result<f64> {
    let (old, ours) = measure_case(Case { workers: WORKERS[0], delay_ms: 0, pause_ms: 0 }, runs).await?;
    Ok(times_faster(&ours, &old, |run| run.time_ms))
}

fn cases(quick: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for workers in WORKERS {
        for delay_ms in DELAYS_MS {
            for pause_ms in PAUSES_MS {
                cases.push(Case { workers, delay_ms, pause_ms });
            }
        }
    }
    cases.truncate(if quick { 1 } else { cases.len() });
    cases
}

/// One bench cell of each flow behind one proxy.
async fn measure_case(case: Case, runs: u32) -> anyhow::Result<(Flow, Flow)> {
    let server = server::start(Appendonly::Off);
    let proxy = Proxy::before(&server);
    let room = room_for(CONTAINERS_PER_WORKER);
    let old_flow = Arc::new(OldFlow::connect(&proxy.url(), case.workers, room.clone()).await?);
    let cell = Cell::with_workers(server::open(&proxy.url())?, "bench", case.workers, room).await?;
    let mut live = Live::start(cell, BatchPolicy::BALANCED).await?;
    proxy.delay(Duration::from_millis(case.delay_ms));
    let (mut old, mut ours) = (Flow::default(), Flow::default());
    for run in 0..=runs {
        let requests = (0..REQUESTS).map(|number| submission(&format!("r{run}-{number}")));
        let requests: Vec<Submission> = requests.collect::<anyhow::Result<_>>()?;
        tokio::time::sleep(QUIET).await;
        let of_old = run_old(case, &old_flow, &server, &requests).await?;
        tokio::time::sleep(QUIET).await;
        let of_ours = run_ours(&mut live, &server, &proxy, requests).await?;
        // The first run loads scripts.
        if run > 0 {
            old.0.push(of_old);
            ours.0.push(of_ours);
        }
    }
    live.stop().await;
    Ok((old, ours))
}

async fn run_old(case: Case, old_flow: &Arc<OldFlow>, server: &Server, requests: &[Submission]) -> anyhow::Result<Run> {
    old_flow.reset().await?;
    let before = CommandCounts::of(server);
    let burst = old_flow.burst(requests, Duration::from_millis(case.pause_ms)).await?;
    let calls = float(CommandCounts::of(server).since(&before, &old_flow::COMMANDS));
    let until_all = old_flow.finish(&burst, Duration::from_millis(case.pause_ms)).await?;
    let workers_used = old_flow.audit(requests.len()).await?;
    // One after the other: each call is a round trip.
    let calls_of_decision = calls / float(requests.len());
    Ok(Run {
        time_ms: millis(burst.took),
        all_placed_ms: millis(burst.took + until_all),
        locks: float(burst.locks),
        lock_waits: float(burst.lock_waits),
        stale_reads: float(burst.stale),
        calls,
        calls_of_decision,
        round_trips_of_decision: calls_of_decision,
        workers_asked: float(burst.workers_asked),
        not_placed: float(burst.left.len()),
        cache_hits_percent: 0.0,
        workers_used: float(workers_used),
    })
}

async fn run_ours(live: &mut Live, server: &Server, proxy: &Proxy, requests: Vec<Submission>) -> anyhow::Result<Run> {
    let count = requests.len();
    let (counts, commands) = (live.counts(), CommandCounts::of(server));
    proxy.forget_counts();
    let began = submit_all(&live.cell, requests).await?;
    let handed = live.handed_over(count).await?;
    let round_trips = float(proxy.round_trips_of(PLANNER));
    let locks = ["SET", "SETNX", "WATCH"].map(|command| proxy.calls(command)).iter().sum::<u64>();
    let calls = float(CommandCounts::of(server).since(&commands, &[SCRIPT]));
    let now = live.counts();
    let last = handed.iter().map(|handed| handed.at).max().unwrap_or(began);
    let placed = handed.iter().map(|handed| &handed.placement.container).collect::<BTreeSet<_>>().len();
    ensure!(placed == count, "{count} were handed over, and only {placed} of them once");
    let workers = handed.iter().map(|handed| handed.worker).collect::<BTreeSet<_>>().len();
    let batches = now.since(&counts, "stowplan_batch_size_count").max(1.0);
    let planners: f64 = ["next", "look", "commit"].iter().map(|name| now.calls_since(&counts, name)).sum();
    live.report_ended(handed).await?;
    Ok(Run {
        time_ms: millis(last - began),
        all_placed_ms: millis(last - began),
        locks: float(locks),
        lock_waits: 0.0,
        stale_reads: 0.0,
        calls,
        calls_of_decision: planners / batches,
        round_trips_of_decision: round_trips / batches,
        workers_asked: now.since(&counts, "stowplan_worker_additions_total"),
        not_placed: float(count - placed),
        cache_hits_percent: 100.0 * now.since(&counts, "stowplan_fleet_cache_hits_total") / batches,
        workers_used: float(workers),
    })
}

/// What every call of ours is, as the server counts it. No script calls it.
const SCRIPT: &str = "evalsha";
/// The name of the planner's connection.
const PLANNER: &str = "stowplan-planner";

/// Submits all at once, each in a task of its own; answers when that began.
async fn submit_all(cell: &Arc<Cell>, requests: Vec<Submission>) -> anyhow::Result<Instant> {
    let gate = Arc::new(Barrier::new(requests.len() + 1));
    let mut submitting = JoinSet::new();
    for request in requests {
        let (cell, gate) = (Arc::clone(cell), Arc::clone(&gate));
        submitting.spawn(async move {
            gate.wait().await;
            cell.submit(vec![request]).await
        });
    }
    let began = Instant::now();
    gate.wait().await;
    submitting.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    Ok(began)
}

/// The seed's own words, for what it says nothing of there is nothing here.
fn seeds_claims(table: &mut Table) {
    let claim = |flow: &str, time: &str, locks: &str, calls: &str, asked: &str| {
        let mut row = vec![Value::None; COLUMNS.len()];
        let claims = [
            ("flow", flow),
            ("time p50", time),
            ("locks taken", locks),
            ("store calls", calls),
            ("workers asked", asked),
        ];
        for (name, claim) in claims {
            if let Some(place) = COLUMNS.iter().position(|column| column.0 == name) {
                row[place] = claim.into();
            }
        }
        row
    };
    table.rows.push(claim("seed, before", "5,000-8,000", "100", "200", "50+"));
    table.rows.push(claim("seed, after", "1,500-2,000", "20", "2", "0"));
}

fn row(name: &str, case: Case, flow: &Flow, than: Option<&Flow>) -> Vec<Value> {
    let median = |of: fn(&Run) -> f64| Value::from(flow.median(of));
    let time = flow.of(|run| run.time_ms);
    vec![
        name.into(),
        case.workers.into(),
        Value::Count(case.delay_ms),
        if than.is_some() { Value::None } else { Value::Count(case.pause_ms) },
        time.median().into(),
        time.percentile(99).into(),
        median(|run| run.all_placed_ms),
        than.map_or(Value::None, |than| times_faster(flow, than, |run| run.time_ms).into()),
        than.map_or(Value::None, |than| times_faster(flow, than, |run| run.all_placed_ms).into()),
        median(|run| run.locks),
        median(|run| run.lock_waits),
        median(|run| run.stale_reads),
        median(|run| run.calls),
        median(|run| run.calls_of_decision),
        median(|run| run.round_trips_of_decision),
        median(|run| run.workers_asked),
        median(|run| run.not_placed),
        median(|run| run.cache_hits_percent),
        median(|run| run.workers_used),
    ]
}

/// The median of the ratios of runs that followed each other: what else the machine did touched both.
fn times_faster(ours: &Flow, old: &Flow, of: fn(&Run) -> f64) -> f64 {
    let mut ratios = Samples::default();
    ours.0.iter().zip(&old.0).for_each(|(ours, old)| ratios.push(of(old) / of(ours)));
    ratios.median()
}

/// Which targets were missed, and where.
#[derive(Default)]
struct Judged {
    rows: usize,
    faster: usize,
    faster_to_all: usize,
    lone_ms: Option<f64>,
    most: Run,
}

impl Judged {
    fn take(&mut self, case: Case, old: &Flow, ours: &Flow) {
        self.rows += 1;
        self.faster += usize::from(times_faster(ours, old, |run| run.time_ms) > 1.0);
        self.faster_to_all += usize::from(times_faster(ours, old, |run| run.all_placed_ms) > 1.0);
        if (case.workers, case.delay_ms) == (WORKERS[0], 0) {
            let ms = ours.median(|run| run.time_ms);
            self.lone_ms = Some(self.lone_ms.map_or(ms, |least| least.max(ms)));
        }
        let most = &mut self.most;
        most.locks = most.locks.max(ours.max(|run| run.locks));
        most.workers_asked = most.workers_asked.max(ours.max(|run| run.workers_asked));
        most.not_placed = most.not_placed.max(ours.max(|run| run.not_placed));
        most.calls_of_decision = most.calls_of_decision.max(ours.median(|run| run.calls_of_decision));
        most.round_trips_of_decision = most.round_trips_of_decision.max(ours.median(|run| run.round_trips_of_decision));
    }

    fn notes(&self) -> Vec<String> {
        let Self { rows, faster, faster_to_all, most, .. } = self;
        let met = |is_met: bool| if is_met { "met" } else { "missed" };
        let ms = self.lone_ms.unwrap_or(f64::NAN);
        vec![
            format!(
                "Target, {}: submit to handed over on 20 workers without delay below {GOAL_MS} ms: {ms:.2} ms, the greatest \
                 median of the rows.",
                met(ms < GOAL_MS)
            ),
            format!(
                "Target, {}: faster than the old flow in every row, though that gives up on some: in {faster} of {rows}; \
                 faster to all placed in {faster_to_all}.",
                met(faster == rows)
            ),
            format!(
                "Target, {}: at most 3 calls in 2 round trips a batch: medians of up to {:.1} in {:.1}. Reads that found \
                 nobody waiting are counted too.",
                met(most.calls_of_decision <= 3.0 && most.round_trips_of_decision <= 2.0),
                most.calls_of_decision,
                most.round_trips_of_decision
            ),
            format!(
                "Target, {}: no lock, no needless worker, all placed, in any run: at most {:.0} locks, {:.0} workers, {:.0} \
                 not placed.",
                met(most.locks + most.workers_asked + most.not_placed == 0.0),
                most.locks,
                most.workers_asked,
                most.not_placed
            ),
        ]
    }
}

/// How the columns are to be read.
const READING: [&str; 4] = [
    "Time: of the old flow from the start of its tasks until each request was in a queue or out of tries; of ours from the \
     first submit until the last order was taken, submits and takes included. Those out of tries began again together, uncounted: \
     all placed. Of fewer than 100 runs, p99 is the longest.",
    "Calls: those that clients sent, by the server's count; of ours with submits and takes. A decision is a request of the \
     old flow, whose calls follow each other, and a batch of ours, with the planner's calls alone.",
    "The old flow keeps workers in one hash, in our encoding, spreads requests over those that fit, begins again without \
     loss when a worker was changed under it, shares 3 connections without a PING, and waits for no take.",
    "The fleet of 20 is full with the last request; a worker asked for is needless in every row.",
];
