//! What a cell costs its server in calls, as the server itself counts them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Call, Monitor, Options as Redis, Proxy, Server, script_named};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

use crate::fleet::played::Played;
use crate::fleet::{Fleet, Options, PATIENCE};

const WORKERS: usize = 20;
const BURST: usize = 100;
/// So long an answer of the server is under way in each direction: much longer than it takes to send two requests.
const DELAY: Duration = Duration::from_millis(15);
/// Longer than the planner's housekeeping pauses between two of its calls, and shorter than between two of its rounds.
const QUIET: Duration = Duration::from_millis(200);
/// How often a burst is tried that housekeeping falls into.
const TRIES: usize = 30;
/// How many connections load scripts.
const ROLES: u32 = 3;

/// What the planner called, by the name of the script, but for what begins a connection and loads a script.
fn planners_scripts(redis: &Server, calls: &[Call]) -> Vec<&'static str> {
    let planners = redis.clients_named("stowplan-planner");
    let is_planners = |call: &&Call| !call.in_script && planners.iter().any(|client| client.address == call.client);
    let name = |call: &Call| match call.command().as_str() {
        "EVALSHA" => Some(script_named(&call.words[1]).expect("a script of ours")),
        "SCRIPT" | "CLIENT" | "HELLO" => None,
        other => panic!("the planner calls {other}: {:?}", call.words),
    };
    calls.iter().filter(is_planners).filter_map(name).collect()
}

/// Waits until the planner has just kept house, so that a burst has more than a second to itself; answers all that was
/// called meanwhile.
fn wait_for_quiet(redis: &Server, monitor: &Monitor) -> Vec<Call> {
    let deadline = Instant::now() + PATIENCE;
    let (mut all, mut has_kept_house) = (Vec::new(), false);
    loop {
        assert!(Instant::now() < deadline, "the planner keeps no house, or never rests");
        std::thread::sleep(QUIET);
        let calls = monitor.take();
        let scripts = planners_scripts(redis, &calls);
        all.extend(calls);
        if has_kept_house && scripts.is_empty() {
            return all;
        }
        has_kept_house = scripts.contains(&"beats") || has_kept_house && !scripts.is_empty();
    }
}

fn containers(fleet: &Fleet, state: &str) -> usize {
    fleet.json(&format!("/v1/containers?state={state}&limit=1000"))["containers"].as_array().unwrap().len()
}

fn place_all(fleet: &Fleet, ids: &[String]) {
    let list: Value = ids.iter().map(|id| json!({"id": id, "cpu": 2, "memory": "4Gi", "command": ["true"]})).collect();
    assert_eq!(fleet.post("/v1/containers", &list).0, 200);
    fleet.eventually("all are placed", PATIENCE, || containers(fleet, "placed") == ids.len());
}

fn stop_all(fleet: &Fleet, ids: &[String]) {
    for id in ids {
        assert_eq!(fleet.post(&format!("/v1/containers/{id}/stop"), &json!({})).0, 200);
    }
    fleet.eventually("their room is free", PATIENCE, || containers(fleet, "placed") == 0);
}

#[test]
fn a_burst_costs_three_calls_of_the_planner_in_two_round_trips_and_no_lock() {
    let redis = Redis::new().start();
    let proxy = Proxy::before(&redis);
    let monitor = Monitor::of(&redis);
    let options = Options { store: Some(proxy.url()), keepalive: "10m", ..Options::default() };
    let fleet = Fleet::start_with(0, options);
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| json!({"id": format!("w{number}"), "cpu": 10, "memory": "20Gi"}))
        .map(|worker| Played::register_as(&fleet, &worker, "key", 1).unwrap())
        .collect();
    fleet.wait_for_workers(workers.len());
    proxy.delay(DELAY);

    let mut all = Vec::new();
    for round in 0.. {
        let ids: Vec<_> = (0..BURST).map(|number| format!("r{round}-{number}")).collect();
        all.extend(wait_for_quiet(&redis, &monitor));
        proxy.forget_counts();
        place_all(&fleet, &ids);
        std::thread::sleep(QUIET);
        let round_trips = proxy.round_trips_of("stowplan-planner");
        let calls = monitor.take();
        let scripts = planners_scripts(&redis, &calls);
        let is_loaded = calls.iter().any(|call| call.command() == "SCRIPT");
        all.extend(calls);
        println!("round {round}: the planner calls {scripts:?}, {round_trips} round trips");
        // The first burst has the commit loaded; housekeeping is not the batch's, nor is the look with which a wait ends
        // that has run out.
        if round > 0 && !["beats", "heights"].iter().any(|script| scripts.contains(script)) {
            let committed = scripts.iter().position(|script| *script == "commit").expect("a batch is committed") + 1;
            let (batch, after) = scripts.split_at(committed);
            assert!(!is_loaded, "its scripts are known");
            assert!(batch.len() <= 3, "{batch:?}");
            // What follows asks who waits behind them.
            assert!(!after.contains(&"commit"), "one batch: {scripts:?}");
            // A machine that is busy with others takes a request in pieces: then a round says nothing.
            if round_trips <= 2 + u64::try_from(after.len()).unwrap() {
                break;
            }
        }
        assert!(round < TRIES, "every burst takes more than two round trips, or housekeeping falls into it");
        stop_all(&fleet, &ids);
    }
    without_locks(&all);
    let said = fleet.stowplan(&["audit"]);
    assert_eq!(said.code, 0, "{said:?}");
}

