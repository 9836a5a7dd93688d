//! Quotas, to the digit; and waits for room and quota together.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::books::booked;
use crate::fleet::played::Played;
use crate::fleet::{Fleet, Options};
use crate::stores::Store;

on_each_store! {
    a_quota_is_kept_to_the_digit_and_a_lowered_one_stops_nothing,
    who_waits_for_room_and_quota_is_placed_once_it_has_the_last,
}

const PATIENCE: Duration = Duration::from_mins(1);
/// In each order.
const ROUNDS: usize = 10;
/// How long the rounds of an order may take, from having both to being placed. Sweeps are 5 s apart: whoever waited for the
/// next would wait half of that on average.
const SOON: Duration = Duration::from_secs(12);

/// Starts the server anew with so much cpu for the workspace `lab`.
fn limit(fleet: &mut Fleet, cpu: u64) {
    fleet.stop_serve();
    std::fs::write(fleet.path("stowplan.toml"), format!("[quota.workspaces.lab]\ncpu = {cpu}\n")).unwrap();
    fleet.start_serve();
}

fn request(id: &str, workspace: &str, cpu: u64, pool: &str) -> Value {
    json!({"id": id, "workspace": workspace, "cpu": cpu, "memory": "64Mi", "pool": pool, "command": ["sleep", "614"]})
}

/// Waits until a container waits, and for this.
fn wait_for_reason(fleet: &Fleet, id: &str, words: &str) -> Value {
    fleet.eventually(&format!("{id} waits: {words}"), PATIENCE, || {
        fleet.container(id)["reason"]["text"].as_str().is_some_and(|text| text.contains(words))
    });
    fleet.container(id)["reason"].clone()
}

/// Starts `stowplan run` for a container of the workspace `lab`, and waits until it says so on standard error.
fn run(fleet: &Fleet, id: &str, cpu: &str, says: &str) -> Child {
    let line = ["run", "--id", id, "--workspace", "lab", "--cpu", cpu, "--memory", "64Mi", "--", "sleep", "614"];
    let mut command = fleet.typed(&line);
    let stderr = fleet.path("run.stderr");
    let child = command.stdout(Stdio::null()).stderr(File::create(&stderr).unwrap()).spawn().unwrap();
    fleet.eventually(says, PATIENCE, || std::fs::read_to_string(&stderr).unwrap().contains(says));
    child
}

/// Whoever asks why a container waits is told the same, and how much of the quota is free, in words and as a number.
fn says_what_is_free(fleet: &Fleet, id: &str, words: &str, free_cpu_milli: u64) {
    let words = format!("quota of workspace lab: {words}");
    for command in ["status", "explain"] {
        let said = fleet.stowplan(&[command, id]);
        assert!(said.code == 0 && said.stdout.contains(&words), "{command}: {said:?}");
        let json = fleet.stowplan(&[command, id, "--format", "json"]).stdout;
        let reason = serde_json::from_str::<Value>(&json).unwrap()["reason"].clone();
        assert_eq!(
            (&reason["text"], &reason["free"]),
            (&json!(words), &json!({"cpu_milli": free_cpu_milli})),
            "{command}"
        );
    }
    let listed = fleet.json("/v1/containers?state=pending");
    let listed = listed["containers"].as_array().unwrap().iter().find(|container| container["id"] == id).unwrap();
    for reason in [&listed["reason"], &fleet.json(&format!("/v1/containers/{id}/explain"))["reason"]] {
        assert_eq!((&reason["text"], &reason["free"]["cpu_milli"]), (&json!(words), &json!(free_cpu_milli)));
    }
}

