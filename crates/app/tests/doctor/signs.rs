//! The seed's warning signs, and what else goes wrong, each on a server of its own.

use adapters_redis::testing::{Options as Redis, Proxy};
use serde_json::json;

use crate::fleet::books::metric;
use crate::fleet::played::Played;
use crate::fleet::{Fleet, Options};
use crate::machines::Machines;
use crate::{BAD, Drip, SOON, WARNING, assert_named, doctor, finding, options, small_requests};
use std::time::Duration;

/// Makes a call of the store take twice as long, which is above the seed's 50 ms.
const DELAY: Duration = Duration::from_millis(30);
/// More than so slow a store lets through in any test.
const BACKLOG: usize = 4_000;

#[test]
fn small_batches_under_load_long_commits_and_long_scheduling_are_named() {
    let redis = Redis::new().start();
    let proxy = Proxy::before(&redis);
    let serve = ["--max-batch-size", "5"].map(str::to_owned).to_vec();
    let fleet = Fleet::start_with(0, Options { store: Some(proxy.url()), serve, ..options() });
    let _worker = Played::register(&fleet, "w", "key", 1, 100).unwrap();
    fleet.wait_for_workers(1);
    proxy.delay(DELAY);
    let (status, answer) = fleet.post("/v1/containers", &small_requests("r", BACKLOG));
    assert_eq!(status, 200, "{answer}");
    fleet.eventually("some waited for more than 3 s", SOON, || {
        let within = metric(&fleet, r#"stowplan_in_line_seconds_bucket{le="3.0"}"#);
        metric(&fleet, "stowplan_in_line_seconds_count") > within + 10
    });
    let (code, document) = doctor(&fleet, &["--over", "1s"]);
    assert_eq!((code, &document["state"]), (BAD, &json!("bad")), "{document}");
    assert_named(
        &fleet,
        &document,
        "batch_size",
        "bad",
        &["requests a batch", "wait", "no more than 5", "max_batch_size"],
    );
    assert_named(&fleet, &document, "commit_wait", "warning", &["on average", "slow to write", "redis://"]);
    assert_named(&fleet, &document, "scheduling_time", "warning", &["95% of", "commit_wait", "max_batch_size"]);
    assert_named(&fleet, &document, "store_latency", "warning", &["for a read", "network"]);
    assert_named(&fleet, &document, "store_safety", "warning", &["restart of the server loses", "appendonly"]);
    assert_named(&fleet, &document, "settings", "warning", &["max_batch_size is 5"]);
    let store = finding(&document, "store");
    assert!(store["state"] == "healthy" && store["figure"].as_str().unwrap().contains("server: redis "), "{store}");
}

#[test]
fn a_cache_that_never_serves_is_named() {
    let serve = ["--fleet-cache", "0s"].map(str::to_owned).to_vec();
    let fleet = Fleet::start_with(0, Options { serve, ..options() });
    let _worker = Played::register(&fleet, "w", "key", 1, 100).unwrap();
    fleet.wait_for_workers(1);
    let _drip = Drip::on(&fleet);
    fleet.eventually("it drips", SOON, || metric(&fleet, "stowplan_fleet_cache_misses_total") > 5);
    let (code, document) = doctor(&fleet, &["--over", "2s"]);
    assert!([WARNING, BAD].contains(&code), "{document}");
    assert_named(&fleet, &document, "cache_hit_rate", "warning", &["0% of", "in 2 s", "raise it to 1s"]);
    assert_named(&fleet, &document, "settings", "warning", &["fleet_cache is 0", "500ms"]);
    let batches = finding(&document, "batch_size");
    assert!(
        batches["state"] == "healthy" && batches["figure"].as_str().unwrap().contains("nothing waits"),
        "{batches}"
    );
}

/// The template of the pool promises a label that its machines do not have: each that comes stays empty, and another is
/// asked for.
#[test]
fn workers_that_are_added_while_others_stand_empty_are_named() {
    let machines = Machines::new();
    let config = format!(
        "[pools.burst]\nworker = {{ cpu = 2, memory = \"1Gi\", runtime = \"simulate\", labels = {{ zone = \"b\" }} }}\n\
         max = 3\ncooldown = \"200ms\"\n{}",
        machines.of_agents()
    );
    let fleet = Fleet::start_with(0, Options { config: Some(config), ..options() });
    let request = json!({"id": "r", "cpu": 1, "memory": "64Mi", "runtime": "simulate", "labels": {"zone": "b"}, "command": ["sleep", "1"]});
    assert_eq!(fleet.post("/v1/containers", &request).0, 201);
    let with_room = r#"stowplan_worker_additions_with_room_total{pool="burst",reason="demand"}"#;
    fleet.eventually("a second worker is asked for", SOON, || metric(&fleet, with_room) > 0);
    let (code, document) = doctor(&fleet, &["--over", "100ms"]);
    assert!([WARNING, BAD].contains(&code), "{document}");
    let words = ["asked for", "stood empty", "labels", "template"];
    assert_named(&fleet, &document, "worker_additions", "warning", &words);
}

#[test]
fn a_pool_that_gets_nothing_and_a_request_that_nothing_could_hold_are_named() {
    let config = "[pools.burst]\nworker = { cpu = 2, memory = \"1Gi\" }\nmax = 3\nprovider = \"command\"\ncommand = [\"false\"]\n\
                  cooldown = \"100ms\"\nbackoff = \"1m\"\n";
    let fleet = Fleet::start_with(0, Options { config: Some(config.to_owned()), ..options() });
    let request = |id: &str, cpu: u64| json!({"id": id, "cpu": cpu, "memory": "64Mi", "command": ["true"]});
    assert_eq!(fleet.post("/v1/containers", &json!([request("fits", 1), request("giant", 64)])).0, 200);
    fleet.eventually("the pool fails, and the giant is told so", SOON, || {
        let failures = metric(&fleet, r#"stowplan_pool_failures_total{pool="burst"}"#);
        failures > 0 && metric(&fleet, r#"stowplan_unplaced{reason="can_never_fit"}"#) == 1
    });
    let (code, document) = doctor(&fleet, &["--over", "100ms"]);
    assert_eq!((code, &document["state"]), (WARNING, &json!("warning")), "{document}");
    assert_named(&fleet, &document, "pools", "warning", &["pool burst", "asks again in", "provider"]);
    assert_named(&fleet, &document, "never_fit", "warning", &["1 request waits", "stop them"]);
}

#[test]
fn a_worker_that_falls_silent_and_what_it_lost_are_named() {
    let fleet = Fleet::start_with(0, Options { keepalive: "4s", grace: "8s", ..Options::default() });
    let mut worker = Played::register(&fleet, "w", "key", 1, 100).unwrap();
    fleet.wait_for_workers(1);
    assert_eq!(fleet.post("/v1/containers", &small_requests("r", 1)).0, 200);
    worker.run_one("r-00000");
    // Half of the keepalive is 2 s, and after 12 s it is given up.
    fleet.eventually("it is silent", SOON, || {
        fleet.json("/v1/workers/w")["silent_ms"].as_u64().is_some_and(|silent| silent >= 2_000)
    });
    let (code, document) = doctor(&fleet, &["--over", "0s"]);
    assert_eq!(code, WARNING, "{document}");
    assert_named(&fleet, &document, "workers", "warning", &["w is", "keepalive"]);
    assert_named(&fleet, &document, "settings", "warning", &["keepalive is 4 s", "120s"]);
    fleet.eventually("it is given up", SOON, || metric(&fleet, "stowplan_lost_placements_total") == 1);
    let (code, document) = doctor(&fleet, &["--over", "0s"]);
    assert_eq!(code, BAD, "{document}");
    assert_named(&fleet, &document, "workers", "bad", &["none takes work, and 1 request waits", "start agents"]);
    let lost = finding(&document, "lost_placements");
    assert!(lost["figure"].as_str().unwrap().contains("1 container went back"), "{lost}");
}

#[test]
fn a_store_that_lost_writes_and_what_is_gone_with_them_are_named() {
    let redis = Redis::new().start();
    let fleet = Fleet::start_with(0, Options { store: Some(redis.url()), ..options() });
    let mut worker = Played::register(&fleet, "w", "key", 1, 100).unwrap();
    fleet.wait_for_workers(1);
    assert_eq!(fleet.post("/v1/containers", &small_requests("r", 1)).0, 200);
    let placement = worker.run_one("r-00000");
    redis.kill9();
    redis.restart();
    fleet
        .eventually("it settles", SOON, || fleet.get("/metrics").is_some() && metric(&fleet, "stowplan_settling") == 1);
    let (code, document) = doctor(&fleet, &["--over", "0s"]);
    assert_eq!(code, BAD, "{document}");
    assert_named(&fleet, &document, "settling", "bad", &["lost writes", "have all workers call"]);

    let owns = json!({"cpu_milli": 1, "memory_mib": 1});
    let again = json!({"worker": {"id": "w", "cpu": 100, "memory": "8Gi"}, "key": "key", "incarnation": 2, "ready": true,
        "holds": [{"placement": placement, "owns": owns}]});
    let (status, answer) = fleet.post("/v1/workers", &again);
    assert_eq!(status, 200, "{answer}");
    let (code, document) = doctor(&fleet, &["--over", "0s"]);
    assert_eq!(code, BAD, "{document}");
    assert_named(&fleet, &document, "lost_requests", "bad", &["1 container accepted and gone", "submit them again"]);
}
