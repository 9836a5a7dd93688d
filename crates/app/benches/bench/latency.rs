//! Submit to handed over, with requests that come by the clock and not by the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use app::api::container::{SubmitAnswer, SubmitDocument};
use app::embedded::EmbeddedStore;
use domain::batch::{BatchPolicy, Flush};
use ports::rows::RowPorts;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cell::{Cell, room_for, submission};
use super::live::Live;
use super::played::{self, Handed, Offer};
use super::program::{Serving, Store, computed_ms};
use super::result::{Output, Table, Value};
use super::samples::{Samples, float, millis};
use super::server;

const WORKERS: usize = 20;
/// Rates of requests a second, and how many come in one call. The first leaves the server idle between two, whichever the
/// flush.
const RATES: [Rate; 5] = [Rate(10, 1), Rate(100, 1), Rate(1_000, 1), Rate(10_000, 1), Rate(10_000, 10)];
const FLUSHES: [(&str, Flush); 2] = [("idle", Flush::Idle), ("window", Flush::Window)];
/// How long a run submits, and how many requests at most.
const RUN: Duration = Duration::from_secs(8);
const RUN_QUICK: Duration = Duration::from_secs(1);
const RUN_REQUESTS_MAX: u32 = 30_000;
/// How many calls may wait for their answers. What comes in the meantime waits before it is sent, and that counts.
const CALLS_MAX: usize = 128;
/// How many calls that ask nothing are timed.
const ROUND_TRIPS: u32 = 200;
/// How long the last of a run may take, after all were submitted.
const PATIENCE: Duration = Duration::from_mins(1);
/// The targets of a lone request on an idle server, with Redis.
const GOAL_P50_MS: f64 = 1.0;
const GOAL_P99_MS: f64 = 5.0;

/// So many requests a second, so many in each call.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Rate(u32, u32);

impl Rate {
    fn requests(self, run: Duration) -> u32 {
        let secs = u32::try_from(run.as_secs()).unwrap_or(1);
        (self.0 * secs).min(RUN_REQUESTS_MAX)
    }

    fn words(self) -> String {
        match self {
            rate if rate == RATES[0] => format!("lone ({}/s)", self.0),
            Self(rate, 1) => format!("{rate}/s"),
            Self(rate, of) => format!("{rate}/s, {of} a call"),
        }
    }
}

/// What is measured: the whole program over HTTP, or the same planner on the ports of this process.
struct Subject {
    store: Store,
    flush: &'static str,
    at: At,
}

enum At {
    Http(OverHttp),
    Ports(OnPorts),
}

struct OverHttp {
    serving: Serving,
    handed: mpsc::Receiver<Handed>,
    /// Aborted when this is dropped.
    workers: JoinSet<anyhow::Result<()>>,
}

/// The store ends with this.
struct OnPorts {
    live: Live,
    _redis: Option<adapters_redis::testing::Server>,
    _folder: Option<tempfile::TempDir>,
}

/// What a row has measured in all its runs, in milliseconds.
#[derive(Default)]
struct Measured {
    answered: Samples,
    handed: Samples,
    reached: Samples,
    server_us: Samples,
    redis_us: Samples,
    clients_us: Samples,
}

pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let runs = output.runs(3);
    let run = if output.is_quick() { RUN_QUICK } else { RUN };
    let rates = if output.is_quick() { &RATES[..3] } else { &RATES[..] };
    let mut subjects = subjects().await?;
    let about = format!(
        "Requests come by the clock, each counted from the moment it was to be sent; {WORKERS} workers wait for orders in \
         long polls. HTTP: `stowplan serve` as a process of its own, and all clients and workers in one other; ports: planner, \
         store and workers in one process, without HTTP. Server, Redis and clients share {} cores.",
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    let mut table = output.table("latency", "Latency: submit to handed over", about, runs, &COLUMNS);
    for rate in rates.iter().copied() {
        let mut measured: Vec<Measured> = subjects.iter().map(|_| Measured::default()).collect();
        for number in 0..=runs {
            for (subject, all) in subjects.iter_mut().zip(&mut measured) {
                // The first run warms up, and is not counted.
                let mut warming = Measured::default();
                let into = if number == 0 { &mut warming } else { all };
                let run = if number == 0 { RUN_QUICK } else { run };
                subject.run(&format!("{}-{}-{number}", rate.0, rate.1), rate, run, into).await?;
            }
        }
        for (subject, measured) in subjects.iter().zip(measured) {
            table.rows.extend(subject.row(rate, &measured));
        }
        output.keep(&table)?;
    }
    table.notes.extend(notes(&table));
    for subject in &subjects {
        table.notes.extend(subject.round_trips().await?);
    }
    output.put(&table)
}

