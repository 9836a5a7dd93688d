//! Planners and servers that die, or stand still, at named points: the built binary under `STOWPLAN_FAILPOINTS`, and
//! schedulers in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[macro_use]
#[path = "../fleet/stores.rs"]
mod stores;

#[path = "../fleet/mod.rs"]
mod fleet;
mod load;
mod server;
mod store;
mod takeover;
