//! Two servers of one cell: one plans, the other stands by and takes over, and what the first still had in hand is
//! refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Options as Redis};
use app::agent::procfs::ProcessIdentity;
use serde_json::{Value, json};

use crate::fleet::books::{NOTHING, booked, in_state, metric, placed, wait_until_succeeded};
use crate::fleet::stream::Stream;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options, signal, stop_still};

/// A planner's stamp stands still for ten seconds before another takes over; the other looks twice a second.
const TAKEN_OVER: (Duration, Duration) = (Duration::from_secs(5), PATIENCE);
const PATIENCE: Duration = Duration::from_mins(1);
/// So much was outstanding, at least, when the planner was killed.
const OUTSTANDING: std::ops::Range<usize> = 20..30;
/// How many requests the planner holds when it is stopped.
const HELD: usize = 30;

fn plans(server: &Fleet) -> bool {
    metric(server, "stowplan_planner") == 1
}

#[test]
fn a_planner_killed_in_a_burst_is_followed_by_its_standby_and_nothing_runs_twice() {
    let redis = Redis::new().appendonly(Appendonly::Always).start();
    let options = Options { store: Some(redis.url()), cpu: "8", ..Options::default() };
    let mut first = Fleet::start_with(2, options.clone());
    let mut second = Fleet::standing_by(options);
    for id in ["other-01", "other-02"] {
        second.start_agent(id);
    }
    first.wait_for_workers(4);
    assert!(plans(&first) && !plans(&second));
    let witness = Witness::of(&first);
    let long = run_on_each(&first, &witness);
    let stream = Stream::start(&witness, &[&first, &second], OUTSTANDING);
    first.eventually("work is under way", PATIENCE, || stream.ended() >= OUTSTANDING.end);

    let waiting = stream.outstanding();
    let accepted = stream.accepted().len();
    first.kill_serve();
    let killed = Instant::now();
    assert!(waiting > 0, "nothing was outstanding");
    let agents = ["other-01", "other-02"];
    second.eventually("the other takes over", TAKEN_OVER.1, || plans(&second));
    let took = killed.elapsed();
    let meanwhile = stream.accepted().len() - accepted;
    println!(
        "{waiting} outstanding, {accepted} accepted by then and {meanwhile} until the other planned after {took:?}"
    );
    assert!(took > TAKEN_OVER.0, "{took:?}");
    first.start_standby();
    second.wait_for_workers(4);
    assert!(plans(&second) && !plans(&first));

    let ids = stream.end();
    wait_until_succeeded(&second, &ids);
    for (id, (worker, process)) in &long {
        let stays = agents.contains(&worker.as_str());
        second.wait_for_state(id, "running", if stays { 1 } else { 2 });
        assert_eq!(process.is_alive(), stays, "{id} on {worker}");
        assert_eq!(second.stowplan(&["stop", id]).code, 0);
    }
    second.eventually("they are stopped", PATIENCE, || in_state(&second, "stopped").len() == long.len());
    let all: Vec<&str> = ids.iter().chain(long.keys()).map(String::as_str).collect();
    let mut tally: BTreeMap<usize, usize> = BTreeMap::new();
    for id in &all {
        *tally.entry(witness.starts(id).len()).or_default() += 1;
    }
    println!("{} containers by how often they were started, one after the other: {tally:?}", all.len());
    assert!(witness.is_over());
    assert_eq!(booked(&second), NOTHING);
    witness.attest_short(&all);
}

#[test]
fn an_agent_that_knows_both_servers_goes_on_with_the_other_when_one_is_gone_or_stands_still() {
    let redis = Redis::new().start();
    let options = Options { store: Some(redis.url()), keepalive: "20s", grace: "2s", ..Options::default() };
    let mut first = Fleet::start_with(0, options.clone());
    let mut second = Fleet::standing_by(options);
    first.start_agent_on("w1", &format!("{},{}", first.url, second.url));
    first.wait_for_workers(1);
    let request = |id: &str| json!({"id": id, "cpu": 1, "memory": "1Gi", "command": ["sleep", "600"]});
    assert_eq!(first.post("/v1/containers", &json!([request("c1")])).0, 200);
    first.wait_for_state("c1", "running", 1);
    first.kill_serve();
    second.eventually("the other takes over", PATIENCE, || plans(&second));
    assert_eq!(second.post("/v1/containers", &json!([request("c2")])).0, 200);
    second.wait_for_state("c2", "running", 1);

    // It does not answer, and nobody says so: the call's own time has to pass.
    first.start_standby();
    stop_still(second.serve_pid());
    first.eventually("the first takes over again", PATIENCE, || plans(&first));
    for id in ["c1", "c2"] {
        first.wait_for_state(id, "running", 1);
        assert_eq!(first.stowplan(&["stop", id]).code, 0);
        first.wait_for_state(id, "stopped", 1);
    }
    second.kill_serve();
}

