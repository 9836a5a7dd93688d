//! A played server, agents of the built binary, and what a test wants to know of both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use app::agent::procfs;
use app::agent::record::Assignment;
use app::api::calls::{
    Event, HeartbeatAnswer, HeartbeatCall, Hold, IfSilent, Order, OrderMark, Owns, PlacementName, RegisterAnswer,
    RegisterCall, Report, ReportAnswer, ReportCall, ReportOutcome, StartOrder, StopCause, TakeAnswer, TakeCall,
    Verdict,
};
use app::api::problem::{Kind, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How long a test waits for what should happen soon.
const PATIENCE: Duration = Duration::from_mins(1);
/// The history that the played server is in.
pub(crate) const HISTORY: u64 = 7;

/// What the server was told, and what it answers.
pub(crate) struct Script {
    pub(crate) keepalive_ms: u64,
    /// Answers 503 to everything.
    pub(crate) away: bool,
    /// Answers 409 to registrations.
    pub(crate) refuses: bool,
    pub(crate) kills: Vec<PlacementName>,
    pub(crate) verdict: Verdict,
    pub(crate) registers: Vec<RegisterCall>,
    pub(crate) reports: Vec<(Instant, Report)>,
    pub(crate) requests: Vec<String>,
    orders: Vec<(u64, Order)>,
}

struct Stage {
    script: Mutex<Script>,
    ordered: Notify,
}

/// A played server with one worker's data folder.
pub(crate) struct Play {
    stage: Arc<Stage>,
    url: String,
    pub(crate) worker: String,
    pub(crate) dir: TempDir,
    _runtime: Runtime,
}

type Stages = State<Arc<Stage>>;

impl Play {
    pub(crate) fn new() -> Self {
        Self::with_keepalive(60_000)
    }

    pub(crate) fn with_keepalive(keepalive_ms: u64) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let script = Script {
            keepalive_ms,
            away: false,
            refuses: false,
            kills: Vec::new(),
            verdict: Verdict::Ok,
            registers: Vec::new(),
            reports: Vec::new(),
            requests: Vec::new(),
            orders: Vec::new(),
        };
        let stage = Arc::new(Stage { script: Mutex::new(script), ordered: Notify::new() });
        let router = axum::Router::new()
            .route("/v1/workers", post(register))
            .route("/v1/workers/{id}/heartbeat", post(heartbeat))
            .route("/v1/workers/{id}/take", post(take))
            .route("/v1/workers/{id}/report", post(report))
            .route("/v1/workers/{id}/drain", post(drain))
            .route("/v1/workers/{id}/remove", post(remove))
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&stage), note))
            .with_state(Arc::clone(&stage));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        let worker = format!("w{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { stage, url, worker, dir: tempfile::tempdir().unwrap(), _runtime: runtime }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.stage.script.lock().unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file that a container may write.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stowplan"));
        command.args(["agent", "--cpu", "4", "--memory", "4Gi", "--server", &self.url, "--id", &self.worker]);
        command.arg("--data").arg(self.data()).stdin(Stdio::null()).stderr(Stdio::inherit());
        command.env("RUST_LOG", "warn").env_remove("CUDA_VISIBLE_DEVICES");
        command
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent(self.command().spawn().unwrap())
    }

    pub(crate) fn order(&self, order: Order) {
        let mut script = self.script();
        let revision = script.orders.len() as u64 + 1;
        script.orders.push((revision, order));
        drop(script);
        self.stage.ordered.notify_waiters();
    }

    pub(crate) fn start(&self, name: &str, command: &[&str]) -> PlacementName {
        self.start_with(name, command, |_| {})
    }

    pub(crate) fn start_with(&self, name: &str, command: &[&str], change: impl Fn(&mut StartOrder)) -> PlacementName {
        let placement = PlacementName { container: name.to_owned(), attempt: 1, history: HISTORY };
        let mut order = StartOrder {
            placement: placement.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            env: BTreeMap::new(),
            cwd: None,
            timeout_ms: None,
            kill_after_ms: Some(5_000),
            if_silent: IfSilent::Stop,
            owns: owns(),
            runtime: None,
        };
        change(&mut order);
        self.order(Order::Start(Box::new(order)));
        placement
    }

    /// What an agent would write down for a shim; its lease is of the key `k`.
    pub(crate) fn assignment(&self, command: &[&str]) -> Assignment {
        Assignment {
            placement: PlacementName { container: "c".to_owned(), attempt: 1, history: HISTORY },
            worker: self.worker.clone(),
            key: "k".to_owned(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            cwd: None,
            hook_input: None,
            timeout_ms: None,
            kill_after_ms: 5_000,
            if_silent: IfSilent::Stop,
            start_by_ms: u64::MAX,
            owns: owns(),
        }
    }

    pub(crate) fn stop(&self, placement: &PlacementName, cause: StopCause) {
        self.order(Order::Stop { placement: placement.clone(), cause });
    }

    /// Waits until `look` sees something.
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut(&Script) -> Option<T>) -> T {
        wait(what, || look(&self.script()))
    }

    pub(crate) fn wait_running(&self, placement: &PlacementName) {
        self.wait(&format!("{placement:?} to run"), |script| {
            script.reports.iter().any(|(_, report)| report.placement == *placement).then_some(())
        });
    }

    /// The end of `placement` as it was reported, or told by a registration.
    pub(crate) fn wait_end(&self, placement: &PlacementName) -> Report {
        self.wait(&format!("{placement:?} to end"), |script| {
            let reported = script.reports.iter().map(|(_, report)| report);
            let told = script.registers.iter().flat_map(|call| &call.ends);
            let mut ends = reported.chain(told).filter(|end| end.placement == *placement && end.event.is_end());
            ends.next().cloned()
        })
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, name: &str, command: &[&str]) -> Report {
        let placement = self.start(name, command);
        self.wait_end(&placement)
    }
}

