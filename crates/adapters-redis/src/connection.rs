//! Calls of servers: which node holds a cell, one held connection a role and node, and what is asked again.
//!
//! What may have been executed is never asked again here: that is [`PortError::Unavailable`], and the caller repeats with
//! the same ids. What certainly was not is asked again until the call's time is over.

use deadpool_redis::redis::Value;
use domain::id::CellName;
use ports::{PortError, PortResult};
use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::config::RedisConfig;
use crate::error::{Failure, Reaction};
use crate::scripts::Script;

mod nodes;
mod patience;
mod request;
pub(crate) mod slots;
mod topology;

use nodes::Nodes;
pub(crate) use nodes::SetUp;
use patience::Patience;
use request::{Manner, Request};
use topology::Topology;

/// Who calls. Each has a connection of its own to each node, so that nobody's replies wait behind the big ones of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The planner: reads of a thousand rows and commits of a thousand decisions.
    Planner,
    /// Agents: many small calls.
    Workers,
    /// Users, and questions about the servers themselves.
    Callers,
}

/// The connections of a process.
pub(crate) struct Connections {
    config: RedisConfig,
    nodes: Nodes,
    topology: Topology,
}

impl Connections {
    /// Connects when it is first used. `Unsupported` if certificates cannot be used.
    pub(crate) fn new(config: RedisConfig) -> PortResult<Self> {
        let setup = SetUp::new(&config)?;
        Ok(Self { topology: Topology::new(&config), nodes: Nodes::new(setup), config })
    }

    /// Runs a script on the server that holds the cell, and answers its reply's bytes.
    ///
    /// `Corrupt` names the script that failed by itself; whatever else went wrong is `Unavailable`, with a source that
    /// says what an operator should do.
    pub(crate) async fn run(
        &self,
        role: Role,
        cell: &CellName,
        script: &Script,
        keys: &[String],
        argument: &[u8],
    ) -> PortResult<Vec<u8>> {
        let request = Request::Script { script, keys, argument };
        let reply = self.ask(role, cell, &request).await;
        reply.and_then(bytes).map_err(|failure| refused(cell, failure, script.name))
    }

    /// Asks the node that holds the cell one plain command, for start-up checks and tests.
    pub(crate) async fn command(&self, cell: &CellName, words: &[&str]) -> Result<Value, Failure> {
        self.ask(Role::Callers, cell, &Request::Command(words)).await
    }

    pub(crate) fn config(&self) -> &RedisConfig {
        &self.config
    }

    /// The node that holds the cell, as far as is known; asks the cluster where nothing is.
    pub(crate) async fn holder(&self, cell: &CellName) -> Result<Address, Failure> {
        self.topology.holder(slots::of(cell), &self.nodes).await
    }

    /// The node that holds the cell as far as is known, without asking anybody.
    pub(crate) fn known_holder(&self, cell: &CellName) -> Option<Address> {
        self.topology.holder_known(slots::of(cell))
    }

    /// A node did not answer: it may not hold any more what it held.
    pub(crate) fn doubt(&self, node: &Address) {
        self.topology.doubt(node);
    }

    /// How connections are set up, for one that is no role's.
    pub(crate) fn setup(&self) -> &SetUp {
        self.nodes.setup()
    }

    async fn ask(&self, role: Role, cell: &CellName, request: &Request<'_>) -> Result<Value, Failure> {
        let slot = slots::of(cell);
        let deadline = Instant::now() + self.config.call_timeout;
        let mut patience = Patience::of(self.config.call_timeout);
        let mut manner = Manner::default();
        loop {
            let failure = match self.attempt(role, slot, request, &manner, deadline).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let reaction = failure.reaction();
            manner = self.heed(role, &failure, manner).await;
            if reaction == Reaction::GiveUp || !patience.allows(&failure, self.topology.is_cluster()).await {
                return Err(failure);
            }
        }
    }

    /// One attempt: one request sent to one node, or none.
    async fn attempt(
        &self,
        role: Role,
        slot: u16,
        request: &Request<'_>,
        manner: &Manner,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let node = if let Some(node) = &manner.there {
            node.clone()
        } else {
            let found = timeout_at(deadline, self.topology.holder(slot, &self.nodes)).await;
            found.unwrap_or_else(|_| Err(self.topology.unanswered(slot)))?
        };
        let node = self.nodes.node(&node)?;
        let line = timeout_at(deadline, node.line(role)).await;
        let line = line.unwrap_or_else(|_| Err(Failure::unreachable(node.address(), "no answer in time")))?;
        match timeout_at(deadline, request.send(line.connection.clone(), manner, node.address())).await {
            Ok(Err(failure @ Failure::Lost { .. })) => {
                node.drop_line(role, &line).await;
                Err(failure)
            }
            Ok(reply) => reply,
            // The connection may be dead without a word: the next call takes a new one. Calls under way keep theirs.
            Err(_) => {
                node.drop_line(role, &line).await;
                Err(Failure::Silent { node: node.address().clone(), within: self.config.call_timeout })
            }
        }
    }

    /// Learns what a failure tells, and answers how to ask next.
    async fn heed(&self, role: Role, failure: &Failure, manner: Manner) -> Manner {
        match failure {
            // A server that loads its data has just started, and knows no scripts.
            Failure::UnknownScript { .. } | Failure::Loading { .. } => return Manner { loads: true, ..manner },
            Failure::Moved { slot, to, .. } => self.topology.learn(*slot, to),
            Failure::Ask { to, .. } => return Manner { there: Some(to.clone()), asks: true, ..manner },
            Failure::Unreachable { node, .. }
            | Failure::Lost { node, .. }
            | Failure::Silent { node, .. }
            | Failure::PrimaryDown { node, .. } => self.topology.doubt(node),
            Failure::ReadOnly { node, .. } => {
                self.topology.doubt(node);
                if let Ok(node) = self.nodes.node(node) {
                    node.forget_line(role).await;
                }
            }
            _ => {}
        }
        Manner { there: None, asks: false, ..manner }
    }
}

/// The bytes of a script's reply.
fn bytes(reply: Value) -> Result<Vec<u8>, Failure> {
    let found = match reply {
        Value::BulkString(bytes) => return Ok(bytes),
        Value::SimpleString(text) => return Ok(text.into_bytes()),
        Value::Okay => return Ok(b"OK".to_vec()),
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        _ => "a list",
    };
    Err(Failure::NoString { found })
}

fn refused(cell: &CellName, failure: Failure, what: &str) -> PortError {
    tracing::debug!(%cell, what, failure = &failure as &dyn std::error::Error, "a call of redis failed");
    failure.into_port(what)
}

#[cfg(test)]
mod tests;
