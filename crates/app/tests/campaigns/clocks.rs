//! Clocks that jump: the wall clock of a whole cell, and a machine that was suspended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use app::agent::clock::suspension;
use app::agent::files::{Outlives, replace};
use serde_json::{Value, json};

use crate::fleet::books::metric;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options, signal};
use crate::stores::Store;

on_each_store! {
    a_wall_clock_that_jumps_stops_nothing_and_changes_no_order,
    a_machine_counts_the_time_for_which_it_was_suspended,
}

/// How often those who wait are asked, whatever happens.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How soon all goes on after a jump of an hour, or a minute of suspension, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(20);
/// So long it is watched whether something happens that should not.
const WATCHED: Duration = Duration::from_secs(1);

/// Where Debian's package puts the library that fakes a clock.
fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten().map(|folder| folder.path());
    let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    library.expect("libfaketime is missing: cargo xtask test installs it, or apt-get install libfaketime")
}

/// The environment of processes whose wall clock is as the file says; the other clocks are true.
fn faked(file: &Path) -> Vec<(String, String)> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let variables = [
        ("LD_PRELOAD", text(&libfaketime())),
        ("FAKETIME_TIMESTAMP_FILE", text(file)),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn set(file: &Path, content: &str) {
    replace(file, content.as_bytes(), Outlives::Processes).unwrap();
}

fn a_wall_clock_that_jumps_stops_nothing_and_changes_no_order(store: &Store) {
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    set(&clock, "+0");
    let fleet = Fleet::start_with(2, Options { env: faked(&clock), ..store.options() });
    let witness = Witness::of(&fleet);
    let submit = |id: &str, script: &str, cpu: u64| {
        let mut request = witness.running(id, script);
        request["cpu"] = json!(cpu);
        assert_eq!(fleet.post("/v1/containers", &request).0, 201);
    };
    for id in ["left", "right"] {
        submit(id, "sleep 615", 9);
        fleet.wait_for_state(id, "running", 1);
    }
    let before = workers(&fleet);
    let line: Vec<_> = (0..6).map(|number| format!("in-line-{number}")).collect();
    for (pair, jump) in line.chunks(2).zip([None, Some("-1h"), Some("+1h")]) {
        if let Some(offset) = jump {
            set(&clock, offset);
            goes_on(&fleet);
            assert_eq!(workers(&fleet), before, "nobody was lost, or had to register anew");
        }
        for id in pair {
            submit(id, r#"echo "$STOWPLAN_CONTAINER" >> "$0/line""#, 10);
        }
    }
    let submitted: Vec<_> = line.iter().map(|id| fleet.container(id)["submitted"]["ms"].as_u64().unwrap()).collect();
    assert!(submitted.is_sorted() && submitted[5] - submitted[0] > 3_600_000, "forward by an hour: {submitted:?}");
    let log = fleet.log("serve");
    let stamps: Vec<_> = log.lines().filter(|line| line.starts_with("20")).map(|line| line.split(' ').next()).collect();
    assert!(!stamps.is_sorted(), "and back before that: {stamps:?}");

    fleet.stowplan(&["stop", "left"]);
    for id in &line {
        fleet.wait_for_state(id, "succeeded", 1);
    }
    let order = fs::read_to_string(fleet.path("witness/line")).unwrap();
    assert_eq!(order.lines().collect::<Vec<_>>(), line);
    assert_eq!(fleet.state("right"), ("running".to_owned(), 1));
    assert!(!log.contains("gave up a silent worker"), "{log}");
}

/// Batches, heartbeats and sweeps go on as if nothing had happened.
fn goes_on(fleet: &Fleet) {
    let heartbeats = || metric(fleet, "stowplan_store_calls_total{operation=\"heartbeat\"}");
    let before = heartbeats();
    let began = Instant::now();
    assert_eq!(fleet.stowplan(&["run", "--", "true"]).code, 0);
    assert!(began.elapsed() < SOON, "a batch: {:?}", began.elapsed());
    fleet.eventually("workers are heard", SOON, || heartbeats() > before);
    // Once nothing else is planned, batches are sweeps.
    let batches = || fleet.log("serve").matches("processing batch of container requests").count();
    std::thread::sleep(WATCHED);
    let before = batches();
    fleet.eventually("those who wait are asked once more", SWEEP_EVERY + SOON, || batches() > before);
}

/// Which workers there are, whether they take work, and as what they registered.
fn workers(fleet: &Fleet) -> Vec<[Value; 3]> {
    let workers = fleet.json("/v1/workers")["workers"].as_array().unwrap().clone();
    workers.into_iter().map(|worker| ["id", "status", "incarnation"].map(|name| worker[name].clone())).collect()
}

fn a_machine_counts_the_time_for_which_it_was_suspended(store: &Store) {
    let folder = tempfile::tempdir().unwrap();
    let suspended = folder.path().join("suspended");
    let agent_env = vec![(suspension::VARIABLE.to_owned(), suspended.to_str().unwrap().to_owned())];
    let fleet = Fleet::start_with(1, Options { keepalive: "60s", agent_env, ..store.options() });
    let witness = Witness::of(&fleet);
    let [stop, keep] = ["stop", "keep"].map(|if_silent| {
        let mut request = witness.request(if_silent);
        request["if_silent"] = json!(if_silent);
        assert_eq!(fleet.post("/v1/containers", &request).0, 201);
        witness.wait(&fleet, if_silent, 1)
    });
    // As it wakes, the agent is no faster than a shim.
    signal(fleet.agent_pid("worker-01"), "STOP");
    set(&suspended, "61000");
    fleet.eventually("what may not be silent is ended", SOON, || !stop.is_alive());
    assert!(keep.is_alive());
    assert_eq!(fleet.state("stop"), ("running".to_owned(), 1), "the server has seen no time pass");
    signal(fleet.agent_pid("worker-01"), "CONT");

    witness.wait(&fleet, "stop", 2);
    let container = fleet.container("stop");
    let silent = container["last_end"]["text"].as_str().unwrap().to_owned();
    assert!(silent.starts_with("stopped by its worker: no server for "), "{silent}");
    assert_eq!((&container["last_end"]["kind"], &container["failures"]), (&json!("deadline"), &json!(0)));
    let again = witness.wait(&fleet, "stop", 2);

    // Half the keepalive is no reason.
    set(&suspended, "91000");
    std::thread::sleep(WATCHED);
    assert!(again.is_alive() && keep.is_alive());
    assert_eq!(fleet.state("keep"), ("running".to_owned(), 1));
    witness.attest(&["stop", "keep"]);
}
