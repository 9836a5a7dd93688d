//! Where the servers are and how they are reached, read from what a user writes in one line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::{Address, BadAddress};

mod text;

/// How to reach a Redis or Valkey server, or a cluster of them.
///
/// The password is in no message: neither in `Debug` nor in `Display`, nor in a [`BadConfig`].
#[derive(Clone)]
pub struct RedisConfig {
    /// One server, or some nodes of a cluster: the others are learned from them. Never empty.
    pub(crate) nodes: Vec<Address>,
    pub(crate) tls: Option<Tls>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// The number of the database; a cluster has only 0.
    pub(crate) database: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
}

/// What a TLS connection trusts and shows: the contents of PEM files, read when the configuration is.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// Whom to trust instead of the system's roots.
    pub(crate) authority: Option<Vec<u8>>,
    /// The certificate and the key by which the server knows us.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why a text says not where a server is. No variant holds a password.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// It does not begin as an address of Redis does.
    #[error("{found:?} is no address of Redis: write redis://HOST:PORT, or rediss://HOST:PORT for TLS")]
    Scheme {
        /// How it begins.
        found: String,
    },
    /// A name or password has a character that ends the part.
    #[error("the user or password before the last @ contains {found:?}: write it as {instead}")]
    Credentials {
        /// The character.
        found: char,
        /// How it is written.
        instead: String,
    },
    /// A `%` that is not followed by two hexadecimal digits, or bytes that are not UTF-8.
    #[error("{part} is not percent-encoded UTF-8: write % itself as %25")]
    Encoding {
        /// Which part of the text.
        part: &'static str,
    },
    /// A host or port that is none.
    #[error("the address of host {host:?} is none: {source}")]
    Address {
        /// What was written before the port.
        host: String,
        /// What is wrong with it.
        source: BadAddress,
    },
    /// A database that is no number.
    #[error("{found:?} is no database: write a number such as 0 after the last /, or nothing")]
    Database {
        /// What was written.
        found: String,
    },
    /// Nodes of a cluster, and a database other than 0.
    #[error("database {database} of several nodes: a cluster has only database 0, write /0 or nothing")]
    DatabaseOfCluster {
        /// Which was asked for.
        database: u32,
    },
    /// A parameter that nobody knows.
    #[error("unknown parameter {name:?}: there are {}", text::PARAMETERS.join(", "))]
    Parameter {
        /// Its name.
        name: String,
    },
    /// A duration that is none, or one of nothing.
    #[error("{name}={found}: write a duration above 0 such as 500ms or 5s")]
    Duration {
        /// Of which parameter.
        name: String,
        /// What was written.
        found: String,
    },
    /// A parameter of TLS without TLS.
    #[error("{name} is for TLS: write rediss:// instead of redis://")]
    NoTls {
        /// The parameter.
        name: &'static str,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("{given} without {missing}: a server knows us by both")]
    HalfIdentity {
        /// Which is there.
        given: &'static str,
        /// Which is not.
        missing: &'static str,
    },
    /// A PEM file that cannot be read.
    #[error("cannot read {}, the file of {name}", path.display())]
    File {
        /// Of which parameter.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Several addresses that differ in more than host and port.
    #[error("the addresses differ in their {what}: all nodes of a cluster are reached alike")]
    Differ {
        /// In what.
        what: &'static str,
    },
}

impl RedisConfig {
    /// Reads `redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]..][/DATABASE][?PARAMETER=VALUE&..]`.
    ///
    /// `rediss://` is TLS; `valkey://` and `valkeys://` are the same two. Several hosts, or several such addresses
    /// separated by commas, are nodes of a cluster. Parameters: `connect_timeout` (default `2s`), `call_timeout` (default
    /// `5s`), and for TLS `ca`, `cert` and `key`, paths of PEM files, which are read at once.
    pub fn parse(text: &str) -> Result<Self, BadConfig> {
        text::parse(text)
    }

    /// How long connecting to one node may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// How long one call may take, with all that is tried again, until it counts as unavailable.
    #[must_use]
    pub fn with_call_timeout(mut self, call_timeout: Duration) -> Self {
        self.call_timeout = call_timeout;
        self
    }
}

impl fmt::Display for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls.is_some() { "rediss://" } else { "redis://" })?;
        if let Some(username) = &self.username {
            write!(f, "{username}@")?;
        }
        for (place, node) in self.nodes.iter().enumerate() {
            write!(f, "{}{node}", if place == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connect_timeout, call_timeout, .. } = self;
        write!(f, "RedisConfig({self}, connect_timeout {connect_timeout:?}, call_timeout {call_timeout:?})")
    }
}

#[cfg(test)]
mod tests;
