//! The flow that batches replaced, as kind to it as it can be told: each request by itself, under a lock per worker.
//!
//! A request reads all workers, chooses one that fits, takes its lock (`SET NX PX`, three tries with a pause between),
//! reads the worker again, checks that nobody changed it meanwhile, writes what is left of it, releases the lock (a script
//! that compares and deletes), and pushes the container onto the worker's queue. Out of tries it believes the fleet full
//! and asks for a worker. Kinder than it has to be:
//!
//! - workers are one hash, read in one call, and lie in the encoding that our stores use;
//! - requests that fit anywhere spread over the fleet by a hash, where a strategy would send them all to one worker;
//! - who finds a worker changed begins again with the fleet at no cost in tries;
//! - commands go over as many connections as ours has, shared without waiting and without the PING of a pool;
//! - a request is there when the burst begins, and has arrived when it is in the queue: neither submit nor take is counted.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    AsyncConnectionConfig, AsyncTypedCommands as _, ExistenceCheck, Script, SetExpiry, SetOptions,
};
use deadpool_redis::{Connection, Manager, Pool};
use domain::id::{History, Incarnation, Revision, WorkerKey};
use domain::request::Submission;
use domain::resources::{Capacity, Used};
use domain::worker::{Closed, Life, WorkerRow};
use ports::wire::Row as _;
use tokio::task::JoinSet;

use super::cell::{worker_id, worker_spec};

/// As many as ours has: of the planner, of workers, of callers.
const CONNECTIONS: usize = 3;
/// How often a request tries to take a worker's lock.
const TRIES: usize = 3;
/// How often it may find its worker changed; each time somebody else was placed.
const ROUNDS_MAX: usize = 1_000;
/// How long a lock lasts that nobody releases.
const LOCK: Duration = Duration::from_secs(10);
/// The hash of all workers; queues and locks are named after it.
const WORKERS: &str = "one-at-a-time:workers";
/// The commands that its clients send; the script's own are GET and DEL, which they do not.
pub(crate) const COMMANDS: [&str; 6] = ["hgetall", "set", "hget", "hset", "evalsha", "rpush"];

/// The flow on one server.
pub(crate) struct OldFlow {
    connections: Vec<MultiplexedConnection>,
    /// Gives the connections back when it is dropped.
    _pooled: Vec<Connection>,
    release: Script,
    workers: usize,
    total: Capacity,
}

/// What happened in one burst, until each request was placed or out of tries.
#[derive(Debug, Default, Clone)]
pub(crate) struct Burst {
    pub(crate) took: Duration,
    /// Who was out of tries.
    pub(crate) left: Vec<Submission>,
    pub(crate) locks: u64,
    pub(crate) lock_waits: u64,
    /// How often a worker had been changed since the fleet was read.
    pub(crate) stale: u64,
    pub(crate) workers_asked: u64,
}

#[derive(Default)]
struct Counters {
    locks: AtomicU64,
    lock_waits: AtomicU64,
    stale: AtomicU64,
    workers_asked: AtomicU64,
}

