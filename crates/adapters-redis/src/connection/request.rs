//! What is sent, and what a reply to it means.

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, Cmd, Pipeline, RedisError, ServerError, Value};

use crate::address::Address;
use crate::error::Failure;
use crate::scripts::Script;

/// What is asked.
pub(super) enum Request<'a> {
    Script { script: &'a Script, keys: &'a [String], argument: &'a [u8] },
    Command(&'a [&'a str]),
}

/// How it is asked.
#[derive(Default)]
pub(super) struct Manner {
    /// Of this node, whoever holds the slot.
    pub(super) there: Option<Address>,
    /// With ASKING before it, for a slot that is on its way to that node.
    pub(super) asks: bool,
    /// With the script's source before it.
    pub(super) loads: bool,
}

impl Request<'_> {
    /// Sends it once and answers the reply. All but `Lost` was certainly not executed, or refused by the script itself.
    pub(super) async fn send(
        &self,
        mut connection: MultiplexedConnection,
        manner: &Manner,
        node: &Address,
    ) -> Result<Value, Failure> {
        let reply = if manner.asks || manner.loads {
            let pipeline = self.pipeline(manner);
            let count = pipeline.len();
            connection.send_packed_commands(&pipeline, 0, count).await.map(|replies| last(node, replies))
        } else {
            connection.send_packed_command(&self.command()).await.map(|reply| checked(node, reply))
        };
        reply.unwrap_or_else(|error| Err(broken(node, error)))
    }

    fn command(&self) -> Cmd {
        match self {
            Self::Script { script, keys, argument } => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(&script.digest).arg(keys.len()).arg(*keys).arg(*argument);
                command
            }
            Self::Command(words) => {
                let mut command = Cmd::new();
                command.arg(*words);
                command
            }
        }
    }

    fn pipeline(&self, manner: &Manner) -> Pipeline {
        let mut pipeline = Pipeline::new();
        if let (Self::Script { script, .. }, true) = (self, manner.loads) {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(&script.source);
        }
        // ASKING holds for the one command that follows it.
        if manner.asks {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(self.command());
        pipeline
    }
}

/// The reply to the last command; but a script that is not known was not loaded, and why not is said before.
fn last(node: &Address, replies: Vec<Value>) -> Result<Value, Failure> {
    let mut before = Ok(Value::Nil);
    let mut reply = Ok(Value::Nil);
    for next in replies {
        before = before.and(reply);
        reply = checked(node, next);
    }
    if matches!(reply, Err(Failure::UnknownScript { .. })) { before.and(reply) } else { reply }
}

fn checked(node: &Address, reply: Value) -> Result<Value, Failure> {
    match reply {
        Value::ServerError(error) => Err(Failure::replied(node, &error)),
        reply => Ok(reply),
    }
}

/// An error of the client itself: a refusal that it has unpacked, or a connection that broke.
fn broken(node: &Address, error: RedisError) -> Failure {
    match ServerError::try_from(error) {
        Ok(refusal) => Failure::replied(node, &refusal),
        Err(source) => Failure::Lost { node: node.clone(), source },
    }
}
