//! Providers that fail, answer late or never, or make something else: no stampede, and no request is lost.

use std::collections::BTreeSet;
use std::thread::sleep;

use crate::fleet::Fleet;
use crate::fleet::books::{NOTHING, booked, wait_until_succeeded};
use crate::ground::{PATIENCE, Pool, STILL, asked, ends_empty, number, on_both_stores, pool, submit, workers};
use crate::machines::Machines;

/// What `pool list` prints.
fn listed(fleet: &Fleet) -> String {
    let said = fleet.stowplan(&["pool", "list"]);
    assert_eq!(said.code, 0, "{said:?}");
    said.stdout
}

fn wait_until_listed(fleet: &Fleet, words: &[&str]) {
    fleet.eventually(&format!("pool list says {words:?}"), PATIENCE, || {
        let listed = listed(fleet);
        words.iter().all(|word| listed.contains(word))
    });
}

#[test]
fn a_provider_that_fails_half_the_time_is_asked_for_half_as_many_each_time() {
    on_both_stores(|store| {
        let machines = Machines::new();
        machines.set("half", "");
        let more = "idle = \"2s\"\nbackoff = \"2s\"\nbackoff_max = \"2s\"\n";
        let fleet = Pool { provider: &machines.of_slow_agents(), more, ..Pool::default() }.serve(store);
        // None ends before all ten are there.
        let ids = submit(&fleet, "c", 100, 1, "20");
        wait_until_listed(&fleet, &["5 of 10 could not be had: sold out", "rests for"]);
        fleet.eventually("ten workers are made", PATIENCE, || machines.there().len() == 10);
        wait_until_succeeded(&fleet, &ids);
        ends_empty(&fleet);
        let calls: Vec<_> = machines.calls("add").iter().map(BTreeSet::len).collect();
        assert_eq!(calls, [10, 5, 3, 1, 1]);
        assert_eq!((machines.made().len(), asked(&fleet), number(&pool(&fleet), "failed")), (10, 20, 10));
    });
}

#[test]
fn a_provider_that_answers_late_is_asked_once() {
    on_both_stores(|store| {
        let machines = Machines::new();
        machines.set("late", "2");
        let fleet = Pool { provider: &machines.of_agents(), more: "idle = \"1s\"\n", ..Pool::default() }.serve(store);
        let ids = submit(&fleet, "c", 100, 1, "1");
        wait_until_succeeded(&fleet, &ids);
        ends_empty(&fleet);
        assert_eq!((machines.calls("add").len(), machines.made().len(), asked(&fleet)), (1, 10, 10));
    });
}

#[test]
fn a_provider_that_does_not_answer_is_asked_again_for_the_same_workers() {
    on_both_stores(|store| {
        let machines = Machines::new();
        machines.set("hold", "");
        let more = "idle = \"1s\"\ncall_within = \"3s\"\nbackoff = \"500ms\"\nbackoff_max = \"1s\"\n";
        let fleet = Pool { provider: &machines.of_agents(), more, ..Pool::default() }.serve(store);
        let mut ids = submit(&fleet, "c", 100, 1, "1");
        fleet.eventually("it is asked three times", PATIENCE, || machines.calls("add").len() >= 3);
        wait_until_listed(&fleet, &["has not ended within 3 s"]);
        ids.extend(submit(&fleet, "more", 10, 1, "1"));
        fleet.eventually("it is asked again", PATIENCE, || machines.calls("add").len() >= 5);
        assert!(machines.made().is_empty());
        machines.unset("hold");
        wait_until_succeeded(&fleet, &ids);
        ends_empty(&fleet);
        let calls = machines.calls("add");
        assert!(calls[..3].iter().all(|names| names.len() == 10 && *names == calls[0]), "{calls:?}");
        assert_eq!((machines.asked().len(), machines.made().len(), asked(&fleet)), (11, 11, 11));
    });
}

#[test]
fn machines_that_turn_out_too_small_are_not_made_again_and_again() {
    on_both_stores(|store| {
        let machines = Machines::new();
        machines.set("cpu", "9500m");
        let fleet = Pool { provider: &machines.of_agents(), more: "idle = \"1s\"\n", ..Pool::default() }.serve(store);
        submit(&fleet, "c", 1, 10, "1");
        wait_until_listed(&fleet, &["its workers turned out to have 9.5 cpu", "not 10 cpu"]);
        fleet.eventually("none is left, for none is of use", PATIENCE, || workers(&fleet).is_empty());
        sleep(STILL);
        assert!(machines.made().len() <= 2, "{:?}", machines.made());
        assert_eq!(machines.there().len(), 0, "{}", pool(&fleet));
        assert_eq!((fleet.state("c-0000").0.as_str(), booked(&fleet)), ("pending", NOTHING));
    });
}
