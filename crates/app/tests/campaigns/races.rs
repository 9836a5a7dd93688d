//! Stop against start, hundreds of times: whoever wins, nothing runs once a container is said to be over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::books::{NOTHING, booked};
use crate::fleet::torture::{self, Dice};
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options};
use crate::stores::Store;

on_each_store! {
    five_hundred_stops_race_with_starts_and_nothing_runs_after_its_end,
}

/// How many lists are handed in at once, and how many requests each holds.
const LISTS: u64 = 10;
const OF_A_LIST: u64 = 50;
/// The longest pause between two stops of a list.
const PAUSE_MS_MAX: u64 = 60;
/// Says that it runs.
const SHORT: &str = r#"echo "start $STOWPLAN_ATTEMPT $STOWPLAN_WORKER $$" >> "$0/$STOWPLAN_CONTAINER""#;
/// Says so, and runs until it is stopped.
const LONG: &str =
    r#"echo "start $STOWPLAN_ATTEMPT $STOWPLAN_WORKER $$" >> "$0/$STOWPLAN_CONTAINER"; sleep 613 & wait"#;

/// A container that was said to be over.
struct Over {
    id: String,
    /// Its state, and what ended it.
    how: [String; 2],
    /// How many lines its commands had written by then.
    lines: usize,
}

fn five_hundred_stops_race_with_starts_and_nothing_runs_after_its_end(store: &Store) {
    let fleet = Fleet::start_with(4, Options { keepalive: "20s", cpu: "40", memory: "40Gi", ..store.options() });
    let witness = Witness::of(&fleet);
    for round in 0..torture::rounds(1) {
        let race = |list| race(&fleet, &witness, &format!("r{round}-{list}"), Dice::new(&(round, list)));
        let overs: Vec<Over> = std::thread::scope(|scope| {
            let races: Vec<_> = (0..LISTS).map(|list| scope.spawn(move || race(list))).collect();
            races.into_iter().flat_map(|race| race.join().unwrap()).collect()
        });
        assert_eq!(overs.len() as u64, LISTS * OF_A_LIST);
        let mut tally: BTreeMap<&[String; 2], usize> = BTreeMap::new();
        for over in &overs {
            *tally.entry(&over.how).or_default() += 1;
            assert_eq!(witness.lines(&over.id).len(), over.lines, "{} was started after its end", over.id);
        }
        println!("{tally:?}");
        for how in [["succeeded", "exited"], ["stopped", "stop_order"], ["stopped", "never_started"]] {
            assert!(tally.contains_key(&how.map(str::to_owned)), "nobody was {how:?}: {tally:?}");
        }
        assert!(witness.is_over());
        assert_eq!(booked(&fleet), NOTHING);
    }
    witness.attest(&[]);
}

/// Hands in a list, and stops each of it after a pause; answers how each was over.
fn race(fleet: &Fleet, witness: &Witness, name: &str, mut dice: Dice) -> Vec<Over> {
    let ids: Vec<_> = (0..OF_A_LIST).map(|number| format!("{name}-{number}")).collect();
    let scripts = [SHORT, LONG].into_iter().cycle();
    let list: Value = ids.iter().zip(scripts).map(|(id, script)| witness.running(id, script)).collect();
    assert_eq!(fleet.post("/v1/containers", &list).0, 200);
    for id in &ids {
        std::thread::sleep(Duration::from_millis(dice.below(PAUSE_MS_MAX)));
        let (status, answer) = fleet.post(&format!("/v1/containers/{id}/stop"), &json!({}));
        assert_eq!(status, 200, "{answer}");
        if answer["outcome"] == "stopped" {
            assert!(!witness.is_alive(id), "{id} is stopped and runs");
        }
    }
    ids.into_iter().map(|id| wait_until_over(fleet, witness, id)).collect()
}

fn wait_until_over(fleet: &Fleet, witness: &Witness, id: String) -> Over {
    let container = fleet.json(&format!("/v1/containers/{id}?until=ended&wait=20000"));
    assert!(!witness.is_alive(&id), "{id} runs: {container}");
    let lines = witness.lines(&id).len();
    let how = [&container["state"], &container["last_end"]["kind"]].map(|word| word.as_str().unwrap_or("").to_owned());
    assert!(["stopped", "succeeded"].contains(&how[0].as_str()), "{container}");
    Over { id, how, lines }
}
