//! Agents that fall silent: stopped, killed, cut off. Their work goes on elsewhere, and never twice at once.

use std::time::{Duration, Instant};

use app::agent::procfs::ProcessIdentity;
use serde_json::json;

use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options, is_stopped, signal, stop_still};
use crate::stores::Store;
use crate::wire::{Cut, Wire};

on_each_store! {
    a_stopped_agent_that_goes_on_finds_its_work_elsewhere_and_starts_nothing_late,
    a_killed_agent_goes_on_in_time_or_finds_its_work_elsewhere,
    a_shim_killed_with_its_agent_leaves_a_container_that_its_next_agent_ends,
    a_network_cut_for_half_the_keepalive_changes_nothing,
    a_network_cut_for_twice_the_keepalive_moves_the_work_and_what_arrives_late_changes_nothing,
    an_agent_that_hears_no_answers_ends_what_it_runs_and_goes_on_when_it_hears_again,
}

/// As the server has it by default.
const KEEPALIVE: Duration = Duration::from_secs(3);
/// How late a machine may be that has much else to do. Nobody but its shim ends a container that is cut off.
const SLACK: Duration = Duration::from_secs(4);
/// More than keepalive, grace, and what a busy machine takes to notice.
const PATIENCE: Duration = Duration::from_mins(1);

/// Submits a container for this worker alone, and lets the others be chosen again.
fn submit_on(fleet: &Fleet, witness: &Witness, id: &str, worker: &str, others: &[&str]) {
    for other in others {
        assert_eq!(fleet.stowplan(&["worker", "cordon", other]).code, 0);
    }
    assert_eq!(fleet.post("/v1/containers", &witness.request(id)).0, 201);
    fleet.eventually("it is placed", PATIENCE, || fleet.container(id)["worker"] == worker);
    for other in others {
        assert_eq!(fleet.stowplan(&["worker", "uncordon", other]).code, 0);
    }
}

/// Runs a container that fills a worker.
fn run_alone(fleet: &Fleet, witness: &Witness, id: &str) -> ProcessIdentity {
    let mut request = witness.request(id);
    request["cpu"] = json!(10);
    assert_eq!(fleet.post("/v1/containers", &request).0, 201);
    witness.wait(fleet, id, 1)
}

fn wait_for_status(fleet: &Fleet, worker: &str, status: &str) {
    let path = format!("/v1/workers/{worker}");
    fleet.eventually(&format!("{worker} is {status}"), PATIENCE, || fleet.json(&path)["status"] == status);
}

fn a_stopped_agent_that_goes_on_finds_its_work_elsewhere_and_starts_nothing_late(store: &Store) {
    let fleet = Fleet::start_with(2, store.options());
    let witness = Witness::of(&fleet);
    let [a, b] = ["worker-01", "worker-02"];
    submit_on(&fleet, &witness, "held", a, &[b]);
    witness.wait(&fleet, "held", 1);

    // An order that was handed over, and that nobody reads: the answer to the take that the agent had under way.
    let mut tries = (0..10).map(|number| format!("ordered-{number}"));
    let ordered = tries.find(|id| {
        stop_still(fleet.agent_pid(a));
        submit_on(&fleet, &witness, id, a, &[b]);
        let is_handed_over = fleet.state(id).0 == "starting";
        if !is_handed_over {
            signal(fleet.agent_pid(a), "CONT");
            witness.wait(&fleet, id, 1);
        }
        is_handed_over
    });
    let ordered = ordered.expect("a take is under way nearly always");
    wait_for_status(&fleet, a, "lost");
    for id in ["held", &ordered] {
        witness.wait(&fleet, id, 2);
        assert_eq!(fleet.container(id)["worker"], b);
    }
    assert!(is_stopped(fleet.agent_pid(a)));

    signal(fleet.agent_pid(a), "CONT");
    fleet.wait_for_workers(2);
    submit_on(&fleet, &witness, "new", a, &[b]);
    witness.wait(&fleet, "new", 1);
    assert_eq!(witness.starts("held"), [(1, a.to_owned()), (2, b.to_owned())]);
    assert_eq!(witness.starts(&ordered), [(2, b.to_owned())], "the late order was dropped");
    for id in ["held", &ordered] {
        assert_eq!(fleet.state(id), ("running".to_owned(), 2));
    }
    witness.attest(&["held", &ordered, "new"]);
}

fn a_killed_agent_goes_on_in_time_or_finds_its_work_elsewhere(store: &Store) {
    let mut fleet = Fleet::start_with(5, Options { grace: "3s", ..store.options() });
    let witness = Witness::of(&fleet);
    let ids = ["early", "late", "lost"];
    let processes = ids.map(|id| run_alone(&fleet, &witness, id));
    let [early, late, lost] = ids.map(|id| fleet.container(id)["worker"].as_str().unwrap().to_owned());
    for worker in [&early, &late, &lost] {
        fleet.kill_agent(worker);
    }
    fleet.start_agent(&early);
    fleet.eventually("the shims end what is not early", PATIENCE, || {
        !processes[1].is_alive() && !processes[2].is_alive()
    });
    fleet.start_agent(&late);

    witness.wait(&fleet, "late", 2);
    witness.wait(&fleet, "lost", 2);
    assert_eq!(fleet.container("late")["last_end"]["kind"], "deadline");
    assert_eq!(fleet.container("late")["failures"], 0, "a deadline is no failure");
    assert_eq!(fleet.container("lost")["last_end"]["kind"], "worker_lost");
    assert_eq!(fleet.state("early"), ("running".to_owned(), 1));
    assert!(processes[0].is_alive());
    fleet.start_agent(&lost);
    fleet.wait_for_workers(5);
    assert_eq!(fleet.state("lost"), ("running".to_owned(), 2));
    witness.attest(&ids);
}

