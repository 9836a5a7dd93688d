//! Case 14: servers that answer a PING and make no commit. Nothing accepted is lost, nobody starts a server of ours anew,
//! and `/readyz` is red exactly while commits cannot succeed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Cluster, Options as Redis, Server, slot_of};

use super::{BETWEEN, OUTSTANDING, PATIENCE, address, conclude, options, wait_for_work};
use crate::fleet::stream::Stream;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, http};

/// Within so long `/readyz` shows that a fault has begun, or ended.
const SHOWN: Duration = Duration::from_secs(30);
/// A fault lasts so long once it is shown, at least.
const LASTS: Duration = Duration::from_secs(1);
/// Longer than the planner goes without a call: what it is to find it has found by then.
const CALM: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(25);
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// One look at `/readyz`.
#[derive(Debug)]
struct Look {
    begun: Instant,
    answered: Instant,
    is_green: bool,
    text: String,
}

/// Looks at `/readyz` all the time.
struct Eyes {
    looks: Arc<Mutex<Vec<Look>>>,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Eyes {
    fn on(fleet: &Fleet) -> Self {
        let (looks, enough, url) =
            (Arc::<Mutex<Vec<Look>>>::default(), Arc::<AtomicBool>::default(), fleet.url.clone());
        let thread = spawn({
            let (looks, enough) = (Arc::clone(&looks), Arc::clone(&enough));
            move || {
                while !enough.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let (status, text) = http(&url, "GET", "/readyz", None, &[""; 0]).expect("the server answers");
                    let look = Look { begun, answered: Instant::now(), is_green: status == 200, text };
                    looks.lock().unwrap().push(look);
                    sleep(LOOK_EVERY);
                }
            }
        });
        Self { looks, enough, thread: Some(thread) }
    }

    /// When it was first seen red in a look that was begun after `since`; waits for it, and answers what it said.
    fn red(&self, since: Instant) -> (Instant, String) {
        loop {
            let looks = self.looks.lock().unwrap();
            let found = looks.iter().find(|look| look.begun >= since && !look.is_green);
            if let Some(look) = found {
                return (look.answered, look.text.clone());
            }
            let last = looks.last().map(|look| look.text.clone());
            assert!(since.elapsed() < SHOWN, "not within {SHOWN:?}: red: {last:?}");
            drop(looks);
            sleep(LOOK_EVERY / 5);
        }
    }

    /// When it was green again for good after `since`; waits for it. A server that finds a new history leaves the cell and
    /// takes it again, which may come after the first green.
    fn green_again(&self, since: Instant) -> Instant {
        loop {
            let looks = self.looks.lock().unwrap();
            let (mut begun, mut last) = (None, None);
            for look in looks.iter().filter(|look| look.begun >= since) {
                begun = if look.is_green { begun.or(Some(look.answered)) } else { None };
                last = Some(look);
            }
            if let (Some(begun), Some(last)) = (begun, last)
                && last.answered - begun >= CALM
            {
                assert!(begun - since < SHOWN, "green for good after {:?}", begun - since);
                return begun;
            }
            assert!(since.elapsed() < SHOWN + 2 * CALM, "not within {SHOWN:?}: green: {last:?}");
            drop(looks);
            sleep(LOOK_EVERY);
        }
    }

    /// All looks between two times were alike.
    fn all_between(&self, from: Instant, to: Instant, is_green: bool) -> usize {
        let looks = self.looks.lock().unwrap();
        let within: Vec<_> = looks.iter().filter(|look| look.begun >= from && look.answered <= to).collect();
        for look in &within {
            assert_eq!(look.is_green, is_green, "{:?} after the change: {}", look.answered - from, look.text);
        }
        within.len()
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        // It has panicked if the server did not answer; then the test fails by itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What makes commits impossible while the server, if it is there, answers a PING.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Restart,
    ReadOnly,
    Denied,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Restart, Self::ReadOnly, Self::Denied];

    fn begin(self, redis: &Server) {
        match self {
            Self::Restart => redis.kill9(),
            // Nobody listens on port 1.
            Self::ReadOnly => redis.command(&["REPLICAOF", "127.0.0.1", "1"]).ok(),
            Self::Denied => redis.command(&["ACL", "SETUSER", "default", "-evalsha"]).ok(),
        }
        if !matches!(self, Self::Restart) {
            assert_eq!(redis.command(&["PING"]).text(), "PONG");
        }
    }

    fn end(self, redis: &Server) {
        match self {
            Self::Restart => redis.restart(),
            Self::ReadOnly => redis.command(&["REPLICAOF", "NO", "ONE"]).ok(),
            Self::Denied => redis.command(&["ACL", "SETUSER", "default", "+evalsha"]).ok(),
        }
    }

