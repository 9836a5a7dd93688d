//! As many workers as what waits needs, and not one more.

use std::thread::sleep;

use adapters_redis::testing::Options as Redis;

use crate::fleet::books::{NOTHING, booked, wait_until_succeeded};
use crate::fleet::{Fleet, Options};
use crate::ground::{
    PATIENCE, Pool, STILL, asked, ends_empty, on_both_stores, pool, submit, wait_until_it_may_ask, workers,
};
use crate::machines::Machines;

#[test]
fn ten_bursts_onto_a_fleet_with_room_ask_for_nobody() {
    on_both_stores(|store| {
        let growing = Pool::default();
        let agent = ["--executor", "simulate"].map(str::to_owned).to_vec();
        let fleet = Fleet::start_with(20, Options { cpu: "50", agent, ..growing.options(store) });
        wait_until_it_may_ask(&fleet);
        let bursts = (0..10).flat_map(|burst| submit(&fleet, &format!("burst-{burst}"), 100, 1, "1"));
        wait_until_succeeded(&fleet, &bursts.collect::<Vec<_>>());
        let metrics = fleet.get("/metrics").unwrap();
        assert!(!metrics.contains("stowplan_worker_additions_total{"), "{}", pool(&fleet));
        assert_eq!(pool(&fleet)["decision"], "nothing waits for more of its workers");
        assert_eq!((workers(&fleet).len(), booked(&fleet)), (20, NOTHING));
    });
}

#[test]
fn a_hundred_requests_get_the_workers_that_hold_them_and_all_go_again() {
    on_both_stores(|store| {
        let fleet = Pool { more: "idle = \"1s\"\n", ..Pool::default() }.serve(store);
        let mut before = 0;
        for (cpu, needed) in [(1, 10), (3, 34)] {
            let ids = submit(&fleet, &format!("of-{cpu}"), 100, cpu, "1");
            wait_until_succeeded(&fleet, &ids);
            ends_empty(&fleet);
            assert_eq!(asked(&fleet) - before, needed, "for 100 of {cpu} cpu");
            before += needed;
        }
    });
}

#[test]
fn who_comes_later_is_counted_with_those_who_wait() {
    on_both_stores(|store| {
        let machines = Machines::new();
        let fleet = Pool { max: 500, provider: &machines.of_nothing(), ..Pool::default() }.serve(store);
        submit(&fleet, "first", 1_000, 1, "0");
        fleet.eventually("a hundred workers are made", PATIENCE, || machines.there().len() == 100);
        submit(&fleet, "then", 100, 1, "0");
        fleet.eventually("ten more are", PATIENCE, || machines.there().len() == 110);
        sleep(STILL);
        assert_eq!((asked(&fleet), machines.asked().len(), workers(&fleet).len()), (110, 110, 110));
        assert_eq!(booked(&fleet), NOTHING);
    });
}

#[test]
fn two_servers_of_a_cell_ask_as_one() {
    let (redis, machines) = (Redis::new().start(), Machines::new());
    let growing = Pool { provider: &machines.of_agents(), more: "idle = \"1s\"\n", ..Pool::default() };
    let first = growing.serve(Some(redis.url()));
    let second = Fleet::standing_by(growing.options(Some(redis.url())));
    let ids = [submit(&first, "one", 50, 1, "5"), submit(&second, "other", 50, 1, "5")].concat();
    wait_until_succeeded(&second, &ids);
    ends_empty(&first);
    assert_eq!((asked(&first), asked(&second)), (10, 0));
    assert_eq!((machines.asked().len(), machines.made().len(), machines.there().len()), (10, 10, 0));
}

#[test]
fn a_workspace_makes_the_fleet_grow_no_further_than_its_quota() {
    on_both_stores(|store| {
        let more = "idle = \"2s\"\n[quota.default]\ncpu = 20\n";
        let fleet = Pool { more, ..Pool::default() }.serve(store);
        let ids = submit(&fleet, "lab", 100, 1, "1");
        wait_until_succeeded(&fleet, &ids);
        ends_empty(&fleet);
        assert_eq!(asked(&fleet), 2, "of 100 cpus that wait, 20 may be used");
    });
}
