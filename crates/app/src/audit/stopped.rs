//! A store that nobody else has open, read whole.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use domain::audit::{self, Audit, Corruption, Whole};
use domain::fleet::Quotas;
use domain::id::CellName;
use ports::rows::{RowStore, RowsOf};
use ports::{PortError, PortResult};

use super::Verdict;

/// How the store in a folder is opened.
pub type OpenStore = fn(&Path) -> anyhow::Result<Arc<dyn RowStore>>;

/// Reads a cell; nothing is limited without quotas.
pub async fn of_store(store: &dyn RowStore, cell: &CellName, quotas: Option<&Quotas>) -> PortResult<Verdict> {
    let Whole { audit, cell, found } = match read(store, cell).await {
        Ok(whole) => whole,
        // Without the cell's own row, or a name in an index, there is nothing to compare with.
        Err(PortError::Corrupt { what, .. }) => {
            return Ok(Verdict::new(0, &Audit::default(), vec![Corruption::Undecodable { what }.into()]));
        }
        Err(error) => return Err(error),
    };
    let notices = quotas.map(|quotas| audit.limits(quotas)).unwrap_or_default();
    Ok(Verdict::new(cell.revision.0, &audit, [found, notices].concat()))
}

async fn read(store: &dyn RowStore, cell: &CellName) -> PortResult<Whole> {
    let whole = Arc::new(Mutex::new(None));
    let found = Arc::clone(&whole);
    let step = move |rows: &RowsOf<'_>| {
        *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(audit::whole(&rows)?);
        Ok(())
    };
    store.read(cell, Box::new(step)).await?;
    let whole = whole.lock().unwrap_or_else(PoisonError::into_inner).take();
    whole.ok_or_else(|| PortError::unavailable("the store answered without reading"))
}