    /// What `/readyz` says of it.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Restart => &["cannot connect", "the connection to redis", "the store does not answer"],
            Self::ReadOnly => &["is a read-only replica"],
            Self::Denied => &["does not allow the user to do this"],
        }
    }
}

#[test]
fn readyz_is_red_exactly_while_no_commit_can_be_made() {
    let redis = Redis::new().appendonly(Appendonly::Always).start();
    let fleet = Fleet::start_with(2, options(redis.url()));
    let server = fleet.serve_pid();
    let witness = Witness::of(&fleet);
    let mut green = Instant::now();
    let eyes = Eyes::on(&fleet);
    let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
    for fault in Fault::ALL {
        wait_for_work(&fleet, &stream);
        let waiting = stream.accepted().len() - stream.ended();
        let began = Instant::now();
        fault.begin(&redis);
        let (red, said) = eyes.red(began);
        sleep(LASTS);
        eyes.red(red);
        let ends = Instant::now();
        fault.end(&redis);
        let ended = Instant::now();
        let next_green = eyes.green_again(ended);
        let (before, during) = (eyes.all_between(green, began, true), eyes.all_between(red, ends, false));
        println!(
            "{fault:?} with {waiting} outstanding: red after {:?}, green {:?} after its end; {before} looks before it \
             were green, {during} in it red: {said}",
            red - began,
            next_green - ended
        );
        assert!(waiting > 0 && before > 0 && during > 0);
        assert!(fault.words().iter().any(|words| said.contains(words)), "{said}");
        green = next_green;
    }
    wait_for_work(&fleet, &stream);
    assert!(eyes.all_between(green, Instant::now(), true) > 0);
    drop(eyes);
    assert_eq!(fleet.serve_pid(), server);
    conclude(&fleet, stream, witness);
}

/// How often a script was asked for that the server did not know.
fn unknown(redis: &Server) -> u64 {
    let about = redis.command(&["INFO", "errorstats"]).text();
    let count = about.lines().find_map(|line| line.strip_prefix("errorstat_NOSCRIPT:count="));
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn scripts_that_are_flushed_ten_times_a_second_stop_nothing() {
    let redis = Redis::new().appendonly(Appendonly::Always).start();
    let fleet = Fleet::start_with(2, options(redis.url()));
    let witness = Witness::of(&fleet);
    let began = Instant::now();
    let eyes = Eyes::on(&fleet);
    let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
    wait_for_work(&fleet, &stream);
    let (before, ended) = (unknown(&redis), stream.ended());
    let mut flushes = 0;
    while flushes < 50 || stream.ended() < ended + 2 * BETWEEN {
        assert!(began.elapsed() < PATIENCE, "{} ended in {flushes} flushes", stream.ended() - ended);
        redis.command(&["SCRIPT", "FLUSH", "SYNC"]).ok();
        flushes += 1;
        sleep(FLUSH_EVERY);
    }
    let unknown = unknown(&redis) - before;
    println!("{flushes} flushes, {unknown} scripts asked for that were not known, {} ended", stream.ended() - ended);
    assert!(unknown > flushes, "each flush was noticed");
    let looks = eyes.all_between(began, Instant::now(), true);
    println!("all {looks} looks at /readyz were green");
    drop(eyes);
    conclude(&fleet, stream, witness);
}

/// Where the cell of the cluster lies, by its nodes as they were started.
const CELL: &str = "main";
const PRIMARIES: usize = 3;

#[test]
fn a_failover_is_followed_and_loses_nothing() {
    let cluster = Cluster::start_with_replicas();
    let fleet = Fleet::start_with(2, options(address(&cluster.urls())));
    let witness = Witness::of(&fleet);
    let green = Instant::now();
    let eyes = Eyes::on(&fleet);
    let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
    wait_for_work(&fleet, &stream);
    let slot = slot_of(CELL.as_bytes());
    let primary = cluster.node_of(slot);
    assert!(primary < PRIMARIES);
    let waiting = stream.accepted().len() - stream.ended();
    let began = Instant::now();
    // The replica takes over once it has all that its primary has answered.
    cluster.nodes()[primary + PRIMARIES].command(&["CLUSTER", "FAILOVER"]).ok();
    cluster.wait_for_owner(slot, primary + PRIMARIES);
    let over = Instant::now();
    wait_for_work(&fleet, &stream);
    let next_green = eyes.green_again(over);
    let (before, after) = (eyes.all_between(green, began, true), eyes.all_between(next_green, Instant::now(), true));
    println!(
        "a failover with {waiting} outstanding took {:?}, green {:?} after it; {before} looks before it and {after} after \
         it were green",
        over - began,
        next_green - over
    );
    assert!(waiting > 0 && before > 0 && after > 0);
    drop(eyes);
    conclude(&fleet, stream, witness);
}