/// Runs a container on each worker until it is stopped; answers where, and its process.
fn run_on_each(fleet: &Fleet, witness: &Witness) -> BTreeMap<String, (String, ProcessIdentity)> {
    let ids: Vec<_> = (0..4).map(|number| format!("long-{number}")).collect();
    let request = |id: &String| {
        let mut request = witness.request(id);
        request["cpu"] = json!(5);
        request
    };
    assert_eq!(fleet.post("/v1/containers", &ids.iter().map(request).collect()).0, 200);
    let runs = |id: String| {
        let process = witness.wait(fleet, &id, 1);
        let worker = fleet.container(&id)["worker"].as_str().unwrap().to_owned();
        (id, (worker, process))
    };
    ids.into_iter().map(runs).collect()
}

#[test]
fn a_planner_that_stood_still_with_a_batch_is_refused_and_the_two_never_both_place() {
    let redis = Redis::new().start();
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    let options = Options { store: Some(redis.url()), cpu: "20", ..Options::default() };
    let points = vec![("STOWPLAN_FAILPOINTS".to_owned(), format!("planned=hold@2:{}", held.display()))];
    let first = Fleet::start_with(0, Options { env: points, ..options.clone() });
    let mut second = Fleet::standing_by(options);
    for id in ["worker-01", "worker-02"] {
        second.start_agent(id);
    }
    first.wait_for_workers(2);
    let witness = Witness::of(&second);
    assert_eq!(first.post("/v1/containers", &short(&witness, "one")).0, 201);
    wait_until_succeeded(&first, &["one".to_owned()]);
    assert_eq!((placed(&first), placed(&second)), (1, 0));

    let ids: Vec<_> = (0..HELD).map(|number| format!("held-{number}")).collect();
    assert_eq!(second.post("/v1/containers", &ids.iter().map(|id| short(&witness, id)).collect()).0, 200);
    first.eventually("the planner holds the batch", PATIENCE, || held.exists());
    assert_eq!(in_state(&second, "pending").len(), HELD);
    stop_still(first.serve_pid());
    let stopped = Instant::now();
    // Let go, it commits as soon as it goes on.
    fs::remove_file(&held).unwrap();
    second.eventually("the other takes over", TAKEN_OVER.1, || plans(&second));
    assert!(stopped.elapsed() > TAKEN_OVER.0, "{:?}", stopped.elapsed());
    wait_until_succeeded(&second, &ids);
    assert_eq!(placed(&second), HELD as u64);

    signal(first.serve_pid(), "CONT");
    first.eventually("it steps down", PATIENCE, || first.log("serve").contains("stepping down as planner"));
    let log = first.log("serve");
    let stepped_down = log.lines().find(|line| line.contains("stepping down as planner")).unwrap();
    println!("{stepped_down}");
    assert!(stepped_down.contains("another planner has taken over"), "{stepped_down}");
    assert_eq!(metric(&first, r#"stowplan_store_calls_total{operation="commit"}"#), 2, "it was refused a commit");
    assert_eq!((placed(&first), placed(&second)), (1, HELD as u64));
    assert!(!plans(&first) && plans(&second));

    // And it is a server like any other.
    assert_eq!(first.stowplan(&["run", "--", "true"]).code, 0);
    assert_eq!((placed(&first), placed(&second)), (1, HELD as u64 + 1));
    let started: BTreeSet<_> = ids.iter().map(|id| witness.starts(id).len()).collect();
    assert_eq!(started, BTreeSet::from([1]));
    assert_eq!(booked(&second), NOTHING);
    witness.attest(&[]);
}

fn short(witness: &Witness, id: &str) -> Value {
    witness.running(id, r#"echo "start $STOWPLAN_ATTEMPT $STOWPLAN_WORKER $$" >> "$0/$STOWPLAN_CONTAINER""#)
}