/// The median of a lone request's way over HTTP and on the ports, with Redis, in milliseconds.
pub(crate) async fn lone(run: Duration) -> anyhow::Result<(f64, f64)> {
    let mut over_http = Subject { store: Store::Redis, flush: "idle", at: over_http(Store::Redis, "idle").await? };
    let mut on_ports = Subject { store: Store::Redis, flush: "idle", at: on_ports(Store::Redis, Flush::Idle).await? };
    let (mut http, mut ports) = (Measured::default(), Measured::default());
    for number in 0..2 {
        over_http.run(&format!("lone-{number}"), RATES[0], run, &mut http).await?;
        on_ports.run(&format!("lone-{number}"), RATES[0], run, &mut ports).await?;
    }
    Ok((http.handed.median(), ports.handed.median()))
}

async fn subjects() -> anyhow::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for store in Store::BOTH {
        for (word, flush) in FLUSHES {
            subjects.push(Subject { store, flush: word, at: over_http(store, word).await? });
            subjects.push(Subject { store, flush: word, at: on_ports(store, flush).await? });
        }
    }
    Ok(subjects)
}

async fn over_http(store: Store, flush: &str) -> anyhow::Result<At> {
    let serving = Serving::start(store, &["--flush", flush]).await?;
    let offer = Offer { pool: None, containers: 1_000_000 };
    let (sender, handed) = mpsc::channel(RUN_REQUESTS_MAX as usize);
    let mut workers = JoinSet::new();
    for worker in played::register(&serving.url, "worker", WORKERS, offer).await? {
        workers.spawn(worker.work(sender.clone()));
    }
    Ok(At::Http(OverHttp { serving, handed, workers }))
}

async fn on_ports(store: Store, flush: Flush) -> anyhow::Result<At> {
    let (mut redis, mut folder) = (None, None);
    let ports = match store {
        Store::Redis => server::open(&redis.insert(server::start(adapters_redis::testing::Appendonly::Off)).url())?,
        Store::Embedded => RowPorts::over(EmbeddedStore::open(folder.insert(tempfile::tempdir()?).path())?),
    };
    let cell = Cell::with_workers(ports, "cell", WORKERS, room_for(1_000_000)).await?;
    let usual = BatchPolicy::default();
    let batch = BatchPolicy::new(usual.window(), usual.size_max(), usual.fleet_cache(), flush)?;
    Ok(At::Ports(OnPorts { live: Live::start(cell, batch).await?, _redis: redis, _folder: folder }))
}

impl Subject {
    async fn run(&mut self, name: &str, rate: Rate, run: Duration, into: &mut Measured) -> anyhow::Result<()> {
        match &mut self.at {
            At::Http(over_http) => over_http.run(name, rate, rate.requests(run), into).await,
            At::Ports(on_ports) if rate == RATES[0] => on_ports.run(name, rate, rate.requests(run), into).await,
            // In this process workers take no part in the load of many: only the lone request is comparable.
            At::Ports(_) => Ok(()),
        }
    }