impl OldFlow {
    pub(crate) async fn connect(url: &str, workers: usize, total: Capacity) -> anyhow::Result<Self> {
        // As ours: an answer may be late.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let pool = Pool::builder(Manager::new_with_config(url, config)?).max_size(CONNECTIONS).build()?;
        let mut pooled = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            pooled.push(pool.get().await?);
        }
        let connections = pooled.iter().map(|connection| (**connection).clone()).collect();
        let release =
            Script::new("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end");
        let mut flow = Self { connections, _pooled: pooled, release, workers, total };
        flow.release.load_async(&mut flow.connections[0]).await?;
        Ok(flow)
    }

    /// Puts empty workers and queues there.
    pub(crate) async fn reset(&self) -> anyhow::Result<()> {
        let mut line = self.line(0);
        for index in 0..self.workers {
            let worker = self.empty_worker(index)?;
            line.hset(WORKERS, worker.id.as_str(), worker.encode()?).await?;
            line.del(queue_of(&worker)).await?;
        }
        Ok(())
    }

    fn empty_worker(&self, index: usize) -> anyhow::Result<WorkerRow> {
        Ok(WorkerRow {
            id: worker_id(index)?,
            spec: Arc::new(worker_spec(self.total.clone())?),
            life: Life::Up,
            closed: Closed::No,
            key: Some(WorkerKey::new("key")?),
            incarnation: Incarnation(1),
            registered_in: Some(History::from_random(1)),
            complete: true,
            ready: true,
            used: Used::default(),
            changed: Revision(1),
        })
    }

    fn line(&self, number: usize) -> MultiplexedConnection {
        self.connections[number % self.connections.len()].clone()
    }

    /// All requests at once, each in a task of its own.
    pub(crate) async fn burst(self: &Arc<Self>, requests: &[Submission], pause: Duration) -> anyhow::Result<Burst> {
        let counters = Arc::new(Counters::default());
        let began = Instant::now();
        let left = self.pass(requests, pause, &counters).await?;
        let mut burst = Burst { took: began.elapsed(), left, ..Burst::default() };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (burst.locks, burst.lock_waits) = (count(&counters.locks), count(&counters.lock_waits));
        (burst.stale, burst.workers_asked) = (count(&counters.stale), count(&counters.workers_asked));
        let placed = (requests.len() - burst.left.len()) as u64;
        ensure!(burst.locks - burst.stale == placed, "who held a lock was placed, or found it changed: {burst:?}");
        Ok(burst)
    }

    /// Has those of a burst who are out of tries begin again together, until all are placed; answers how long that took.
    pub(crate) async fn finish(self: &Arc<Self>, burst: &Burst, pause: Duration) -> anyhow::Result<Duration> {
        let (began, uncounted) = (Instant::now(), Arc::new(Counters::default()));
        let mut left = burst.left.clone();
        while !left.is_empty() {
            left = self.pass(&left, pause, &uncounted).await?;
        }
        Ok(began.elapsed())
    }

    /// Answers who was out of tries.
    async fn pass(
        self: &Arc<Self>,
        requests: &[Submission],
        pause: Duration,
        counters: &Arc<Counters>,
    ) -> anyhow::Result<Vec<Submission>> {
        let mut placing = JoinSet::new();
        for (number, request) in requests.iter().cloned().enumerate() {
            let (flow, counters) = (Arc::clone(self), Arc::clone(counters));
            placing.spawn(async move {
                let placed = flow.place(flow.line(number), &request, pause, &counters).await?;
                anyhow::Ok((!placed).then_some(request))
            });
        }
        let left: anyhow::Result<Vec<_>> = placing.join_all().await.into_iter().collect();
        Ok(left?.into_iter().flatten().collect())
    }

    /// Answers whether it was placed; if not, it has asked for a worker.
    async fn place(
        &self,
        mut line: MultiplexedConnection,
        request: &Submission,
        pause: Duration,
        counters: &Counters,
    ) -> anyhow::Result<bool> {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        for _ in 0..ROUNDS_MAX {
            let fleet = line.hgetall(WORKERS).await?;
            let fleet = fleet.values().map(|row| WorkerRow::decode("a worker", row.as_bytes()));
            let fleet: Vec<WorkerRow> = fleet.collect::<Result<_, _>>()?;
            let chosen = choose(&fleet, request);
            let locked = match chosen {
                Some(chosen) => lock(&mut line, chosen, request, pause, counters).await?,
                None => false,
            };
            let Some(chosen) = chosen.filter(|_| locked) else {
                count(&counters.workers_asked);
                return Ok(false);
            };
            let booked = book(&mut line, chosen, request).await?;
            let lock = lock_of(chosen);
            let mut release = self.release.key(lock);
            let _: Option<u64> = release.arg(request.id.as_str()).invoke_async(&mut line).await?;
            if booked {
                let body = [request.ask.encode()?, request.body.encode()?].concat();
                line.rpush(queue_of(chosen), body).await?;
                return Ok(true);
            }
            count(&counters.stale);
        }
        bail!("request {} found its worker changed {ROUNDS_MAX} times", request.id)
    }

    /// Sums the workers and their queues, which must hold exactly what was placed; answers how many workers are used.
    pub(crate) async fn audit(&self, placed: usize) -> anyhow::Result<usize> {
        let mut line = self.line(0);
        let (mut owned, mut used) = (0, 0);
        for row in line.hgetall(WORKERS).await?.into_values() {
            let worker = WorkerRow::decode("a worker", row.as_bytes())?;
            ensure!(!worker.is_over_committed(), "worker {} is over-committed", worker.id);
            let queued = line.llen(queue_of(&worker)).await?;
            let containers = usize::try_from(worker.used.containers)?;
            ensure!(queued == containers, "worker {} owns {containers} containers and has {queued}", worker.id);
            owned += queued;
            used += usize::from(queued > 0);
        }
        ensure!(owned == placed, "{placed} were placed, and workers own {owned}");
        Ok(used)
    }
}

/// The worker with room that this request's hash prefers.
fn choose<'a>(fleet: &'a [WorkerRow], request: &Submission) -> Option<&'a WorkerRow> {
    let weight = |worker: &&WorkerRow| {
        let mut hasher = DefaultHasher::new();
        (&request.id, &worker.id).hash(&mut hasher);
        hasher.finish()
    };
    fleet.iter().filter(|worker| fits(worker, request)).max_by_key(weight)
}

fn fits(worker: &WorkerRow, request: &Submission) -> bool {
    let free = worker.spec.total.free(&worker.used);
    free.cpu_milli >= request.ask.cpu_milli && free.memory_mib >= request.ask.memory_mib
}

fn lock_of(worker: &WorkerRow) -> String {
    format!("{WORKERS}:{}:lock", worker.id)
}

fn queue_of(worker: &WorkerRow) -> String {
    format!("{WORKERS}:{}:queue", worker.id)
}

/// Takes a worker's lock; answers whether it did within its tries.
async fn lock(
    line: &mut MultiplexedConnection,
    worker: &WorkerRow,
    request: &Submission,
    pause: Duration,
    counters: &Counters,
) -> anyhow::Result<bool> {
    let lasts = u64::try_from(LOCK.as_millis())?;
    let options = SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::PX(lasts));
    for attempt in 1..=TRIES {
        let taken = line.set_options(lock_of(worker), request.id.as_str(), options.clone()).await?;
        if taken.is_some() {
            counters.locks.fetch_add(1, Ordering::Relaxed);
            return Ok(true);
        }
        counters.lock_waits.fetch_add(1, Ordering::Relaxed);
        if attempt < TRIES {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(false)
}

/// Writes what is left of a worker, unless somebody changed it since the fleet was read; answers whether it did.
async fn book(line: &mut MultiplexedConnection, seen: &WorkerRow, request: &Submission) -> anyhow::Result<bool> {
    let row = line.hget(WORKERS, seen.id.as_str()).await?.context("a worker is gone")?;
    let mut worker = WorkerRow::decode("a worker", row.as_bytes())?;
    if worker.changed != seen.changed {
        return Ok(false);
    }
    worker.used.cpu_milli += request.ask.cpu_milli;
    worker.used.memory_mib += request.ask.memory_mib;
    worker.used.containers += 1;
    worker.changed = worker.changed.next();
    line.hset(WORKERS, worker.id.as_str(), worker.encode()?).await?;
    Ok(true)
}
