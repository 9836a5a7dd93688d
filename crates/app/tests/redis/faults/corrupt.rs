//! Rows that cannot be read, and keys that are no tables: each stands in its own way, and in nobody else's.

use std::collections::BTreeMap;
use std::time::Duration;

use adapters_redis::testing::{Options as Redis, Reply, Server};
use serde_json::{Value, json};

use crate::fleet::books::metric;
use crate::fleet::played::Played;
use crate::fleet::{Fleet, Options, http, signal, stop_still};

const SOON: Duration = Duration::from_mins(1);
/// So many requests are handed in at once.
const REQUESTS: usize = 12;

/// Turns numbers of a row into words: what unpacks well and is no row all the same.
const WORDS: &str = "
local row = cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1]))
for at = 2, #row do
  if type(row[at]) == 'number' then row[at] = 'many' end
end
return redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(row))";

fn key(table: &str) -> String {
    format!("stowplan:{{main}}:{table}")
}

fn set_to_words(redis: &Server, table: &str, id: &str) {
    assert_eq!(redis.command(&["EVAL", WORDS, "1", &key(table), id]).integer(), 0, "there was such a row");
}

/// A server, and one that stands by, which takes requests in while the first stands still.
fn two_servers(redis: &Server) -> (Fleet, Fleet) {
    let options = Options { store: Some(redis.url()), keepalive: "10m", ..Options::default() };
    (Fleet::start_with(0, options.clone()), Fleet::standing_by(options))
}

fn request(id: &str) -> Value {
    json!({"id": id, "cpu": 1, "memory": "64Mi", "command": ["true"]})
}

fn place_one(fleet: &Fleet, id: &str) {
    assert_eq!(fleet.post("/v1/containers", &request(id)).0, 201);
    fleet.wait_for_state(id, "placed", 1);
}

/// Hands in a list that is read as one batch, in which `spoil` spoils what it likes before it is.
fn batch(fleet: &Fleet, standby: &Fleet, spoil: impl Fn()) -> Vec<String> {
    stop_still(fleet.serve_pid());
    let ids: Vec<_> = (0..REQUESTS).map(|number| format!("r{number:02}")).collect();
    assert_eq!(standby.post("/v1/containers", &ids.iter().map(|id| request(id)).collect()).0, 200);
    spoil();
    signal(fleet.serve_pid(), "CONT");
    ids
}

