//! A cluster of one's own.

mod migration;
mod slot;

use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

pub use migration::Migration;
pub use slot::slot_of;

use super::options::Options;
use super::resp::Reply;
use super::server::Server;

/// How many primaries there are.
const PRIMARIES: usize = 3;

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// How long the nodes may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three primaries that share the slots evenly, with or without a replica each. It goes as a [`Server`] goes.
///
/// Nodes are known by their number: primaries are 0 to 2 at the start, and the replica of each is 3 more.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

/// The cluster that the tests of this process share: three primaries, which goes when the process ends.
pub fn shared_cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

impl Cluster {
    /// Three primaries without replicas, ready.
    pub fn start() -> Self {
        Self::start_with(&Options::new(), false)
    }

    /// Three primaries with a replica each, ready: what is written to a primary reaches its replica.
    pub fn start_with_replicas() -> Self {
        Self::start_with(&Options::new(), true)
    }

    /// Nodes with these options. They are told of no password.
    pub fn start_with(options: &Options, replicas: bool) -> Self {
        let count = if replicas { 2 * PRIMARIES } else { PRIMARIES };
        let cluster = Self { nodes: (0..count).map(|_| options.clone().cluster().start()).collect() };
        cluster.share_slots();
        cluster.join();
        cluster.wait_until_ok();
        for replica in PRIMARIES..count {
            cluster.replicate(replica, replica - PRIMARIES);
        }
        cluster.wait_for_replicas(PRIMARIES..count);
        cluster
    }

    /// Where clients find each of the nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// All nodes, by their numbers.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The primary of a slot, as the first node says that runs.
    pub fn node_of(&self, slot: u16) -> usize {
        let owner = self.running().find_map(|node| owner_of(node, slot).ok());
        let port = owner.expect("a node answers").unwrap_or_else(|| panic!("slot {slot} has no node"));
        self.nodes.iter().position(|node| node.port() == port).expect("the slot is at a node of ours")
    }

    /// Sends a command to the primary that has `key`.
    pub fn command(&self, key: &str, words: &[&str]) -> Reply {
        self.nodes[self.node_of(slot_of(key.as_bytes()))].command(words)
    }

    /// Moves a slot with all its keys to the primary `to`, as an operator would.
    pub fn migrate_slot(&self, slot: u16, to: usize) {
        self.begin_migration(slot, to).finish();
    }

    /// Begins to move a slot to the primary `to`: its keys move when the test says so, and until the end clients are
    /// sent back and forth (`ASK`, `TRYAGAIN`).
    pub fn begin_migration(&self, slot: u16, to: usize) -> Migration<'_> {
        Migration::begin(self, slot, to)
    }

    /// Waits until all nodes that run say that every slot is served, and agree on who is there.
    pub fn wait_until_ok(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        self.wait_for("every node finds the cluster in order", |node| {
            let about = ask(node, &["CLUSTER", "INFO"])?.text();
            let says = |line: &str| about.lines().any(|said| said == line);
            Ok(says("cluster_state:ok") && says(&known))
        });
    }

    /// Waits until all nodes that run say that `node` is the primary of `slot`.
    pub fn wait_for_owner(&self, slot: u16, node: usize) {
        let port = self.nodes[node].port();
        self.wait_for("every node knows the slot's primary", |node| Ok(owner_of(node, slot)? == Some(port)));
    }

    /// The nodes that are neither killed nor frozen.
    fn running(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().filter(|node| node.is_up())
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].command(&["CLUSTER", "MYID"]).text()
    }

    /// Gives each primary its third, and an epoch of its own so that none must be sought.
    fn share_slots(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).ok();
        }
        for (number, node) in self.nodes.iter().take(PRIMARIES).enumerate() {
            let share = number * SLOTS / PRIMARIES..(number + 1) * SLOTS / PRIMARIES;
            let slots: Vec<String> = share.map(|slot| slot.to_string()).collect();
            let words: Vec<&str> =
                ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
            node.command(&words).ok();
        }
    }

    fn join(&self) {
        for node in &self.nodes[1..] {
            self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string()]).ok();
        }
    }

    fn replicate(&self, replica: usize, primary: usize) {
        self.nodes[replica].command(&["CLUSTER", "REPLICATE", &self.id(primary)]).ok();
    }

    /// Waits until replicas have caught up and every node would send clients to them.
    fn wait_for_replicas(&self, replicas: std::ops::Range<usize>) {
        for replica in &self.nodes[replicas.clone()] {
            self.wait_for("the replica has caught up", |node| {
                let is_meant = node.port() == replica.port();
                Ok(!is_meant || ask(node, &["INFO", "replication"])?.text().contains("master_link_status:up"))
            });
        }
        self.wait_for("every node knows the replicas", |node| {
            let nodes = ask(node, &["CLUSTER", "NODES"])?.text();
            Ok(nodes.lines().filter(|line| line.contains("slave")).count() == replicas.len())
        });
    }

    /// Waits until all nodes that run are as they should be.
    fn wait_for(&self, what: &str, is_so: impl Fn(&Server) -> io::Result<bool>) {
        let begun = Instant::now();
        while !self.running().all(|node| is_so(node).unwrap_or(false)) {
            let views = || self.running().map(|node| ask(node, &["CLUSTER", "NODES"])).collect::<Vec<_>>();
            assert!(begun.elapsed() < PATIENCE, "not after {} s: {what}: {:?}", PATIENCE.as_secs(), views());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn ask(node: &Server, words: &[&str]) -> io::Result<Reply> {
    node.connect()?.call(words)
}

/// The port of the primary of a slot, as a node sees it.
fn owner_of(node: &Server, slot: u16) -> io::Result<Option<u16>> {
    let ranges = ask(node, &["CLUSTER", "SLOTS"])?;
    let slot = i64::from(slot);
    let range =
        ranges.list().iter().map(Reply::list).find(|range| (range[0].integer()..=range[1].integer()).contains(&slot));
    Ok(range.and_then(|range| u16::try_from(range[2].list()[1].integer()).ok()))
}
