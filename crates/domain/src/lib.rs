//! Batch placement and the capacity ledger: pure functions over plain values.
//!
//! In reading order: the vocabulary ([`id`] to [`fleet`]), where a batch goes ([`batch`], [`placement`]), and what a
//! store does ([`ledger`], [`model`], checked by [`audit`]). Nothing here reads a clock, does I/O, or answers differently twice.

pub mod id;
pub mod time;

pub mod quantity;
pub mod resources;

pub mod container;
pub mod request;
pub mod wait;
pub mod worker;

pub mod fleet;
pub mod quota;

pub mod batch;
pub mod placement;
mod strategy;

pub mod provisioning;
pub mod retry;

pub mod audit;
pub mod ledger;
pub mod model;
