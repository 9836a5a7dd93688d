//! Cells in a cluster: found from any node, followed wherever they go, and held back by no other node.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::subscription::{Heard, follow};
use crate::testing::{Cluster, shared_cluster, slot_of};

/// Writes two keys of the cell at once, as every step does.
const TWO: &str = "redis.call('INCR', KEYS[2]) return tostring(redis.call('INCR', KEYS[1]))";

async fn run_two(connections: &Connections, cell: &CellName) -> PortResult<String> {
    let keys = ["a", "b"].map(|key| format!("{{{cell}}}:{key}"));
    let script = Script::of("two", &[TWO]);
    let reply = connections.run(Role::Planner, cell, &script, &keys, b"").await;
    reply.map(|bytes| String::from_utf8(bytes).unwrap())
}

/// A cell whose slot is at the node.
fn cell_at(cluster: &Cluster, node: usize) -> CellName {
    let names = (0..).map(|number| format!("cell-{number}"));
    let mut cells = names.filter(|name| cluster.node_of(slot_of(name.as_bytes())) == node);
    CellName::new(&cells.next().unwrap()).unwrap()
}

fn slot(cell: &CellName) -> u16 {
    slot_of(cell.as_str().as_bytes())
}

/// Waits until a replica has all that its primary was told.
fn wait_until_copied(cluster: &Cluster, primary: usize, replica: usize) {
    let offset = |node: usize, name: &str| -> u64 {
        let about = cluster.nodes()[node].command(&["INFO", "replication"]).text();
        let offset = about.lines().find_map(|line| line.strip_prefix(name));
        offset.map_or(0, |offset| offset.trim().parse().unwrap())
    };
    let begun = Instant::now();
    while offset(replica, "slave_repl_offset:") < offset(primary, "master_repl_offset:") {
        assert!(begun.elapsed() < PATIENT, "the replica does not catch up");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How often the nodes have sent a client on.
fn redirections(cluster: &Cluster) -> usize {
    let errors = |node: &Server| node.command(&["INFO", "errorstats"]).text();
    let counts = |text: String| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("errorstat_MOVED:count=").map(str::to_owned));
        lines.map(|count| count.trim().parse::<usize>().unwrap()).sum::<usize>()
    };
    cluster.nodes().iter().map(errors).map(counts).sum()
}

#[tokio::test]
async fn a_cell_is_found_from_any_node_and_asked_for_once() {
    let cluster = Cluster::start();
    let cells: Vec<_> = (0..3).map(|node| cell_at(&cluster, node)).collect();
    for (round, url) in cluster.urls().into_iter().enumerate() {
        let connections = connect(&url);
        for cell in &cells {
            assert_eq!(run_two(&connections, cell).await.unwrap(), (round + 1).to_string());
        }
    }
    let before = redirections(&cluster);
    let connections = connect(&cluster.urls().join(","));
    for cell in &cells {
        for _ in 0..10 {
            run_two(&connections, cell).await.unwrap();
        }
    }
    assert_eq!(redirections(&cluster), before, "nodes that were all named had to send the call on");
}

#[tokio::test]
async fn another_node_that_stands_still_is_never_in_the_way() {
    let options = Options::new().line("cluster-require-full-coverage no");
    let cluster = Cluster::start_with(&options, false);
    let cell = cell_at(&cluster, 2);
    let urls = cluster.urls();
    // Whoever waited for the node that stands still would wait as long as a call may take.
    let all = format!("{}?connect_timeout=60s", urls.join(","));
    let used = connect(&all);
    run_two(&used, &cell).await.unwrap();
    cluster.nodes()[0].freeze();
    let fresh = connect(&all);
    for connections in [&used, &fresh, &fresh] {
        let asked = Instant::now();
        run_two(connections, &cell).await.unwrap();
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    }
    cluster.nodes()[0].thaw();
}

#[tokio::test]
async fn a_cell_that_moves_is_followed_through_every_stage() {
    let cluster = Cluster::start();
    let cell = cell_at(&cluster, 0);
    let connections = connect(&cluster.urls()[0]);
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "1");
    let migration = cluster.begin_migration(slot(&cell), 1);
    // All is still here.
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "2");
    // One key is there, one here: nobody can run a step until the other has followed.
    assert_eq!(migration.move_keys(1), 1);
    let asked = connect(&format!("{}?call_timeout=300ms", cluster.urls()[0]));
    refused_by("is being moved to another node", async || run_two(&asked, &cell).await).await;
    // All is there, but the slot is still said to be here.
    assert_eq!(migration.move_keys(1), 1);
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "3");
    // Where the script is not known yet.
    cluster.nodes()[1].command(&["SCRIPT", "FLUSH"]).ok();
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "4");
    migration.finish();
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "5");
    let before = redirections(&cluster);
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "6");
    assert_eq!(redirections(&cluster), before, "the move was not learned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_during_a_move_are_each_executed_once() {
    let cluster = Arc::new(Cluster::start());
    let cell = cell_at(&cluster, 0);
    let connections = connect(&cluster.urls()[2]);
    // While a slot moves, a step one of whose keys is nowhere waits for the end of the move.
    run_two(&connections, &cell).await.unwrap();
    let calls = Arc::new(AtomicU32::new(1));
    let mover = std::thread::spawn({
        let (cluster, slot, calls) = (Arc::clone(&cluster), slot(&cell), Arc::clone(&calls));
        move || {
            let enough = |moves: usize| moves >= 4 && calls.load(Ordering::Relaxed) > 20;
            let rounds = [1, 2, 0].into_iter().cycle().enumerate();
            for (_, to) in rounds.take_while(|(moves, _)| !enough(*moves)) {
                let migration = cluster.begin_migration(slot, to);
                std::thread::sleep(Duration::from_millis(50));
                while migration.move_keys(1) > 0 {
                    std::thread::sleep(Duration::from_millis(50));
                }
                migration.finish();
            }
        }
    });
    while !mover.is_finished() {
        let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
        assert_eq!(run_two(&connections, &cell).await.unwrap(), number.to_string());
    }
    mover.join().unwrap();
}

