//! A Redis that forgets what it answered: an older copy of its append-only file, a replica promoted too early, a dump.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Options as Redis, Proxy};
use serde_json::{Value, json};

use crate::fleet::books::{NOTHING, booked, history, in_state, metric, wait_until_succeeded};
use crate::fleet::stream::Stream;
use crate::fleet::torture;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options, signal, stop_still};

const AGENTS: usize = 4;
/// How many requests wait or run, at least and at most.
const OUTSTANDING: Range<usize> = 15..25;
/// For so long the cell goes on in the part that will be lost, and for as long as it takes until so many were accepted,
/// and ended, in it.
const LOST_PART: Duration = Duration::from_secs(1);
const LOST: usize = 10;
/// Keepalive and grace: what was lost is not known to have ended before.
const SETTLES_AFTER: Duration = Duration::from_secs(3 + 1);
/// For so long both go on after the replica was promoted.
const PROMOTED_BEFORE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(1);
/// A planner that waits for the settling to end reads the line a few times a second.
const READS_MAX: u64 = 200;
const SETTLING: &str = "stowplan_settling";
const LOST_REQUESTS: &str = "stowplan_lost_requests_total";
const NOTICED: &str = "the store lost writes; nothing is placed";

#[test]
fn an_older_copy_of_the_append_only_file_loses_only_what_came_after_it_and_runs_nothing_twice() {
    for round in 0..torture::rounds(1) {
        for appendonly in [Appendonly::Everysec, Appendonly::Always] {
            let folder = tempfile::tempdir().unwrap();
            let copy = folder.path().join("copy");
            let redis = Redis::new().appendonly(appendonly).start();
            let losing = Losing::start(redis.url());
            redis.copy_aof(&copy);
            losing.go_on(LOST_PART);
            println!("round {round}, {appendonly:?}");
            losing.lose(|| redis.restart_from(&copy));
        }
    }
}

#[test]
fn a_replica_promoted_too_early_loses_only_what_it_was_not_told_and_runs_nothing_twice() {
    for round in 0..torture::rounds(1) {
        let primary = Redis::new().start();
        let replica = Redis::new().replica_of(&primary).start();
        let address = Proxy::before(&primary);
        let losing = Losing::start(address.url());
        let mut connection = primary.connect().unwrap();
        connection.call(&["SET", "told", "so far"]).unwrap().ok();
        assert_eq!(connection.call(&["WAIT", "1", "5000"]).unwrap().integer(), 1, "the replica follows");
        replica.command(&["REPLICAOF", "NO", "ONE"]).ok();
        losing.go_on(PROMOTED_BEFORE);
        println!("round {round}");
        losing.lose(|| {
            address.lead_to(&replica);
            primary.kill9();
        });
    }
}

/// Nobody tells the new cell of what a worker runs that is cut off meanwhile: only its deadline ends that.
#[test]
fn a_redis_that_lost_everything_runs_nothing_twice_that_is_handed_in_again() {
    let redis = Redis::new().start();
    let fleet = Fleet::start_with(2, Options { store: Some(redis.url()), ..Options::default() });
    let witness = Witness::of(&fleet);
    let request = witness.request("again");
    assert_eq!(fleet.post("/v1/containers", &request).0, 201);
    let first = witness.wait(&fleet, "again", 1);
    let cut_off = fleet.container("again")["worker"].as_str().unwrap().to_owned();
    stop_still(fleet.agent_pid(&cut_off));
    redis.restart();
    fleet.eventually("it is accepted once more", PATIENCE, || fleet.post("/v1/containers", &request).0 == 201);
    assert!(first.is_alive(), "its worker has not noticed");
    fleet.eventually("it runs again", PATIENCE, || witness.starts("again").len() == 2);
    assert!(!first.is_alive(), "only after it was ended");
    fleet.wait_for_state("again", "running", 1);
    assert_ne!(fleet.container("again")["worker"], cut_off.as_str());
    signal(fleet.agent_pid(&cut_off), "CONT");
    fleet.wait_for_workers(2);
    assert_eq!(fleet.stowplan(&["stop", "again"]).code, 0);
    fleet.wait_for_state("again", "stopped", 1);
    assert_eq!(booked(&fleet), NOTHING);
    witness.attest(&[]);
}

