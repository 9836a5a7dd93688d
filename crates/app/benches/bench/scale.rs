//! A large cell: what a million waiting requests take, and whether they slow down a batch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adapters_redis::testing::Server;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::counts::Counts;
use super::played::{self, Handed, Offer};
use super::program::{Serving, Store, resident_bytes};
use super::result::Output;
use super::samples::{Samples, float, millis};

/// What is measured: so many workers, all of them full, and so many requests that wait for room.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) workers: usize,
    pub(crate) waiting: usize,
}

const FULL: Size = Size { workers: 10_000, waiting: 1_000_000 };
const QUICK: Size = Size { workers: 500, waiting: 10_000 };
/// A worker of the cell is full with so many containers.
const OF_WORKER: usize = 2;
/// The bytes of a request as it is submitted.
const REQUEST_BYTES: usize = 300;
/// How many different amounts of memory the waiting ask for: each is a lot of its own.
const SHAPES: usize = 100;
/// How many come in a call, and how many calls are under way at once.
const OF_CALL: usize = 1_000;
const CALLS: usize = 2;
/// The pool whose workers have room for the batches that are timed.
const SPARE: Offer = Offer { pool: Some("spare"), containers: 1_000 };
const SPARE_WORKERS: usize = 20;
const BATCH: usize = 100;
const BATCHES: u32 = 50;
const BATCHES_QUICK: u32 = 5;
/// How long a batch may take to be handed over.
const PATIENCE: Duration = Duration::from_mins(1);
const FLAGS: [&str; 4] = ["--preset", "throughput", "--max-batch-size", "1000"];
/// The targets.
const GOAL_RSS_BYTES: u64 = 3 * 512 * 1024 * 1024;
const GOAL_REQUEST_BYTES: f64 = 1_024.0;
/// What counts as no slower: machines are not still enough for less.
const GOAL_SLOWER: f64 = 1.1;

/// A cell of this size, and the workers that take its timed batches.
struct Large {
    serving: Serving,
    handed: mpsc::Receiver<Handed>,
    /// Aborted when this is dropped.
    workers: JoinSet<anyhow::Result<()>>,
    batches: u32,
    times: Samples,
}

pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let size = if output.is_quick() { QUICK } else { FULL };
    let batches = output.runs(if output.is_quick() { BATCHES_QUICK } else { BATCHES });
    let about = format!(
        "{} workers, each full with {OF_WORKER} containers, and {} requests of {REQUEST_BYTES} bytes that wait, in {SHAPES} lots; \
         submitted over HTTP. Beside them {SPARE_WORKERS} workers of another pool, on which batches of {BATCH} are timed from \
         submit to handed over, over HTTP, in turns with a cell of the same workers in which nobody waits.",
        size.workers, size.waiting,
    );
    let mut table = output.table("scale", "Scale: many that wait", about, batches, &COLUMNS);
    let mut tables = BTreeMap::new();
    for store in Store::BOTH {
        let (mut empty, mut full) =
            (Large::start(store, size.workers).await?, Large::start(store, size.workers).await?);
        let before = full.stored()?;
        let filling = Instant::now();
        full.fill(size.waiting).await?;
        let filled = filling.elapsed();
        let stored = full.stored()?;
        for _ in 0..batches {
            empty.batch().await?;
            full.batch().await?;
        }
        let rss = resident_bytes(full.serving.pid()?)?;
        let of_request = |table: &str| {
            let grown = stored.get(table).unwrap_or(&0).saturating_sub(*before.get(table).unwrap_or(&0));
            grown_each(grown, size.waiting)
        };
        table.rows.push(vec![
            store.word().into(),
            size.waiting.into(),
            (float(size.waiting) / filled.as_secs_f64()).into(),
            mib(resident_bytes(empty.serving.pid()?)?).into(),
            mib(rss).into(),
            of_request(ALL).into(),
            empty.times.median().into(),
            full.times.median().into(),
            (full.times.median() / empty.times.median()).into(),
            full.times.percentile(99).into(),
        ]);
        table.notes.extend(notes(store, rss, of_request(ALL), full.times.median() / empty.times.median()));
        if store == Store::Redis {
            tables = stored.keys().map(|name| (name.clone(), of_request(name))).collect();
        }
        output.keep(&table)?;
    }
    table.notes.push(by_table(&tables));
    table.notes.push(
        "Server RSS: of the process, after the batches. Bytes a request: by how much Redis' used_memory, or the store's file, \
         has grown for each."
            .to_owned(),
    );
    output.put(&table)
}

