//! Real servers for tests: a [`Server`] that can be killed, frozen and put back to an older copy, a [`Cluster`] of them,
//! a [`Proxy`] before one that loses answers, delays and counts, and a [`Monitor`] of what one is told.
//!
//! All of it speaks Redis by hand and panics when something is wrong, since a test has no other use for an error: a
//! missing program says how to install it.
#![expect(clippy::missing_panics_doc, reason = "tests alone use this, and every part of it panics when it fails")]

mod cluster;
mod free_port;
mod monitor;
mod options;
mod process;
mod proxy;
mod resp;
mod server;

pub use cluster::{Cluster, Migration, shared_cluster, slot_of};
pub use free_port::free_port;
pub use monitor::{Call, Client, Monitor};
pub use options::{Appendonly, Options};
pub use proxy::Proxy;
pub use resp::{Connection, Reply};
pub use server::{Server, shared};

/// The name of the script whose source has this digest, as an EVALSHA that a [`Monitor`] has seen names it.
pub fn script_named(digest: &str) -> Option<&'static str> {
    crate::scripts::SCRIPTS.all().into_iter().find(|script| script.digest == digest).map(|script| script.name)
}