#[test]
fn rows_that_cannot_be_read_are_parked_and_named_and_the_rest_of_the_batch_is_placed() {
    let redis = Redis::new().start();
    let (fleet, standby) = two_servers(&redis);
    let _workers = ["a", "b"].map(|id| Played::register(&fleet, id, "key", 1, 100).unwrap());
    fleet.wait_for_workers(2);
    let bad = ["r03", "r05"];
    let ids = batch(&fleet, &standby, || {
        assert_eq!(redis.command(&["HSET", &key("containers"), bad[0], "no row at all"]).integer(), 0);
        set_to_words(&redis, "containers", bad[1]);
    });
    for id in ids.iter().filter(|id| !bad.contains(&id.as_str())) {
        fleet.wait_for_state(id, "placed", 1);
    }
    fleet.eventually("they are parked", SOON, || metric(&fleet, r#"stowplan_unplaced{reason="corrupt"}"#) == 2);
    assert_eq!(metric(&fleet, r#"stowplan_backlog{state="parked"}"#), 2);
    for id in bad {
        assert!(fleet.log("serve").contains(&format!("whose row cannot be decoded container={id}")));
        let explained = fleet.json(&format!("/v1/containers/{id}/explain"));
        assert_eq!(explained["reason"]["word"], "corrupt", "{explained}");
        let said = fleet.stowplan(&["explain", id]);
        assert!(said.code == 0 && said.stdout.contains("its record cannot be read"), "{said:?}");
        for command in ["status", "stop"] {
            let said = fleet.stowplan(&[command, id]);
            assert!(said.code == 4 && said.stderr.contains(&format!("container {id} cannot be decoded")), "{said:?}");
        }
    }
    let audit = fleet.stowplan(&["audit"]);
    let found = bad.map(|id| format!("corrupt: container {id} cannot be decoded"));
    assert!(audit.code == 1 && found.iter().all(|line| audit.stdout.contains(line)), "{audit:?}");
    assert!(fleet.get("/readyz").is_some(), "one row is no reason to send nobody here");
    place_one(&fleet, "later");
}

#[test]
fn a_worker_whose_row_cannot_be_read_is_planned_around_and_named() {
    let redis = Redis::new().start();
    let (fleet, standby) = two_servers(&redis);
    let _workers = ["a", "b"].map(|id| Played::register(&fleet, id, "key", 1, 100).unwrap());
    fleet.wait_for_workers(2);
    place_one(&fleet, "first");
    assert_eq!(fleet.container("first")["worker"], "a", "the one that is preferred");
    // The planner has just seen it, and no step tells it that the row has changed.
    let ids = batch(&fleet, &standby, || set_to_words(&redis, "workers", "a"));
    for id in &ids {
        fleet.wait_for_state(id, "placed", 1);
        assert_eq!(fleet.container(id)["worker"], "b");
    }
    assert!(fleet.log("serve").contains("or its row cannot be read worker=a"), "{}", fleet.log("serve"));
    let audit = fleet.stowplan(&["audit"]);
    assert!(audit.code == 1 && audit.stdout.contains("worker a"), "{audit:?}");
    assert!(fleet.get("/readyz").is_some(), "one row is no reason to send nobody here");
}

/// What lies in the tables of the cell but for one, as bytes. Its own row and the numbers of calls move by themselves.
fn dumps_without(redis: &Server, table: &str) -> BTreeMap<String, Vec<u8>> {
    let keys = redis.command(&["KEYS", &key("*")]);
    let moving = ["cell", "beats", table].map(key);
    let tables = keys.list().iter().map(Reply::text).filter(|key| !moving.contains(key));
    tables.map(|key| (key.clone(), redis.command(&["DUMP", &key]).bytes().to_vec())).collect()
}

/// What `/readyz` answers: its status, and its words.
fn readyz(fleet: &Fleet) -> (u16, String) {
    http(&fleet.url, "GET", "/readyz", None, &[""; 0]).unwrap()
}

#[test]
fn a_key_that_is_no_table_stops_the_cell_says_so_and_nothing_is_written_in_part() {
    let redis = Redis::new().start();
    let (fleet, standby) = two_servers(&redis);
    let _workers = ["a", "b"].map(|id| Played::register(&fleet, id, "key", 1, 100).unwrap());
    fleet.wait_for_workers(2);
    place_one(&fleet, "first");
    let audited = fleet.stowplan(&["audit"]).stdout;
    for table in ["owned", "usage", "workers"] {
        let spoil = || {
            redis.command(&["RENAME", &key(table), "aside"]);
            redis.command(&["SET", &key(table), "no table"]).ok();
        };
        stop_still(fleet.serve_pid());
        let id = format!("waits-{table}");
        assert_eq!(standby.post("/v1/containers?wait=0", &json!([request(&id)])).0, 200);
        let before = dumps_without(&redis, table);
        assert!(before.len() >= 7, "{before:?}");
        let logged = fleet.log("serve").len();
        spoil();
        signal(fleet.serve_pid(), "CONT");
        let has_failed = || fleet.log("serve")[logged..].contains("stepping down as planner");
        fleet.eventually("no commit can be made", SOON, has_failed);
        let named = format!("{} cannot be decoded", key(table));
        for _ in 0..50 {
            let (status, said) = readyz(&fleet);
            assert!(status == 503 && said.contains(&named) && said.contains("it is a string"), "{status} {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(dumps_without(&redis, table), before, "nothing is written in part");
        let refused = standby.post("/v1/containers/first/stop", &json!({}));
        assert!(refused.0 == 500 && refused.1["type"] == "/problems/corrupt", "{refused:?}");
        assert_eq!(dumps_without(&redis, table), before, "nothing is written in part");

        redis.command(&["RENAME", "aside", &key(table)]);
        fleet.wait_for_state(&id, "placed", 1);
        fleet.eventually("the server is ready again", SOON, || readyz(&fleet).0 == 200);
    }
    assert!(audited.starts_with("clean; 2 workers, 1 containers"), "{audited}");
    let audit = fleet.stowplan(&["audit"]);
    assert!(audit.stdout.starts_with("clean; 2 workers, 4 containers"), "{audit:?}");
    place_one(&fleet, "later");
}
