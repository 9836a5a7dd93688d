//! A store that does not answer now and then, under the real HTTP surface: nobody notices, and nothing is done twice.

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app::http::now;
use app::observe::Metrics;
use app::serve::for_callers;
use domain::id::CellName;
use ports::around::{Answering, Around, wrap};
use ports::rows::{MemoryStore, RowPorts};
use ports::{PortError, PortResult};
use serde_json::{Value, json};
use support::{Bench, Setup, run_all};

/// How a call fails.
#[derive(Clone, Copy)]
enum Fault {
    /// It is not made.
    NotAsked,
    /// It is made, and its answer is lost.
    AnswerLost,
}

/// How often each operation was tried.
type Tries = Arc<Mutex<BTreeMap<&'static str, u32>>>;

/// A store that is away at every other try of each operation, the first included; or at every one.
struct Away {
    fault: Fault,
    for_good: bool,
    tries: Tries,
}

impl Around for Away {
    async fn around<'a, T: Send + 'static>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> PortResult<T> {
        let is_away = {
            let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
            let tries = tries.entry(operation).or_default();
            *tries += 1;
            self.for_good || *tries % 2 == 1
        };
        match self.fault {
            Fault::NotAsked if is_away => return Err(PortError::unavailable("it was not even asked")),
            Fault::AnswerLost if is_away => drop(call().await?),
            _ => return call().await,
        }
        Err(PortError::unavailable("its answer was lost"))
    }
}

fn away(fault: Fault, for_good: bool) -> (Away, Tries) {
    let tries = Tries::default();
    (Away { fault, for_good, tries: Arc::clone(&tries) }, tries)
}

/// A server whose store fails so.
async fn bench(fault: Fault, for_good: bool) -> (Bench, Tries) {
    let (away, tries) = away(fault, for_good);
    let setup = Setup { store: Some(Box::new(|ports| wrap(ports, away))), ..Setup::default() };
    (Bench::with(setup).await, tries)
}

/// Without what differs from one run to the next: times, and where the store is.
fn lasting(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for moment in ["submitted", "placed", "taken", "running", "ended", "at", "silent_ms"] {
                fields.remove(moment);
            }
            for place in ["history", "revision", "upto"] {
                fields.remove(place);
            }
            fields.values_mut().for_each(|field| *field = lasting(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = lasting(item.take())),
        _ => {}
    }
    value
}

/// Everything that people and agents ask of a server, and what they are answered.
struct Story<'a> {
    bench: &'a Bench,
    told: Vec<(String, u16, Value)>,
}

impl Story<'_> {
    async fn get(&mut self, path: &str) {
        let (status, answer) = self.bench.get(path).await;
        self.told.push((format!("GET {path}"), status, lasting(answer)));
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        // Who says it again says it later.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let (status, answer) = self.bench.post(path, body).await;
        self.told.push((format!("POST {path}"), status, lasting(answer.clone())));
        answer
    }

    async fn submit(&mut self) {
        let request = |id: &str, cpu: u32| json!({ "id": id, "command": ["true"], "cpu": cpu });
        self.post("/v1/containers", request("a", 2)).await;
        self.post("/v1/containers", json!([request("b", 2), request("c", 64)])).await;
        self.post("/v1/containers", request("a", 2)).await;
        self.post("/v1/containers", request("a", 3)).await;
        self.post("/v1/containers", json!([request("d", 64), request("b", 2), request("c", 63)])).await;
        for id in ["a", "b", "c", "d"] {
            self.get(&format!("/v1/containers/{id}?wait=5000&until=decided")).await;
        }
    }

    async fn work(&mut self) {
        let worker = |id: &str, cpu: u32| json!({ "id": id, "cpu": cpu, "memory": "20Gi" });
        let register = |worker: Value| json!({ "worker": worker, "key": "key", "incarnation": 1, "ready": true });
        let registered = self.post("/v1/workers", register(worker("w1", 10))).await;
        self.post("/v1/workers", register(worker("w2", 1))).await;
        self.submit().await;
        let caller = |number: u32| json!({ "incarnation": 1, "number": number, "history": registered["history"] });
        self.post("/v1/workers/w1/heartbeat", json!({ "caller": caller(1) })).await;
        let take = json!({ "caller": caller(2), "limit": 100, "wait_ms": 5_000 });
        let taken = self.post("/v1/workers/w1/take", take).await;
        let placement = taken["orders"][0]["placement"].clone();
        for (number, event) in [(3, json!({ "kind": "running" })), (4, json!({ "kind": "exited", "code": 7 }))] {
            let report = json!({ "placement": placement, "event": event });
            self.post("/v1/workers/w1/report", json!({ "caller": caller(number), "reports": [report] })).await;
        }
        self.get("/v1/containers/a?wait=5000&until=ended").await;
        self.get("/v1/containers/a/logs").await;
    }

    async fn tidy_up(&mut self) {
        for path in ["containers/b/stop", "containers/c/stop", "containers/c/stop", "containers/nobody/stop"] {
            self.post(&format!("/v1/{path}"), Value::Null).await;
        }
        for path in ["w1/cordon", "w1/uncordon", "w1/drain", "w1/remove", "w2/remove", "w2/remove", "nobody/remove"] {
            self.post(&format!("/v1/workers/{path}"), json!({})).await;
        }
        for path in ["/v1/workers", "/v1/workers/w2", "/v1/containers", "/v1/containers?state=stopped", "/v1/export"] {
            self.get(path).await;
        }
    }

    async fn of(bench: &Bench) -> Vec<(String, u16, Value)> {
        let mut story = Story { bench, told: Vec::new() };
        story.work().await;
        story.tidy_up().await;
        story.told
    }
}

