//! A cluster: its slots, their moves, and what happens when a primary dies.

use std::collections::HashSet;

use adapters_redis::testing::{Cluster, shared_cluster, slot_of};

#[test]
fn three_primaries_share_the_slots() {
    let cluster = shared_cluster();
    assert_eq!(cluster.urls().len(), 3);
    let owners: HashSet<usize> = [0, 8_000, 16_383].map(|slot| cluster.node_of(slot)).into();
    assert_eq!(owners, HashSet::from([0, 1, 2]));
    for key in ["three:{a}", "three:{b}", "three:{c}", "three:{d}"] {
        cluster.command(key, &["SET", key, "v"]).ok();
        let elsewhere = (cluster.node_of(slot_of(key.as_bytes())) + 1) % 3;
        let answer = cluster.nodes()[elsewhere].command(&["GET", key]);
        assert!(answer.error().starts_with(&format!("MOVED {} ", slot_of(key.as_bytes()))), "{answer:?}");
    }
}

#[test]
fn a_slot_moves_with_all_its_keys() {
    let cluster = Cluster::start();
    let slot = slot_of(b"{cell}");
    let from = cluster.node_of(slot);
    let to = (from + 1) % 3;
    let keys: Vec<String> = (0..250).map(|number| format!("{{cell}}:{number}")).collect();
    for key in &keys {
        cluster.nodes()[from].command(&["SET", key, key]).ok();
    }
    cluster.migrate_slot(slot, to);
    assert_eq!(cluster.node_of(slot), to);
    for key in &keys {
        assert_eq!(cluster.nodes()[to].command(&["GET", key]).text(), *key);
    }
    for other in (0..3).filter(|node| *node != to) {
        let answer = cluster.nodes()[other].command(&["GET", &keys[0]]);
        assert!(answer.error().ends_with(&format!(":{}", cluster.nodes()[to].port())), "{answer:?}");
    }
    cluster.migrate_slot(slot, from);
    assert_eq!(cluster.command(&keys[0], &["GET", &keys[0]]).text(), keys[0]);
    cluster.wait_until_ok();
}

#[test]
fn a_slot_may_be_caught_in_the_middle_of_its_move() {
    let cluster = Cluster::start();
    let slot = slot_of(b"{cell}");
    let from = cluster.node_of(slot);
    let to = (from + 1) % 3;
    let (old, new) = (&cluster.nodes()[from], &cluster.nodes()[to]);
    for key in ["{cell}:1", "{cell}:2"] {
        old.command(&["SET", key, key]).ok();
    }
    let migration = cluster.begin_migration(slot, to);
    assert_eq!(migration.move_keys(1), 1);
    let answers = ["{cell}:1", "{cell}:2"].map(|key| old.command(&["GET", key]));
    let moved = answers.iter().filter(|answer| answer.is_error() && answer.error().starts_with("ASK ")).count();
    assert_eq!(moved, 1, "{answers:?}");
    let both = old.command(&["MGET", "{cell}:1", "{cell}:2"]);
    assert!(both.error().starts_with("TRYAGAIN"), "{both:?}");
    assert_eq!(cluster.node_of(slot), from);
    assert!(new.command(&["GET", "{cell}:1"]).error().starts_with("MOVED "), "who was not sent is sent away");
    migration.finish();
    assert_eq!(new.command(&["MGET", "{cell}:1", "{cell}:2"]).list().len(), 2);
}

#[test]
fn a_replica_takes_over_from_a_primary_that_dies() {
    let cluster = Cluster::start_with_replicas();
    assert_eq!(cluster.nodes().len(), 6);
    let slot = slot_of(b"{cell}");
    let primary = cluster.node_of(slot);
    let mut connection = cluster.nodes()[primary].connect().unwrap();
    connection.call(&["SET", "{cell}", "v"]).unwrap().ok();
    assert_eq!(connection.call(&["WAIT", "1", "5000"]).unwrap().integer(), 1, "the replica has it");
    cluster.nodes()[primary].kill9();
    cluster.wait_for_owner(slot, primary + 3);
    cluster.wait_until_ok();
    assert_eq!(cluster.nodes()[primary + 3].command(&["GET", "{cell}"]).text(), "v");
    cluster.nodes()[primary].restart();
    cluster.wait_for_owner(slot, primary + 3);
    cluster.wait_until_ok();
}

#[test]
fn a_replica_takes_over_from_a_primary_that_stands_still() {
    let cluster = Cluster::start_with_replicas();
    let slot = slot_of(b"{cell}");
    let primary = cluster.node_of(slot);
    cluster.nodes()[primary].freeze();
    cluster.wait_for_owner(slot, primary + 3);
    assert_eq!(cluster.node_of(slot), primary + 3);
    cluster.nodes()[primary].thaw();
    cluster.wait_for_owner(slot, primary + 3);
    let answer = cluster.nodes()[primary].command(&["SET", "{cell}", "v"]);
    assert!(answer.error().starts_with("MOVED "), "{answer:?}");
}
