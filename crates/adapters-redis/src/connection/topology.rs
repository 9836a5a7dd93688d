//! Which node holds which slot.
//!
//! Before the first call a server is asked for the map of its cluster; one that has none is alone. The map serves until a
//! node fails, and then the others are asked for a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Guard, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Role;
use super::nodes::{Node, Nodes};
use super::request::{Manner, Request};
use crate::address::Address;
use crate::config::RedisConfig;
use crate::error::Failure;

mod map;

use map::Map;

/// How long one node is waited for before the next is asked too. Nodes are asked for the map of a cluster when one of
/// them has failed, and whether another stands still as well is not known.
const STAGGER: Duration = Duration::from_millis(100);

/// Which node holds which slot, as far as is known.
pub(super) struct Topology {
    /// Those that the user named.
    seeds: Vec<Address>,
    /// How long one node may take to connect, and then to answer.
    patience: Duration,
    known: Guard<Known>,
    /// Held while nodes are asked, so that many calls ask once. When that last failed, and why: whoever waited meanwhile
    /// is told the same.
    asking: Mutex<Option<(Instant, Failure)>>,
}

struct Known {
    kind: Kind,
    map: Map,
    /// What nodes have said of single slots since the map was read.
    told: BTreeMap<u16, Address>,
    /// Whether a map should be read before the next call.
    is_stale: bool,
    /// The node that failed, which is asked last.
    failed: Option<Address>,
    /// How many maps were read.
    read: u64,
}

/// What the servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not asked yet.
    Unknown,
    /// One server that holds everything.
    Alone,
    Cluster,
}

impl Topology {
    pub(super) fn new(config: &RedisConfig) -> Self {
        let known = Known { is_stale: true, ..Known::after(0, Kind::Unknown, Map::default()) };
        let seeds = config.nodes.clone();
        Self { seeds, patience: config.connect_timeout, known: Guard::new(known), asking: Mutex::default() }
    }

    /// The node that holds a slot. Asks the servers if what is known may be out of date.
    pub(super) async fn holder(&self, slot: u16, nodes: &Nodes) -> Result<Address, Failure> {
        let (holder, is_stale, read) = {
            let known = self.known();
            (self.holder_of(&known, slot), known.is_stale, known.read)
        };
        match holder {
            Some(holder) if !is_stale => Ok(holder),
            holder => match (self.read(nodes, read).await, holder) {
                (Ok(()), _) => self.holder_of(&self.known(), slot).ok_or(Failure::NoHolder { slot }),
                // Nobody answers for now: the node that held it may still do.
                (Err(_), Some(holder)) => Ok(holder),
                (Err(failure), None) => Err(failure),
            },
        }
    }

    /// The node that holds a slot as far as is known, without asking.
    pub(super) fn holder_known(&self, slot: u16) -> Option<Address> {
        self.holder_of(&self.known(), slot)
    }

    /// What it means that nobody said in time which node holds a slot.
    pub(super) fn unanswered(&self, slot: u16) -> Failure {
        match self.seeds.as_slice() {
            [lone] => Failure::unreachable(lone, "no answer in time"),
            _ => Failure::NoHolder { slot },
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.known().kind == Kind::Cluster
    }

    fn holder_of(&self, known: &Known, slot: u16) -> Option<Address> {
        let told = known.told.get(&slot);
        match known.kind {
            Kind::Unknown => told.cloned(),
            Kind::Alone => told.or(self.seeds.first()).cloned(),
            Kind::Cluster => told.or_else(|| known.map.holder(slot)).cloned(),
        }
    }

    /// A node said that another holds a slot.
    pub(super) fn learn(&self, slot: u16, holder: &Address) {
        let mut known = self.known();
        known.told.insert(slot, holder.clone());
        // A server that was alone has become one of a cluster.
        known.is_stale |= known.kind != Kind::Cluster;
    }

    /// A node failed, or says that it holds nothing: it may have been replaced.
    pub(super) fn doubt(&self, node: &Address) {
        let mut known = self.known();
        known.is_stale |= known.kind == Kind::Cluster;
        known.failed = Some(node.clone());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a map, unless another call has since `seen` maps were read.
    async fn read(&self, nodes: &Nodes, seen: u64) -> Result<(), Failure> {
        let asked = Instant::now();
        let mut last = self.asking.lock().await;
        if self.known().read != seen {
            return Ok(());
        }
        if let Some((when, failure)) = &*last
            && *when >= asked
        {
            return Err(failure.clone());
        }
        match self.ask_around(nodes).await {
            Ok(map) => {
                nodes.keep(|node| map.nodes().contains(node) || self.seeds.contains(node));
                *self.known() = Known::after(seen, Kind::Cluster, map);
            }
            Err(Failure::NoCluster { .. }) if self.seeds.len() == 1 => {
                *self.known() = Known::after(seen, Kind::Alone, Map::default());
            }
            Err(failure) => {
                *last = Some((Instant::now(), failure.clone()));
                return Err(failure);
            }
        }
        Ok(())
    }

    /// The first map that any node answers.
    async fn ask_around(&self, nodes: &Nodes) -> Result<Map, Failure> {
        let mut asked = JoinSet::new();
        let mut candidates = self.candidates().into_iter();
        let mut refusal = None;
        loop {
            if let Some(node) = candidates.next() {
                asked.spawn(ask(nodes.node(&node)?, self.patience));
            }
            let wait = if candidates.len() == 0 { self.patience * 2 } else { STAGGER };
            match timeout(wait, asked.join_next()).await {
                Ok(Some(Ok(Ok(map)))) => return Ok(map),
                Ok(Some(Ok(Err(failure)))) => refusal = Some(failure),
                Ok(None) if candidates.len() == 0 => return Err(refusal.unwrap_or(Failure::NoHolder { slot: 0 })),
                _ => {}
            }
        }
    }

    /// Whom to ask, in order: who was named last first, and who failed last.
    fn candidates(&self) -> Vec<Address> {
        let known = self.known();
        let mut candidates: Vec<Address> = Vec::new();
        for node in known.told.values().chain(known.map.nodes()).chain(&self.seeds) {
            if !candidates.contains(node) {
                candidates.push(node.clone());
            }
        }
        candidates.sort_by_key(|node| known.failed.as_ref() == Some(node));
        candidates
    }
}

impl Known {
    /// What is known after one more map was read.
    fn after(read: u64, kind: Kind, map: Map) -> Self {
        Self { kind, map, told: BTreeMap::new(), is_stale: false, failed: None, read: read + 1 }
    }
}

/// Asks one node for its map.
async fn ask(node: Arc<Node>, patience: Duration) -> Result<Map, Failure> {
    let line = node.line(Role::Callers).await?;
    let request = Request::Command(&["CLUSTER", "SLOTS"]);
    let manner = Manner::default();
    let asked = timeout(patience, request.send(line.connection.clone(), &manner, node.address())).await;
    let reply = match asked {
        Ok(Ok(reply)) => reply,
        // It has no cluster support, or nobody may ask: a managed server may know no such command.
        Ok(Err(Failure::Script { .. } | Failure::NotAllowed { .. })) => {
            return Err(Failure::NoCluster { node: node.address().clone() });
        }
        Ok(Err(failure)) => return Err(failure),
        Err(_) => {
            node.drop_line(Role::Callers, &line).await;
            return Err(Failure::unreachable(
                node.address(),
                format!("no answer to CLUSTER SLOTS within {patience:?}"),
            ));
        }
    };
    Map::read(&reply, node.address()).ok_or_else(|| Failure::NoString { found: "no map of a cluster" })
}
