//! Which node holds which slot.
//!
//! A lone server is not asked first: it shows that it is of a cluster by naming another node. A map that a node gave
//! serves until a node fails, and then another node is asked for a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Guard, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

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
    /// Held while nodes are asked, so that many calls ask once.
    asking: Mutex<()>,
}

#[derive(Default)]
struct Known {
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

impl Topology {
    pub(super) fn new(config: &RedisConfig) -> Self {
        let known = Known { is_stale: config.nodes.len() > 1, ..Known::default() };
        let seeds = config.nodes.clone();
        Self { seeds, patience: config.connect_timeout, known: Guard::new(known), asking: Mutex::default() }
    }

    /// The node that holds a slot. Asks the cluster if its map may be out of date.
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

    /// Whether the servers are known to be a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        let known = self.known();
        self.seeds.len() > 1 || known.read > 0 || !known.told.is_empty()
    }

    fn holder_of(&self, known: &Known, slot: u16) -> Option<Address> {
        let named = known.told.get(&slot).or_else(|| known.map.holder(slot)).cloned();
        // A lone server that has named nobody else holds everything.
        named.or_else(|| match self.seeds.as_slice() {
            [lone] if known.read == 0 => Some(lone.clone()),
            _ => None,
        })
    }

    /// A node said that another holds a slot.
    pub(super) fn learn(&self, slot: u16, holder: &Address) {
        let mut known = self.known();
        known.told.insert(slot, holder.clone());
        // The first that is heard of a cluster: all its nodes should be known before one fails.
        known.is_stale |= known.read == 0;
    }

    /// A node failed, or says that it holds nothing: it may have been replaced.
    pub(super) fn doubt(&self, node: &Address) {
        let is_cluster = self.is_cluster();
        let mut known = self.known();
        known.is_stale |= is_cluster;
        known.failed = Some(node.clone());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a map, unless another call has since `seen` maps were read.
    async fn read(&self, nodes: &Nodes, seen: u64) -> Result<(), Failure> {
        let _asking = self.asking.lock().await;
        if self.known().read != seen {
            return Ok(());
        }
        let map = self.ask_around(nodes).await?;
        let mut known = self.known();
        *known = Known { map, read: seen + 1, ..Known::default() };
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

/// Asks one node for its map.
async fn ask(node: Arc<Node>, patience: Duration) -> Result<Map, Failure> {
    let line = node.line(Role::Callers).await?;
    let request = Request::Command(&["CLUSTER", "SLOTS"]);
    let manner = Manner::default();
    let asked = timeout(patience, request.send(line.connection.clone(), &manner, node.address())).await;
    let reply = match asked {
        Ok(Ok(reply)) => reply,
        Ok(Err(Failure::Script { said, .. })) if said.contains("cluster support disabled") => {
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
