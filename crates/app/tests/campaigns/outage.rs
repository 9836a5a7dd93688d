//! A server that is away: for half the keepalive nothing happens, for twice the keepalive only what should.

use std::time::{Duration, Instant};

use app::agent::procfs::ProcessIdentity;
use serde_json::json;

use crate::fleet::books::metric;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options};
use crate::stores::Store;

on_each_store! {
    an_outage_of_half_the_keepalive_is_no_event,
    an_outage_of_twice_the_keepalive_ends_only_what_may_not_be_silent_and_costs_nobody_his_place,
}

const KEEPALIVE: Duration = Duration::from_secs(3);
/// How late a machine may be that has much else to do.
const SLACK: Duration = Duration::from_secs(4);
/// After keepalive, grace, and two more looks of the planner, a silent worker would have been given up.
const GIVEN_UP: Duration = Duration::from_secs(3 + 5 + 3);
/// So many are kept and so many are stopped, each on a worker of its own; and so many wait behind them.
const KEPT: usize = 10;
const BEHIND: usize = 5;

/// Containers that fill a worker each, by what happens to them if it is silent.
fn fill(fleet: &Fleet, witness: &Witness, if_silent: &str, count: usize) -> Vec<String> {
    let ids: Vec<_> = (0..count).map(|number| format!("{if_silent}-{number}")).collect();
    let request = |id: &String| {
        let mut request = witness.request(id);
        (request["cpu"], request["if_silent"]) = (json!(10), json!(if_silent));
        request
    };
    assert_eq!(fleet.post("/v1/containers", &ids.iter().map(request).collect()).0, 200);
    ids
}

/// The processes of containers, once they run.
fn processes(fleet: &Fleet, witness: &Witness, ids: &[String]) -> Vec<ProcessIdentity> {
    ids.iter().map(|id| witness.wait(fleet, id, 1)).collect()
}

fn outage(fleet: &mut Fleet, time: Duration, meanwhile: impl Fn(&Fleet)) {
    let began = Instant::now();
    fleet.kill_serve();
    meanwhile(fleet);
    std::thread::sleep(time.saturating_sub(began.elapsed()));
    fleet.start_serve();
}

fn go_on(fleet: &Fleet, ids: &[String], processes: &[ProcessIdentity]) {
    for (id, process) in ids.iter().zip(processes) {
        assert!(process.is_alive(), "{id} goes on");
        assert_eq!(fleet.state(id), ("running".to_owned(), 1));
    }
}

fn an_outage_of_half_the_keepalive_is_no_event(store: &Store) {
    let mut fleet = Fleet::start_with(4, Options { keepalive: "12s", ..store.options() });
    let witness = Witness::of(&fleet);
    let ids = [fill(&fleet, &witness, "keep", 2), fill(&fleet, &witness, "stop", 2)].concat();
    let processes = processes(&fleet, &witness, &ids);
    outage(&mut fleet, Duration::from_secs(6), |_| {});
    // Past the deadline that they had when it began.
    std::thread::sleep(Duration::from_secs(7));
    go_on(&fleet, &ids, &processes);
    fleet.wait_for_workers(4);
}

fn an_outage_of_twice_the_keepalive_ends_only_what_may_not_be_silent_and_costs_nobody_his_place(store: &Store) {
    let mut fleet = Fleet::start_with(2 * KEPT, Options { grace: "5s", ..store.options() });
    let witness = Witness::of(&fleet);
    let [keep, stop] = ["keep", "stop"].map(|if_silent| fill(&fleet, &witness, if_silent, KEPT));
    let [kept, stopped] = [&keep, &stop].map(|ids| processes(&fleet, &witness, ids));
    let behind: Vec<_> = (0..BEHIND).map(|number| format!("behind-{number}")).collect();
    for id in &behind {
        let mut request = witness.request(id);
        request["cpu"] = json!(10);
        assert_eq!(fleet.post("/v1/containers", &request).0, 201);
    }
    outage(&mut fleet, 2 * KEEPALIVE, |fleet| {
        fleet.eventually("those that may not be silent are ended", KEEPALIVE + SLACK, || {
            !stopped.iter().any(ProcessIdentity::is_alive)
        });
    });
    let back = Instant::now();
    for id in &stop {
        witness.wait(&fleet, id, 2);
        let container = fleet.container(id);
        assert_eq!(container["failures"], 0, "{container}");
        let text = container["last_end"]["text"].as_str().unwrap().to_owned();
        let silent =
            text.strip_prefix("stopped by its worker: no server for ").and_then(|text| text.strip_suffix(" s"));
        let possible = 1.0..(KEEPALIVE + SLACK).as_secs_f64();
        assert!(silent.is_some_and(|silent| possible.contains(&silent.parse().unwrap())), "{text}");
        assert!(fleet.stowplan(&["status", id]).stdout.contains(&text));
    }
    std::thread::sleep(GIVEN_UP.saturating_sub(back.elapsed()));
    go_on(&fleet, &keep, &kept);
    for id in &behind {
        assert_eq!(fleet.state(id), ("pending".to_owned(), 0), "those that came back stand before it");
    }
    fleet.wait_for_workers(2 * KEPT);
    assert!(!fleet.log("serve").contains("gave up a silent worker"), "{}", fleet.log("serve"));
    assert_eq!(metric(&fleet, "stowplan_lost_placements_total"), 0);
    witness.attest(&keep.iter().chain(&stop).map(String::as_str).collect::<Vec<_>>());
}
