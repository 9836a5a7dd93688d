//! A planner that dies after it has written down which workers are to come, and before their provider has done it.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;

use adapters_redis::testing::Options as Redis;

use crate::fleet::books::wait_until_succeeded;
use crate::fleet::{Fleet, http};
use crate::ground::{
    PATIENCE, Pool, agents, asked, ends_empty, on_both_stores, plans, requests, submit, wait_until_it_may_ask, workers,
};
use crate::machines::Machines;

#[test]
fn a_server_killed_before_it_calls_the_provider_calls_it_when_it_is_back() {
    on_both_stores(|store| {
        let growing = Pool { more: "idle = \"1s\"\n", ..Pool::default() };
        let mut fleet = Fleet::empty(growing.options(store));
        let mut server = fleet.serve_command().env("STOWPLAN_FAILPOINTS", "committed=kill").spawn().unwrap();
        fleet.eventually("the server is ready", PATIENCE, || fleet.get("/readyz").is_some());
        wait_until_it_may_ask(&fleet);
        let (ids, list) = requests("c", 100, 1, "1");
        // It may die before it answers.
        let _ = http(&fleet.url, "POST", "/v1/containers", Some(&list.to_string()), &[""; 0]);
        assert_eq!(server.wait().unwrap().signal(), Some(9));
        assert_eq!(agents(&fleet).len(), 0);

        fleet.start_standby();
        fleet.eventually("it plans", PATIENCE, || plans(&fleet));
        fleet.eventually("ten agents are started", PATIENCE, || agents(&fleet).len() == 10);
        assert_eq!(workers(&fleet).len(), 10);
        wait_until_succeeded(&fleet, &ids);
        ends_empty(&fleet);
        assert_eq!(asked(&fleet), 0, "those that were asked for before are enough");
    });
}

#[test]
fn a_planner_killed_during_the_call_is_followed_by_one_that_asks_for_the_same_workers() {
    let (redis, machines) = (Redis::new().start(), Machines::new());
    let growing = Pool { provider: &machines.of_agents(), more: "idle = \"1s\"\n", ..Pool::default() };
    let mut first = growing.serve(Some(redis.url()));
    let second = Fleet::standing_by(growing.options(Some(redis.url())));
    machines.set("hold", "");
    let ids = submit(&second, "c", 100, 1, "1");
    first.eventually("the program is asked", PATIENCE, || machines.asked().len() == 10);
    first.kill_serve();
    second.eventually("the other takes over", PATIENCE, || plans(&second));
    second.eventually("it asks", PATIENCE, || machines.calls("add").len() > 1);
    assert_eq!(machines.asked(), workers(&second).into_iter().collect::<BTreeSet<_>>());
    // Both programs go on at once.
    machines.unset("hold");
    first.start_standby();
    wait_until_succeeded(&second, &ids);
    ends_empty(&second);
    assert_eq!((machines.asked().len(), machines.made().len(), machines.there().len()), (10, 10, 0));
    assert_eq!(asked(&second), 0);
}
