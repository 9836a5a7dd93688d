//! The program as its users run it: a server's process on a store of its own, agents' processes, and calls over HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Server};
use anyhow::{Context as _, bail, ensure};
use app::api::container::SubmitAnswer;
use app::api::worker::WorkerList;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::counts::Counts;
use super::server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stowplan");
/// How often a call is made while the store is away.
const TRIES: u32 = 20;
/// How long a process may take to be there.
const START_WITHIN: Duration = Duration::from_secs(30);
/// No worker is given up and nothing is held back for a quota, whatever is measured.
const SETTINGS: &str = "keepalive = \"1h\"\n[quota.default]\ncpu = \"unlimited\"\nmemory = \"unlimited\"\n\
                        containers = \"unlimited\"\n";

/// Which store a server keeps its cell in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// A redis-server that writes nothing to the disk.
    Redis,
    /// The server's own, durable.
    Embedded,
}

impl Store {
    pub(crate) const BOTH: [Self; 2] = [Self::Redis, Self::Embedded];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Redis => "Redis, AOF off",
            Self::Embedded => "embedded",
        }
    }
}

/// A server's process. It ends when this is dropped, and its store with it.
pub(crate) struct Serving {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) redis: Option<Server>,
    process: Child,
    folder: TempDir,
}

impl Serving {
    /// Starts a server with these flags beside [`SETTINGS`]; comes back when it answers and plans.
    pub(crate) async fn start(store: Store, flags: &[&str]) -> anyhow::Result<Self> {
        let redis = (store == Store::Redis).then(|| server::start(Appendonly::Off));
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("stowplan.toml"), SETTINGS)?;
        let mut command = program(folder.path(), "server")?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]).args(flags);
        if let Some(redis) = &redis {
            command.args(["--store", &redis.url()]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let first = timeout(START_WITHIN, lines.next_line()).await.context("the server does not start")??;
        let url = first.as_deref().and_then(|line| line.strip_prefix("listening on "));
        let url = url.with_context(|| format!("the server said {first:?} and not where it listens"))?.to_owned();
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        let serving = Self { url, http, redis, process, folder };
        serving.wait_until("it plans", |counts| counts.sum("stowplan_planner") > 0.0).await?;
        Ok(serving)
    }

    /// Starts agents that simulate what they run, each with so much cpu, as processes.
    pub(crate) async fn start_agents(&self, count: usize, cpu: u32) -> anyhow::Result<Vec<Child>> {
        let start = |index: usize| {
            let id = format!("agent-{index}");
            let mut command = program(self.folder.path(), &id)?;
            command.args(["agent", "--executor", "simulate", "--id", &id, "--server", &self.url]);
            command.args(["--cpu", &cpu.to_string(), "--memory", &format!("{cpu}Gi")]);
            command.stdout(Stdio::null()).spawn().context("failed to start an agent")
        };
        let agents = (0..count).map(start).collect::<anyhow::Result<_>>()?;
        let began = Instant::now();
        while self.get::<WorkerList>("/v1/workers").await?.workers.len() < count {
            ensure!(began.elapsed() < START_WITHIN, "not all of {count} agents have registered");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(agents)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Submits by calls of these bodies, some at once; all that they ask for must be new.
    pub(crate) async fn submit(&self, bodies: Vec<Vec<u8>>, at_once: usize) -> anyhow::Result<()> {
        let mut calling = JoinSet::new();
        for body in bodies {
            if calling.len() == at_once {
                calling.join_next().await.context("no call is under way")???;
            }
            calling.spawn(submit(self.http.clone(), format!("{}/v1/containers", self.url), body));
        }
        while let Some(called) = calling.join_next().await {
            called??;
        }
        Ok(())
    }

    /// What the server counts.
    pub(crate) async fn counts(&self) -> anyhow::Result<Counts> {
        let answer = self.http.get(format!("{}/metrics", self.url)).send().await?;
        Ok(Counts::of(&answer.error_for_status()?.text().await?))
    }

    /// Waits until the server counts what is waited for, for as long as its counts go on changing.
    pub(crate) async fn wait_until(&self, what: &str, is_so: impl Fn(&Counts) -> bool) -> anyhow::Result<()> {
        let (mut last, mut changed) = (Counts::of(""), Instant::now());
        loop {
            let counts = self.counts().await?;
            if counts.tell_backlog() && is_so(&counts) {
                return Ok(());
            }
            if counts.backlog() != last.backlog() {
                (last, changed) = (counts, Instant::now());
            }
            ensure!(changed.elapsed() < START_WITHIN, "nothing has moved for {START_WITHIN:?}, until {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.process.id().context("the server has ended")
    }

    /// The folder of the server, its store below `.stowplan`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Counts {
    /// Containers by where they are, ended ones not among them.
    pub(crate) fn backlog(&self) -> BTreeMap<&'static str, u64> {
        const STATES: [&str; 6] = ["ready", "parked", "placed", "starting", "running", "stopping"];
        let count = |state| self.sum(&format!("stowplan_backlog{{state=\"{state}\"}}"));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count of containers")]
        STATES.into_iter().map(|state| (state, count(state) as u64)).collect()
    }

    /// Whether the store said where containers are: while it is busy, it may not.
    fn tell_backlog(&self) -> bool {
        self.0.keys().any(|name| name.starts_with("stowplan_backlog{"))
    }

    /// Whether no container waits, and none is at a worker.
    pub(crate) fn all_ended(&self) -> bool {
        self.backlog().values().all(|count| *count == 0)
    }
}

/// Makes one call, and makes it again, as clients should, while the store is said to be away: that is told on standard
/// error, for the machine is too busy then to measure much.
async fn submit(http: reqwest::Client, url: String, body: Vec<u8>) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let call = http.post(&url).header("content-type", "application/json").body(body.clone());
        let answer = call.send().await?;
        let status = answer.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            eprintln!("a submit was answered {status}, and is made again: {}", answer.text().await?);
            sleep(Duration::from_millis(200)).await;
            continue;
        }
        let answer: SubmitAnswer = answer.error_for_status()?.json().await?;
        let other = answer.outcomes.iter().find(|outcome| !outcome.is_in());
        ensure!(other.is_none(), "a request was not accepted: {other:?}");
        return Ok(());
    }
    bail!("a submit was refused {TRIES} times")
}

/// The program in `folder`, with nothing of our environment; what it says goes to a file there.
fn program(folder: &Path, name: &str) -> anyhow::Result<Command> {
    let said = fs::File::create(folder.join(format!("{name}.log")))?;
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stderr(said).kill_on_drop(true);
    Ok(command)
}

/// How much memory a process has in use, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// How long processes have computed so far, in milliseconds.
pub(crate) fn computed_ms(pids: impl IntoIterator<Item = u32>) -> anyhow::Result<f64> {
    /// The unit of the kernel's counts, the same on every Linux that people use.
    const TICK_MS: u64 = 10;
    let mut ticks = 0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold anything; user and system time are the 12th and 13th word behind it.
        let (_, fields) = stat.rsplit_once(')').context("no name in /proc")?;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
    }
    Ok(super::samples::float(ticks * TICK_MS))
}
