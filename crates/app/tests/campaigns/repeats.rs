//! What is said twice, late, or not at all: usage and room stay exact, to the digit.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::books::{NOTHING, booked, of_one, request};
use crate::fleet::played::Played;
use crate::fleet::{Fleet, Options};
use crate::stores::Store;

on_each_store! {
    ends_told_again_late_or_never_leave_the_books_exact,
}

/// What two containers of 5 cpus own.
const BOTH: [u64; 3] = [10_000, 128, 2];
const PATIENCE: Duration = Duration::from_mins(1);

fn exited() -> Value {
    json!({"kind": "exited", "code": 0})
}

fn ends_told_again_late_or_never_leave_the_books_exact(store: &Store) {
    let fleet = Fleet::start_with(0, Options { keepalive: "10m", ..store.options() });
    let mut worker = Played::register(&fleet, "w1", "key", 1, 10).unwrap();
    assert_eq!(booked(&fleet), NOTHING);

    // An end, three times.
    fleet.post("/v1/containers", &request("thrice", 3));
    let thrice = worker.run_one("thrice");
    assert_eq!(booked(&fleet), of_one(3));
    for _ in 0..3 {
        assert_eq!(worker.report(&thrice, &exited()), "accepted");
        assert_eq!((booked(&fleet), fleet.state("thrice").0.as_str()), (NOTHING, "succeeded"));
    }

    // A registration with empty hands: what it held goes back, and is placed once more.
    fleet.post("/v1/containers", &request("again", 4));
    let first = worker.run_one("again");
    let mut anew = Played::register(&fleet, "w1", "key", 2, 10).unwrap();
    let second = anew.run_one("again");
    assert_eq!((first["attempt"].clone(), second["attempt"].clone()), (json!(1), json!(2)));
    assert_eq!(booked(&fleet), of_one(4));

    // The end of an attempt that is over, of a run that was replaced and of the one that replaced it.
    let verdict = worker.call("report", json!({"reports": [{"placement": first, "event": exited()}]}));
    assert_eq!(verdict["verdict"], "refused", "{verdict}");
    assert_eq!(anew.report(&first, &exited()), "dropped");
    assert_eq!((booked(&fleet), fleet.state("again")), (of_one(4), ("running".to_owned(), 2)));
    assert_eq!(anew.report(&second, &exited()), "accepted");
    assert_eq!((booked(&fleet), fleet.state("again")), (NOTHING, ("succeeded".to_owned(), 2)));

    // And another registration with empty hands, while one is held and one is only placed.
    assert_eq!(fleet.stowplan(&["worker", "cordon", "w1"]).code, 0);
    for id in ["held", "placed"] {
        fleet.post("/v1/containers", &request(id, 5));
    }
    assert_eq!(fleet.stowplan(&["worker", "uncordon", "w1"]).code, 0);
    let taken = anew.call("take", json!({"after": null, "limit": 1, "wait_ms": 2000}));
    assert_eq!(taken["orders"].as_array().unwrap().len(), 1, "{taken}");
    fleet.eventually("both own room", PATIENCE, || booked(&fleet) == BOTH);
    let mut last = Played::register(&fleet, "w1", "key", 3, 10).unwrap();
    fleet.eventually("both own it once more", PATIENCE, || {
        ["held", "placed"].iter().all(|id| fleet.state(id).1 == 2) && booked(&fleet) == BOTH
    });
    for order in last.take()["orders"].as_array().unwrap() {
        assert_eq!(last.report(&order["placement"], &exited()), "accepted");
    }
    assert_eq!(booked(&fleet), NOTHING);
}
