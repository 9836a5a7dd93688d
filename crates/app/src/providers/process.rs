//! Workers that are agents on the server's own machine, each a process that outlives the server.
//!
//! In the pool's folder, `workers/ID` holds one worker: `agent`, its data folder, and `log`. Which process an agent is
//! stands in its data folder, written by itself while it holds that folder's lock: there is one agent of it, whoever
//! starts how many. `lock` is held by the server that starts or ends some. `store` says of which store's cell they are,
//! and is locked by every server that runs: those of another cell would take them for strays.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use domain::id::WorkerId;
use domain::model::placements::NewWorker;
use domain::worker::WorkerSpec;

use ports::{AddOutcome, PortError, PortResult, ProviderRemoveOutcome, WorkerProvider};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::Context;
use crate::agent::procfs::{self, ProcessIdentity};
use crate::agent::{data, leftovers, open_files};
use crate::api::token::TOKEN_VARIABLE;
use crate::config::PoolConfig;

/// What an agent has of the server's environment; its token comes on top.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];
/// How long an agent that was started may take to open its data folder; then it is believed to come.
const START_WITHIN: Duration = Duration::from_secs(5);
/// From TERM to KILL.
const KILL_AFTER: Duration = Duration::from_secs(3);
/// How long a killed agent may take to be gone, and what it ran likewise.
const GONE_WITHIN: Duration = Duration::from_secs(3);
/// How long a server waits for another that begins or ends just now.
const CLAIM_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked what became of them.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A log that is longer when its agent starts again makes room for another.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// Starts and ends the agents of one pool.
pub(super) struct ProcessProvider(Arc<Pool>);

struct Pool {
    folder: PathBuf,
    program: PathBuf,
    server: String,
    agent_args: Vec<String>,
    environment: Vec<(String, String)>,
    call_within: Duration,
    /// Held for as long as this server may start or end agents here.
    _claim: File,
}

impl ProcessProvider {
    pub(super) fn open(pool: &PoolConfig, agent_args: &[String], context: &Context) -> anyhow::Result<Self> {
        let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let token = context.token.as_ref().map(|token| (TOKEN_VARIABLE.to_owned(), token.as_secret().to_owned()));
        let folder = context.folder.join(pool.settings.template.name.as_str());
        make_folder(&folder.join("workers"))?;
        Ok(Self(Arc::new(Pool {
            _claim: claim(&folder.join("store"), &context.store)?,
            folder,
            program: context.program.clone(),
            server: pool.server.clone().unwrap_or_else(|| context.server.clone()),
            agent_args: agent_args.to_vec(),
            environment: inherited.chain(token).collect(),
            call_within: pool.settings.call_within,
        })))
    }

    /// Does what waits for processes and locks on a thread of its own.
    async fn off_thread<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Pool) -> anyhow::Result<T> + Send + 'static,
    ) -> PortResult<T> {
        let pool = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || task(&pool)).await.map_err(PortError::unavailable)?;
        done.map_err(|error| PortError::unavailable(format!("{error:#}")))
    }
}

#[async_trait]
impl WorkerProvider for ProcessProvider {
    async fn add(&self, workers: Vec<NewWorker>) -> PortResult<Vec<AddOutcome>> {
        self.off_thread(move |pool| {
            let _lock = pool.lock()?;
            Ok(pool.add(&workers))
        })
        .await
    }

    async fn remove(&self, workers: Vec<WorkerId>) -> PortResult<Vec<ProviderRemoveOutcome>> {
        self.off_thread(move |pool| {
            let _lock = pool.lock()?;
            Ok(pool.remove(&workers))
        })
        .await
    }

    async fn list(&self) -> PortResult<Vec<WorkerId>> {
        self.off_thread(Pool::list).await
    }
}

impl Pool {
    fn worker_folder(&self, worker: &WorkerId) -> PathBuf {
        self.folder.join("workers").join(worker.as_str())
    }

    fn data(&self, worker: &WorkerId) -> PathBuf {
        self.worker_folder(worker).join("agent")
    }