/// Case 15.
#[test]
fn fifty_ends_and_twenty_submits_after_a_dump_are_forgotten_and_nothing_is_lost_but_what_is_said() {
    let redis = Redis::new().start();
    let options = Options { store: Some(redis.url()), cpu: "16", memory: "40Gi", ..Options::default() };
    let fleet = Fleet::start_with(AGENTS, options);
    let witness = Witness::of(&fleet);
    let gate = witness.folder().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let fifty: Vec<_> = (0..50).map(|number| format!("ends-{number}")).collect();
    hand_in(&fleet, &fifty.iter().map(|id| witness.running(id, ONE_LINE_FROM_THE_GATE)).collect());
    fleet.eventually("fifty run", PATIENCE, || in_state(&fleet, "running").len() == 50);
    fleet.eventually("fifty say so", PATIENCE, || fifty.iter().all(|id| witness.starts(id).len() == 1));
    redis.command(&["SAVE"]).ok();

    // Fifty end, and twenty come: all are answered.
    let mut opened = File::options().read(true).write(true).open(&gate).unwrap();
    opened.write_all(&[b'\n'; 50]).unwrap();
    wait_until_succeeded(&fleet, &fifty);
    let ids = |count: usize, name: &str| (0..count).map(|number| format!("{name}-{number}")).collect::<Vec<_>>();
    let (run, wait) = (ids(15, "runs"), ids(5, "waits"));
    let large = |id: &String| {
        let mut request = witness.request(id);
        request["cpu"] = json!(16);
        request
    };
    let small = |id: &String| witness.request(id);
    let running: Value = run.iter().take(12).map(small).chain(run.iter().skip(12).map(large)).collect();
    let waiting: Value = wait.iter().map(large).collect();
    hand_in(&fleet, &running);
    fleet.eventually("fifteen run", PATIENCE, || in_state(&fleet, "running").len() == 15);
    fleet.eventually("fifteen say so", PATIENCE, || run.iter().all(|id| witness.is_alive(id)));
    hand_in(&fleet, &waiting);
    assert_eq!(in_state(&fleet, "pending").len(), 5);
    let before = history(&fleet);

    let since = Instant::now();
    redis.restart();
    fleet.eventually("the rewind is reported", PATIENCE, || fleet.log("serve").contains(NOTICED));
    fleet.eventually("and shown", PATIENCE, || metric(&fleet, SETTLING) == 1);
    assert_ne!(history(&fleet), before);
    for id in run.iter().chain(&wait) {
        assert!(fleet.get(&format!("/v1/containers/{id}")).is_none(), "{id} was submitted after the dump");
    }
    settles(&fleet, since);
    assert_eq!(in_state(&fleet, "succeeded").len(), 50, "their workers remember");
    fleet.eventually("what nobody knows of is killed", PATIENCE, || witness.is_over());
    assert_eq!(metric(&fleet, LOST_REQUESTS), 15, "what workers knew of is counted, each once");
    assert!(fleet.log("serve").contains("a worker tells of containers that were accepted and are lost"));
    assert_eq!(booked(&fleet), NOTHING);

    // The same ids again.
    hand_in(&fleet, &running);
    fleet.eventually("fifteen run again", PATIENCE, || in_state(&fleet, "running").len() == 15);
    hand_in(&fleet, &waiting);
    fleet.eventually("fifteen say so again", PATIENCE, || run.iter().all(|id| witness.starts(id).len() == 2));
    for id in &run {
        assert_eq!(fleet.stowplan(&["stop", id]).code, 0);
    }
    fleet.eventually("those that waited get their turn", PATIENCE, || in_state(&fleet, "running").len() == AGENTS);
    for id in wait.iter().chain(&run) {
        fleet.stowplan(&["stop", id]);
    }
    fleet.eventually("all twenty have ended", PATIENCE, || in_state(&fleet, "stopped").len() == 20);
    fleet.eventually("all is over", PATIENCE, || witness.is_over());
    for (ids, times) in [(&fifty, 1), (&run, 2)] {
        assert!(ids.iter().all(|id| witness.starts(id).len() == times));
    }
    assert_eq!(booked(&fleet), NOTHING);
    println!("50 ends and 20 requests forgotten: 0 of 50 ran again, 15 of 15 that ran were counted, all 20 had again");
    witness.attest(&[]);
}

