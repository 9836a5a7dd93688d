//! A store in plain files: one log a cell, in a folder that nobody else has open.
//!
//! A step reads rows in memory. What it writes is one record of the log, on the disk before it is answered; opening the
//! folder replays the logs. A log only grows: whoever uses this writes the rows anew from time to time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::id::{Boot, CellName, History};
use domain::model::{CellRow, MemoryRows};
use ports::rows::{ReadStep, RowStore, WriteStep};
use ports::{Limits, PortError, PortResult};

use crate::log::Log;
use crate::record::{decode, encode};

/// The store. Calls may come from anywhere at once; the disk is waited for on a thread of its own.
pub(crate) struct FileStore(Arc<Folder>);

struct Folder {
    path: PathBuf,
    boot: Boot,
    cells: Mutex<BTreeMap<CellName, Book>>,
    /// Locked for as long as the store is open.
    _lock: File,
}

/// One cell.
struct Book {
    rows: MemoryRows<PortError>,
    /// None once a write has failed: what is on the disk is known again when the folder is opened again.
    log: Option<Log>,
}

impl FileStore {
    /// Opens a folder, and makes it if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = File::create(path.join("lock"))?;
        lock.try_lock()?;
        let boot = Boot::from_random(getrandom::u64().map_err(io::Error::other)?);
        Ok(Self(Arc::new(Folder { path: path.to_owned(), boot, cells: Mutex::default(), _lock: lock })))
    }

    async fn on_thread(
        &self,
        cell: &CellName,
        run: impl FnOnce(&mut Book) -> PortResult<()> + Send + 'static,
    ) -> PortResult<()> {
        let (folder, cell) = (Arc::clone(&self.0), cell.clone());
        let run = tokio::task::spawn_blocking(move || folder.with(&cell, run));
        run.await.map_err(PortError::unavailable)?
    }
}

#[async_trait]
impl RowStore for FileStore {
    async fn write(&self, cell: &CellName, mut step: WriteStep) -> PortResult<()> {
        self.on_thread(cell, move |book| book.write(&mut step)).await
    }

    async fn read(&self, cell: &CellName, mut step: ReadStep) -> PortResult<()> {
        self.on_thread(cell, move |book| step(&book.rows)).await
    }

    fn limits(&self) -> Limits {
        Limits { exclusive: true, ..Limits::default() }
    }
}

impl Folder {
    fn with(&self, cell: &CellName, run: impl FnOnce(&mut Book) -> PortResult<()>) -> PortResult<()> {
        // A step that panicked has written nothing.
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        match cells.entry(cell.clone()) {
            Entry::Occupied(book) => run(book.into_mut()),
            Entry::Vacant(place) => run(place.insert(self.replay(cell)?)),
        }
    }

    fn replay(&self, cell: &CellName) -> PortResult<Book> {
        let (log, records) = Log::open(&self.path.join(format!("{cell}.log"))).map_err(PortError::unavailable)?;
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(PortError::unavailable)?;
        let history = getrandom::u64().map_err(|error| PortError::unavailable(error.to_string()))?;
        let mut rows = MemoryRows::new(CellRow::new(History::from_random(history)), self.boot);
        for record in records {
            rows.apply(decode(&record)?);
        }
        Ok(Book { rows, log: Some(log) })
    }
}

impl Book {
    /// The rows change only once the log has the changes.
    fn write(&mut self, step: &mut WriteStep) -> PortResult<()> {
        let Some(log) = &mut self.log else {
            return Err(PortError::unavailable("an earlier write failed: open the store again"));
        };
        let changes = step(&self.rows)?;
        if let Some(record) = encode(&changes)?
            && let Err(error) = log.append(&record)
        {
            self.log = None;
            return Err(PortError::unavailable(error));
        }
        self.rows.apply(changes);
        Ok(())
    }
}
