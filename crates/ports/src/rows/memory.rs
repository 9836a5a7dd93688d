//! The store that keeps nothing: every cell's rows in memory, gone with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::id::{Boot, CellName, History};
use domain::model::{CellRow, MemoryRows};

use super::{ReadStep, RowStore, WriteStep};
use crate::{Limits, PortError, PortResult};

/// Cells in memory.
pub struct MemoryStore {
    boot: Boot,
    cells: Mutex<BTreeMap<CellName, MemoryRows<PortError>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> PortResult<Self> {
        Ok(Self { boot: Boot::from_random(random()?), cells: Mutex::default() })
    }

    /// Cells whose steps panicked are as they were before: a step writes nothing until it has ended.
    fn cells(&self) -> MutexGuard<'_, BTreeMap<CellName, MemoryRows<PortError>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, cell: &CellName, run: impl FnOnce(&mut MemoryRows<PortError>) -> PortResult<T>) -> PortResult<T> {
        let mut cells = self.cells();
        if !cells.contains_key(cell) {
            let row = CellRow::new(History::from_random(random()?));
            cells.insert(cell.clone(), MemoryRows::new(row, self.boot));
        }
        cells.get_mut(cell).map_or_else(|| Err(PortError::unavailable("no such cell")), run)
    }
}

fn random() -> PortResult<u64> {
    getrandom::u64().map_err(|error| PortError::unavailable(error.to_string()))
}

#[async_trait]
impl RowStore for MemoryStore {
    async fn write(&self, cell: &CellName, mut step: WriteStep) -> PortResult<()> {
        self.with(cell, |rows| {
            let changes = step(rows)?;
            rows.apply(changes);
            Ok(())
        })
    }

    async fn read(&self, cell: &CellName, mut step: ReadStep) -> PortResult<()> {
        self.with(cell, |rows| step(rows))
    }

    fn limits(&self) -> Limits {
        Limits { exclusive: true, ..Limits::default() }
    }
}
