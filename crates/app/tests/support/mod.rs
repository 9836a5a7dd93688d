//! A server in this process: the memory store, a real scheduler, a real port; and workers played over HTTP.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use app::api::about::{SettingsDocument, StoreDocument};
use app::api::token::Token;
use app::http::{Server, now, serve};
use app::observe::{Metrics, Watch};
use app::scheduler::{Scheduler, Settings};
use app::serve::{PlannersView, for_callers};
use domain::batch::BatchPolicy;
use domain::fleet::Policy;
use domain::id::{CellName, PlannerId};
use domain::model::containers::Keep;
use ports::Ports;
use ports::rows::{MemoryStore, RowPorts};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How the server is put together.
pub(crate) struct Setup {
    pub(crate) token: Option<&'static str>,
    pub(crate) keepalive: Duration,
    pub(crate) grace: Duration,
    pub(crate) plans: bool,
    /// What the HTTP side has in the place of the store; the store itself if none.
    pub(crate) store: Option<Between>,
}

/// Stands between a server and its store.
pub(crate) type Between = Box<dyn FnOnce(&Ports) -> Ports + Send>;

impl Default for Setup {
    fn default() -> Self {
        let (keepalive, grace) = (Duration::from_mins(2), Duration::from_secs(15));
        Self { token: None, keepalive, grace, plans: true, store: None }
    }
}

/// A server that serves until it is dropped.
pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    pub(crate) ports: Ports,
    token: Option<&'static str>,
    stop: watch::Sender<bool>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let ports = RowPorts::over(MemoryStore::new().expect("randomness"));
        let cell = CellName::new("main").expect("a name");
        let policy = Policy::default();
        let keepalive_ms = u64::try_from(setup.keepalive.as_millis()).expect("a span of time");
        let settings = Settings {
            cell: cell.clone(),
            planner: PlannerId::new("p1").expect("a name"),
            batch: BatchPolicy::BALANCED,
            policy: policy.clone(),
            pools: Vec::new(),
            keepalive: setup.keepalive,
            grace: setup.grace,
            lasts: Duration::from_secs(10),
            keep: Keep::default(),
            clock: now,
        };
        let metrics = Arc::new(Metrics::default());
        let watch_metrics = Arc::new(Watch::new(Arc::clone(&metrics)));
        let scheduler = Scheduler::new(ports.clone(), ports.clone(), settings, watch_metrics);
        let view = Arc::new(PlannersView {
            planner: scheduler.planner(),
            policy: Arc::new(policy),
            store: tokio::sync::watch::channel(StoreDocument::default()).1,
        });
        let (stop, stopping) = watch::channel(false);
        if setup.plans {
            tokio::spawn(scheduler.run(stopping.clone()));
        }
        let store = setup.store.map_or_else(|| ports.clone(), |between| between(&ports));
        let server = Server {
            ports: for_callers(&store, &metrics, setup.keepalive).expect("randomness"),
            cell,
            token: setup.token.map(|token| Token::new(token).expect("a token")),
            view,
            metrics: Arc::new(|_| "# EOF\n".to_owned()),
            keepalive: setup.keepalive,
            grace: setup.grace,
            settings: SettingsDocument { keepalive_ms, ..SettingsDocument::default() },
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut stopped = stopping;
        let stopped = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        tokio::spawn(serve(listener, server, stopped));
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { address, client, ports, token: setup.token, stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tells the server to close.
    pub(crate) fn close(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url()));
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn post_empty(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::POST, path)).await
    }

    /// Registers a worker of 10 cpu and 20 GiB.
    pub(crate) async fn worker(&self, id: &str) -> Played {
        let worker = json!({ "id": id, "cpu": 10, "memory": "20Gi" });
        self.worker_of(id, worker, "key").await
    }

    pub(crate) async fn worker_of(&self, id: &str, worker: Value, key: &str) -> Played {
        let call = json!({ "worker": worker, "key": key, "incarnation": 1, "ready": true });
        let (status, answer) = self.post("/v1/workers", call).await;
        assert_eq!(status, 200, "{answer}");
        Played { id: id.to_owned(), incarnation: 1, number: 0, history: answer["history"].as_u64().expect("a number") }
    }

    /// Submits a command and waits until it is decided on.
    pub(crate) async fn submit(&self, request: Value) -> Value {
        let id = request["id"].as_str().expect("an id").to_owned();
        let (status, answer) = self.post("/v1/containers", request).await;
        assert_eq!(status, 201, "{answer}");
        self.get(&format!("/v1/containers/{id}?wait=5000&until=decided")).await.1
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A worker played by a test.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) id: String,
    pub(crate) incarnation: u64,
    pub(crate) number: u64,
    pub(crate) history: u64,
}