/// How much faster a batch is handed over in an empty cell than in one where so many wait: 1 if it is all the same.
pub(crate) async fn empty_against_full(size: Size, batches: u32) -> anyhow::Result<f64> {
    let mut empty = Large::start(Store::Redis, size.workers).await?;
    let mut full = Large::start(Store::Redis, size.workers).await?;
    full.fill(size.waiting).await?;
    for _ in 0..batches {
        empty.batch().await?;
        full.batch().await?;
    }
    Ok(empty.times.median() / full.times.median())
}

const COLUMNS: [(&str, &str); 10] = [
    ("store", ""),
    ("waiting", ""),
    ("taken in", "1/s"),
    ("server RSS, nobody waits", "MiB"),
    ("server RSS", "MiB"),
    ("stored", "bytes a request"),
    ("batch, nobody waits", "ms"),
    ("batch", "ms"),
    ("slower", "times"),
    ("batch p99", "ms"),
];

impl Large {
    /// A cell whose workers are full.
    async fn start(store: Store, workers: usize) -> anyhow::Result<Self> {
        let serving = Serving::start(store, &FLAGS).await?;
        let offer = Offer { pool: None, containers: OF_WORKER as u64 };
        // These only stand there: what they were given stays placed.
        drop(played::register(&serving.url, "full", workers, offer).await?);
        let (sender, handed) = mpsc::channel(BATCH);
        let mut working = JoinSet::new();
        for worker in played::register(&serving.url, "spare", SPARE_WORKERS, SPARE).await? {
            working.spawn(worker.work(sender.clone()));
        }
        let taken = calls("room", workers * OF_WORKER, |_| json!({"memory": "1Gi"}))?;
        serving.submit(taken, CALLS).await?;
        let all = u64::try_from(workers * OF_WORKER)?;
        serving.wait_until("the workers are full", |counts| counts.backlog()["placed"] == all).await?;
        let mut large = Self { serving, handed, workers: working, batches: 0, times: Samples::default() };
        // The first loads scripts and opens connections.
        large.batch().await?;
        large.times = Samples::default();
        Ok(large)
    }

    /// Submits what waits, and waits until the planner has parked all of it.
    async fn fill(&self, waiting: usize) -> anyhow::Result<()> {
        const SLICE: usize = 50_000;
        for from in (0..waiting).step_by(SLICE) {
            let count = SLICE.min(waiting - from);
            let shape = |index: usize| json!({"memory_mib": 512 + index % SHAPES});
            self.serving.submit(calls(&format!("waits-{from}"), count, shape)?, CALLS).await?;
        }
        let all = u64::try_from(waiting)?;
        self.serving.wait_until("all are parked", |counts: &Counts| counts.backlog()["parked"] == all).await
    }

