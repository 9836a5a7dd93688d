//! What steps say of themselves: one subscription a process and cell, on a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, PushInfo, PushKind, Value};
use domain::id::CellName;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout};

use crate::address::Address;
use crate::connection::Connections;
use crate::error::Failure;

/// How many messages wait for whoever follows. More are dropped, which it is told.
const MESSAGES_MAX: usize = 1024;

/// The first pause before subscribing again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How often it is checked that the cell is still where the subscription is, and that somebody follows.
const LOOK: Duration = Duration::from_millis(500);

/// What is heard of a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Subscribed, anew or not: whatever was said before may have been missed.
    Subscribed,
    /// Nothing is heard until it is subscribed again.
    Lost,
    /// What was said.
    Message(Vec<u8>),
}

/// Follows a channel of the cell for as long as the receiver lives; subscribes again by itself.
///
/// A receiver that is read too slowly misses messages, and is told `Subscribed` then.
pub(crate) fn follow(connections: &Arc<Connections>, cell: CellName, channel: String) -> Receiver<Heard> {
    let (tell, heard) = mpsc::channel(MESSAGES_MAX);
    let follower = Follower { connections: Arc::clone(connections), cell, channel, tell };
    tokio::spawn(follower.run());
    heard
}

struct Follower {
    connections: Arc<Connections>,
    cell: CellName,
    channel: String,
    tell: Sender<Heard>,
}

/// A subscription that stands.
struct Subscription {
    node: Address,
    connection: MultiplexedConnection,
    pushed: Receiver<PushInfo>,
    /// Whether more was pushed than waited for us.
    missed: Arc<AtomicBool>,
}

impl Follower {
    async fn run(self) {
        let mut pause = PAUSES.0;
        while !self.tell.is_closed() {
            match self.subscribe().await {
                Ok(subscription) => {
                    pause = PAUSES.0;
                    if self.tell.send(Heard::Subscribed).await.is_err() {
                        return;
                    }
                    let why = self.pass_on(subscription).await;
                    tracing::debug!(cell = %self.cell, why, "the subscription to a cell's events ended");
                    if self.tell.send(Heard::Lost).await.is_err() {
                        return;
                    }
                }
                Err(failure) => {
                    let failure = &failure as &dyn std::error::Error;
                    tracing::debug!(cell = %self.cell, failure, "cannot subscribe to a cell's events");
                }
            }
            if timeout(pause, self.tell.closed()).await.is_ok() {
                return;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Failure> {
        let node = self.connections.holder(&self.cell).await?;
        let subscribed = self.subscribe_at(node.clone()).await;
        if subscribed.is_err() {
            self.connections.doubt(&node);
        }
        subscribed
    }

    async fn subscribe_at(&self, node: Address) -> Result<Subscription, Failure> {
        let (told, pushed) = mpsc::channel(MESSAGES_MAX);
        let missed = Arc::new(AtomicBool::new(false));
        let overflow = Arc::clone(&missed);
        let push = move |push: PushInfo| {
            // A dropped end of the connection is found by the next PING; a dropped message is told of.
            told.try_send(push).inspect_err(|_| overflow.store(true, Ordering::Relaxed))
        };
        let setup = self.connections.setup();
        let (client, config) = setup.client(&node, push)?;
        let connected = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connected.map_err(|error| setup.not_connected(&node, error))?;
        let limit = self.connections.config().connect_timeout;
        let subscribed = timeout(limit, async {
            // A name is for people: a user who may not set it goes without.
            drop(redis::cmd("CLIENT").arg("SETNAME").arg("stowplan-events").exec_async(&mut connection).await);
            connection.subscribe(&self.channel).await
        });
        match subscribed.await {
            Ok(Ok(())) => Ok(Subscription { node, connection, pushed, missed }),
            Ok(Err(error)) => Err(setup.not_connected(&node, error)),
            Err(_) => Err(Failure::unreachable(&node, format!("no answer to SUBSCRIBE within {limit:?}"))),
        }
    }

    /// Passes messages on until there will be no more, and says why.
    async fn pass_on(&self, mut subscription: Subscription) -> &'static str {
        const NOBODY: &str = "nobody follows it any more";
        let mut last_heard = Instant::now();
        let mut last_look = Instant::now();
        loop {
            match timeout(LOOK, subscription.pushed.recv()).await {
                Ok(None) => return "the connection is gone",
                Ok(Some(push)) if push.kind == PushKind::Disconnection => return "the server closed the connection",
                Ok(Some(push)) => {
                    last_heard = Instant::now();
                    if let Some(message) = message(push)
                        && self.tell.send(Heard::Message(message)).await.is_err()
                    {
                        return NOBODY;
                    }
                }
                Err(_) if self.tell.is_closed() => return NOBODY,
                Err(_) => {}
            }
            if subscription.missed.swap(false, Ordering::Relaxed) && self.tell.send(Heard::Subscribed).await.is_err() {
                return NOBODY;
            }
            if last_look.elapsed() < LOOK {
                continue;
            }
            last_look = Instant::now();
            if self.connections.known_holder(&self.cell).is_some_and(|holder| holder != subscription.node) {
                return "the cell is held by another node";
            }
            if last_heard.elapsed() >= self.connections.config().call_timeout {
                if !self.answers(&mut subscription).await {
                    self.connections.doubt(&subscription.node);
                    return "the server does not answer";
                }
                last_heard = Instant::now();
            }
        }
    }

    /// Whether the server at the other end still says anything; a refusal is an answer.
    async fn answers(&self, subscription: &mut Subscription) -> bool {
        let ping = redis::cmd("PING");
        let asked = subscription.connection.send_packed_command(&ping);
        matches!(timeout(self.connections.config().call_timeout, asked).await, Ok(Ok(_)))
    }
}

/// What was said on the channel; nothing if it is the server's confirmation.
fn message(push: PushInfo) -> Option<Vec<u8>> {
    match (push.kind, push.data.into_iter().next_back()?) {
        (PushKind::Message, Value::BulkString(message)) => Some(message),
        _ => None,
    }
}