    /// What the machine takes for the least there is: a call that asks nothing, of Redis and of the server.
    async fn round_trips(&self) -> anyhow::Result<Option<String>> {
        let At::Http(OverHttp { serving, .. }) = &self.at else { return Ok(None) };
        let (Some(redis), "idle") = (&serving.redis, self.flush) else { return Ok(None) };
        let (mut pings, mut gets) = (Samples::default(), Samples::default());
        let mut connection = redis.connect()?;
        for _ in 0..ROUND_TRIPS {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let began = Instant::now();
            connection.call(&["PING"])?;
            pings.push(millis(began.elapsed()));
            let began = Instant::now();
            serving.http.get(format!("{}/healthz", serving.url)).send().await?.error_for_status()?.bytes().await?;
            gets.push(millis(began.elapsed()));
        }
        let (ping, get) = (pings.median(), gets.median());
        Ok(Some(format!(
            "For scale, p50: a PING of Redis {ping:.2} ms, a GET of /healthz {get:.2} ms, on this machine now."
        )))
    }

    fn row(&self, rate: Rate, measured: &Measured) -> Option<Vec<Value>> {
        let (through, is_http) = match &self.at {
            At::Http(_) => ("HTTP", true),
            At::Ports(_) if rate == RATES[0] => ("ports", false),
            At::Ports(_) => return None,
        };
        let computed = |samples: &Samples, is_there| {
            if is_there && rate.0 >= 1_000 { samples.median().into() } else { Value::None }
        };
        Some(vec![
            rate.words().as_str().into(),
            self.store.word().into(),
            self.flush.into(),
            through.into(),
            measured.reached.median().into(),
            measured.answered.median().into(),
            measured.handed.median().into(),
            measured.handed.percentile(99).into(),
            measured.handed.percentile(100).into(),
            computed(&measured.server_us, is_http),
            computed(&measured.redis_us, is_http && self.store == Store::Redis),
            computed(&measured.clients_us, is_http),
        ])
    }
}

const COLUMNS: [(&str, &str); 12] = [
    ("rate", ""),
    ("store", ""),
    ("flush", ""),
    ("through", ""),
    ("reached", "1/s"),
    ("answered p50", "ms"),
    ("handed over p50", "ms"),
    ("p99", "ms"),
    ("max", "ms"),
    ("server computes", "us each"),
    ("Redis computes", "us each"),
    ("clients compute", "us each"),
];

impl OverHttp {
    async fn run(&mut self, name: &str, rate: Rate, count: u32, into: &mut Measured) -> anyhow::Result<()> {
        let before = self.computed_ms()?;
        let (http, url) = (self.serving.http.clone(), format!("{}/v1/containers", self.serving.url));
        let began = Instant::now();
        let sending = Sending { http, url, name: name.to_owned(), rate, count, began };
        let (sender, runtime) = (sending.clone(), Handle::current());
        let sent = tokio::task::spawn_blocking(move || sender.send(&runtime));
        let mut last = began;
        for _ in 0..count {
            let handed = self.next().await?;
            let index = handed.container.rsplit('-').next().and_then(|index| index.parse().ok());
            let index = index.with_context(|| format!("{} is no request of this run", handed.container))?;
            into.handed.push(millis(handed.at.saturating_duration_since(sending.due(index))));
            last = last.max(handed.at);
        }
        let mut calls = sent.await?;
        while let Some(answered) = calls.join_next().await {
            into.answered.push(millis(answered??));
        }
        into.reached.push(f64::from(count) / (last - began).as_secs_f64());
        let computed = [&mut into.server_us, &mut into.redis_us, &mut into.clients_us];
        for (samples, (now, before)) in computed.into_iter().zip(self.computed_ms()?.into_iter().zip(before)) {
            samples.push((now - before) * 1_000.0 / f64::from(count));
        }
        Ok(())
    }

    /// Of the server, of Redis, and of this process.
    fn computed_ms(&self) -> anyhow::Result<Vec<f64>> {
        let redis = self.serving.redis.as_ref().map(adapters_redis::testing::Server::pid);
        Ok(vec![computed_ms([self.serving.pid()?])?, computed_ms(redis)?, computed_ms([std::process::id()])?])
    }

    async fn next(&mut self) -> anyhow::Result<Handed> {
        let next = tokio::select! {
            next = timeout(PATIENCE, self.handed.recv()) => next,
            Some(ended) = self.workers.join_next() => bail!("a worker ended: {ended:?}"),
        };
        next.context("not all were handed over")?.context("all workers have ended")
    }
}