    /// Times one batch from its submit until all of it is in the hands of workers.
    async fn batch(&mut self) -> anyhow::Result<()> {
        let name = format!("batch-{}", self.batches);
        self.batches += 1;
        let calls = calls(&name, BATCH, |_| json!({"memory": "1Gi", "pool": "spare"}))?;
        let began = Instant::now();
        self.serving.submit(calls, 1).await?;
        let mut last = began;
        for _ in 0..BATCH {
            let next = tokio::select! {
                next = timeout(PATIENCE, self.handed.recv()) => next.context("a batch was not handed over")?,
                Some(ended) = self.workers.join_next() => bail!("a worker ended: {ended:?}"),
            };
            let handed = next.context("all workers have ended")?;
            ensure!(handed.container.starts_with(&name), "{} is not of the batch {name}", handed.container);
            last = last.max(handed.at);
        }
        self.times.push(millis(last - began));
        // What it left behind is done before the next: the report of its end, and the planner's look.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    /// The bytes of what is stored, by table where the store says so, and of all of it.
    fn stored(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        match &self.serving.redis {
            Some(redis) => redis_bytes(redis),
            None => Ok(BTreeMap::from([(ALL.to_owned(), folder_bytes(&self.serving.folder().join(".stowplan"))?)])),
        }
    }
}

/// What is not one table but all of them.
const ALL: &str = "all";

fn redis_bytes(redis: &Server) -> anyhow::Result<BTreeMap<String, u64>> {
    let info = redis.command(&["INFO", "memory"]).text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).context("Redis says no used_memory")?;
    let mut bytes = BTreeMap::from([(ALL.to_owned(), used.trim().parse()?)]);
    for key in redis.command(&["KEYS", "stowplan:*"]).list() {
        let key = key.text();
        let table = key.rsplit(':').next().unwrap_or_default().to_owned();
        let usage = redis.command(&["MEMORY", "USAGE", &key, "SAMPLES", "1000"]).integer();
        bytes.insert(table, u64::try_from(usage)?);
    }
    Ok(bytes)
}

/// The bytes of the files in a folder, by what they take of the disk.
fn folder_bytes(folder: &std::path::Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// The bodies of calls that submit so many, each [`REQUEST_BYTES`] long, asking for what `shape` says.
fn calls(name: &str, count: usize, shape: impl Fn(usize) -> Json) -> anyhow::Result<Vec<Vec<u8>>> {
    let request = |index: usize| -> anyhow::Result<Json> {
        let mut request = shape(index);
        request["id"] = format!("{name}-{index}").into();
        request["cpu"] = 1.into();
        request["command"] = json!(["python", "train.py", ""]);
        let missing = REQUEST_BYTES.saturating_sub(request.to_string().len());
        request["command"][2] = "x".repeat(missing).into();
        Ok(request)
    };
    let call = |from: usize| -> anyhow::Result<Vec<u8>> {
        let requests = (from..count.min(from + OF_CALL)).map(request).collect::<anyhow::Result<_>>()?;
        Ok(serde_json::to_vec(&Json::Array(requests))?)
    };
    (0..count).step_by(OF_CALL).map(call).collect()
}

fn mib(bytes: u64) -> f64 {
    float(bytes / 1024) / 1024.0
}

fn grown_each(bytes: u64, count: usize) -> f64 {
    mib(bytes) * 1024.0 * 1024.0 / float(count)
}

fn notes(store: Store, rss: u64, of_request: f64, slower: f64) -> Vec<String> {
    let met = |is_met: bool| if is_met { "met" } else { "missed" };
    let store_word = store.word();
    let mut notes = vec![
        format!(
            "Target, {}: the server's RSS below {:.0} MiB: {:.0} MiB, {store_word}.",
            met(rss < GOAL_RSS_BYTES),
            mib(GOAL_RSS_BYTES),
            mib(rss)
        ),
        format!(
            "Target, {}: a batch no slower than in an empty cell (within {:.0}%): {slower:.2} times the time, {store_word}.",
            met(slower < GOAL_SLOWER),
            (GOAL_SLOWER - 1.0) * 100.0
        ),
    ];
    if store == Store::Redis {
        notes.push(format!(
            "Target, {}: at most {GOAL_REQUEST_BYTES:.0} bytes of Redis' memory a request: {of_request:.0}.",
            met(of_request <= GOAL_REQUEST_BYTES)
        ));
    }
    notes
}

/// Which tables take the memory.
fn by_table(tables: &BTreeMap<String, f64>) -> String {
    let mut large: Vec<_> = tables.iter().filter(|(name, bytes)| *name != ALL && **bytes >= 1.0).collect();
    large.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let shown: Vec<String> = large.into_iter().map(|(name, bytes)| format!("{name} {bytes:.0}")).collect();
    format!("Bytes a request by table, as Redis estimates them: {}.", shown.join(", "))
}
