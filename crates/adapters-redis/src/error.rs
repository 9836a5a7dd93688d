//! What goes wrong between this process and a server: what it means for the call, and what an operator reads.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{RedisError, ServerError};
use ports::{PortError, StoreFull};

use crate::address::Address;

/// Why a call was not answered. Messages name the server and what to do, where there is something to do.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    // What certainly was not executed, and may pass by itself.
    /// Nothing was sent.
    #[error("cannot connect to redis at {node}")]
    Unreachable { node: Address, source: Arc<dyn Error + Send + Sync> },
    #[error(
        "redis at {node} does not know the script, however often it is loaded: is SCRIPT FLUSH called all the time?"
    )]
    UnknownScript { node: Address },
    #[error("redis at {node} is loading its data after a start ({said})")]
    Loading { node: Address, said: String },
    #[error("redis at {node} has been busy with a script for longer than busy-reply-threshold ({said})")]
    Busy { node: Address, said: String },
    #[error("the cell is being moved to another node of the cluster, redis at {node} has a part of it ({said})")]
    BeingMoved { node: Address, said: String },
    #[error("the cluster is down, says redis at {node} ({said}): see CLUSTER INFO")]
    ClusterDown { node: Address, said: String },
    #[error("redis at {node} is a replica cut off from its primary ({said})")]
    PrimaryDown { node: Address, said: String },
    #[error("redis at {node} has too few replicas to accept writes ({said}): see min-replicas-to-write")]
    TooFewReplicas { node: Address, said: String },
    #[error("redis at {node} accepts no more clients ({said}): raise maxclients")]
    TooManyClients { node: Address, said: String },
    /// It says which node holds the slot.
    #[error("redis at {node} says that {to} holds the cell, which says otherwise")]
    Moved { node: Address, slot: u16, to: Address },
    /// The slot is on its way, and this part of it is there already.
    #[error("redis at {node} says to ask {to}, which says otherwise")]
    Ask { node: Address, to: Address },
    #[error("redis at {node} is a read-only replica ({said}): name its primary")]
    ReadOnly { node: Address, said: String },
    #[error("no node that answers holds slot {slot} of the cluster, the cell's: see CLUSTER INFO")]
    NoHolder { slot: u16 },

    // What was not executed, and needs a person.
    #[error("redis at {node} is full, maxmemory is reached ({said}): raise it, or keep ended containers for less long")]
    Full { node: Address, said: String },
    #[error("redis at {node} cannot write to its disk and refuses writes ({said}): see its log")]
    CannotPersist { node: Address, said: String },
    #[error(
        "redis at {node} wants a password ({said}): write it as redis://USER:PASSWORD@HOST or redis://:PASSWORD@HOST"
    )]
    PasswordMissing { node: Address, said: String },
    #[error("redis at {node} refuses the user or password ({said})")]
    PasswordWrong { node: Address, said: String },
    #[error("redis at {node} does not allow the user to do this ({said}): see ACL SETUSER")]
    NotAllowed { node: Address, said: String },
    #[error("redis at {node} is in protected mode and accepts no client from elsewhere: see its protected-mode")]
    Protected { node: Address },
    #[error("somebody ended the script at redis {node} by SCRIPT KILL ({said})")]
    Killed { node: Address, said: String },

    // What nobody can repair by repeating.
    /// The script itself failed, or what it was given is of another kind.
    #[error("redis at {node} says: {said}")]
    Script { node: Address, said: String },
    #[error("its reply is {found}, no string")]
    NoString { found: &'static str },
    #[error("database {database}: redis at {node} is of a cluster, which has only database 0")]
    DatabaseOfCluster { node: Address, database: u32 },
    #[error(
        "several servers that are no cluster: redis at {node} says of none. Name one of them, or allow its user +cluster|slots"
    )]
    NoCluster { node: Address },
    #[error("RESP3, which Redis 6 brought: redis at {node} is older")]
    TooOld { node: Address },

    // What may have been executed.
    #[error("the connection to redis at {node} was lost before its answer came: whether the step was made is unknown")]
    Lost { node: Address, source: RedisError },
    #[error("redis at {node} did not answer within {within:?}: whether the step was made is unknown")]
    Silent { node: Address, within: Duration },
}

/// What the caller of a server does about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Load the script, and ask again at once.
    Load,
    /// Ask again a little later.
    Wait,
    /// Ask the node that it names.
    Follow,
    /// Ask the node that it names, this once.
    AskThere,
    /// Forget connection and slots, and ask who holds the cell now.
    LookAgain,
    /// Tell whoever called.
    GiveUp,
}

impl Failure {
    /// Nothing was sent to `node`, because of `source`.
    pub(crate) fn unreachable(node: &Address, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable { node: node.clone(), source: source.into().into() }
    }

    /// What an error reply of `node` means.
    pub(crate) fn replied(node: &Address, error: &ServerError) -> Self {
        let said = match error.details() {
            Some(details) => format!("{} {details}", error.code()),
            None => error.code().to_owned(),
        };
        Self::said(node, &said)
    }