#[tokio::test]
async fn a_replica_that_takes_over_is_found() {
    let cluster = Cluster::start_with_replicas();
    let cell = cell_at(&cluster, 0);
    let connections = connect(&cluster.urls()[0]);
    let mut heard = follow(&connections, cell.clone(), format!("{{{cell}}}:events"));
    assert_eq!(heard.recv().await, Some(Heard::Subscribed));
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "1");
    wait_until_copied(&cluster, 0, 3);
    // By an operator: the primary becomes a replica under the connection.
    cluster.nodes()[3].command(&["CLUSTER", "FAILOVER"]).ok();
    cluster.wait_for_owner(slot(&cell), 3);
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "2");
    wait_until_copied(&cluster, 3, 0);
    // By the death of the primary.
    cluster.nodes()[3].kill9();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(run_two(&connections, &cell).await.unwrap(), "3");
    // What is said there is heard again.
    let begun = Instant::now();
    while heard.recv().await != Some(Heard::Message(b"here".to_vec())) {
        assert!(begun.elapsed() < PATIENT, "nothing is heard of the new primary");
        cluster.nodes()[0].command(&["PUBLISH", &format!("{{{cell}}}:events"), "here"]);
    }
}

#[tokio::test]
async fn the_others_are_known_though_one_was_named_and_it_holds_the_cell() {
    let cluster = Cluster::start_with_replicas();
    let cell = cell_at(&cluster, 0);
    let connections = connect(&format!("{}?call_timeout=3s", cluster.urls()[0]));
    run_two(&connections, &cell).await.unwrap();
    wait_until_copied(&cluster, 0, 3);
    cluster.nodes()[0].freeze();
    let mut unknown = 0;
    let counted = loop {
        match run_two(&connections, &cell).await {
            Ok(counted) => break counted,
            Err(error) => unknown += usize::from(unavailable(error).contains("unknown")),
        }
        assert!(unknown < 20, "the replica that took over is not found");
    };
    // What was sent into the frozen one is lost with it.
    assert_eq!(counted, "2");
    cluster.nodes()[0].thaw();
}

#[tokio::test]
async fn a_slot_that_nobody_serves_is_unavailable() {
    let cluster = Cluster::start();
    let cell = cell_at(&cluster, 0);
    let connections = connect(&format!("{}?call_timeout=3s", cluster.urls().join(",")));
    run_two(&connections, &cell).await.unwrap();
    for node in cluster.nodes() {
        node.command(&["CLUSTER", "DELSLOTS", &slot(&cell).to_string()]);
    }
    refused_by("the cluster is down", async || run_two(&connections, &cell).await).await;
}

#[tokio::test]
async fn what_is_no_cluster_and_what_has_one_database_is_refused() {
    let urls = shared_cluster().urls();
    let cell = CellName::new("main").unwrap();
    let other = Server::start();
    for (text, expected) in [
        (format!("{}/3", urls[0]), "which has only database 0"),
        (format!("{},{}", Server::start().url(), other.url()), "several servers that are no cluster"),
    ] {
        let asked = Instant::now();
        let connections = connect(&text);
        match run_two(&connections, &cell).await {
            Err(PortError::Unsupported(what)) => assert!(what.contains(expected), "{text}: {what}"),
            other => panic!("{text}: {other:?}"),
        }
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_cell_whose_node_is_down_leaves_the_others_alone() {
    let options = Options::new().line("cluster-require-full-coverage no");
    let cluster = Cluster::start_with(&options, false);
    let (down, up) = (cell_at(&cluster, 0), cell_at(&cluster, 1));
    let connections = connect(&format!("{}?call_timeout=5s", cluster.urls().join(",")));
    run_two(&connections, &down).await.unwrap();
    cluster.nodes()[0].freeze();
    let lost = tokio::spawn({
        let connections = Arc::clone(&connections);
        async move { run_two(&connections, &down).await }
    });
    let mut meanwhile = 0;
    while !lost.is_finished() {
        run_two(&connections, &up).await.unwrap();
        meanwhile += usize::from(!lost.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(meanwhile > 2, "the others waited for it: {meanwhile}");
    unavailable(lost.await.unwrap().unwrap_err());
    cluster.nodes()[0].thaw();
}
