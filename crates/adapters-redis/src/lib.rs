//! The Redis store: the five ports by hand, each step one script that reads, decides, and then writes.
//!
//! A call of a port goes through its file (`backlog`, `workers`, `placements`, `containers`, `leadership`), which says it
//! in the words of a script, to `store`, which runs the script where the cell lives. Submits, takes and reports go by way
//! of `together`, where those that come at once share a step. The scripts in `lua/` follow `domain::model` step by step;
//! `lua/step.lua` is the overlay of a step. `records` reads rows back, `connection` talks to servers, `subscription` hears
//! what steps say of themselves.

mod address;
mod backlog;
mod checks;
mod config;
mod connection;
mod containers;
mod error;
mod keys;
mod leadership;
mod placements;
mod records;
mod scripts;
mod store;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
mod together;
mod told;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use domain::id::CellName;
use ports::{Limits, PortResult, Ports};

pub use address::BadAddress;
pub use checks::{Checks, Warning};
pub use config::{BadConfig, RedisConfig};
use connection::Connections;
use store::Store;

/// How often a cell is read while somebody waits and its events are not heard.
const POLL: Duration = Duration::from_millis(50);

/// The ports of a Redis store.
struct RedisPorts {
    store: Arc<Store>,
}

/// Asks the server that holds the cell what it is: `Unsupported` if it cannot be trusted with one.
pub async fn check(config: RedisConfig, cell: &CellName) -> PortResult<Checks> {
    checks::check(&Connections::new(config)?, cell).await
}

/// Opens the store; connects when it is first used.
pub fn open(config: RedisConfig) -> PortResult<Ports> {
    let ports = Arc::new(RedisPorts { store: Store::new(Arc::new(Connections::new(config)?)) });
    Ok(Ports {
        backlog: ports.clone(),
        workers: ports.clone(),
        placements: ports.clone(),
        containers: ports.clone(),
        leadership: ports,
        limits: Limits::default(),
    })
}
