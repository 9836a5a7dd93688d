//! Every port from one transactional row store: the short way to a new backend.
//!
//! A store that can run a step over its rows in one atomic transaction implements [`RowStore`]; [`RowPorts`] makes the
//! five ports of it by running the steps of `domain::model`.

mod finished;
mod memory;
mod repositories;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::id::{CellName, Revision, WorkerId};
use domain::model::{Change, Fence, Rows};

use crate::signals::{Heights, Signals};
use crate::{Limits, PortError, PortResult, Ports};
use finished::Finished;
pub use memory::MemoryStore;

/// The rows of one cell within one transaction.
pub type RowsOf<'a> = dyn Rows<Error = PortError> + 'a;
/// Reads rows. May be run more than once; the last run counts.
pub type ReadStep = Box<dyn FnMut(&RowsOf<'_>) -> PortResult<()> + Send>;
/// Reads rows and answers what to write. May be run more than once; the last run counts.
pub type WriteStep = Box<dyn FnMut(&RowsOf<'_>) -> PortResult<Vec<Change>> + Send>;

/// A store that can run a step over the rows of one cell in one atomic transaction.
///
/// The cell's row of a cell that was never written is `CellRow::new` of a random history. Rows are seen as they were
/// committed last, and only once they are durable; numbers of workers alone may live in memory, in which case they begin
/// at 0 with each boot.
#[async_trait]
pub trait RowStore: Send + Sync + 'static {
    /// Runs `step` and makes all its changes or none, durably, before it answers.
    async fn write(&self, cell: &CellName, step: WriteStep) -> PortResult<()>;

    /// Runs `step` over one consistent state.
    async fn read(&self, cell: &CellName, step: ReadStep) -> PortResult<()>;

    /// What the store can take.
    fn limits(&self) -> Limits;
}

/// Whoever shares a store may make ports of it, and keep it.
#[async_trait]
impl<S: RowStore + ?Sized> RowStore for Arc<S> {
    async fn write(&self, cell: &CellName, step: WriteStep) -> PortResult<()> {
        (**self).write(cell, step).await
    }

    async fn read(&self, cell: &CellName, step: ReadStep) -> PortResult<()> {
        (**self).read(cell, step).await
    }

    fn limits(&self) -> Limits {
        (**self).limits()
    }
}

/// The five ports over one [`RowStore`].
pub struct RowPorts<S> {
    store: Arc<S>,
    known: Mutex<BTreeSet<CellName>>,
    signals: Arc<Signals>,
}

impl<S: RowStore> RowPorts<S> {
    /// Makes the ports.
    pub fn over(store: S) -> Ports {
        let limits = store.limits();
        let ports = Arc::new(Self { store: Arc::new(store), known: Mutex::default(), signals: Arc::default() });
        Ports {
            backlog: ports.clone(),
            workers: ports.clone(),
            placements: ports.clone(),
            containers: ports.clone(),
            leadership: ports,
            limits,
        }
    }

    /// Runs a step that writes, and tells those who wait what it did.
    async fn write<T, F>(&self, cell: &CellName, mut step: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnMut(&RowsOf<'_>) -> PortResult<(T, Vec<Change>)> + Send + 'static,
    {
        self.know(cell).await?;
        let slot = Slot::default();
        let answer = slot.clone();
        let run = move |rows: &RowsOf<'_>| {
            let (answer_now, changes) = step(rows)?;
            answer.put((answer_now, effect_of(&changes)));
            Ok(changes)
        };
        let (store, signals, cell) = (Arc::clone(&self.store), Arc::clone(&self.signals), cell.clone());
        let written = async move {
            store.write(&cell, Box::new(run)).await?;
            let (answer, effect) = slot.take()?;
            if let Some((heights, ordered)) = effect {
                signals.raise(&cell, heights, ordered);
            }
            Ok(answer)
        };
        Finished::of(written).await
    }

    /// Runs a fenced step that writes.
    async fn write_fenced<T, F>(&self, cell: &CellName, mut step: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnMut(&RowsOf<'_>) -> PortResult<(Result<T, Fence>, Vec<Change>)> + Send + 'static,
    {
        match self.write(cell, move |rows| step(rows)).await? {
            Ok(answer) => Ok(answer),
            Err(Fence::StaleTerm) => Err(PortError::StaleTerm),
            Err(Fence::Rewound) => Err(PortError::Rewound),
        }
    }

    /// Runs a step that only reads.
    async fn read<T, F>(&self, cell: &CellName, mut step: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnMut(&RowsOf<'_>) -> PortResult<T> + Send + 'static,
    {
        self.know(cell).await?;
        let slot = Slot::default();
        let answer = slot.clone();
        let run = move |rows: &RowsOf<'_>| {
            answer.put(step(rows)?);
            Ok(())
        };
        self.store.read(cell, Box::new(run)).await?;
        slot.take()
    }

    /// Writes the row of a cell down when it is first touched, so that its history is one.
    async fn know(&self, cell: &CellName) -> PortResult<()> {
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(cell) {
            return Ok(());
        }
        let create = |rows: &RowsOf<'_>| {
            let row = rows.cell()?;
            Ok(if row.revision == Revision(0) { vec![Change::Cell(row)] } else { Vec::new() })
        };
        self.store.write(cell, Box::new(create)).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(cell.clone());
        Ok(())
    }
}

/// What a step means to those who wait: how far it brought the cell, and which workers it gave orders. Nothing if it
/// wrote nothing.
fn effect_of(changes: &[Change]) -> Option<(Heights, Vec<WorkerId>)> {
    let cell = changes.iter().find_map(|change| match change {
        Change::Cell(row) => Some(row),
        _ => None,
    })?;
    let ordered = changes.iter().filter_map(|change| match change {
        Change::Container(replace) => replace.after.as_ref()?.state.placement(),
        _ => None,
    });
    let ordered = ordered.filter(|place| place.order == cell.revision).map(|place| place.worker.clone());
    let mut ordered: Vec<_> = ordered.collect();
    ordered.sort();
    ordered.dedup();
    Some((Heights::of(cell), ordered))
}

/// Where a step leaves its answer.
struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    fn put(&self, answer: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    fn take(&self) -> PortResult<T> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.ok_or_else(|| PortError::unavailable("the store answered without running the step"))
    }
}
