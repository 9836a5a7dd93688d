//! A drain whose time is over: what ignores TERM is killed, and only then is the worker said to be drained.

use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::fleet::witness::Witness;
use crate::stores::Store;

on_each_store! {
    what_ignores_term_is_killed_at_the_drains_deadline_and_only_then_is_its_worker_drained,
}

/// Says that TERM came, and goes on.
const DEAF: &str = r#"
say() { echo "$1 $STOWPLAN_ATTEMPT $STOWPLAN_WORKER $$" >> "$0/$STOWPLAN_CONTAINER"; }
say start
trap 'say deaf' TERM
while :; do sleep 0.05; done
"#;
const PATIENCE: Duration = Duration::from_mins(1);
const WITHIN: Duration = Duration::from_secs(1);
const KILL_AFTER: Duration = Duration::from_millis(700);

fn what_ignores_term_is_killed_at_the_drains_deadline_and_only_then_is_its_worker_drained(store: &Store) {
    let fleet = Fleet::start_with(2, store.options());
    let witness = Witness::of(&fleet);
    let mut request = witness.running("deaf", DEAF);
    request["kill_after"] = "700ms".into();
    assert_eq!(fleet.post("/v1/containers", &request).0, 201);
    let process = witness.wait(&fleet, "deaf", 1);
    let worker = fleet.container("deaf")["worker"].as_str().unwrap().to_owned();

    let began = Instant::now();
    assert_eq!(fleet.stowplan(&["worker", "drain", &worker, "--within", "1s"]).code, 0);
    let status = || {
        let list = fleet.stowplan(&["worker", "list"]).stdout;
        let row = list.lines().find(|line| line.contains(&worker)).unwrap_or_else(|| panic!("{worker}: {list}"));
        let words = ["draining", "drained"].into_iter().find(|word| row.contains(word));
        words.unwrap_or_else(|| panic!("{row} is not being drained"))
    };
    assert_eq!(status(), "draining");
    assert_eq!(fleet.stowplan(&["worker", "remove", &worker]).code, 4, "it is not empty");
    fleet.eventually("it is drained, with no process of it alive", PATIENCE, || {
        // Read first, then looked at: who is dead stays so.
        let drained = status() == "drained";
        assert!(!drained || !process.is_alive(), "drained, and its process lives");
        drained
    });
    assert!(began.elapsed() >= WITHIN + KILL_AFTER, "{:?}", began.elapsed());
    assert!(
        witness.lines("deaf").iter().any(|line| line.word == "deaf" && line.attempt == 1),
        "TERM came, and was ignored"
    );

    witness.wait(&fleet, "deaf", 2);
    let container = fleet.container("deaf");
    assert_ne!(container["worker"], worker.as_str());
    assert_eq!((&container["last_end"]["kind"], &container["failures"]), (&"drain_order".into(), &0.into()));
    assert_eq!(fleet.stowplan(&["worker", "remove", &worker]).code, 0);
    witness.attest(&["deaf"]);
}
