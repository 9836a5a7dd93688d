//! A cell on real Redis servers: real servers of ours, real agents, and what befalls all three.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod away;
mod calls;
mod faults;
mod first;
#[path = "../fleet/mod.rs"]
mod fleet;
mod losses;
mod restarts;
mod standby;