impl Drop for Play {
    /// A test that failed leaves no process behind.
    fn drop(&mut self) {
        while procfs::kill_leftovers(None, &[format!("STOWPLAN_WORKER={}", self.worker)]) {}
    }
}

/// An agent; killed when it is dropped.
pub(crate) struct Agent(pub(crate) Child);

impl Agent {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// How it exits, by itself.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        wait("the agent to exit", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `look` sees something.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The numbers that a container wrote into `file`, once it has.
pub(crate) fn wait_pids(file: &Path, count: usize) -> Vec<i32> {
    wait(&format!("{count} pids in {}", file.display()), || {
        let text = std::fs::read_to_string(file).ok().filter(|text| text.ends_with('\n'))?;
        let pids: Vec<_> = text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        (pids.len() == count).then_some(pids)
    })
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// The text on standard output of an end.
pub(crate) fn stdout(end: &Report) -> &str {
    &end.output.as_ref().expect("has output").stdout.text
}

pub(crate) fn exited(code: i32) -> Event {
    Event::Exited { code }
}

async fn note(State(stage): Stages, request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    {
        let mut script = stage.script.lock().unwrap();
        let token = request.headers().get("authorization").map(|token| token.to_str().unwrap().to_owned());
        script.requests.push(format!("{} {}", request.uri().path(), token.unwrap_or_default()));
        if script.away {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    next.run(request).await
}

async fn register(State(stage): Stages, Json(call): Json<RegisterCall>) -> Response {
    let mut script = stage.script.lock().unwrap();
    let held = call.holds.iter().map(|held| &held.placement);
    let kill = held.filter(|held| script.kills.contains(held)).cloned().collect();
    script.registers.push(call);
    if script.refuses {
        let problem = Problem::new(Kind::WorkerKeyTaken, "another key owns c1").next("stowplan worker list");
        return (StatusCode::CONFLICT, Json(problem)).into_response();
    }
    Json(RegisterAnswer { history: HISTORY, revision: 0, kill, keepalive_ms: script.keepalive_ms, raise_above: None })
        .into_response()
}

async fn heartbeat(State(stage): Stages, Json(_): Json<HeartbeatCall>) -> Json<HeartbeatAnswer> {
    Json(HeartbeatAnswer { verdict: stage.script.lock().unwrap().verdict })
}

async fn take(State(stage): Stages, Json(call): Json<TakeCall>) -> Json<TakeAnswer> {
    let until = tokio::time::Instant::now() + Duration::from_millis(call.wait_ms);
    let after = call.after.map_or(0, |mark| mark.revision);
    loop {
        let ordered = stage.ordered.notified();
        let answer = {
            let script = stage.script.lock().unwrap();
            let new: Vec<_> = script.orders.iter().filter(|(revision, _)| *revision > after).cloned().collect();
            let upto = new.last().map(|(revision, _)| OrderMark { revision: *revision, container: "c".to_owned() });
            TakeAnswer {
                verdict: script.verdict,
                orders: new.into_iter().map(|(_, order)| order).collect(),
                upto,
                revision: 0,
            }
        };
        let over = tokio::time::Instant::now() >= until || answer.verdict != Verdict::Ok;
        if over || !answer.orders.is_empty() {
            return Json(answer);
        }
        let _ = tokio::time::timeout_at(until, ordered).await;
    }
}

async fn report(State(stage): Stages, Json(call): Json<ReportCall>) -> Json<ReportAnswer> {
    let mut script = stage.script.lock().unwrap();
    let outcomes = vec![ReportOutcome::Accepted; call.reports.len()];
    script.reports.extend(call.reports.into_iter().map(|report| (Instant::now(), report)));
    Json(ReportAnswer { verdict: script.verdict, outcomes, revision: 0 })
}

async fn drain(State(stage): Stages, Json(call): Json<Value>) -> StatusCode {
    assert_eq!(call, json!({ "within_ms": 5000 }));
    let script = stage.script.lock().unwrap();
    let over: Vec<_> = script.reports.iter().filter(|(_, report)| report.event.is_end()).collect();
    let runs: Vec<_> = script
        .orders
        .iter()
        .filter_map(|(_, order)| match order {
            Order::Start(order) => Some(order.placement.clone()),
            Order::Stop { .. } => None,
        })
        .filter(|placement| over.iter().all(|(_, report)| report.placement != *placement))
        .collect();
    drop(script);
    for placement in runs {
        let mut script = stage.script.lock().unwrap();
        let revision = script.orders.len() as u64 + 1;
        script.orders.push((revision, Order::Stop { placement, cause: StopCause::Drain }));
    }
    stage.ordered.notify_waiters();
    StatusCode::NO_CONTENT
}

async fn remove(State(_): Stages, Json(call): Json<Value>) -> StatusCode {
    assert_eq!(call, json!({}));
    StatusCode::NO_CONTENT
}

/// What every order says that its placement owns.
fn owns() -> Owns {
    Owns { cpu_milli: 500, memory_mib: 64, ..Owns::default() }
}

/// How an agent says that it holds what it was ordered to start.
pub(crate) fn hold(placement: &PlacementName) -> Hold {
    Hold { placement: placement.clone(), owns: owns() }
}
