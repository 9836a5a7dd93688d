//! A server whose memory is full: it takes in nothing new, and goes on with all that it has.

use std::time::Duration;

use adapters_redis::testing::{Options as Redis, Server};
use serde_json::{Value, json};

use crate::fleet::played::Played;
use crate::fleet::{Fleet, Options};

const SOON: Duration = Duration::from_mins(1);
/// Ended containers are forgotten after so long, at one of the planner's rounds, which come every 11 s.
const KEEP_ENDED: &str = "100ms";
const FORGOTTEN: Duration = Duration::from_mins(1);
/// So much is in the environment of each request.
const BODY: usize = 60_000;
/// So many fill the workers, and so many more wait for room.
const RUN: usize = 20;
const WAIT: usize = 10;

fn request(id: &str) -> Value {
    json!({"id": id, "cpu": 1, "memory": "64Mi", "command": ["true"], "env": {"DATA": "x".repeat(BODY)}})
}

fn used(redis: &Server) -> u64 {
    let about = redis.command(&["INFO", "memory"]).text();
    about.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().parse().unwrap()
}

fn set_maxmemory(redis: &Server, bytes: u64) {
    redis.command(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]).ok();
}

/// Hands in requests until one is refused; answers how many were accepted.
fn fill(fleet: &Fleet) -> usize {
    for number in 0..1_000 {
        let (status, answer) = fleet.post("/v1/containers", &json!([request(&format!("more-{number}"))]));
        if status != 200 {
            assert_eq!(status, 503, "{answer}");
            let detail = answer["detail"].as_str().unwrap();
            assert!(detail.starts_with("the store is full: it takes in nothing new"), "{answer}");
            return number;
        }
    }
    panic!("1,000 more were accepted");
}

/// Takes all that a worker owns and reports that it runs; answers the placements.
fn take_all(worker: &mut Played) -> Vec<Value> {
    let orders = worker.take()["orders"].clone();
    let starts = orders.as_array().unwrap().iter().filter(|order| order["order"] == "start");
    let placements: Vec<_> = starts.map(|order| order["placement"].clone()).collect();
    for placement in &placements {
        assert_eq!(worker.report(placement, &json!({"kind": "running"})), "accepted");
    }
    placements
}

#[test]
fn a_full_server_refuses_requests_and_goes_on_with_all_that_it_has() {
    let redis = Redis::new().start();
    let env = vec![("STOWPLAN_KEEP_ENDED".to_owned(), KEEP_ENDED.to_owned())];
    let options = Options { store: Some(redis.url()), keepalive: "10m", env, ..Options::default() };
    let fleet = Fleet::start_with(0, options);
    let mut worker = Played::register(&fleet, "w", "key", 1, u64::try_from(RUN).unwrap()).unwrap();
    let ids: Vec<_> = (0..RUN + WAIT).map(|number| format!("c{number:02}")).collect();
    assert_eq!(fleet.post("/v1/containers", &ids.iter().map(|id| request(id)).collect()).0, 200);
    let in_state = |state| fleet.json(&format!("/v1/containers?limit=1000&state={state}"));
    let count = |state| in_state(state)["containers"].as_array().unwrap().len();
    fleet.eventually("the worker is full", SOON, || (count("placed"), count("pending")) == (RUN, WAIT));

    set_maxmemory(&redis, used(&redis) + 5 * u64::try_from(BODY).unwrap());
    let more = fill(&fleet);
    println!("full with {more} more requests: {} bytes", used(&redis));
    let is_full = || fleet.post("/v1/containers", &json!([request("none")])).0 == 503;
    assert!(is_full());

    // Whatever is there goes on: it is taken, runs, ends, and makes room for who waits.
    assert_eq!(worker.call("heartbeat", json!({}))["verdict"], "ok");
    let placements = take_all(&mut worker);
    assert_eq!(placements.len(), RUN);
    assert!(is_full(), "taking makes no room");
    for placement in &placements[..WAIT] {
        assert_eq!(worker.report(placement, &json!({"kind": "exited", "code": 0})), "accepted");
    }
    fleet.eventually("those who waited are placed", SOON, || count("placed") == WAIT);
    assert_eq!(take_all(&mut worker).len(), RUN, "those who run, and those who are new");
    let said = fleet.stowplan(&["stop", &ids[RUN - 1]]);
    assert_eq!(said.code, 0, "{said:?}");
    for status in ["cordon", "uncordon"] {
        let said = fleet.stowplan(&["worker", status, "w"]);
        assert_eq!(said.code, 0, "{said:?}");
    }
    assert!(fleet.get("/readyz").is_some(), "commits are made");

    // What ended is forgotten, and that is room.
    fleet.eventually("room is made by itself", FORGOTTEN, || !is_full());
    assert!(redis.command(&["CONFIG", "GET", "maxmemory"]).list()[1].text() != "0");
    let audit = fleet.stowplan(&["audit"]);
    assert_eq!(audit.code, 0, "{audit:?}");
}
