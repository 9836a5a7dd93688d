//! Pools as a user meets them: real servers with pools in their configuration, real agents, and a program that makes
//! machines; on the embedded store and on a Redis server alike.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bursts;
mod exact;
#[path = "../fleet/mod.rs"]
mod fleet;
mod ground;
mod kills;
mod leaving;
mod machines;
mod shown;
mod troubles;
