//! A load on a server that comes and goes: requests that are handed in until they are accepted, workers that take and
//! end them, and a record of all that was said.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::http;

const WORKERS: [&str; 3] = ["w1", "w2", "w3"];
/// How many requests wait or run, at least and at most: more than the workers have room for at once.
const OUTSTANDING: Range<usize> = 40..60;
/// Between two tries of a call to a server that is away.
const PAUSE: Duration = Duration::from_millis(2);

/// The load, until it is finished.
pub(crate) struct Load {
    said: Arc<Said>,
    client: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
}

/// What clients and workers were told, and share.
struct Said {
    url: String,
    enough: AtomicBool,
    record: Mutex<Record>,
}

/// What was promised, and done.
#[derive(Default)]
pub(crate) struct Record {
    /// Requests that the server said it has.
    pub(crate) accepted: BTreeSet<String>,
    /// Containers whose end the server said it has.
    pub(crate) ended: BTreeSet<String>,
    /// Who was handed each attempt of each container.
    pub(crate) handed: BTreeMap<(String, u64), &'static str>,
}

impl Load {
    /// Registers workers of 10 cpus at a server, and begins.
    pub(crate) fn start(url: &str) -> Self {
        let said = Arc::new(Said { url: url.to_owned(), enough: AtomicBool::new(false), record: Mutex::default() });
        let worker = |id: &'static str| {
            let said = Arc::clone(&said);
            let history = said.register(id);
            spawn(move || said.work(id, history))
        };
        let workers = WORKERS.into_iter().map(worker).collect();
        let client = spawn({
            let said = Arc::clone(&said);
            move || said.submit()
        });
        Self { said, client, workers }
    }

    /// Hands in no more, waits until all that was accepted has ended, and answers the record.
    pub(crate) fn finish(self) -> Record {
        self.said.enough.store(true, Ordering::Relaxed);
        self.client.join().unwrap();
        for worker in self.workers {
            worker.join().unwrap();
        }
        std::mem::take(&mut self.said.record())
    }
}

impl Said {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    /// Calls until the server answers.
    fn call(&self, path: &str, mut body: impl FnMut() -> Value) -> Value {
        loop {
            match http(&self.url, "POST", path, Some(&body().to_string()), &[""; 0]) {
                Ok((200, text)) => break serde_json::from_str(&text).unwrap(),
                Ok((status @ 400..500, text)) => panic!("{path}: {status} {text}"),
                Ok(_) | Err(_) => sleep(PAUSE),
            }
        }
    }

    /// Hands in lists of requests, the same again until they are accepted.
    fn submit(&self) {
        let mut handed_in = 0;
        while !self.enough.load(Ordering::Relaxed) {
            let outstanding = handed_in - self.record().ended.len();
            if outstanding >= OUTSTANDING.start {
                sleep(PAUSE);
                continue;
            }
            let ids: Vec<_> = (0..OUTSTANDING.end - outstanding).map(|more| format!("c{}", handed_in + more)).collect();
            let request = |id| json!({ "id": id, "cpu": 1, "memory": "64Mi", "command": ["true"] });
            let answer = self.call("/v1/containers", || ids.iter().map(request).collect());
            let is_in = |outcome: &Value| outcome["outcome"] == "accepted" || outcome["outcome"] == "already";
            assert!(answer["outcomes"].as_array().unwrap().iter().all(is_in), "{answer}");
            handed_in += ids.len();
            self.record().accepted.extend(ids);
        }
    }

    fn register(&self, worker: &str) -> u64 {
        let shape = json!({ "id": worker, "cpu": 10, "memory": "20Gi" });
        let answer =
            self.call("/v1/workers", || json!({ "worker": shape, "key": "k", "incarnation": 1, "ready": true }));
        answer["history"].as_u64().unwrap()
    }

    /// Takes orders and reports that they ended well, until nothing is outstanding and enough was handed in.
    fn work(&self, worker: &'static str, history: u64) {
        let mut number = 0;
        let mut caller = || {
            number += 1;
            json!({ "incarnation": 1, "number": number, "history": history })
        };
        let mut after = Value::Null;
        while !self.is_over() {
            let path = format!("/v1/workers/{worker}/take");
            let taken =
                self.call(&path, || json!({ "caller": caller(), "after": after, "limit": 100, "wait_ms": 200 }));
            assert_eq!(taken["verdict"], "ok", "{taken}");
            let placements: Vec<_> =
                taken["orders"].as_array().unwrap().iter().map(|order| &order["placement"]).collect();
            self.record().hand(worker, &placements);
            if !placements.is_empty() {
                let end = |placement| json!({ "placement": placement, "event": { "kind": "exited", "code": 0 } });
                let reports: Value = placements.iter().map(end).collect();
                let path = format!("/v1/workers/{worker}/report");
                let said = self.call(&path, || json!({ "caller": caller(), "reports": reports }));
                assert!(said["outcomes"].as_array().unwrap().iter().all(|outcome| outcome == "accepted"), "{said}");
                self.record().ended.extend(placements.iter().map(|placement| name(placement).0));
            }
            after = taken["upto"].clone();
        }
    }

    fn is_over(&self) -> bool {
        let record = self.record();
        self.enough.load(Ordering::Relaxed) && record.accepted == record.ended
    }
}

impl Record {
    /// Notes what a worker is handed; nobody else may have been, and nothing that has ended.
    fn hand(&mut self, worker: &'static str, placements: &[&Value]) {
        for placement in placements {
            let (container, attempt) = name(placement);
            assert!(!self.ended.contains(&container), "{worker} was handed {placement}, which has ended");
            let first = *self.handed.entry((container, attempt)).or_insert(worker);
            assert_eq!(first, worker, "both were handed {placement}");
        }
    }
}

fn name(placement: &Value) -> (String, u64) {
    (placement["container"].as_str().unwrap().to_owned(), placement["attempt"].as_u64().unwrap())
}
