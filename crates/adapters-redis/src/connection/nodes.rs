//! The servers that were ever talked to, and the connections held to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Guard, PoisonError};

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, PushInfo, PushKind};
use deadpool_redis::{Connection, Pool};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Role;
use crate::address::Address;
use crate::error::Failure;

mod setup;

pub(crate) use setup::SetUp;

/// The roles, and the names by which CLIENT LIST shows their connections.
const ROLES: [(Role, &str); 3] =
    [(Role::Planner, "stowplan-planner"), (Role::Workers, "stowplan-workers"), (Role::Callers, "stowplan-callers")];

/// The servers that were ever talked to.
pub(super) struct Nodes {
    setup: SetUp,
    known: Guard<HashMap<Address, Arc<Node>>>,
}

impl Nodes {
    pub(super) fn new(setup: SetUp) -> Self {
        Self { setup, known: Guard::default() }
    }

    pub(super) fn setup(&self) -> &SetUp {
        &self.setup
    }

    /// The server at an address; not connected to until it is asked something.
    pub(super) fn node(&self, address: &Address) -> Result<Arc<Node>, Failure> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = known.get(address) {
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(Node::new(address, &self.setup)?);
        known.insert(address.clone(), Arc::clone(&node));
        Ok(node)
    }

    /// Forgets all servers but those that `is_kept`. Calls under way are not disturbed.
    pub(super) fn keep(&self, is_kept: impl Fn(&Address) -> bool) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|address, _| is_kept(address));
    }
}

/// One server, and the connection that each role holds to it.
///
/// A role's connection is taken from the pool once and used through clones: giving it back and taking it again would
/// cost a PING a call.
pub(super) struct Node {
    address: Address,
    setup: SetUp,
    pool: Pool,
    /// How many connections to it have ended without our doing.
    lost: Arc<AtomicU64>,
    lines: [Mutex<Held>; ROLES.len()],
}

/// What a role holds.
#[derive(Default)]
struct Held {
    line: Option<Line>,
    pooled: Option<Connection>,
    /// When connecting last failed, and why: whoever waited meanwhile is told the same.
    failed: Option<(Instant, Failure)>,
    /// How many lines there were.
    taken: u64,
}

/// A connection in use.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) connection: MultiplexedConnection,
    /// Which of the role's connections to the node this is.
    number: u64,
    /// [`Node::lost`] before it was made.
    lost: u64,
}

impl Node {
    fn new(address: &Address, setup: &SetUp) -> Result<Self, Failure> {
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let count = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), ()>(())
        };
        let pool = setup.pool(address, ROLES.len(), count)?;
        Ok(Self { address: address.clone(), setup: setup.clone(), pool, lost, lines: Default::default() })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The role's connection, made now if there is none or the last one ended.
    pub(super) async fn line(&self, role: Role) -> Result<Line, Failure> {
        let asked = Instant::now();
        let mut held = self.lines[role as usize].lock().await;
        // A server that closed the connection while nobody called has executed nothing: a new one is taken, and the call
        // goes out on that.
        if let Some(line) = held.line.take_if(|line| line.lost != self.lost.load(Ordering::Relaxed)) {
            held.let_go(&line);
        }
        if let Some(line) = &held.line {
            return Ok(line.clone());
        }
        if let Some((when, failure)) = &held.failed
            && *when >= asked
        {
            return Err(failure.clone());
        }
        let connected = self.connect(role, &mut held).await;
        held.failed = connected.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
        connected
    }

    async fn connect(&self, role: Role, held: &mut Held) -> Result<Line, Failure> {
        let lost = self.lost.load(Ordering::Relaxed);
        let pooled = self.pool.get().await.map_err(|error| self.setup.refused(&self.address, error))?;
        let mut connection = (*pooled).clone();
        let name = ROLES[role as usize].1;
        let mut naming = redis::cmd("CLIENT");
        naming.arg("SETNAME").arg(name);
        // A name is for people: a user who may not set it goes without.
        if timeout(self.setup.connect_timeout(), connection.send_packed_command(&naming)).await.is_err() {
            drop(Connection::take(pooled));
            return Err(Failure::unreachable(&self.address, "no answer to CLIENT SETNAME"));
        }
        held.taken += 1;
        let line = Line { connection, number: held.taken, lost };
        held.line = Some(line.clone());
        held.pooled = Some(pooled);
        tracing::debug!(node = %self.address, role = name, "connected to redis");
        Ok(line)
    }

    /// Lets go of a connection that failed, if it is still the role's. Calls under way on it are not disturbed.
    pub(super) async fn drop_line(&self, role: Role, line: &Line) {
        self.lines[role as usize].lock().await.let_go(line);
    }

    /// Lets go of the role's connection, whichever it is: the address may lead to another server by now.
    pub(super) async fn forget_line(&self, role: Role) {
        let mut held = self.lines[role as usize].lock().await;
        if let Some(line) = held.line.clone() {
            held.let_go(&line);
        }
    }
}

impl Held {
    fn let_go(&mut self, line: &Line) {
        if self.taken == line.number {
            self.line = None;
            // Out of the pool for good: given back it would be handed out again.
            self.pooled.take().map(Connection::take);
        }
    }
}