/// Nothing was locked or watched, and no source sent but to load it: by each role at most, if all find it missing at once.
fn without_locks(calls: &[Call]) {
    let mut loaded: BTreeMap<&str, u32> = BTreeMap::new();
    let mut evaluated = 0;
    for call in calls {
        let command = call.command();
        evaluated += usize::from(command == "EVALSHA");
        assert!(!["WATCH", "MULTI", "EXEC", "SETNX", "EVAL"].contains(&command.as_str()), "{:?}", call.words);
        let is_lock = command == "SET" && call.words.iter().skip(3).any(|word| word.eq_ignore_ascii_case("NX"));
        assert!(!is_lock, "{:?}", call.words);
        if command == "SCRIPT" {
            let times = loaded.entry(&call.words[2]).or_default();
            *times += 1;
            assert!(*times <= ROLES, "it is loaded again and again: {}", call.words[2]);
        }
    }
    println!("{} calls, {evaluated} of them EVALSHA; {} scripts were loaded", calls.len(), loaded.len());
    assert!(evaluated > loaded.len() && !loaded.is_empty());
}

/// So many workers wait for orders at once, if the system lets this process and the server have as many connections.
const POLLS: usize = 10_000;
/// What the test and the server open beside the polls.
const OTHER_FILES: u64 = 300;
/// How long a poll waits; the server waits no longer.
const POLL_MS: u64 = 30_000;

/// Raises how many files may be open, here and in the processes that are started from now on, as far as it is allowed;
/// answers how many polls there can be.
fn room_for_polls() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    let wanted = (POLLS as u64 + OTHER_FILES).min(allowed);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    let polls = usize::try_from(wanted - OTHER_FILES).unwrap();
    if polls < POLLS {
        println!("the system allows {allowed} open files: {polls} polls, not {POLLS}");
    }
    polls
}

/// A worker's one connection to the server, over which it speaks HTTP by hand.
struct Line {
    stream: BufStream<TcpStream>,
    worker: String,
}

