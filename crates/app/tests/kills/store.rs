//! What a store holds, audited.

use domain::audit::{self, Finding};
use domain::container::Phase;
use domain::id::CellName;
use ports::rows::{RowStore, RowsOf};
use tokio::sync::mpsc;

/// Audits the cell of a store; answers how many containers are in each phase.
pub(crate) fn audited(store: &impl RowStore) -> impl Fn(Phase) -> usize {
    let (sender, mut receiver) = mpsc::channel(1);
    let step = Box::new(move |rows: &RowsOf<'_>| {
        sender.try_send((audit::of_rows(&rows)?, rows.cell()?.phases)).unwrap();
        Ok(())
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.read(&cell(), step)).unwrap();
    let (found, phases) = receiver.try_recv().unwrap();
    assert!(!found.iter().any(Finding::is_corruption), "{found:#?}");
    move |phase| usize::try_from(phases[phase as usize]).unwrap()
}

/// The cell that is planned.
pub(crate) fn cell() -> CellName {
    CellName::new("main").unwrap()
}
