//! `cargo xtask run -- --burst N`: N containers that exactly fill the fleet, submitted at once and held until all of them
//! are placed. Reads what happened off `/metrics` and the containers' own records, and says it beside the seed's numbers.

#[path = "bench/counts.rs"]
mod counts;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use app::api::container::{ContainerDocument, ContainerList};
use clap::Parser;
use counts::Counts;
use serde_json::json;

/// What the seed measured for 100 containers on 20 workers.
const SEED_MS: u64 = 1_800;
/// The seed's goal, and ours.
const GOAL: Duration = Duration::from_secs(2);
/// How long the containers may take to be placed, and then to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Submits a burst to a server and measures it.
#[derive(Parser)]
struct Args {
    /// The server.
    #[arg(long)]
    server: String,
    /// How many containers, each of 2 cpu and 4 GiB.
    #[arg(long, default_value_t = 100)]
    containers: usize,
    /// How many workers the containers fill.
    #[arg(long, default_value_t = 20)]
    workers: usize,
    /// Said by `cargo bench` to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&args))
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let gate = folder.path().join("gate");
    ensure!(Command::new("mkfifo").arg(&gate).status()?.success(), "mkfifo failed; it is part of coreutils");
    let server = Server { url: args.server.trim_end_matches('/').to_owned(), http: reqwest::Client::new() };
    let before = server.metrics().await?;
    let began = now_ms();
    server.submit(args.containers, &gate).await?;
    let placed = server.wait_for(args.containers, |container| container.taken.is_some()).await?;
    let after = server.metrics().await?;
    open_gate(&gate)?;
    let ended = server.wait_for(args.containers, ContainerDocument::is_ended).await?;
    let burst = Burst::of(began, &placed, &ended, &before, &after);
    burst.print(args);
    Ok(if burst.is_as_promised(args) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The server under the burst.
struct Server {
    url: String,
    http: reqwest::Client,
}

impl Server {
    async fn submit(&self, containers: usize, gate: &Path) -> anyhow::Result<()> {
        let gate = gate.to_str().context("the temporary folder's name is no text")?;
        let request = |number| {
            json!({
                "id": format!("burst-{number:04}"), "cpu": 2, "memory": "4Gi",
                "command": ["sh", "-c", "read _ < \"$GATE\"; exit 0"], "env": {"GATE": gate},
            })
        };
        let requests: Vec<_> = (0..containers).map(request).collect();
        let answer = self.http.post(format!("{}/v1/containers", self.url)).json(&requests).send().await?;
        ensure!(answer.status().is_success(), "the submit was refused: {}", answer.text().await?);
        Ok(())
    }

    async fn metrics(&self) -> anyhow::Result<Counts> {
        let text = self.http.get(format!("{}/metrics", self.url)).send().await?.error_for_status()?.text().await?;
        Ok(Counts::of(&text))
    }

    async fn list(&self) -> anyhow::Result<Vec<ContainerDocument>> {
        let mut containers = Vec::new();
        let mut after = String::new();
        loop {
            let url = format!("{}/v1/containers?limit=1000{after}", self.url);
            let page: ContainerList = self.http.get(url).send().await?.error_for_status()?.json().await?;
            containers.extend(page.containers.into_iter().filter(|container| container.id.starts_with("burst-")));
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(containers),
            }
        }
    }

    async fn wait_for(
        &self,
        count: usize,
        holds: impl Fn(&ContainerDocument) -> bool,
    ) -> anyhow::Result<Vec<ContainerDocument>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let containers = self.list().await?;
            if containers.iter().filter(|container| holds(container)).count() == count {
                return Ok(containers);
            }
            if Instant::now() > deadline {
                let states: Vec<_> = containers.iter().map(|container| &container.state).collect();
                bail!("after {PATIENCE:?} not all {count} containers are there: {states:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Lets every container that reads from the gate go on.
fn open_gate(gate: &Path) -> anyhow::Result<()> {
    let mut gate = std::fs::OpenOptions::new().read(true).write(true).open(gate)?;
    // One line for each reader; those who come later find the gate closed, and are ended with the fleet.
    gate.write_all(&[b'\n'; 4_000])?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What happened.
struct Burst {
    placed: usize,
    succeeded: usize,
    workers: usize,
    batches: f64,
    fleet_reads: f64,
    calls: Vec<(&'static str, f64)>,
    asked_for: f64,
    took: Duration,
}

impl Burst {
    fn of(
        began_ms: u64,
        placed: &[ContainerDocument],
        ended: &[ContainerDocument],
        before: &Counts,
        after: &Counts,
    ) -> Self {
        let last = placed.iter().filter_map(|container| container.taken.as_ref()).map(|taken| taken.ms).max();
        let workers: BTreeSet<_> = placed.iter().filter_map(|container| container.worker.as_ref()).collect();
        let moved = |name: &str| after.since(before, name);
        let calls = ["next", "look", "commit"].map(|name| (name, after.calls_since(before, name)));
        Self {
            placed: placed.iter().filter(|container| container.taken.is_some()).count(),
            succeeded: ended.iter().filter(|container| container.state == "succeeded").count(),
            workers: workers.len(),
            batches: moved("stowplan_batch_size_count"),
            fleet_reads: after.calls_since(before, "look"),
            calls: calls.to_vec(),
            asked_for: moved("stowplan_worker_additions_total"),
            took: Duration::from_millis(last.unwrap_or(u64::MAX).saturating_sub(began_ms)),
        }
    }

    fn print(&self, args: &Args) {
        let calls: f64 = self.calls.iter().map(|(_, count)| count).sum();
        let by_name: Vec<_> = self.calls.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("placed                  {} of {}", self.placed, args.containers);
        println!("ended well              {}", self.succeeded);
        println!("workers used            {} of {}", self.workers, args.workers);
        println!("batches                 {}", self.batches);
        println!("fleet reads             {}", self.fleet_reads);
        println!("planner's store calls   {calls} ({}); the seed says 2", by_name.join(", "));
        println!("workers asked for       {}", self.asked_for);
        println!("submit to handed over   {} ms; the seed says {SEED_MS} ms", self.took.as_millis());
        let workers = self.workers;
        println!("scheduled {} containers across {workers} workers in {} ms", self.placed, self.took.as_millis());
    }

    fn is_as_promised(&self, args: &Args) -> bool {
        self.placed == args.containers
            && self.succeeded == args.containers
            && self.workers == args.workers
            && self.asked_for == 0.0
            && self.took < GOAL
    }
}
