//! The embedded store: every cell of one data folder in one file, for one process at a time.
//!
//! It takes the short way of `ports::rows`: reads run the domain's steps over a snapshot of what is durable; writes are
//! handed to one thread, which merges the steps that wait into one transaction and one sync to disk (`writer`).

mod config;
mod copied;
mod error;
mod file;
mod keys;
mod numbers;
mod rows;
mod tables;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use domain::id::{Boot, CallNumber, CellName, WorkerId};
use ports::rows::{ReadStep, RowStore, WriteStep};
use ports::{Limits, PortError, PortResult};
use tokio::sync::{mpsc, oneshot};

pub use error::OpenError;
use file::StoreFile;
use numbers::Numbers;
use rows::CellRows;
use tables::Tables;
use writer::{Job, Writer};

/// Cells in one file, which no other process can open at the same time.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// `None` once the store is being dropped: that ends the writer.
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// What readers and the writer share.
struct Shared {
    file: StoreFile,
    numbers: Numbers,
    boot: Boot,
    commits: AtomicU64,
}

impl EmbeddedStore {
    /// Opens the store in the folder `dir`, or makes both.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let file = StoreFile::open(dir)?;
        if file.is_copied(new_boot()?)? {
            tracing::warn!("the store was restored from a copy: every cell begins a new history");
        }
        Self::over(file)
    }

    /// Opens the store that is in the folder `dir` to look at it, whether or not it is a copy; makes none.
    pub fn open_existing(dir: &Path) -> Result<Self, OpenError> {
        StoreFile::check_there(dir)?;
        Self::over(StoreFile::open(dir)?)
    }

    fn over(file: StoreFile) -> Result<Self, OpenError> {
        let boot = new_boot()?;
        let shared = Arc::new(Shared { file, numbers: Numbers::default(), boot, commits: AtomicU64::new(0) });
        let (queue, jobs) = mpsc::channel(config::QUEUE_JOBS_MAX);
        let writer = Writer::new(Arc::clone(&shared), jobs);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| OpenError::Start(error.into()))?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer) })
    }

    /// How often it has synced to disk since it was opened; steps that came together share one.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }
}

fn new_boot() -> Result<Boot, OpenError> {
    getrandom::u64().map(Boot::from_random).map_err(|error| OpenError::Start(error.into()))
}

impl Drop for EmbeddedStore {
    /// Waits for what is queued to be written, and leaves the file to the next process.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was answered to whoever waited for it.
            let _ = writer.join();
        }
        self.shared.file.close();
    }
}

#[async_trait]
impl RowStore for EmbeddedStore {
    async fn write(&self, cell: &CellName, step: WriteStep) -> PortResult<()> {
        let (answer, answered) = oneshot::channel();
        let job = Job { cell: cell.clone(), step, answer };
        let closed = || PortError::unavailable("the store is closed");
        self.queue.as_ref().ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Off the caller's thread: a long read takes milliseconds, and a cold page a disk access.
    async fn read(&self, cell: &CellName, mut step: ReadStep) -> PortResult<()> {
        let (shared, cell) = (Arc::clone(&self.shared), cell.clone());
        let ran = tokio::task::spawn_blocking(move || shared.read(&cell, &mut step)).await;
        ran.unwrap_or_else(|stopped| Err(PortError::unavailable(stopped)))
    }

    fn limits(&self) -> Limits {
        Limits { exclusive: true, ..Limits::default() }
    }
}

impl Shared {
    /// Runs a step over a snapshot. Only a step that asks for numbers is run again, over a snapshot taken together with
    /// them: that waits while a commit which changes both is under way, and no other read has to.
    fn read(&self, cell: &CellName, step: &mut ReadStep) -> PortResult<()> {
        let tables = Tables::of_read(&self.file.begin_read()?)?;
        let asked = Cell::new(false);
        let refuse = |_: &WorkerId| {
            asked.set(true);
            Err(PortError::unavailable("numbers are read in a second run"))
        };
        let ran = step(&CellRows::new(cell, &tables, self.boot, &refuse));
        if !asked.get() {
            return ran;
        }
        let (snapshot, numbers) = {
            let held = self.numbers.hold();
            (self.file.begin_read()?, held.of(cell))
        };
        let number = |worker: &WorkerId| -> PortResult<CallNumber> { Ok(numbers::look_up(&numbers, worker)) };
        step(&CellRows::new(cell, &Tables::of_read(&snapshot)?, self.boot, &number))
    }
}
