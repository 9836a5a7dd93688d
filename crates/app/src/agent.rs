//! The agent: runs a worker's containers, and tells the server what becomes of them.
//!
//! [`core`] decides, `driver` performs; between them an agent is one loop. Containers run under [`shim`]s, processes
//! of their own that outlive the agent; [`record`] is what the two of them write down for each other. [`data`] is the
//! folder in which an agent keeps who it is.

pub mod client;
pub mod clock;
pub mod core;
pub mod data;
mod driver;
pub mod executor;
pub mod files;
mod fuse;
pub mod leftovers;
pub mod open_files;
pub mod procfs;
pub mod record;
pub mod shim;

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::id::WorkerId;
use domain::worker::DEFAULT_RUNTIME;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, setsid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Sender};

use self::client::Client;
use self::core::{Event, Farewell, Identity};
use self::data::Folder;
use self::driver::{Driver, Outcome};
use self::executor::Executor;
use self::executor::process::{ProcessExecutor, Setting, gpu_devices};
use self::executor::simulate::SimulateExecutor;
use crate::api::address::{DEFAULT_SERVER, SERVER_VARIABLE, read_address};
use crate::api::field::BadField;
use crate::api::period::parse_period;
use crate::api::problem::in_full;
use crate::api::quantity::Quantity;
use crate::api::token::{TOKEN_VARIABLE, Token};
use crate::api::worker::{HOOK_RUNTIME, OneOrMany, SIMULATE_RUNTIME, WorkerDocument};

/// How many happenings may wait to be handled.
const HAPPENINGS_MAX: usize = 1_024;
/// The exit code when another agent has taken over, or the server refuses this one.
const EXIT_REFUSED: u8 = 4;

/// `stowplan agent`: offers this machine, or a part of it, to a server.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct AgentArgs {
    /// The worker's name.
    #[arg(long)]
    pub id: WorkerId,
    /// The server's address; by default `STOWPLAN_SERVER`, or port 7070 of this machine. If several servers share the
    /// cell, theirs, separated by commas: when one does not answer, the next is called.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub server: Vec<String>,
    /// Where the agent keeps what it must not forget [default: .stowplan/agents/ID].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How much cpu it offers, such as 2, 0.5 or 2000m [default: all].
    #[arg(long)]
    pub cpu: Option<String>,
    /// How much memory it offers, such as 20Gi [default: all].
    #[arg(long)]
    pub memory: Option<String>,
    /// Which GPUs it offers, and how many, such as T4:2.
    #[arg(long, value_name = "TYPE:COUNT", value_parser = parse_gpu)]
    pub gpu: Option<(String, u32)>,
    /// The pool that it belongs to.
    #[arg(long)]
    pub pool: Option<String>,
    /// Workers of a higher priority are preferred.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub priority: i32,
    /// It may be taken away at any time.
    #[arg(long)]
    pub preemptible: bool,
    /// It serves only requests that name its pool.
    #[arg(long)]
    pub requires_pool_selector: bool,
    /// The machine that it runs on.
    #[arg(long)]
    pub machine: Option<String>,
    /// The only workspace that it serves.
    #[arg(long)]
    pub workspace: Option<String>,
    /// Words that requests may demand.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// A file that holds the server's token; by default `STOWPLAN_TOKEN` is the token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How to log, on standard error.
    #[arg(long, value_enum, default_value_t)]
    pub log: LogFormat,
    /// What runs its containers, and the runtime that requests name to get it.
    #[arg(long, value_enum, default_value_t)]
    pub executor: ExecutorKind,
    /// The program that runs what is placed here, with executor hook.
    #[arg(long, value_name = "PROGRAM")]
    pub hook: Option<PathBuf>,
    /// Registers at once, and is ready for work only after this long, as a machine that boots; for tests of pools.
    #[arg(long, value_name = "TIME", value_parser = parse_delay)]
    pub boot_delay: Option<Duration>,
    /// Leads a session of its own, so that it outlives the one of whoever started it.
    #[arg(long, hide = true)]
    pub detach: bool,
    /// When standard input ends: drain, leave, and exit.
    #[arg(long, hide = true)]
    pub drain_on_stdin_eof: bool,
}

/// What runs an agent's containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ExecutorKind {
    /// Each is a process of this machine.
    #[default]
    Process,
    /// Nothing runs: each is over when its command, `sleep N`, would be; any other ends at once.
    Simulate,
    /// A program of the operator's runs them.
    Hook,
}

