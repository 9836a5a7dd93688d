//! What it answers: words, a document, and exit codes.

use expect_test::expect;
use std::fmt::Write as _;

use adapters_redis::testing::Options as Redis;
use serde_json::{Value, json};

use crate::fleet::books::wait_until_succeeded;
use crate::fleet::{Fleet, Options, http};
use crate::{BAD, SOON, WARNING, doctor, finding, options, small_requests};

/// A machine under others' load is slow; that is not what is looked at here.
const LENIENT: [&str; 10] = [
    "--over",
    "500ms",
    "--commit-warning",
    "1m",
    "--scheduling-warning",
    "5m",
    "--store-warning",
    "1m",
    "--backlog-warning",
    "30s",
];

fn well() -> Fleet {
    let fleet = Fleet::start_with(2, options());
    let requests = small_requests("r", 3);
    assert_eq!(fleet.post("/v1/containers", &requests).0, 200);
    let ids: Vec<_> = requests.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    wait_until_succeeded(&fleet, &ids);
    fleet
}

#[test]
fn a_healthy_server_is_called_so_in_a_stable_document_and_thresholds_can_be_set() {
    let fleet = well();
    let said = fleet.stowplan(&[&["doctor"], &LENIENT[..]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.stdout.lines().last(), Some(&*format!("{}: healthy", fleet.url)), "{said:?}");
    assert!(!said.stdout.contains("fix:") && said.stderr.is_empty(), "{said:?}");

    let (code, document) = doctor(&fleet, &LENIENT);
    assert_eq!((code, &document["version"], &document["state"]), (0, &json!(1), &json!("healthy")), "{document}");
    assert_eq!(document["server"], json!(fleet.url));
    assert!(document["over_ms"].as_u64().unwrap() >= 500, "{document}");
    expect![[r"
        planner healthy - | -
        settling healthy - | -
        batch_size healthy requests | while others wait: healthy from 50, bad below 10
        cache_hit_rate healthy - | -
        commit_wait healthy seconds | healthy below 10 ms, warning above 60 s
        scheduling_time healthy seconds | healthy below 2 s, warning above 5 min
        worker_additions healthy workers | healthy at 0, warning above 10% of those asked for
        pools healthy - | -
        never_fit healthy requests | healthy at 0
        corrupt healthy requests | healthy at 0
        lost_placements healthy containers | healthy at 0, warning if some in the period
        backlog_age healthy seconds | warning above 30 s, bad above 60 s
        lost_requests healthy containers | healthy at 0
        workers healthy workers | -
        store healthy - | -
        store_latency healthy seconds | healthy below 10 ms, warning above 60 s
        store_safety healthy - | -
        clock healthy seconds | warning above 1 s
        settings healthy - | -
        settings healthy - | -
    "]]
    .assert_eq(&shape(&document));

    let strict = ["--over", "0s", "--store-healthy", "0s", "--store-warning", "0s"];
    let (code, document) = doctor(&fleet, &strict);
    assert_eq!((code, &finding(&document, "store_latency")["state"]), (WARNING, &json!("warning")), "{document}");
    let mut by_variable = fleet.typed(&["doctor", "--over", "0s", "--format", "json", "--store-healthy", "0s"]);
    let output = by_variable.env("STOWPLAN_DOCTOR_STORE_WARNING", "0s").output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(finding(&document, "store_latency")["state"], "warning", "{document}");
    std::fs::write(fleet.path("strict.toml"), "[doctor]\nstore_healthy = \"0s\"\nstore_warning = \"0s\"\n").unwrap();
    let (_, document) = doctor(&fleet, &["--over", "0s", "--config", "strict.toml"]);
    assert_eq!(finding(&document, "store_latency")["state"], "warning", "{document}");
}

/// What does not differ from machine to machine.
fn shape(document: &Value) -> String {
    let mut shape = String::new();
    for finding in document["findings"].as_array().unwrap() {
        let word = |name: &str| finding[name].as_str().unwrap_or("-").to_owned();
        let state = if finding["state"] == "note" { "healthy".to_owned() } else { word("state") };
        let value = if finding["value"].is_number() { word("unit") } else { "-".to_owned() };
        writeln!(shape, "{} {state} {value} | {}", word("indicator"), word("threshold")).unwrap();
    }
    shape
}

#[test]
fn a_server_that_is_away_and_a_command_line_that_is_wrong_have_codes_of_their_own() {
    let fleet = Fleet::empty(options());
    let said = fleet.stowplan(&["doctor"]);
    assert!(said.code == 3 && said.stderr.contains("cannot reach"), "{said:?}");
    for (args, words) in [
        (["--over", "2"], "has no unit"),
        (["--over", "2h"], "the most is 1h"),
        (["--commit-warning", "1ms"], "commit_warning"),
        (["--cache-healthy", "101"], "101"),
    ] {
        let said = fleet.stowplan(&[&["doctor"], &args[..]].concat());
        assert!(said.code == 2 && said.stderr.contains(words) && said.stderr.contains("next: "), "{said:?}");
    }
}

#[test]
fn a_server_whose_store_is_away_is_bad_and_says_which() {
    let redis = Redis::new().start();
    let fleet = Fleet::start_with(0, Options { store: Some(redis.url()), ..options() });
    redis.kill9();
    fleet.eventually("the planner notices", SOON, || fleet.get("/readyz").is_none());
    let (code, document) = doctor(&fleet, &["--over", "0s"]);
    assert_eq!(code, BAD, "{document}");
    let store = finding(&document, "store");
    assert!(store["state"] == "bad" && store["figure"].as_str().unwrap().contains("redis://"), "{store}");
    assert_eq!(finding(&document, "planner")["state"], "bad", "{document}");
}

#[test]
fn a_store_that_is_changed_under_a_server_is_named_with_what_to_change_back() {
    let redis = Redis::new().start();
    let fleet = Fleet::start_with(0, Options { store: Some(redis.url()), ..options() });
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let safety = || finding(&doctor(&fleet, &["--over", "0s"]).1, "store_safety")["figure"].to_string();
    fleet.eventually("it is told", SOON, || safety().contains("maxmemory-policy allkeys-lru"));
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    fleet.eventually("it is told no more", SOON, || !safety().contains("maxmemory-policy"));
}

#[test]
fn a_server_that_stands_by_names_who_plans() {
    let redis = Redis::new().start();
    let options = Options { store: Some(redis.url()), ..options() };
    let _first = Fleet::start_with(0, options.clone());
    let second = Fleet::standing_by(options);
    second.eventually("it knows who plans", SOON, || {
        http(&second.url, "GET", "/readyz", None, &[""; 0]).is_ok_and(|(_, body)| body.contains("planner-"))
    });
    let (code, document) = doctor(&second, &["--over", "0s"]);
    // The Redis of the test keeps nothing on disk.
    assert_eq!(code, WARNING, "{document}");
    let planner = finding(&document, "planner");
    assert!(planner["state"] == "note" && planner["figure"].as_str().unwrap().contains("stands by"), "{planner}");
}

#[test]
fn a_caller_without_the_token_is_refused() {
    let env = vec![("STOWPLAN_TOKEN".to_owned(), "a-secret-that-is-long-enough".to_owned())];
    let fleet = Fleet::start_with(0, Options { env, ..options() });
    let said =
        fleet.typed(&["doctor", "--over", "0s"]).env("STOWPLAN_TOKEN", "another-that-is-long-enough").output().unwrap();
    assert_eq!(said.status.code(), Some(4), "{said:?}");
    let (code, document) = doctor(&fleet, &["--over", "0s"]);
    assert_eq!(code, 0, "{document}");
    // Who names a file means that one.
    std::fs::write(fleet.path("token"), "a-secret-that-is-long-enough\n").unwrap();
    let mut by_file = fleet.typed(&["doctor", "--over", "0s", "--token-file", "token"]);
    let said = by_file.env("STOWPLAN_TOKEN", "another-that-is-long-enough").output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{said:?}");
}

#[test]
fn what_the_server_says_of_itself_holds_no_secret() {
    let redis = Redis::new().password("hunter2").start();
    let env = vec![("STOWPLAN_TOKEN".to_owned(), "a-secret-that-is-long-enough".to_owned())];
    let fleet = Fleet::start_with(0, Options { store: Some(redis.url()), env, ..options() });
    let said = fleet.stowplan(&["doctor", "--over", "0s"]);
    let about = fleet.get("/v1/about").unwrap();
    assert!(about.contains("***@127.0.0.1") && said.stdout.contains("***@127.0.0.1"), "{about} {said:?}");
    for secret in ["hunter2", "a-secret"] {
        assert!(!about.contains(secret) && !said.stdout.contains(secret), "{about} {said:?}");
    }
}
