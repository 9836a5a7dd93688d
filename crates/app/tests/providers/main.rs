//! Providers as they are: real processes, a real server, and the program that the documents show.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod command;
mod contract;
mod process;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use app::api::token::Token;
use app::config::{PoolConfig, ProviderConfig};
use app::providers::{Context, open};
use app::scheduler::PoolSettings;
use domain::fleet::PoolTemplate;
use domain::id::{CellName, PoolName, Runtime, WorkerId};
use domain::model::placements::NewWorker;
use domain::resources::Capacity;
use domain::retry::Backoff;
use domain::worker::WorkerSpec;
use ports::WorkerProvider;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Bench, Setup};

/// How long a test waits for what should happen soon.
const PATIENCE: Duration = Duration::from_mins(1);
const TOKEN: &str = "s3cret-of-the-providers";

/// A server, and the folder in which its pools remember their workers. No process of theirs is left when it goes.
struct Ground {
    bench: Bench,
    folder: TempDir,
}

impl Ground {
    async fn new() -> Self {
        let bench = Bench::with(Setup { token: Some(TOKEN), ..Setup::default() }).await;
        Self { bench, folder: tempfile::tempdir().unwrap() }
    }

    fn context(&self) -> Context {
        Context {
            cell: CellName::new("main").unwrap(),
            store: "embedded".to_owned(),
            server: self.bench.url(),
            folder: self.folder.path().to_owned(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_stowplan")),
            token: Some(Token::new(TOKEN).unwrap()),
        }
    }

    fn open(&self, provider: ProviderConfig) -> Arc<dyn WorkerProvider> {
        open(&pool(provider), &self.context()).unwrap().expect("no fixed pool")
    }

    /// A worker as the server lists it, once it is available.
    async fn available(&self, id: &str) -> Value {
        let began = Instant::now();
        loop {
            let (_, list) = self.bench.get("/v1/workers").await;
            let found = list["workers"].as_array().unwrap().iter().find(|worker| worker["id"] == id);
            if let Some(worker) = found.filter(|worker| worker["status"] == "available") {
                return worker.clone();
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {id}: {list}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The agents of this test, by their data folders.
    fn agents(&self) -> BTreeSet<i32> {
        self.processes("agent")
    }

    fn processes(&self, command: &str) -> BTreeSet<i32> {
        let marker = self.folder.path().to_str().unwrap();
        let is_ours = |words: &[&str]| words.get(1) == Some(&command) && words.iter().any(|word| word.contains(marker));
        pids().filter(|pid| is_ours(&command_line(*pid).split('\0').collect::<Vec<_>>())).collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for pid in self.agents().into_iter().chain(self.processes("shim")) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

fn pool(provider: ProviderConfig) -> PoolConfig {
    let name = PoolName::new("burst").unwrap();
    let total = Capacity { cpu_milli: 1_999, memory_mib: 1_025, ..Capacity::default() };
    let mut spec = WorkerSpec::plain(name.clone(), Runtime::new("process").unwrap(), total);
    spec.labels.insert("zone".into(), "b=c".into());
    PoolConfig {
        settings: PoolSettings {
            template: PoolTemplate { name, spec: Arc::new(spec), workers_max: 10 },
            workers_min: 0,
            warm: 0,
            idle: Duration::from_mins(5),
            per_cycle_max: 10,
            cooldown: Duration::ZERO,
            backoff: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(1) },
            boot_within: Duration::from_mins(1),
            call_within: PATIENCE,
        },
        provider,
        server: None,
    }
}

fn new_worker(id: &str) -> NewWorker {
    let spec = pool(ProviderConfig::Fixed).settings.template.spec;
    NewWorker { id: WorkerId::new(id).unwrap(), spec, boot_within: Duration::from_millis(60_500) }
}

fn ids(names: &[&str]) -> Vec<WorkerId> {
    names.iter().map(|name| WorkerId::new(name).unwrap()).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn command_line(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The state of a process, such as Z; none if there is no such process.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