impl Line {
    /// Connects, and registers a worker of one cpu.
    async fn register(address: &str, number: usize) -> (Self, u64) {
        let stream = BufStream::with_capacity(2048, 512, TcpStream::connect(address).await.unwrap());
        let worker = format!("w{number:05}");
        let mut line = Self { stream, worker };
        let shape = json!({"id": line.worker, "cpu": 1, "memory": "1Gi"});
        let answer =
            line.post("/v1/workers", json!({"worker": shape, "key": "k", "incarnation": 1, "ready": true})).await;
        let history = answer["history"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        (line, history)
    }

    /// Asks for orders until there are some; answers the containers that are to be started, and how often it asked.
    async fn take(&mut self, history: u64) -> (Vec<String>, u64) {
        let path = format!("/v1/workers/{}/take", self.worker);
        for number in 1.. {
            let caller = json!({"incarnation": 1, "number": number, "history": history});
            let take = json!({"caller": caller, "after": null, "limit": 100, "wait_ms": POLL_MS});
            let answer = self.post(&path, take).await;
            // A server that is asked by so many in one moment may not answer all in time: they ask again, as agents do.
            let orders = answer["orders"].as_array().filter(|orders| !orders.is_empty());
            assert!(answer["verdict"] == "ok" || answer["status"] == 503, "{answer}");
            if let Some(orders) = orders {
                let container = |order: &Value| order["placement"]["container"].as_str().unwrap().to_owned();
                return (orders.iter().map(container).collect(), number);
            }
        }
        unreachable!("it asks for ever");
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
        let (mut length, mut header) = (0, String::new());
        while header != "\r\n" {
            header.clear();
            assert_ne!(self.stream.read_line(&mut header).await.unwrap(), 0, "the server hung up");
            if let Some(told) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = told.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

/// The names of all connections to a server.
fn names(redis: &Server) -> Vec<String> {
    let mut names: Vec<_> = redis.clients().into_iter().map(|client| client.name).collect();
    names.sort();
    names
}

#[test]
fn ten_thousand_polls_hold_one_subscription_and_each_is_woken_by_its_own_order() {
    let polls = room_for_polls();
    let redis = Redis::new().start();
    let options = Options {
        store: Some(redis.url()),
        keepalive: "10m",
        env: vec![("STOWPLAN_PRESET".to_owned(), "throughput".to_owned())],
        ..Options::default()
    };
    let fleet = Fleet::start_with(0, options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let began = Instant::now();
    let lines = runtime.block_on(register_all(&fleet, polls));
    println!("{polls} workers registered in {:.1} s", began.elapsed().as_secs_f64());

    let waiting: Vec<_> = lines
        .into_iter()
        .map(|(mut line, history)| runtime.spawn(async move { (line.take(history).await, line) }))
        .collect();
    fleet.eventually("all have asked", PATIENCE, || taken(&fleet) >= polls as u64);
    let expected = ["callers", "events", "planner", "workers"].map(|role| format!("stowplan-{role}"));
    // For a moment now and then there is another, by which the server asks its store how it is set up.
    fleet.eventually("each has one connection, however many wait", Duration::from_secs(30), || {
        names(&redis) == expected
    });

    let ids: Vec<_> = (0..polls).map(|number| format!("c{number:05}")).collect();
    let began = Instant::now();
    for list in ids.chunks(5_000) {
        let request = |id| json!({"id": id, "cpu": 1, "memory": "1Gi", "command": ["true"]});
        assert_eq!(fleet.post("/v1/containers", &list.iter().map(request).collect()).0, 200);
    }
    println!("handed in in {:.1} s", began.elapsed().as_secs_f64());
    let (mut started, mut asked) = (BTreeSet::new(), 0);
    for poll in waiting {
        let ((orders, times), line) = runtime.block_on(poll).unwrap();
        assert_eq!(orders.len(), 1, "{} is woken by its own order: {orders:?}", line.worker);
        started.extend(orders);
        asked += times;
    }
    assert_eq!(started.len(), polls, "each order went to one worker");
    let takes = taken(&fleet);
    let woken = began.elapsed().as_secs_f64();
    println!("all were woken {woken:.1} s after the first was handed in: {asked} polls, {takes} takes");
    // Each poll looks before it waits and when it is woken; nobody is woken for others, but for a few stragglers.
    assert!(takes <= 2 * asked + asked / 10, "others were woken too: {takes} takes for {asked} polls");
    fleet.eventually("each has one connection, and no more", Duration::from_secs(30), || names(&redis) == expected);
}

/// Registers workers, some at once.
async fn register_all(fleet: &Fleet, count: usize) -> Vec<(Line, u64)> {
    let address: Arc<str> = fleet.url.trim_start_matches("http://").into();
    let registering: Vec<_> = (0..16)
        .map(|share| {
            let address = Arc::clone(&address);
            tokio::spawn(async move {
                let mut lines = Vec::new();
                for number in (share..count).step_by(16) {
                    lines.push(Line::register(&address, number).await);
                }
                lines
            })
        })
        .collect();
    let mut lines = Vec::with_capacity(count);
    for share in registering {
        lines.extend(share.await.unwrap());
    }
    lines
}

/// How many takes the server has made at its store.
fn taken(fleet: &Fleet) -> u64 {
    let metrics = fleet.get("/metrics").unwrap();
    let takes = metrics.lines().find_map(|line| line.strip_prefix("stowplan_store_calls_total{operation=\"take\"} "));
    takes.map_or(0, |count| count.parse().unwrap())
}
