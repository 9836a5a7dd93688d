//! Faults against real agents: the built binary, real processes, each store; and commands that bear witness.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[macro_use]
#[path = "../fleet/stores.rs"]
mod stores;

mod clocks;
mod drain;
#[path = "../fleet/mod.rs"]
mod fleet;
mod outage;
mod quota;
mod races;
mod repeats;
mod shaking;
mod silence;
mod wire;