/// What the docs say of a killed shim: nothing ends its container in time. An agent that is there, or comes, ends it
/// first; without one it may run twice once its worker is given up, and not before.
fn a_shim_killed_with_its_agent_leaves_a_container_that_its_next_agent_ends(store: &Store) {
    let mut fleet = Fleet::start_with(3, store.options());
    let witness = Witness::of(&fleet);
    let [found, left] = ["found", "left"].map(|id| run_alone(&fleet, &witness, id));
    let [finder, leaver] = ["found", "left"].map(|id| fleet.container(id)["worker"].as_str().unwrap().to_owned());
    for worker in [&finder, &leaver] {
        let shims = fleet.shims(worker);
        assert_eq!(shims.len(), 1);
        fleet.kill_agent(worker);
        signal(shims[0], "KILL");
    }
    let killed_ms = app::http::now().0;
    assert!(found.is_alive() && left.is_alive(), "nobody ends them");

    fleet.start_agent(&finder);
    witness.wait(&fleet, "found", 2);
    assert!(!found.is_alive());
    assert_eq!(fleet.container("found")["last_end"]["kind"], "gone");
    assert_eq!(witness.starts("found").len(), 2, "one after the other");

    witness.wait(&fleet, "left", 2);
    let placed_ms = fleet.container("left")["placed"]["ms"].as_u64().unwrap();
    assert!(Duration::from_millis(placed_ms - killed_ms) > KEEPALIVE, "not before it is given up");
    fleet.eventually("two are seen where there are two", PATIENCE, || witness.saw_two("left"));
    assert!(left.is_alive(), "the limit that the docs state");
    fleet.start_agent(&leaver);
    fleet.eventually("its next agent ends it", PATIENCE, || !left.is_alive());
    fleet.wait_for_workers(3);
    assert_eq!(fleet.state("left"), ("running".to_owned(), 2));
}

/// Two agents, the first behind a wire, and a container `c` on the first.
struct CutOff {
    fleet: Fleet,
    wire: Wire,
    witness: Witness,
    process: ProcessIdentity,
}

impl CutOff {
    fn new(store: &Store, keepalive: &'static str) -> Self {
        let mut fleet = Fleet::start_with(0, Options { keepalive, ..store.options() });
        let wire = Wire::to(&fleet.url);
        fleet.start_agent_on("far", &wire.url);
        fleet.wait_for_workers(1);
        let witness = Witness::of(&fleet);
        submit_on(&fleet, &witness, "c", "far", &[]);
        let process = witness.wait(&fleet, "c", 1);
        fleet.start_agent("near");
        fleet.wait_for_workers(2);
        Self { fleet, wire, witness, process }
    }
}

fn a_network_cut_for_half_the_keepalive_changes_nothing(store: &Store) {
    let CutOff { fleet, wire, witness, process } = CutOff::new(store, "10s");
    for cut in [Cut::Everything, Cut::Answers] {
        let held = wire.held();
        wire.cut(cut);
        std::thread::sleep(Duration::from_secs(5));
        wire.cut(Cut::Nothing);
        assert!(wire.held() > held, "something was held");
        // Past the deadline that it had when the wire was cut.
        std::thread::sleep(Duration::from_secs(6));
        assert!(process.is_alive());
        assert_eq!(fleet.state("c"), ("running".to_owned(), 1));
        assert_eq!(fleet.json("/v1/workers/far")["status"], "available");
    }
    witness.attest(&["c"]);
}

fn a_network_cut_for_twice_the_keepalive_moves_the_work_and_what_arrives_late_changes_nothing(store: &Store) {
    let CutOff { fleet, wire, witness, process } = CutOff::new(store, "3s");
    let cut = Instant::now();
    wire.cut(Cut::Everything);
    fleet.eventually("its shim ends it by the deadline", KEEPALIVE + SLACK, || !process.is_alive());
    witness.wait(&fleet, "c", 2);
    assert_eq!(fleet.container("c")["worker"], "near");
    assert_eq!(fleet.json("/v1/workers/far")["status"], "lost");
    std::thread::sleep((2 * KEEPALIVE).saturating_sub(cut.elapsed()));
    assert!(wire.held() > 0);
    wire.cut(Cut::Nothing);
    fleet.wait_for_workers(2);
    assert_eq!(fleet.state("c"), ("running".to_owned(), 2));
    assert_eq!(witness.starts("c").len(), 2);
    witness.attest(&["c"]);
}

fn an_agent_that_hears_no_answers_ends_what_it_runs_and_goes_on_when_it_hears_again(store: &Store) {
    let CutOff { fleet, wire, witness, process } = CutOff::new(store, "3s");
    wire.cut(Cut::Answers);
    fleet.eventually("its shim ends it by the deadline", KEEPALIVE + SLACK, || !process.is_alive());
    // The server hears the agent all the while: it is told of the end, and places it anew, here or there.
    fleet.eventually("it is placed again", PATIENCE, || fleet.state("c").1 > 1);
    assert_eq!(fleet.container("c")["last_end"]["kind"], "deadline");
    assert_eq!(fleet.json("/v1/workers/far")["status"], "available");
    wire.cut(Cut::Nothing);
    fleet.eventually("it runs", PATIENCE, || fleet.state("c").0 == "running");
    let attempt = fleet.state("c").1;
    assert_eq!(witness.starts("c").last().map(|(attempt, _)| *attempt), Some(attempt));
    witness.attest(&["c"]);
}