/// Waits until the cell has settled. Its planner, which knows that writes were lost, was in no hurry.
fn settles(fleet: &Fleet, since: Instant) {
    fleet.eventually("the cell has settled", PATIENCE, || metric(fleet, SETTLING) == 0);
    assert!(since.elapsed() > SETTLES_AFTER, "settled after {:?}", since.elapsed());
}

/// Says when it starts and ends, and whether another process of its container is alive. One line lets one of them end.
const ONE_LINE_FROM_THE_GATE: &str = r#"
exec 9>>"$0/$STOWPLAN_CONTAINER.lock"
say() { echo "$1 $STOWPLAN_ATTEMPT $STOWPLAN_WORKER $$" >> "$0/$STOWPLAN_CONTAINER"; }
if flock -n 9; then say start; else say second; fi
read -r _ < "$0/gate"
say end
"#;

/// Hands in a list, of which all are new.
fn hand_in(fleet: &Fleet, requests: &Value) {
    let (status, answer) = fleet.post("/v1/containers", requests);
    assert_eq!(status, 200, "{answer}");
    let outcomes = answer["outcomes"].as_array().unwrap();
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"), "{answer}");
}

/// A cell under load on a store that is about to lose writes.
struct Losing {
    fleet: Fleet,
    witness: Witness,
    stream: Stream,
    /// Runs from before the lost part to the end.
    long: String,
}

/// What was promised before writes were lost.
struct Promised {
    accepted: Vec<String>,
    ended: BTreeSet<String>,
    history: u64,
}

impl Losing {
    fn start(store: String) -> Self {
        let fleet = Fleet::start_with(AGENTS, Options { store: Some(store), ..Options::default() });
        let witness = Witness::of(&fleet);
        let long = "long".to_owned();
        assert_eq!(fleet.post("/v1/containers", &witness.request(&long)).0, 201);
        witness.wait(&fleet, &long, 1);
        let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
        fleet.eventually("work is under way", PATIENCE, || stream.ended() >= OUTSTANDING.end);
        Self { fleet, witness, stream, long }
    }

    /// Goes on for as long as it takes until enough was accepted, placed and ended that will be lost; then hands in no
    /// more. Also runs a container that only the lost part knows.
    fn go_on(&self, stale_for: Duration) {
        let (accepted, ended) = (self.stream.accepted().len(), self.stream.ended());
        assert_eq!(self.fleet.post("/v1/containers", &self.witness.request("gone")).0, 201);
        self.witness.wait(&self.fleet, "gone", 1);
        sleep(stale_for);
        self.fleet.eventually("enough is done to be lost", PATIENCE, || {
            self.stream.accepted().len() >= accepted + LOST && self.stream.ended() >= ended + LOST
        });
    }

    /// Loses writes while nothing is handed in; then checks what must hold, and ends everything.
    fn lose(self, forget: impl FnOnce()) {
        // Nothing is handed in as long as this is held.
        let accepted = self.stream.accepted();
        let promised = Promised {
            accepted: accepted.clone(),
            ended: in_state(&self.fleet, "succeeded"),
            history: history(&self.fleet),
        };
        let since = Instant::now();
        forget();
        self.notices(&promised);
        let lost = self.find_lost(&promised);
        let reported = self.settles(&promised, &lost, since);
        drop(accepted);
        println!(
            "{} of {} accepted requests were lost, {reported} of them known to their workers; {} had ended",
            lost.len(),
            promised.accepted.len(),
            promised.ended.len()
        );
        self.repeat_and_end(&promised, &lost);
    }