#[tokio::test]
async fn who_calls_does_not_notice_that_the_store_was_away() {
    let sound = Story::of(&Bench::new().await).await;
    assert!(sound.iter().all(|(_, status, _)| matches!(status, 200 | 201 | 404 | 409)), "{sound:#?}");
    for fault in [Fault::NotAsked, Fault::AnswerLost] {
        let (bench, tries) = bench(fault, false).await;
        for (told, expected) in Story::of(&bench).await.iter().zip(&sound) {
            assert_eq!(told, expected);
        }
        let mut tries = tries.lock().unwrap().clone();
        tries.remove("placements_wait");
        assert!(tries.values().all(|tries| tries % 2 == 0), "each call was repeated once: {tries:?}");
        let called = ["register", "submit", "heartbeat", "take", "report", "stop", "set_status", "remove"];
        assert!(called.iter().all(|operation| tries.contains_key(operation)), "{tries:?}");
    }
}

#[tokio::test]
async fn what_is_run_under_a_name_of_our_own_runs_once() {
    for fault in [Fault::NotAsked, Fault::AnswerLost] {
        let (bench, _) = bench(fault, false).await;
        let bench = Arc::new(bench);
        let working = run_all(&bench, bench.worker("w1").await);
        let mut command = Command::new(env!("CARGO_BIN_EXE_stowplan"));
        command.args(["run", "--", "echo", "once"]).env("STOWPLAN_SERVER", bench.url());
        let said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(0), &b"once\n"[..]), "{said:?}");
        let (_, list) = bench.get("/v1/containers").await;
        assert_eq!(list["containers"].as_array().unwrap().len(), 1, "{list}");
        working.abort();
    }
}

#[tokio::test]
async fn a_store_that_stays_away_is_given_up_soon() {
    let (bench, tries) = bench(Fault::NotAsked, true).await;
    let (status, problem) = bench.post("/v1/containers", json!({ "id": "a", "command": ["true"] })).await;
    assert_eq!((status, &problem["detail"]), (503, &json!("the store is unavailable")));
    // Five or six on a machine that is idle, and fewer where pauses take longer than they should.
    let tries = tries.lock().unwrap()["submit"];
    assert!((2..=7).contains(&tries), "{tries} tries");
}

#[tokio::test]
async fn each_try_counts_as_a_call_of_the_store() {
    let memory = RowPorts::over(MemoryStore::new().unwrap());
    let (away, _) = away(Fault::AnswerLost, false);
    let metrics = Arc::new(Metrics::default());
    let ports = for_callers(&wrap(&memory, away), &metrics, Duration::from_mins(2)).unwrap();
    ports.backlog.depth(&CellName::new("main").unwrap()).await.unwrap();
    let page = metrics.render(None, now());
    assert!(page.contains("stowplan_store_calls_total{operation=\"depth\"} 2\n"), "{page}");
}
