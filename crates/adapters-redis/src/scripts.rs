//! The scripts, each known to the server by the digest of its source.

/// A script: its name for messages, and its source.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) source: String,
    /// The SHA-1 of the source in hexadecimal, by which the server knows it.
    pub(crate) digest: String,
}