    /// Keeps every other server of this folder from starting or ending agents.
    fn lock(&self) -> anyhow::Result<File> {
        let path = self.folder.join("lock");
        let failed = || format!("failed to lock {}", path.display());
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).with_context(failed)?;
        let until = Instant::now() + self.call_within;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOOK_EVERY),
                Err(error) => return Err(io::Error::from(error)).with_context(failed),
            }
        }
    }

    fn add(&self, workers: &[NewWorker]) -> Vec<AddOutcome> {
        let started: Vec<_> = workers.iter().map(|worker| self.start(worker)).collect();
        let until = Instant::now() + START_WITHIN;
        let outcomes = workers.iter().zip(started).map(|(worker, started)| match started {
            Ok(None) => AddOutcome::Coming,
            Ok(Some(agent)) => self.settle(&worker.id, agent, until),
            Err(error) => AddOutcome::Failed(format!("{error:#}")),
        });
        outcomes.collect()
    }

    /// Starts the worker's agent unless it runs.
    fn start(&self, worker: &NewWorker) -> anyhow::Result<Option<Child>> {
        let data = self.data(&worker.id);
        // Its agent may be about to end, and is no worker any more.
        if data::has_left(&data) {
            bail!("worker {} has left its cell; its name is not used again", worker.id);
        }
        if data::running(&data).is_some() {
            return Ok(None);
        }
        make_folder(&data).with_context(|| format!("failed to make {}", data.display()))?;
        let log = self.open_log(&worker.id).context("failed to open its log")?;
        let mut command = Command::new(&self.program);
        command.arg0("stowplan");
        command.args(agent_line(&worker.id, &worker.spec, &self.server, &data, &self.agent_args));
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let agent = command.spawn().context("failed to start its agent")?;
        open_files::give_back(&agent);
        Ok(Some(agent))
    }

    fn open_log(&self, worker: &WorkerId) -> io::Result<File> {
        let path = self.worker_folder(worker).join("log");
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            fs::rename(&path, path.with_extension("old"))?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
    }

    /// Waits until the agent has opened its folder, or has ended before, and has it waited for from then on.
    fn settle(&self, worker: &WorkerId, mut agent: Child, until: Instant) -> AddOutcome {
        let data = self.data(worker);
        let ended = loop {
            let ended = agent.try_wait().ok().flatten();
            if data::running(&data).is_some() || (ended.is_none() && Instant::now() >= until) {
                break None;
            }
            if ended.is_some() {
                break ended;
            }
            thread::sleep(LOOK_EVERY);
        };
        tokio::spawn(async move { agent.wait().await });
        ended.map_or(AddOutcome::Coming, |status| {
            let log = fs::read_to_string(self.worker_folder(worker).join("log")).unwrap_or_default();
            let said = log.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_default();
            AddOutcome::Failed(format!("its agent ended at once ({status}): {said}"))
        })
    }

    fn remove(&self, workers: &[WorkerId]) -> Vec<ProviderRemoveOutcome> {
        let agents: Vec<_> = workers.iter().filter_map(|worker| data::running(&self.data(worker))).collect();
        end(&agents, Signal::TERM, KILL_AFTER);
        end(&agents, Signal::KILL, GONE_WITHIN);
        workers.iter().map(|worker| self.clear(worker)).collect()
    }

    /// Ends what the worker still ran, though it should have been empty, and forgets it.
    fn clear(&self, worker: &WorkerId) -> ProviderRemoveOutcome {
        let data = self.data(worker);
        if let Some(agent) = data::running(&data) {
            return ProviderRemoveOutcome::Failed(format!("its agent, process {}, does not end", agent.pid));
        }
        if !leftovers::end_all(&data, worker.as_str(), GONE_WITHIN) {
            return ProviderRemoveOutcome::Failed("a container of it does not end".to_owned());
        }
        let folder = self.worker_folder(worker);
        make_writable(&folder);
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                ProviderRemoveOutcome::Failed(format!("its folder cannot be removed: {error}"))
            }
            _ => ProviderRemoveOutcome::Gone,
        }
    }

    fn list(&self) -> anyhow::Result<Vec<WorkerId>> {
        let folder = self.folder.join("workers");
        let failed = || format!("failed to read {}", folder.display());
        let mut workers = Vec::new();
        for entry in fs::read_dir(&folder).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name();
            // One whose agent has died is named too, until it is removed.
            workers.extend(name.to_str().and_then(|name| WorkerId::new(name).ok()));
        }
        workers.sort();
        Ok(workers)
    }
}

