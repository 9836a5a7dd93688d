//! The clauses that every store keeps, on real servers: one alone, a cluster of three, and one whose every answer is lost
//! once.

#![cfg(feature = "testing")]

mod cluster;
mod lossy;
mod standalone;

use adapters_redis::RedisConfig;
use domain::id::{CellName, ContainerId};
use ports::Ports;

/// The ports of the store at an address.
fn open(address: &str) -> Ports {
    adapters_redis::open(RedisConfig::parse(address).expect("an address")).expect("a store")
}

/// The key and the field of a container's row.
fn row_of(cell: &CellName, container: &ContainerId) -> (String, String) {
    (format!("stowplan:{{{cell}}}:containers"), container.to_string())
}