impl Played {
    pub(crate) fn caller(&mut self) -> Value {
        self.number += 1;
        json!({ "incarnation": self.incarnation, "number": self.number, "history": self.history })
    }

    pub(crate) async fn beat(&mut self, bench: &Bench) -> Value {
        let call = json!({ "caller": self.caller() });
        bench.post(&format!("/v1/workers/{}/heartbeat", self.id), call).await.1
    }

    pub(crate) async fn take(&mut self, bench: &Bench, after: Value, wait_ms: u64) -> Value {
        let call = json!({ "caller": self.caller(), "after": after, "limit": 100, "wait_ms": wait_ms });
        let (status, answer) = bench.post(&format!("/v1/workers/{}/take", self.id), call).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub(crate) async fn report(&mut self, bench: &Bench, placement: &Value, event: Value, output: Value) -> Value {
        let report = json!({ "placement": placement, "event": event, "output": output });
        let call = json!({ "caller": self.caller(), "reports": [report] });
        let (status, answer) = bench.post(&format!("/v1/workers/{}/report", self.id), call).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Takes one order, says that it runs, and that it ended so.
    pub(crate) async fn run_one(&mut self, bench: &Bench, event: Value, stdout: &str, stderr: &str) -> String {
        let taken = self.take(bench, Value::Null, 5_000).await;
        let placement = taken["orders"][0]["placement"].clone();
        self.report(bench, &placement, json!({ "kind": "running" }), Value::Null).await;
        let tail = |text: &str| json!({ "text": text, "dropped_bytes": 0 });
        let output = json!({ "stdout": tail(stdout), "stderr": tail(stderr) });
        let said = self.report(bench, &placement, event, output).await;
        assert_eq!(said["outcomes"], json!(["accepted"]), "{said}");
        placement["container"].as_str().expect("a name").to_owned()
    }
}

/// A worker that really runs what it is handed, one after the other, and stops nothing. It works until it is aborted.
pub(crate) fn run_all(bench: &Arc<Bench>, mut worker: Played) -> tokio::task::JoinHandle<()> {
    let bench = Arc::clone(bench);
    tokio::spawn(async move {
        let mut after = Value::Null;
        loop {
            let taken = worker.take(&bench, after.clone(), 1_000).await;
            after = taken["upto"].clone();
            for order in taken["orders"].as_array().expect("a list") {
                let placement = &order["placement"];
                let (event, output) = match order["order"].as_str() {
                    Some("start") => {
                        worker.report(&bench, placement, json!({ "kind": "running" }), Value::Null).await;
                        execute(order).await
                    }
                    _ => (json!({ "kind": "stop_order" }), Value::Null),
                };
                worker.report(&bench, placement, event, output).await;
            }
        }
    })
}

async fn execute(order: &Value) -> (Value, Value) {
    use std::os::unix::process::ExitStatusExt as _;
    let words: Vec<&str> = order["command"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let ran = tokio::process::Command::new(words[0]).args(&words[1..]).output().await;
    let Ok(ran) = ran else {
        let detail = format!("{}: no such command", words[0]);
        return (json!({ "kind": "unstartable", "code": 127, "detail": detail }), Value::Null);
    };
    let event = match (ran.status.code(), ran.status.signal()) {
        (Some(code), _) => json!({ "kind": "exited", "code": code }),
        (None, signal) => json!({ "kind": "signaled", "signal": signal }),
    };
    let tail = |bytes: &[u8]| json!({ "text": String::from_utf8_lossy(bytes), "dropped_bytes": 0 });
    (event, json!({ "stdout": tail(&ran.stdout), "stderr": tail(&ran.stderr) }))
}
