//! The whole life of containers: submitted, placed, taken, run and ended, by a server and agents as they are shipped.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use app::api::container::ContainerList;
use serde_json::{Value as Json, json};

use super::counts::Counts;
use super::program::{Serving, Store, computed_ms};
use super::result::{Output, Table, Value};
use super::samples::{Samples, float};

/// Agents' processes, and the cpu of each: all that is submitted has room.
const AGENTS: usize = 4;
const AGENT_CPU: u32 = 1_000_000;
/// How many containers a run submits.
const CONTAINERS: usize = 50_000;
const CONTAINERS_QUICK: usize = 2_000;
/// How many come in a call, and how many calls are under way at once.
const OF_CALL: usize = 1_000;
const CALLS: usize = 2;
/// Flags of the server: large batches, work for all agents, and all that ended is remembered until it has been counted.
const FLAGS: [&str; 8] =
    ["--preset", "throughput", "--max-batch-size", "1000", "--strategy", "spread", "--keep-ended-max", "10000000"];
/// What the containers do. The first ends when it is started; of the others two reports are sent, running and ended.
const WORK: [(&str, &[&str]); 2] = [("nothing", &["true"]), ("sleep 0.1 s", &["sleep", "0.1"])];
/// What the whole life is to reach, and Redis better still, in containers a second.
const GOALS: [(Store, f64); 2] = [(Store::Redis, 12_000.0), (Store::Embedded, 5_000.0)];
const STRETCH: f64 = 20_000.0;

/// One run, in containers a second and in microseconds of a core a container.
struct Run {
    rate: f64,
    submitted_rate: f64,
    server_us: f64,
    redis_us: f64,
    agents_us: f64,
    clients_us: f64,
    batch: f64,
    take: f64,
    report: f64,
}

pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let (runs, count) = (output.runs(3), if output.is_quick() { CONTAINERS_QUICK } else { CONTAINERS });
    let about = format!(
        "{count} containers submitted over HTTP in calls of {OF_CALL}, {CALLS} at once, by one process; `stowplan serve`, and \
         {AGENTS} processes of `stowplan agent --executor simulate`, each with room for all. Timed from the first submit until \
         none waits or is at a worker. All processes and Redis share {} cores.",
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    let mut table = output.table("life", "Whole life: submit to ended", about, runs, &COLUMNS);
    let rows: Vec<_> = WORK.iter().flat_map(|work| Store::BOTH.map(|store| (*work, store))).collect();
    let mut measured: Vec<Vec<Run>> = rows.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (((_, command), store), runs) in rows.iter().zip(&mut measured) {
            runs.push(run(*store, command, count).await?);
        }
    }
    for (((work, _), store), runs) in rows.iter().zip(&measured) {
        table.rows.push(row(work, *store, runs));
    }
    table.notes = notes(&table);
    output.put(&table)
}

/// How many containers a second a server takes in that nobody runs, and how many live their whole life, with Redis.
pub(crate) async fn bare_and_whole(count: usize) -> anyhow::Result<(f64, f64)> {
    let serving = Serving::start(Store::Redis, &FLAGS).await?;
    let calls = calls(WORK[0].1, "bare", count)?;
    let began = Instant::now();
    serving.submit(calls, CALLS).await?;
    let bare = float(count) / began.elapsed().as_secs_f64();
    drop(serving);
    Ok((bare, run(Store::Redis, WORK[0].1, count).await?.rate))
}

/// On a server of its own, so that no run finds what another left.
async fn run(store: Store, command: &[&str], count: usize) -> anyhow::Result<Run> {
    let serving = Serving::start(store, &FLAGS).await?;
    let agents = serving.start_agents(AGENTS, AGENT_CPU).await?;
    // The first calls load scripts and open connections.
    live(&serving, command, "warm", AGENTS).await?;
    let counts = serving.counts().await?;
    let computed = || -> anyhow::Result<[f64; 4]> {
        let redis = serving.redis.as_ref().map(adapters_redis::testing::Server::pid);
        let agents: Option<Vec<u32>> = agents.iter().map(tokio::process::Child::id).collect();
        let agents = agents.context("an agent has ended")?;
        let own = std::process::id();
        Ok([computed_ms([serving.pid()?])?, computed_ms(redis)?, computed_ms(agents)?, computed_ms([own])?])
    };
    let before = computed()?;
    let (submitted, ended) = live(&serving, command, "run", count).await?;
    let after = computed()?;
    let each_us = |place: usize| (after[place] - before[place]) * 1_000.0 / float(count);
    let now = serving.counts().await?;
    let of_call = |calls: f64| float(count) / calls;
    ensure!(succeeded(&serving, "run").await? == count, "not all of {count} containers ended well");
    Ok(Run {
        rate: float(count) / ended.as_secs_f64(),
        submitted_rate: float(count) / submitted.as_secs_f64(),
        server_us: each_us(0),
        redis_us: each_us(1),
        agents_us: each_us(2),
        clients_us: each_us(3),
        batch: of_call(now.since(&counts, "stowplan_batch_size_count")),
        take: of_call(now.calls_since(&counts, "take")),
        report: of_call(now.calls_since(&counts, "report")),
    })
}

