//! One server: its store, its planner, its HTTP surface, put together and taken down in order.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use domain::batch::Flush;
use domain::fleet::{Fleet, Policy, Quotas};
use domain::id::{Incarnation, PlannerId, WorkerId};
use domain::model::workers::{Look, SeenSilent};
use ports::{PortError, Ports};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::agent::open_files;
use crate::api::about::{CautionDocument, SettingsDocument, StoreDocument};
use crate::api::period::millis;
use crate::api::pools::PoolStatus;
use crate::api::worker::WorkerDocument;
use crate::config::{Config, ConfigArgs, LogFormat, PoolConfig, settle};
use crate::http::{Explain, Server, now};
use crate::observe::{Metrics, Watch, logs, metered};
use crate::providers::{self, Context};
use crate::scheduler::{Planner, PoolOf, PoolState, Scheduler, Settings};
use crate::wiring;

/// How long a planner's stamp must stand still before another may take over.
const LASTS: Duration = Duration::from_secs(10);
/// How often a store that does not answer is asked what it is.
const ASK_STORE_EVERY: Duration = Duration::from_secs(1);
/// How often one that has said what it is is asked again.
const EXAMINE_AGAIN: Duration = Duration::from_secs(10);
/// How long a server that was told to drain waits for its workers to be empty.
const DRAIN_WITHIN: Duration = Duration::from_secs(9);
/// How many files a server should be able to open, at least: 2,000 agents need about as many.
const FILES_MIN: u64 = 4_096;
/// How many rows of the fleet one call reads meanwhile.
const WORKERS_LOOKED_AT: usize = 1_000;

/// Runs a server
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ends once standard input does and no worker owns anything.
    #[arg(long, hide = true)]
    drain_on_stdin_eof: bool,
}

/// Serves until it is told to stop.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = settle(&args.config)?.config;
    logs::start(config.log_level, config.log == LogFormat::Json);
    let files = open_files::raise();
    if files.is_some_and(|files| files < FILES_MIN) {
        tracing::warn!(
            files,
            "few files may be open at once, and each agent needs two; raise the hard limit: ulimit -Hn, or LimitNOFILE"
        );
    }
    providers::check_flags(&config.pools)?;
    for missing in providers::missing_programs(&config.pools) {
        tracing::warn!("{missing}; its pool can have no workers until then");
    }
    let signals = Signals::hear().context("failed to listen for signals")?;
    let store = wiring::open(&config)?;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("failed to listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    // Who started it need not listen.
    let _ = writeln!(io::stdout(), "listening on http://{address}");

    let settings = settings(&config, address)?;
    tracing::info!(planner = settings.planner.as_str(), "asks for the right to plan the cell");

    let metrics = Arc::new(Metrics::default());
    let scheduler = Scheduler::new(
        metered(&store, &metrics, None),
        metered(&store, &metrics, Some("housekeeping")),
        settings,
        Arc::new(Watch::new(Arc::clone(&metrics))),
    );
    let (tell, store_document) = watch::channel(wiring::describe(&config));
    let view =
        PlannersView { planner: scheduler.planner(), policy: Arc::new(config.policy.clone()), store: store_document };
    let server = Server {
        ports: for_callers(&store, &metrics, config.keepalive)?,
        cell: config.cell.clone(),
        token: config.token.clone(),
        view: Arc::new(view),
        metrics: Arc::new(move |depth| metrics.render(depth, now())),
        keepalive: config.keepalive,
        grace: config.grace,
        settings: in_force(&config),
    };
    let (stop, stopped) = watch::channel(false);
    let mut planning = tokio::spawn(scheduler.run(stopped));
    let refused = examine_store(config.clone(), tell);
    let told = told_to_stop(signals, args.drain_on_stdin_eof, store, config);
    tokio::select! {
        closed = crate::http::serve(listener, server, told) => closed?,
        refused = refused => return Err(refused),
        ended = &mut planning => return ended.context("the planner failed"),
    }
    stop.send_replace(true);
    planning.await?;
    Ok(())
}

/// Asks the store what it is, as soon as it answers and again and again, for whoever looks after it may change that, and
/// says what an operator should know of it. Comes back only if the store cannot be trusted with a cell when it is asked
/// first: what runs is not ended for a setting.
async fn examine_store(config: Config, tell: watch::Sender<StoreDocument>) -> anyhow::Error {
    let mut last: Option<StoreDocument> = None;
    loop {
        let store = match (wiring::examine(&config).await, &last) {
            (Ok(store), _) => store,
            (Err(refused @ PortError::Unsupported(_)), None) => {
                return anyhow::Error::new(refused).context("the store");
            }
            (Err(refused @ PortError::Unsupported(_)), Some(last)) => {
                let fix = "change that now: no server would start with it".to_owned();
                StoreDocument { cautions: vec![CautionDocument { what: refused.to_string(), fix }], ..last.clone() }
            }
            (Err(_), _) => {
                tokio::time::sleep(ASK_STORE_EVERY).await;
                continue;
            }
        };
        let is_new = |caution: &&CautionDocument| last.as_ref().is_none_or(|last| !last.cautions.contains(caution));
        for caution in store.cautions.iter().filter(is_new) {
            tracing::warn!("the store: {}; {}", caution.what, caution.fix);
        }
        tell.send_replace(store.clone());
        last = Some(store);
        tokio::time::sleep(EXAMINE_AGAIN).await;
    }
}