impl ExecutorKind {
    fn runtime(self) -> &'static str {
        match self {
            Self::Process => DEFAULT_RUNTIME,
            Self::Simulate => SIMULATE_RUNTIME,
            Self::Hook => HOOK_RUNTIME,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

fn parse_gpu(text: &str) -> Result<(String, u32), String> {
    let parsed = text.rsplit_once(':').and_then(|(kind, count)| Some((kind, count.parse::<u32>().ok()?)));
    let wrong = || format!("{text:?} is no TYPE:COUNT, such as T4:2");
    parsed
        .filter(|(kind, count)| !kind.is_empty() && *count > 0)
        .map(|(kind, count)| (kind.to_owned(), count))
        .ok_or_else(wrong)
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let label = text.split_once('=').filter(|(name, _)| !name.is_empty());
    label.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| format!("{text:?} is no NAME=VALUE"))
}

fn parse_delay(text: &str) -> Result<Duration, String> {
    parse_period(text).map_err(|bad| bad.to_string())
}

/// Runs the agent until it is told to leave. A signal ends it at once, and leaves what it runs to its shims.
pub async fn run(args: AgentArgs) -> anyhow::Result<ExitCode> {
    start_logging(args.log);
    open_files::raise();
    if args.detach {
        setsid().context("failed to begin a session")?;
    }
    let id = args.id.as_str();
    let worker = document(&args)?;
    check(&worker)?;
    let hook = hook(&args)?;
    let gpu_count = args.gpu.as_ref().map_or(0, |(_, count)| *count);
    let gpu_devices = gpu_devices(std::env::var_os("CUDA_VISIBLE_DEVICES").as_deref(), gpu_count)?;
    let client = Client::new(&servers(&args)?, id, token(&args)?)?;
    let path = args.data.clone().unwrap_or_else(|| PathBuf::from(".stowplan/agents").join(id));
    let folder = Folder::open(&path, id, &data::machine_id())?;
    let (data, key) = (folder.path().to_owned(), folder.key().to_owned());
    let setting = Setting { data, key: key.clone(), worker: id.to_owned(), gpu_devices, hook };
    let (happenings_in, happenings) = mpsc::channel(HAPPENINGS_MAX);
    let executor: Box<dyn Executor> = match args.executor {
        ExecutorKind::Simulate => Box::new(SimulateExecutor::new(setting, happenings_in)?),
        ExecutorKind::Process | ExecutorKind::Hook => Box::new(ProcessExecutor::new(setting, happenings_in)),
    };
    let mut driver = Driver::new(Identity { worker, key }, folder, client, vec![executor], happenings)?;
    if let Some(delay) = args.boot_delay {
        driver.boot_for(delay);
    }
    if args.drain_on_stdin_eof {
        leave_at_stdin_eof(driver.events());
    }
    tracing::info!(worker = id, "agent started");
    Ok(say_farewell(id, driver.run(ended_by_signal()?).await))
}

fn say_farewell(worker: &str, outcome: Outcome) -> ExitCode {
    let (code, message) = match outcome {
        Outcome::Signal(name) => {
            (0, format!("ended by {name}; what worker {worker} runs goes on, for the next agent of its data folder"))
        }
        Outcome::Farewell(Farewell::Left) => (0, format!("worker {worker} is empty and has left")),
        Outcome::Farewell(Farewell::Removed) => (0, format!("worker {worker} was removed")),
        Outcome::Farewell(Farewell::CutOff) => {
            (1, format!("worker {worker} has left without reaching the server; what it ran was ended"))
        }
        Outcome::Farewell(Farewell::Replaced) => {
            let other = format!("error: another agent has registered as worker {worker}");
            (EXIT_REFUSED, format!("{other}, from a copy of this data folder or from another; what runs is left to it"))
        }
        Outcome::Farewell(Farewell::Rejected(detail)) => {
            (EXIT_REFUSED, format!("error: the server refuses worker {worker}: {detail}"))
        }
    };
    say(&message);
    ExitCode::from(code)
}

/// Says a line on standard error. Nobody may be there to hear it, or the disk may be full: what runs goes on.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Refuses what makes no worker, by the flag that says it.
fn check(worker: &WorkerDocument) -> Result<(), BadField> {
    let flag = |bad: BadField| match bad.path.as_str() {
        "cpu" | "memory" | "pool" | "machine" | "workspace" => BadField { path: format!("--{}", bad.path), ..bad },
        _ => bad,
    };
    let spec = worker.to_spec().map_err(flag)?;
    let none = |flag| Err(BadField::new(flag, "0 is nothing; offer more than 0"));
    match &spec.total {
        total if total.cpu_milli == 0 => none("--cpu"),
        total if total.memory_mib == 0 => none("--memory"),
        _ => Ok(()),
    }
}

fn document(args: &AgentArgs) -> anyhow::Result<WorkerDocument> {
    let cpu = match &args.cpu {
        Some(cpu) => Quantity::text(cpu),
        None => {
            Quantity::integer(std::thread::available_parallelism().context("failed to count the cpus")?.get() as u64)
        }
    };
    let (memory, memory_mib) = match &args.memory {
        Some(memory) => (Some(Quantity::text(memory)), None),
        None => (None, Some(Quantity::integer(memory_mib()?))),
    };
    let (gpu_type, gpu_count) = args.gpu.clone().unzip();
    Ok(WorkerDocument {
        id: args.id.as_str().to_owned(),
        pool: args.pool.clone(),
        cpu: Some(cpu),
        memory,
        memory_mib,
        gpu_type,
        gpu_count: gpu_count.map(|count| Quantity::integer(u64::from(count))),
        priority: args.priority,
        preemptible: args.preemptible,
        requires_pool_selector: args.requires_pool_selector,
        machine: args.machine.clone(),
        workspace: args.workspace.clone(),
        runtime: Some(OneOrMany::One(args.executor.runtime().to_owned())),
        labels: BTreeMap::from_iter(args.labels.clone()),
        ..WorkerDocument::default()
    })
}

/// The hook as every container's shim finds it, whatever folder it works in.
fn hook(args: &AgentArgs) -> anyhow::Result<Option<PathBuf>> {
    match (args.executor, &args.hook) {
        (ExecutorKind::Hook, None) => {
            bail!(BadField::new("--hook", "is missing; --executor hook needs the program that it runs"))
        }
        (ExecutorKind::Hook, Some(hook)) => {
            let path = hook.canonicalize().with_context(|| format!("failed to find the hook {}", hook.display()))?;
            anyhow::ensure!(path.to_str().is_some(), "the hook's path, {}, is no text", path.display());
            Ok(Some(path))
        }
        (_, Some(_)) => {
            bail!(BadField::new("--hook", "is of use with --executor hook only; add that, or leave --hook out"))
        }
        (_, None) => Ok(None),
    }
}

/// The machine's memory, in whole MiB.
fn memory_mib() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("failed to read the size of the memory")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    Ok(kib.context("failed to read the size of the memory; give it with --memory")? / 1024)
}