/// Submits, and waits until all have ended; answers how long either took.
async fn live(serving: &Serving, command: &[&str], name: &str, count: usize) -> anyhow::Result<(Duration, Duration)> {
    let calls = calls(command, name, count)?;
    let began = Instant::now();
    serving.submit(calls, CALLS).await?;
    let submitted = began.elapsed();
    serving.wait_until("all have ended", Counts::all_ended).await?;
    Ok((submitted, began.elapsed()))
}

/// The bodies of the calls that submit so many.
fn calls(command: &[&str], name: &str, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let request = |index| json!({"id": format!("{name}-{index}"), "cpu": 1, "memory": "1Gi", "command": command});
    let of_call = |from| (from..count.min(from + OF_CALL)).map(request).collect();
    let call = |from| Ok(serde_json::to_vec(&Json::Array(of_call(from)))?);
    (0..count).step_by(OF_CALL).map(call).collect()
}

/// How many containers of this name are remembered as succeeded.
async fn succeeded(serving: &Serving, name: &str) -> anyhow::Result<usize> {
    let (mut count, mut after) = (0, String::new());
    loop {
        let page: ContainerList =
            serving.get(&format!("/v1/containers?state=succeeded&limit={OF_CALL}{after}")).await?;
        count += page.containers.iter().filter(|container| container.id.starts_with(name)).count();
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(count),
        }
    }
}

const COLUMNS: [(&str, &str); 13] = [
    ("containers do", ""),
    ("store", ""),
    ("whole life", "1/s"),
    ("least", "1/s"),
    ("submitted", "1/s"),
    ("a batch", ""),
    ("a take", ""),
    ("a report", ""),
    ("server computes", "us each"),
    ("Redis computes", "us each"),
    ("agents compute", "us each"),
    ("client computes", "us each"),
    ("of cores", "%"),
];

fn row(work: &str, store: Store, runs: &[Run]) -> Vec<Value> {
    let of = |of: fn(&Run) -> f64| {
        let mut samples = Samples::default();
        for run in runs {
            samples.push(of(run));
        }
        samples
    };
    let median = |of_run| of(of_run).median();
    let redis = if store == Store::Redis { median(|run| run.redis_us).into() } else { Value::None };
    let busy = |run: &Run| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (run.server_us + run.redis_us + run.agents_us + run.clients_us) * run.rate / 10_000.0 / float(cores)
    };
    vec![
        work.into(),
        store.word().into(),
        median(|run| run.rate).into(),
        of(|run| run.rate).percentile(0).into(),
        median(|run| run.submitted_rate).into(),
        median(|run| run.batch).into(),
        median(|run| run.take).into(),
        median(|run| run.report).into(),
        median(|run| run.server_us).into(),
        redis,
        median(|run| run.agents_us).into(),
        median(|run| run.clients_us).into(),
        median(busy).into(),
    ]
}

fn notes(table: &Table) -> Vec<String> {
    let number = |row: &[Value], name: &str| {
        let place = COLUMNS.iter().position(|column| column.0 == name);
        match place.map(|place| &row[place]) {
            Some(Value::Number(number)) => *number,
            _ => 0.0,
        }
    };
    let mut notes = Vec::new();
    for (row, (store, goal)) in table.rows.iter().zip(GOALS) {
        let rate = number(row, "whole life");
        let met = if rate >= goal { "met" } else { "missed" };
        let stretch = if rate >= STRETCH { "; the stretch of 20,000/s too" } else { "" };
        let redis_us = number(row, "Redis computes");
        let all_us = redis_us
            + ["server computes", "agents compute", "client computes"]
                .map(|name| number(row, name))
                .iter()
                .sum::<f64>();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // A thread of Redis and all cores: whichever is full first.
        let most = (1e6 * float(cores) / all_us).min(1e6 / redis_us);
        notes.push(format!(
            "Target, {met}: {goal:.0}/s with {}: {rate:.0}/s{stretch}. By what they computed, {most:.0}/s would fill {}.",
            store.word(),
            if most < 1e6 * float(cores) / all_us { "the one thread of Redis" } else { "all cores" },
        ));
    }
    notes.push(
        "Computes: time of a core a container, by the kernel's count. Of cores: how much of all cores these processes had; \
         others had the rest, or nobody."
            .to_owned(),
    );
    notes
}
