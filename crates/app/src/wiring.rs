//! The one place that knows which stores there are.

use anyhow::Context as _;
use ports::Ports;
use ports::rows::{MemoryStore, RowPorts};

use crate::config::{Config, StoreKind};
use crate::embedded::EmbeddedStore;

/// Opens the store that the configuration names.
pub fn open(config: &Config) -> anyhow::Result<Ports> {
    Ok(match config.store {
        StoreKind::Embedded => {
            let store = EmbeddedStore::open(&config.data);
            RowPorts::over(store.with_context(|| format!("failed to open the store in {}", config.data.display()))?)
        }
        StoreKind::Memory => RowPorts::over(MemoryStore::new()?),
    })
}
