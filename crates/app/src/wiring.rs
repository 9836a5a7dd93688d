//! The one place that knows which stores there are.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ports::Ports;
use ports::rows::{MemoryStore, RowPorts, RowStore};

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

/// Opens the store in a folder, which no server may have open, to read its rows.
pub fn open_stopped(folder: &Path) -> anyhow::Result<Arc<dyn RowStore>> {
    let store = EmbeddedStore::open_existing(folder);
    Ok(Arc::new(store.with_context(|| format!("failed to open the store in {}", folder.display()))?))
}
