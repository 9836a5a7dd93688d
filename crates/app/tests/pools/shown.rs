//! What a pool says of itself: to who waits, to who looks after it, and of another server.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use adapters_redis::testing::Options as Redis;
use serde_json::{Value, json};

use crate::fleet::books::wait_until_succeeded;
use crate::fleet::{Fleet, http};
use crate::ground::{PATIENCE, Pool, asked, ends_empty, number, on_both_stores, pool, submit, workers};

const LOOK_EVERY: Duration = Duration::from_millis(20);

#[test]
fn a_worker_that_boots_is_waited_for_and_no_other_is_asked_for_meanwhile() {
    on_both_stores(|store| {
        let provider = "provider = \"process\"\nagent_args = [\"--boot-delay\", \"3s\"]\n";
        let fleet = Pool { provider, more: "idle = \"1s\"\n", ..Pool::default() }.serve(store);
        let id = submit(&fleet, "c", 1, 1, "1").remove(0);
        fleet.eventually("a worker is asked for", PATIENCE, || number(&pool(&fleet), "pending") == 1);
        let worker = workers(&fleet).remove(0);

        let waits = format!("waits for a worker that is booting: {worker}");
        let explained = fleet.stowplan(&["explain", &id]);
        assert!(explained.code == 0 && explained.stdout.contains(&waits), "{explained:?}");
        let explained = fleet.json(&format!("/v1/containers/{id}/explain"));
        assert_eq!((&explained["text"], &explained["fleet"]["booting_first"]), (&json!(waits), &json!([worker])));

        let mut lives = BTreeSet::new();
        while fleet.state(&id).0 != "succeeded" {
            let rows = fleet.json("/v1/workers")["workers"].clone();
            let [row] = &rows.as_array().unwrap()[..] else { panic!("not one worker: {rows}") };
            lives.insert((row["status"].as_str().unwrap().to_owned(), row["incarnation"].as_u64() > Some(0)));
            assert_eq!((&row["id"], asked(&fleet)), (&json!(worker), 1));
            sleep(LOOK_EVERY);
        }
        let registered = |status: &str| (status.to_owned(), true);
        assert!(lives.is_superset(&BTreeSet::from([registered("pending"), registered("available")])), "{lives:?}");
        ends_empty(&fleet);
        assert_eq!(asked(&fleet), 1);
    });
}

/// What `pool list` prints of the pool, by column.
fn listed(fleet: &Fleet) -> Vec<(String, String)> {
    let said = fleet.stowplan(&["pool", "list"]);
    assert_eq!(said.code, 0, "{said:?}");
    let cells = |line: &str| -> Vec<String> {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let lines: Vec<_> = said.stdout.lines().map(cells).collect();
    let [header, row] = &lines[..] else { panic!("not one pool: {said:?}") };
    assert_eq!(header.len(), row.len(), "{said:?}");
    header.iter().cloned().zip(row.iter().cloned()).collect()
}

/// Waits until `pool list` shows these, and `GET /v1/pools` with it.
fn wait_until_shown(fleet: &Fleet, wanted: &[(&str, u64)], why: &str) {
    fleet.eventually(&format!("{wanted:?}, {why}"), PATIENCE, || {
        let (text, json) = (listed(fleet), pool(fleet));
        let cell = |name: &str| text.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)).unwrap().1.clone();
        cell("why").contains(why)
            && json["decision"].as_str().unwrap().contains(why)
            && wanted.iter().all(|(name, count)| cell(name) == count.to_string() && json[name] == *count)
    });
}

#[test]
fn a_pool_says_what_it_has_what_it_wants_and_why() {
    on_both_stores(|store| {
        let growing = Pool { max: 2, cooldown: "5s", more: "idle = \"8s\"\n", ..Pool::default() };
        let fleet = growing.serve(store);
        let ids = submit(&fleet, "c", 30, 1, "3");
        let nothing = [("ready", 0), ("pending", 0), ("idle", 0), ("failed", 0), ("wanted", 2)];
        wait_until_shown(&fleet, &nothing, "waits a moment before it asks for more");
        let booting = [("ready", 0), ("pending", 2), ("wanted", 0)];
        let full = "has the 2 workers that it may have";
        wait_until_shown(&fleet, &booting, full);
        wait_until_shown(&fleet, &[("ready", 2), ("pending", 0), ("idle", 0)], full);
        wait_until_succeeded(&fleet, &ids);
        wait_until_shown(&fleet, &[("ready", 2), ("idle", 2), ("failed", 0)], full);
        let columns: Vec<_> = listed(&fleet).into_iter().map(|(column, _)| column).collect();
        let wanted = ["POOL", "WORKER", "READY", "PENDING", "IDLE", "LEAVING", "FAILED", "WANTED", "MIN-MAX", "WHY"];
        assert_eq!(columns, wanted);
        ends_empty(&fleet);
    });
}

#[test]
fn a_server_that_stands_by_names_the_one_that_knows_the_pools() {
    let redis = Redis::new().start();
    let growing = Pool::default();
    let first = growing.serve(Some(redis.url()));
    let second = Fleet::standing_by(growing.options(Some(redis.url())));
    let listed = || http(&second.url, "GET", "/v1/pools", None, &[""; 0]).unwrap();
    second.eventually("it knows who plans", PATIENCE, || listed().1.contains("planner-"));
    let (status, body) = listed();
    let problem: Value = serde_json::from_str(&body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(status, 503, "{problem}");
    let planner = detail.rsplit(", ").next().unwrap().strip_suffix(" does").unwrap();
    assert!(first.log("serve").contains(planner) && !second.log("serve").contains(planner), "{detail}");
    let said = second.stowplan(&["pool", "list"]);
    assert!(said.code != 0 && said.stderr.contains(planner), "{said:?}");
    assert_eq!(first.stowplan(&["pool", "list"]).code, 0);
}