fn a_quota_is_kept_to_the_digit_and_a_lowered_one_stops_nothing(store: &Store) {
    let mut fleet = Fleet::start_with(1, Options { cpu: "100", ..store.options() });
    limit(&mut fleet, 24);
    let lab = |id: &str, cpu| request(id, "lab", cpu, "default");
    let list = json!([lab("a", 12), lab("b", 12), lab("c", 16)]);
    assert_eq!(fleet.post("/v1/containers", &list).0, 200);
    for id in ["a", "b"] {
        fleet.wait_for_state(id, "running", 1);
    }
    wait_for_reason(&fleet, "c", "needs 16 cpu, 0 free (24 of 24 used)");
    assert_eq!(fleet.post("/v1/containers", &lab("never", 25)).0, 201);
    let never =
        wait_for_reason(&fleet, "never", "can never fit the quota of workspace lab: needs 25 cpu, the limit is 24");
    assert_eq!(never["can_never_fit"], true);
    assert_eq!(fleet.stowplan(&["stop", "never"]).code, 0);

    fleet.stowplan(&["stop", "a"]);
    wait_for_reason(&fleet, "c", "needs 16 cpu, 12 free (12 of 24 used)");
    says_what_is_free(&fleet, "c", "needs 16 cpu, 12 free (12 of 24 used)", 12_000);
    // Others are planned meanwhile, and c is not placed.
    fleet.post("/v1/containers", &request("other", "default", 1, "default"));
    fleet.wait_for_state("other", "running", 1);
    assert_eq!((fleet.state("c").0.as_str(), booked(&fleet)[0]), ("pending", 13_000));
    fleet.stowplan(&["stop", "b"]);
    fleet.wait_for_state("c", "running", 1);

    // 24 are used once more, then 8 are allowed.
    fleet.post("/v1/containers", &lab("d", 8));
    fleet.wait_for_state("d", "running", 1);
    limit(&mut fleet, 8);
    let says = "stowplan: e waits: quota of workspace lab: needs 8 cpu, 0 free (24 of 8 used)";
    let mut run = run(&fleet, "e", "8", says);
    wait_for_reason(&fleet, "e", "needs 8 cpu, 0 free (24 of 8 used)");
    says_what_is_free(&fleet, "e", "needs 8 cpu, 0 free (24 of 8 used)", 0);
    let audit = fleet.stowplan(&["audit"]).stdout;
    assert!(audit.contains("workspace lab may use 8000 cpu_milli and uses 24000: nothing new is placed"), "{audit}");
    for id in ["c", "d"] {
        assert_eq!(fleet.state(id), ("running".to_owned(), 1), "a lowered limit stops nothing");
    }
    fleet.stowplan(&["stop", "c"]);
    wait_for_reason(&fleet, "e", "needs 8 cpu, 0 free (8 of 8 used)");
    fleet.stowplan(&["stop", "d"]);
    fleet.wait_for_state("e", "running", 1);
    assert_eq!(booked(&fleet)[0], 9_000);
    fleet.stowplan(&["stop", "e"]);
    assert_eq!(run.wait().unwrap().code(), Some(143));
}

fn who_waits_for_room_and_quota_is_placed_once_it_has_the_last(store: &Store) {
    let mut fleet = Fleet::start_with(0, Options { keepalive: "10m", ..store.options() });
    limit(&mut fleet, 4);
    let worker = |id: &str, cpu: u64| json!({"id": id, "pool": id, "cpu": cpu, "memory": "8Gi"});
    let mut small = Played::register_as(&fleet, &worker("small", 2), "key", 1).unwrap();
    let mut large = Played::register_as(&fleet, &worker("large", 10), "key", 1).unwrap();
    let exited = json!({"kind": "exited", "code": 0});
    let mut took = [Duration::ZERO; 2];
    for round in 0..2 * ROUNDS {
        let [room, quota, both] = ["room", "quota", "both"].map(|what| format!("{what}-{round}"));
        fleet.post("/v1/containers", &json!([request(&room, "other", 2, "small"), request(&quota, "lab", 4, "large")]));
        let (room, quota) = (small.run_one(&room), large.run_one(&quota));
        fleet.post("/v1/containers", &request(&both, "lab", 2, "small"));
        let wait_for = |word: &str| {
            fleet.eventually(word, PATIENCE, || fleet.container(&both)["reason"]["word"] == word);
        };
        wait_for("quota");
        let last = if round % 2 == 0 {
            assert_eq!(small.report(&room, &exited), "accepted");
            fleet.eventually("room is seen to be free, and is of no use", PATIENCE, || {
                let explained = fleet.json(&format!("/v1/containers/{both}/explain"));
                explained["fleet"]["fits"] == 1 && explained["reason"]["word"] == "quota"
            });
            large.report(&quota, &exited)
        } else {
            assert_eq!(large.report(&quota, &exited), "accepted");
            wait_for("no_room");
            small.report(&room, &exited)
        };
        let free = Instant::now();
        assert_eq!(last, "accepted");
        let both = small.run_one(&both);
        took[round % 2] += free.elapsed();
        assert_eq!(small.report(&both, &exited), "accepted");
    }
    assert!(took.iter().all(|took| *took < SOON), "{took:?}");
}
