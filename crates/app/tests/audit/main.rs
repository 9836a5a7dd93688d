//! `stowplan audit`, on stores in which something was planted, and on a cell that changes while it is read.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../fleet/mod.rs"]
mod fleet;
mod live;
mod plant;
mod planted;
#[path = "../support/mod.rs"]
mod support;