    /// The accepted requests that the store knows nothing of any more.
    fn find_lost(&self, promised: &Promised) -> Vec<String> {
        let is_gone = |id: &&String| self.fleet.get(&format!("/v1/containers/{id}")).is_none();
        let lost: Vec<_> = promised.accepted.iter().filter(is_gone).cloned().collect();
        assert!(!lost.is_empty(), "no accepted request was lost");
        assert!(lost.iter().any(|id| promised.ended.contains(id)), "no acknowledged end was lost");
        assert!(self.fleet.get("/v1/containers/gone").is_none());
        lost
    }

    /// That writes were lost is noticed.
    fn notices(&self, promised: &Promised) {
        self.fleet.eventually("the server notices", PATIENCE, || metric(&self.fleet, SETTLING) == 1);
        self.fleet.eventually("the server says so", PATIENCE, || self.fleet.log("serve").contains(NOTICED));
        assert_ne!(history(&self.fleet), promised.history);
        assert_eq!(self.fleet.stowplan(&["audit"]).code, 0, "the books are clean meanwhile");
    }

    /// What survived ends, each started once; what did not is counted. Answers how much workers told of.
    fn settles(&self, promised: &Promised, lost: &[String], since: Instant) -> usize {
        let reads = || metric(&self.fleet, r#"stowplan_store_calls_total{operation="next"}"#);
        let before = reads();
        settles(&self.fleet, since);
        assert!(reads() - before < READS_MAX, "{} reads of the line while nothing may be placed", reads() - before);
        let survived: Vec<_> = promised.accepted.iter().filter(|id| !lost.contains(id)).cloned().collect();
        wait_until_succeeded(&self.fleet, &survived);
        for id in promised.accepted.iter().filter(|id| !lost.contains(id) || promised.ended.contains(*id)) {
            let starts = self.witness.starts(id);
            assert_eq!(starts.len(), 1, "{id} was started more than once: {starts:?}");
        }
        self.fleet.eventually("what nobody knows of is killed", PATIENCE, || !self.witness.is_alive("gone"));
        assert!(self.fleet.get("/v1/containers/gone").is_none());
        // Workers know of what was started, and of some that were ordered and not.
        let known = lost.iter().filter(|id| !self.witness.starts(id).is_empty()).count();
        let counted = usize::try_from(metric(&self.fleet, LOST_REQUESTS)).unwrap();
        assert!((known + 1..=lost.len() + 1).contains(&counted), "{counted} counted, {known} started, {lost:?} lost");
        known
    }

    /// What was lost is handed in again, with the same ids, and ends; and all that runs is stopped.
    fn repeat_and_end(self, promised: &Promised, lost: &[String]) {
        let Self { fleet, witness, stream, long } = self;
        assert_eq!(fleet.state(&long), ("running".to_owned(), 1), "it never noticed");
        let before: Vec<_> = lost.iter().map(|id| witness.starts(id).len()).collect();
        stream.hand_in_again(lost);
        wait_until_succeeded(&fleet, lost);
        for (id, before) in lost.iter().zip(before) {
            assert_eq!(witness.starts(id).len(), before + 1, "{id} was handed in again once");
        }
        assert_eq!(fleet.stowplan(&["stop", &long]).code, 0);
        fleet.wait_for_state(&long, "stopped", 1);
        let accepted = stream.end();
        wait_until_succeeded(&fleet, &accepted);
        fleet.eventually("all is over", PATIENCE, || witness.is_over());
        assert_eq!(booked(&fleet), NOTHING);
        assert_eq!(metric(&fleet, "stowplan_lost_placements_total"), 0, "no worker was given up");
        // What was handed in again begins with attempt 1 again.
        let survived = promised.accepted.iter().filter(|id| !lost.contains(id));
        witness.attest_short(&survived.map(String::as_str).collect::<Vec<_>>());
    }
}