    /// What `said`, an error reply of `node` as it comes over the wire, means.
    pub(crate) fn said(node: &Address, said: &str) -> Self {
        let (code, details) = said.split_once(' ').unwrap_or((said, ""));
        let thrown = || details.split(' ').next().filter(|_| code == "ERR");
        Self::redirection(node, code, details)
            .or_else(|| Self::of_code(node, code, said))
            // What a command in a script was refused for and the script has caught and thrown again (`answer` in
            // `lua/step.lua`) is a text like any other for a server, which puts ERR before it.
            .or_else(|| Self::of_code(node, thrown()?, said))
            .unwrap_or_else(|| Self::of_text(node, said))
    }

    fn redirection(node: &Address, code: &str, details: &str) -> Option<Self> {
        let mut words = details.split_ascii_whitespace();
        let (slot, to) = (words.next()?.parse().ok()?, words.next()?);
        let (node, to) = (node.clone(), Address::told(to, node)?);
        match code {
            "MOVED" => Some(Self::Moved { node, slot, to }),
            "ASK" => Some(Self::Ask { node, to }),
            _ => None,
        }
    }

    /// What the first word of an error reply means, where it says enough.
    fn of_code(node: &Address, code: &str, said: &str) -> Option<Self> {
        let (node, said) = (node.clone(), said.to_owned());
        Some(match code {
            "NOSCRIPT" => Self::UnknownScript { node },
            "LOADING" => Self::Loading { node, said },
            "BUSY" => Self::Busy { node, said },
            "TRYAGAIN" => Self::BeingMoved { node, said },
            "CLUSTERDOWN" => Self::ClusterDown { node, said },
            "MASTERDOWN" => Self::PrimaryDown { node, said },
            "NOREPLICAS" => Self::TooFewReplicas { node, said },
            "READONLY" => Self::ReadOnly { node, said },
            "OOM" => Self::Full { node, said },
            "MISCONF" => Self::CannotPersist { node, said },
            "NOAUTH" => Self::PasswordMissing { node, said },
            "WRONGPASS" => Self::PasswordWrong { node, said },
            "NOPERM" => Self::NotAllowed { node, said },
            "DENIED" => Self::Protected { node },
            _ => return None,
        })
    }

    /// What an error reply means whose first word says little: before Redis 7 what a command inside a script was refused
    /// for stands somewhere in the text.
    fn of_text(node: &Address, said: &str) -> Self {
        let inner = ["-OOM ", "-READONLY ", "-MISCONF ", "-NOREPLICAS ", "-NOPERM "];
        if let Some(at) = inner.iter().find_map(|code| said.find(code)) {
            let inner = &said[at + 1..];
            let code = inner.split(' ').next().unwrap_or_default();
            if let Some(failure) = Self::of_code(node, code, said) {
                return failure;
            }
        }
        let (node, said) = (node.clone(), said.to_owned());
        if said.contains("ACL failure in script") || said.contains("can't run this command") {
            Self::NotAllowed { node, said }
        } else if said.contains("Script killed by user") {
            Self::Killed { node, said }
        } else if said.contains("max number of clients") {
            Self::TooManyClients { node, said }
        } else if said.contains("AUTH") && said.contains("without any password") {
            Self::PasswordWrong { node, said }
        } else {
            Self::Script { node, said }
        }
    }

    /// What to do about it. Only what certainly was not executed is asked again.
    pub(crate) fn reaction(&self) -> Reaction {
        match self {
            Self::UnknownScript { .. } => Reaction::Load,
            Self::Loading { .. }
            | Self::Busy { .. }
            | Self::BeingMoved { .. }
            | Self::ClusterDown { .. }
            | Self::TooFewReplicas { .. }
            | Self::TooManyClients { .. } => Reaction::Wait,
            Self::Moved { .. } => Reaction::Follow,
            Self::Ask { .. } => Reaction::AskThere,
            Self::Unreachable { .. } | Self::PrimaryDown { .. } | Self::ReadOnly { .. } | Self::NoHolder { .. } => {
                Reaction::LookAgain
            }
            _ => Reaction::GiveUp,
        }
    }

    /// What the caller of a port is told, of a call of `what`.
    pub(crate) fn into_port(self, what: &str) -> PortError {
        match self {
            Self::Script { ref said, .. } => {
                let what = blamed(said).map_or_else(|| format!("what {what} reads"), str::to_owned);
                PortError::corrupt(what, self)
            }
            Self::NoString { .. } => PortError::corrupt(what, self),
            Self::DatabaseOfCluster { .. } | Self::NoCluster { .. } | Self::TooOld { .. } => {
                PortError::Unsupported(self.to_string())
            }
            Self::Full { .. } => PortError::unavailable(StoreFull::new(self)),
            _ => PortError::unavailable(self),
        }
    }
}

/// What a script found that it could not read, as it said itself (`corrupt` in `lua/cell.lua`): a row, or the key of a
/// table.
fn blamed(said: &str) -> Option<&str> {
    let (_, blamed) = said.split_once("CORRUPT ")?;
    let end = [": ", " script: "].into_iter().filter_map(|mark| blamed.find(mark)).min();
    Some(&blamed[..end.unwrap_or(blamed.len())])
}

#[cfg(test)]
mod tests;
