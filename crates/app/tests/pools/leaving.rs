//! Workers that are idle for hardly a moment, and requests that come just then.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::books::{NOTHING, booked};
use crate::fleet::played::Played;
use crate::fleet::torture::Dice;
use crate::fleet::{Fleet, Options};
use crate::ground::{PATIENCE, Pool, on_both_stores, pool, submit, workers};
use crate::machines::Machines;

const ROUNDS: usize = 200;
/// How long after an end the next request comes, at most; a worker goes that was idle for half of it.
const PAUSE_MS_MAX: u64 = 60;

#[test]
fn two_hundred_requests_come_as_their_worker_goes_and_each_is_run() {
    on_both_stores(|store| {
        let machines = Machines::new();
        let provider = machines.of_nothing();
        let growing = Pool { cpu: 1, max: 1, cooldown: "0s", provider: &provider, more: "idle = \"30ms\"\n" };
        // Who is played is silent while nothing is asked of it.
        let fleet = Fleet::start_with(0, Options { keepalive: "10m", ..growing.options(store.clone()) });
        // As long as somebody waits, the planner sees at once who has become idle.
        let waits = submit(&fleet, "waits", 1, 1_000, "0").remove(0);
        let mut dice = Dice::new(&store.is_some());
        let mut worker: Option<Machine<'_>> = None;
        let mut stayed = 0;
        for round in 0..ROUNDS {
            sleep(Duration::from_millis(dice.below(PAUSE_MS_MAX)));
            let id = submit(&fleet, &format!("round-{round:03}"), 1, 1, "0").remove(0);
            let machine = Machine::that_gets(&fleet, &id, worker.take());
            stayed += usize::from(machine.rounds > 0);
            worker = Some(machine.run(&id));
        }
        assert_eq!(fleet.stowplan(&["stop", &waits]).code, 0);
        fleet.eventually("the last goes", PATIENCE, || workers(&fleet).is_empty() && machines.there().is_empty());
        let made = machines.made().len();
        println!("of {ROUNDS} requests {stayed} kept their worker, and {made} got another");
        assert!(0 < stayed && stayed < ROUNDS - 1, "{stayed}");
        assert_eq!(made + stayed, ROUNDS);
        assert_eq!(booked(&fleet), NOTHING);
    });
}

/// A worker that the test plays on the only machine there is.
struct Machine<'a> {
    id: String,
    played: Played<'a>,
    /// How many it has run.
    rounds: usize,
}

impl<'a> Machine<'a> {
    /// The one that a container is placed on: `before`, or the next that is asked for, which comes at once.
    fn that_gets(fleet: &'a Fleet, container: &str, before: Option<Self>) -> Self {
        let (mut machine, until) = (before, Instant::now() + PATIENCE);
        loop {
            let placed = fleet.container(container);
            if placed["state"] != "pending" {
                return machine.filter(|machine| placed["worker"] == machine.id).unwrap_or_else(|| panic!("{placed}"));
            }
            assert!(Instant::now() < until, "{placed}, {}", pool(fleet));
            let rows = fleet.json("/v1/workers")["workers"].clone();
            let awaited = rows.as_array().unwrap().iter().find(|worker| worker["status"] == "pending");
            machine = awaited.map(|worker| Self::registers(fleet, worker["id"].as_str().unwrap())).or(machine);
            sleep(Duration::from_millis(2));
        }
    }

    fn registers(fleet: &'a Fleet, id: &str) -> Self {
        let worker = json!({"id": id, "pool": "burst", "cpu": 1, "memory": "100Gi", "runtime": "simulate"});
        let played = Played::register_as(fleet, &worker, "key", 1).unwrap_or_else(|problem| panic!("{problem}"));
        Self { id: id.to_owned(), played, rounds: 0 }
    }

    fn run(mut self, container: &str) -> Self {
        let placement = self.played.run_one(container);
        assert_eq!(self.played.report(&placement, &json!({"kind": "exited", "code": 0})), "accepted");
        self.rounds += 1;
        self
    }
}