/// The store as those who call over HTTP have it: asked again if it is away for a moment, each try a call that counts.
pub fn for_callers(store: &Ports, metrics: &Arc<Metrics>, keepalive: Duration) -> anyhow::Result<Ports> {
    wiring::patient(&metered(store, metrics, None), keepalive)
}

fn settings(config: &Config, address: SocketAddr) -> anyhow::Result<Settings> {
    let context = Context::of(config, address)?;
    let open = |pool: &PoolConfig| -> anyhow::Result<PoolOf> {
        Ok(PoolOf { settings: pool.settings.clone(), provider: providers::open(pool, &context)? })
    };
    Ok(Settings {
        cell: config.cell.clone(),
        planner: PlannerId::new(&format!("planner-{:016x}", getrandom::u64()?))?,
        batch: config.batch,
        policy: config.policy.clone(),
        pools: config.pools.iter().map(open).collect::<anyhow::Result<_>>()?,
        keepalive: config.keepalive,
        grace: config.grace,
        lasts: LASTS,
        keep: config.keep,
        clock: now,
    })
}

/// What the server says is in force.
fn in_force(config: &Config) -> SettingsDocument {
    let batch = &config.batch;
    let flush = if batch.flush() == Flush::Window { "window" } else { "idle" };
    SettingsDocument {
        token: config.token.is_some(),
        batch_window_ms: millis(batch.window()),
        max_batch_size: batch.size_max(),
        fleet_cache_ms: millis(batch.fleet_cache()),
        flush: flush.to_owned(),
        keepalive_ms: millis(config.keepalive),
        grace_ms: millis(config.grace),
        quotas: config.policy.quotas.as_ref().is_some_and(|quotas| *quotas != Quotas::default()),
    }
}

/// The signals that end a server, heard before it may hold anything that it has to leave.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn hear() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }
}

/// Comes back when the server is to stop: at a signal, or once its input ended and its workers are empty.
async fn told_to_stop(mut signals: Signals, drain_on_stdin_eof: bool, store: Ports, config: Config) {
    tokio::select! {
        _ = signals.interrupt.recv() => {}
        _ = signals.terminate.recv() => {}
        () = input_ended(drain_on_stdin_eof) => {
            tracing::info!("told to drain: waiting until no worker owns anything");
            // Whatever is left goes on at its worker, and is there at the next start.
            let _ = tokio::time::timeout(DRAIN_WITHIN, workers_empty(&store, &config)).await;
        }
    }
    tracing::info!("stopping");
}

async fn input_ended(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

async fn workers_empty(store: &Ports, config: &Config) {
    while !is_empty(store, config).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether no worker owned anything, each as it was when its page was read.
async fn is_empty(store: &Ports, config: &Config) -> bool {
    let mut since = None;
    loop {
        let Ok(Look::Page(page)) = store.workers.look(&config.cell, since, WORKERS_LOOKED_AT).await else {
            return false;
        };
        if page.workers.iter().any(|worker| worker.used.containers > 0) {
            return false;
        }
        if !page.more {
            return true;
        }
        since = Some(page.upto.revision);
    }
}

/// What the HTTP surface asks of the planner.
pub struct PlannersView {
    /// The planner.
    pub planner: Planner,
    /// The policy that its plans follow.
    pub policy: Arc<Policy>,
    /// Where the cell is kept, as far as it is known by now.
    pub store: watch::Receiver<StoreDocument>,
}

impl Explain for PlannersView {
    fn fleet(&self) -> Option<Arc<Fleet>> {
        self.planner.fleet()
    }

    fn pools(&self) -> Option<Vec<PoolStatus>> {
        self.planner.pools().map(|pools| pools.iter().map(pool_status).collect())
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    fn silence_of(&self, worker: &WorkerId, run: Incarnation) -> Option<(Duration, SeenSilent)> {
        self.planner.silence_of(worker, run).map(|silent| (silent.lasted, silent.seen))
    }

    fn store(&self) -> StoreDocument {
        self.store.borrow().clone()
    }

    fn plans(&self) -> bool {
        self.planner.holds_mandate()
    }

    fn planned_by(&self) -> Option<PlannerId> {
        self.planner.planned_by()
    }

    fn trouble(&self) -> Option<String> {
        self.planner.trouble()
    }
}

/// A pool as an operator sees it.
fn pool_status(state: &PoolState) -> PoolStatus {
    let settings = &state.settings;
    PoolStatus {
        name: settings.template.name.to_string(),
        grows: state.grows,
        min: settings.workers_min,
        max: settings.template.workers_max,
        warm: settings.warm,
        ready: state.ready,
        pending: state.pending,
        idle: state.idle,
        others: state.others,
        leaving: state.leaving,
        failed: state.failed,
        wanted: state.wanted,
        rests_ms: state.rests.map(millis),
        failures: state.failures,
        decision: state.decision.clone(),
        trouble: state.trouble.clone(),
        worker: WorkerDocument::of_spec(&state.expected.spec),
    }
}
