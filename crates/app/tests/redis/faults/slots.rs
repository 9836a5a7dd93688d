//! A cluster of three: the slot of a cell moves under it, and another node stands still.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use adapters_redis::testing::{Cluster, Options as Redis, Server, slot_of};
use serde_json::json;

use super::{BETWEEN, OUTSTANDING, PATIENCE, address, conclude, options, wait_for_work};
use crate::fleet::stream::Stream;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, http, torture};

/// The slot of the cell.
fn slot() -> u16 {
    slot_of(b"main")
}

/// How many calls a node has sent elsewhere, or asked to come again.
fn sent_on(node: &Server) -> u64 {
    let about = node.command(&["INFO", "errorstats"]).text();
    let count = |error: &str| -> u64 {
        let line = format!("errorstat_{error}:count=");
        about.lines().find_map(|said| said.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    };
    ["MOVED", "ASK", "TRYAGAIN"].map(count).iter().sum()
}

#[test]
fn a_cell_goes_on_while_its_slot_moves() {
    let cluster = Cluster::start();
    let fleet = Fleet::start_with(2, options(address(&cluster.urls())));
    let server = fleet.serve_pid();
    let witness = Witness::of(&fleet);
    let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
    for round in 0..torture::rounds(2) {
        wait_for_work(&fleet, &stream);
        let from = cluster.node_of(slot());
        let to = (from + 1) % cluster.nodes().len();
        let (waiting, sent) = (stream.accepted().len() - stream.ended(), sent_on(&cluster.nodes()[from]));
        let began = Instant::now();
        let migration = cluster.begin_migration(slot(), to);
        let moved = migration.move_keys(5);
        // Some keys are here and some are there: no step can be made, and those that are called wait.
        let seen = || sent_on(&cluster.nodes()[from]) - sent;
        fleet.eventually("calls meet a slot that is under way", PATIENCE, || seen() >= 10);
        migration.finish();
        let (took, moved_at) = (began.elapsed(), Instant::now());
        wait_for_work(&fleet, &stream);
        println!(
            "round {round}: from node {from} to {to} in {took:?} with {waiting} outstanding; {} calls were sent on, work \
             went on after {:?}",
            seen(),
            moved_at.elapsed()
        );
        assert!(waiting > 0 && moved == 5);
        assert_eq!(cluster.node_of(slot()), to);
    }
    assert_eq!(fleet.serve_pid(), server);
    conclude(&fleet, stream, witness);
}

/// How long the other node stands still, each round.
const FROZEN: Duration = Duration::from_secs(10);
/// Longer than a call takes on a machine that has much else to do, and shorter than one that waits for the node.
const USUAL: Duration = Duration::from_secs(5);
const CALL_EVERY: Duration = Duration::from_millis(50);

/// Calls the server all the time, and keeps how long each call took.
struct Caller {
    took: Arc<Mutex<Vec<Duration>>>,
    enough: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Caller {
    fn of(fleet: &Fleet) -> Self {
        let (took, enough) = (Arc::<Mutex<Vec<Duration>>>::default(), Arc::<AtomicBool>::default());
        let url = fleet.url.clone();
        let thread = spawn({
            let (took, enough) = (Arc::clone(&took), Arc::clone(&enough));
            move || {
                while !enough.load(Ordering::Relaxed) {
                    call_each(&url, &took);
                    sleep(CALL_EVERY);
                }
            }
        });
        Self { took, enough, thread }
    }

    /// How many calls were made since the last time, and how long the longest took.
    fn so_far(&self) -> (usize, Duration) {
        let took = std::mem::take(&mut *self.took.lock().unwrap());
        (took.len(), took.into_iter().max().unwrap_or_default())
    }

    fn end(self) {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().expect("every call is answered");
    }
}

/// A call that writes, one that reads, and one that asks whether the cell is served.
fn call_each(url: &str, took: &Mutex<Vec<Duration>>) {
    // One that no worker has room for: it waits for ever.
    let request = json!([{"id": "waits", "cpu": 1_000, "memory": "64Mi", "command": ["true"]}]).to_string();
    for (method, path, body) in [
        ("POST", "/v1/containers", Some(request.as_str())),
        ("GET", "/v1/containers/waits", None),
        ("GET", "/readyz", None),
    ] {
        let began = Instant::now();
        let answer = http(url, method, path, body, &[""; 0]);
        took.lock().unwrap().push(began.elapsed());
        assert!(matches!(answer, Ok((200, _))), "{method} {path}: {answer:?}");
    }
}

#[test]
fn another_node_that_stands_still_is_noticed_by_nobody() {
    let cluster = Cluster::start_with(&Redis::new().line("cluster-require-full-coverage no"), false);
    let (holder, count) = (cluster.node_of(slot()), cluster.nodes().len());
    let other = (holder + 1) % count;
    // The one that will stand still is the first that the server asks for the map.
    let urls: Vec<_> = (0..count).map(|number| cluster.urls()[(other + number) % count].clone()).collect();
    // Whoever waits for the node that stands still waits until it goes on.
    let patient = format!("{}?connect_timeout=60s&call_timeout=60s", address(&urls));
    let fleet = Fleet::start_with(2, options(patient));
    let witness = Witness::of(&fleet);
    let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
    let caller = Caller::of(&fleet);
    wait_for_work(&fleet, &stream);
    let (calls, longest) = caller.so_far();
    println!("before: {calls} calls, the longest took {longest:?}");

    let ended = stream.ended();
    let frozen = FROZEN * u32::try_from(torture::rounds(1)).unwrap();
    cluster.nodes()[other].freeze();
    sleep(frozen);
    let (calls, longest) = caller.so_far();
    let ended = stream.ended() - ended;
    cluster.nodes()[other].thaw();
    fleet.eventually("the call that was under way is answered", PATIENCE, || !caller.took.lock().unwrap().is_empty());
    let longest = longest.max(caller.so_far().1);
    println!(
        "{frozen:?} with node {other} frozen: {calls} calls, the longest took {longest:?}, and {ended} commands ended"
    );
    assert!(calls > 30 && ended > BETWEEN);
    assert!(longest < USUAL, "{longest:?}");
    cluster.wait_until_ok();
    caller.end();
    conclude(&fleet, stream, witness);
}
