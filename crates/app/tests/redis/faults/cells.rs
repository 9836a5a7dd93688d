//! Cells of one cluster, each on a node of its own: what befalls a node is the matter of one cell.

use std::thread::sleep;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Cluster, Options as Redis, slot_of};

use super::{BETWEEN, OUTSTANDING, PATIENCE, address, conclude, options, wait_for_work};
use crate::fleet::books::{history, placed};
use crate::fleet::stream::Stream;
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, Options, torture};

const AGENTS: usize = 2;
/// For so long a node is away, and for as long as it takes until so many commands of the others have ended.
const AWAY: Duration = Duration::from_secs(2);

/// A cell under load. Its workers and requests are called as those of the other cells are.
struct Cell {
    fleet: Fleet,
    witness: Witness,
    stream: Stream,
}

/// What a cell has gone through so far.
#[derive(Debug, PartialEq, Eq)]
struct Past {
    history: u64,
    stepped_down: usize,
    server: u32,
}

impl Cell {
    /// Starts a cell whose name has a slot of this node.
    fn on(cluster: &Cluster, node: usize) -> Self {
        let is_there = |name: &String| cluster.node_of(slot_of(name.as_bytes())) == node;
        let name = (0..100).map(|number| format!("cell-{number}")).find(is_there).unwrap();
        println!("{name} is on node {node}");
        let options = Options { serve: vec!["--cell".to_owned(), name], ..options(address(&cluster.urls())) };
        let fleet = Fleet::start_with(AGENTS, options);
        let witness = Witness::of(&fleet);
        let stream = Stream::start(&witness, &[&fleet], OUTSTANDING);
        Self { fleet, witness, stream }
    }

    fn past(&self) -> Past {
        Past {
            history: history(&self.fleet),
            stepped_down: self.fleet.log("serve").matches("stepping down as planner").count(),
            server: self.fleet.serve_pid(),
        }
    }
}

#[test]
fn a_node_killed_under_three_cells_concerns_only_its_own() {
    let redis = Redis::new().appendonly(Appendonly::Always).line("cluster-require-full-coverage no");
    let cluster = Cluster::start_with(&redis, false);
    let mut cells: Vec<_> = (0..cluster.nodes().len()).map(|node| Cell::on(&cluster, node)).collect();
    for round in 0..torture::rounds(2) {
        for cell in &cells {
            wait_for_work(&cell.fleet, &cell.stream);
        }
        let node = usize::try_from(round).unwrap() % cells.len();
        let own = cells.remove(node);
        kill_and_restart(&cluster, node, &own, &cells);
        cells.insert(node, own);
    }
    for Cell { fleet, witness, stream } in cells {
        fleet.wait_for_workers(AGENTS);
        conclude(&fleet, stream, witness);
    }
}

/// Kills the node of one cell and starts it again: its work goes on by itself, and the others have noticed nothing.
fn kill_and_restart(cluster: &Cluster, node: usize, own: &Cell, others: &[Cell]) {
    let (before, of_others) = (own.past(), others.iter().map(Cell::past).collect::<Vec<_>>());
    let ended: Vec<_> = others.iter().map(|cell| cell.stream.ended()).collect();
    let waiting = own.stream.outstanding();
    cluster.nodes()[node].kill9();
    let gone = Instant::now();
    own.fleet.eventually("its server is not ready", PATIENCE, || own.fleet.get("/readyz").is_none());
    while gone.elapsed() < AWAY {
        assert!(others.iter().all(|cell| cell.fleet.get("/readyz").is_some()), "the others are ready all the time");
        sleep(Duration::from_millis(50));
    }
    for (cell, ended) in others.iter().zip(&ended) {
        cell.fleet.eventually("others go on", PATIENCE, || cell.stream.ended() >= ended + BETWEEN);
    }
    let meanwhile: Vec<_> = others.iter().zip(&ended).map(|(cell, ended)| cell.stream.ended() - ended).collect();
    let (away, done) = (gone.elapsed(), placed(&own.fleet));
    cluster.nodes()[node].restart();
    let back = Instant::now();
    own.fleet.eventually("its work goes on", PATIENCE, || placed(&own.fleet) > done);
    println!(
        "node {node} away for {away:?} with {waiting} outstanding, and {meanwhile:?} commands of the others ended; placing \
         again {:?} after its return",
        back.elapsed()
    );
    assert!(waiting > 0, "nothing was outstanding");
    let after = own.past();
    assert!(after.history != before.history && after.server == before.server, "{before:?}, {after:?}");
    assert_eq!(others.iter().map(Cell::past).collect::<Vec<_>>(), of_others, "the others have noticed nothing");
    cluster.wait_until_ok();
}