/// Claims a folder for the cells of `store`, together with all servers of the same: none of another may have claimed it. What
/// a server has left that runs no more is nobody's.
fn claim(path: &Path, store: &str) -> anyhow::Result<File> {
    let failed = || format!("failed to claim {}", path.display());
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let mut claim = options.open(path).with_context(failed)?;
    let until = Instant::now() + CLAIM_WITHIN;
    loop {
        if may_lock(claim.try_lock()).with_context(failed)? {
            claim.set_len(0).and_then(|()| claim.write_all(store.as_bytes())).with_context(failed)?;
            claim.unlock().with_context(failed)?;
        }
        let mut whose = String::new();
        if may_lock(claim.try_lock_shared()).with_context(failed)? {
            claim.rewind().and_then(|()| claim.read_to_string(&mut whose)).with_context(failed)?;
            if whose == store {
                return Ok(claim);
            }
            claim.unlock().with_context(failed)?;
        }
        if Instant::now() >= until {
            bail!(
                "a server runs whose cell is in another store ({whose}), and its workers are here; give this one, whose \
                 cell is in {store}, a folder of its own with --data, or stop that one"
            );
        }
        claim.rewind().with_context(failed)?;
        thread::sleep(LOOK_EVERY);
    }
}

fn may_lock(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The command line of an agent, behind the program.
pub(super) fn agent_line(
    id: &WorkerId,
    spec: &WorkerSpec,
    server: &str,
    data: &Path,
    agent_args: &[String],
) -> Vec<OsString> {
    let own = ["agent", "--detach", "--server", server, "--data"].map(OsString::from);
    let own = own.into_iter().chain([data.as_os_str().to_owned()]);
    let told = template_args(id, spec).into_iter().chain(agent_args.iter().cloned());
    own.chain(told.map(OsString::from)).collect()
}

/// What the template says, as flags of an agent.
fn template_args(id: &WorkerId, spec: &WorkerSpec) -> Vec<String> {
    let mut args = vec![
        format!("--id={id}"),
        format!("--pool={}", spec.pool),
        format!("--cpu={}m", spec.total.cpu_milli),
        format!("--memory={}Mi", spec.total.memory_mib),
        format!("--priority={}", spec.priority),
    ];
    args.extend(spec.runtimes.iter().map(|runtime| format!("--executor={runtime}")));
    args.extend(spec.gpu_type().map(|gpu_type| format!("--gpu={gpu_type}:{}", spec.total.gpu_count)));
    args.extend(spec.machine.iter().map(|machine| format!("--machine={machine}")));
    args.extend(spec.workspace.iter().map(|workspace| format!("--workspace={workspace}")));
    args.extend(spec.labels.iter().map(|(name, value)| format!("--label={name}={value}")));
    let flags = [("--preemptible", spec.preemptible), ("--requires-pool-selector", spec.requires_pool_selector)];
    args.extend(flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag.to_owned()));
    args
}

/// Signals those that live, and waits for them to end.
fn end(agents: &[ProcessIdentity], signal: Signal, within: Duration) {
    for agent in agents {
        procfs::signal(agent, signal);
    }
    let until = Instant::now() + within;
    while agents.iter().any(ProcessIdentity::is_alive) && Instant::now() < until {
        thread::sleep(LOOK_EVERY);
    }
}

/// Containers may leave folders from which nothing can be removed.
fn make_writable(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