/// Requests that are sent by the clock.
#[derive(Clone)]
struct Sending {
    http: reqwest::Client,
    url: String,
    name: String,
    rate: Rate,
    count: u32,
    began: Instant,
}

impl Sending {
    /// When a request is to be sent.
    fn due(&self, request: u32) -> Instant {
        self.began + Duration::from_secs(1) * request / self.rate.0
    }

    /// Sends all, on a thread of its own that nothing else delays; answers the calls, each with how long after it was due it
    /// was answered.
    fn send(&self, runtime: &Handle) -> JoinSet<anyhow::Result<Duration>> {
        let free = Arc::new(Semaphore::new(CALLS_MAX));
        let mut calls = JoinSet::new();
        for first in (0..self.count).step_by(self.rate.1 as usize) {
            let indexes = first..self.count.min(first + self.rate.1);
            let requests: Vec<_> = indexes.map(|index| request(&self.name, index)).collect();
            let call = self.http.post(&self.url).json(&requests);
            let (free, due) = (Arc::clone(&free), self.due(first));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let answered = async move {
                let _free = free.acquire().await?;
                let answer: SubmitAnswer = call.send().await?.error_for_status()?.json().await?;
                let took = due.elapsed();
                ensure!(answer.outcomes.iter().all(SubmitDocument::is_in), "a submit was answered {answer:?}");
                Ok(took)
            };
            calls.spawn_on(answered, runtime);
        }
        calls
    }
}

fn request(name: &str, index: u32) -> serde_json::Value {
    let command = ["python", "train.py", "--epochs", "10"];
    json!({"id": format!("{name}-{index}"), "cpu": 1, "memory": "1Gi", "command": command, "env": {"MODEL": "small"}})
}

impl OnPorts {
    async fn run(&mut self, name: &str, rate: Rate, count: u32, into: &mut Measured) -> anyhow::Result<()> {
        for index in 0..count {
            tokio::time::sleep(Duration::from_secs(1) / rate.0).await;
            let request = submission(&format!("{name}-{index}"))?;
            let began = Instant::now();
            self.live.cell.submit(vec![request]).await?;
            into.answered.push(millis(began.elapsed()));
            let handed = self.live.handed_over(1).await?;
            into.handed.push(millis(handed[0].at - began));
            self.live.report_ended(handed).await?;
        }
        into.reached.push(float(rate.0));
        Ok(())
    }
}

fn notes(table: &Table) -> Vec<String> {
    let lone = |through: &str| {
        let is_it = |row: &&Vec<Value>| {
            row[0] == RATES[0].words().as_str().into()
                && row[1] == Store::Redis.word().into()
                && row[2] == "idle".into()
                && row[3] == through.into()
        };
        let row = table.rows.iter().find(is_it);
        let number = |place: usize| match row.map(|row| &row[place]) {
            Some(Value::Number(number)) => *number,
            _ => f64::NAN,
        };
        (number(6), number(7))
    };
    let (http, ports) = (lone("HTTP"), lone("ports"));
    let met = |is_met: bool| if is_met { "met" } else { "missed" };
    vec![
        format!(
            "Target, {}: a lone request on an idle server, Redis, p50 below {GOAL_P50_MS} ms and p99 below {GOAL_P99_MS} ms: \
             {:.2} and {:.2} ms over HTTP, {:.2} and {:.2} ms on the ports alone.",
            met(http.0 < GOAL_P50_MS && http.1 < GOAL_P99_MS),
            http.0,
            http.1,
            ports.0,
            ports.1,
        ),
        "Answered: from when a call was due until its answer was read. Computes: time of a core, by the kernel's count, a \
         request, its end included; clients are those who submit and the workers."
            .to_owned(),
        format!("At most {CALLS_MAX} calls are under way at once; others wait, and are counted as waiting."),
        "With flush = window a lone request waits for its batch's whole window of 50 ms.".to_owned(),
    ]
}