/// Where the servers are.
fn servers(args: &AgentArgs) -> Result<Vec<String>, BadField> {
    let read =
        |server: &String, origin: &str| read_address(server).map_err(|problem| BadField::of(origin, server, &problem));
    if !args.server.is_empty() {
        return args.server.iter().map(|server| read(server, "--server")).collect();
    }
    let environment = std::env::var(SERVER_VARIABLE).ok().filter(|server| !server.is_empty());
    Ok(vec![match environment {
        Some(server) => read(&server, SERVER_VARIABLE)?,
        None => DEFAULT_SERVER.to_owned(),
    }])
}

/// The server's token. Other processes of the same user may not look into this one's memory for it.
fn token(args: &AgentArgs) -> anyhow::Result<Option<Token>> {
    let token = Token::find(args.token_file.as_deref()).map_err(|bad| {
        let flag = if args.token_file.is_some() { "--token-file" } else { TOKEN_VARIABLE };
        BadField::new(flag, in_full(&bad))
    })?;
    if token.is_some() {
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context("failed to protect the token")?;
    }
    Ok(token)
}

fn start_logging(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,app=info".into());
    // A line that cannot be written is no reason to end.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let lines = lines.with_env_filter(filter).with_ansi(false).with_writer(io::stderr);
    // Refused if the program has set one up already; then that one is used.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

fn ended_by_signal() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// A thread of its own: reading standard input cannot be given up.
fn leave_at_stdin_eof(events: Sender<Event>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut bytes), Ok(1..)) {}
        let _ = events.blocking_send(Event::Leave);
    });
}
