//! The file: made, locked, opened, and opened again after a failed write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::id::Boot;
use ports::{PortError, PortResult, Source};
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageError, WriteTransaction};

use super::config::{CACHE_BYTES_MAX, FILE_NAME, LOCK_NAME, NEW_FILE_NAME};
use super::copied::{self, Identity};
use super::error::{OpenError, Panicked, unavailable};
use super::tables;

/// Opens the database, now and after a failure.
type Opener = Box<dyn Fn() -> Result<Database, Source> + Send + Sync>;

/// The database of a store.
pub(super) struct StoreFile {
    open: Opener,
    database: RwLock<Option<Database>>,
    /// Where it is, unless it is not in a folder.
    path: Option<PathBuf>,
    /// Held until the store is dropped, also while the database is closed and opened again.
    _lock: Option<File>,
}

/// How long a lock that is held may take to come free; it is tried every `LOCK_PAUSE`.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// See `LOCK_PATIENCE`.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

impl StoreFile {
    /// Opens the store's file in the folder `dir`, or makes both.
    ///
    /// A process that has just been started by the last holder holds its locks until it runs its own program: only a lock
    /// that stays means that the store is in use.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match Self::try_open(dir) {
                Err(OpenError::InUse { .. }) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
                opened => return opened,
            }
        }
    }

    /// Refuses a folder that holds no store.
    pub(super) fn check_there(dir: &Path) -> Result<(), OpenError> {
        match dir.join(FILE_NAME).try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(OpenError::Absent { dir: dir.to_owned() }),
            Err(source) => Err(OpenError::Folder { path: dir.to_owned(), source }),
        }
    }

    fn try_open(dir: &Path) -> Result<Self, OpenError> {
        let folder = |source| OpenError::Folder { path: dir.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(folder)?;
        let lock = lock(dir)?;
        let path = dir.join(FILE_NAME);
        if !path.try_exists().map_err(folder)? {
            create(dir, &path)?;
        }
        let refused = |source: Source| refusal(&path, source);
        let database = open_caught(&path).map_err(refused)?;
        tables::check(&database, &path)?;
        let place = path.clone();
        let open = Box::new(move || open_caught(&path));
        Ok(Self { open, database: RwLock::new(Some(database)), path: Some(place), _lock: Some(lock) })
    }

    /// A store somewhere else than in a folder.
    #[cfg(test)]
    pub(super) fn through(
        open: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, Source> {
        let open = Box::new(move || caught(&open));
        Ok(Self { database: RwLock::new(Some(open()?)), open, path: None, _lock: None })
    }

    /// Whether the file is a copy of the one that was written last; if so, every cell has begun a new history.
    pub(super) fn is_copied(&self, boot: Boot) -> Result<bool, OpenError> {
        let Some(path) = &self.path else { return Ok(false) };
        let identity = Identity::of(path).map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        let noticed = copied::notice(self, identity, boot);
        noticed.map_err(|source| OpenError::Storage { path: path.clone(), source })
    }

    /// What is durable now.
    pub(super) fn begin_read(&self) -> PortResult<ReadTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or_else(closed)?.begin_read().map_err(unavailable)
    }

    /// A transaction that will be quick to repair if the process dies in it.
    pub(super) fn begin_write(&self) -> PortResult<WriteTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = database.as_ref().ok_or_else(closed)?.begin_write().map_err(unavailable)?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// Closes the database and opens it as it is on disk: after a failed write it serves nothing else.
    pub(super) fn reopen(&self) -> Result<(), Source> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(database.take());
        *database = Some((self.open)()?);
        Ok(())
    }

    /// Closes the database; reads that are under way fail.
    pub(super) fn close(&self) {
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn closed() -> PortError {
    PortError::unavailable("the store is closed")
}

/// Keeps other processes out, by a lock that ends with this process however it ends.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_NAME);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|source| OpenError::Folder { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Folder { path, source }),
    }
}

/// Makes an empty store under another name first: a process that dies here leaves nothing that looks like a store.
fn create(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let new = dir.join(NEW_FILE_NAME);
    let folder = |source| OpenError::Folder { path: new.clone(), source };
    let storage = |source: Source| OpenError::Storage { path: new.clone(), source };
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(folder(error)),
        _ => {}
    }
    // What containers are given in their environment is nobody else's to read.
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new).map_err(folder)?;
    let database = Builder::new().create(&new).map_err(|error| storage(error.into()))?;
    tables::create(&database).map_err(storage)?;
    database.close().map_err(|error| storage(error.into()))?;
    file.sync_all().map_err(folder)?;
    std::fs::rename(&new, path).map_err(folder)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(folder)
}

fn open_caught(path: &Path) -> Result<Database, Source> {
    caught(|| Builder::new().set_cache_size(CACHE_BYTES_MAX).open(path))
}

/// A file that something else has damaged may make the database panic.
fn caught(open: impl Fn() -> Result<Database, DatabaseError>) -> Result<Database, Source> {
    let opened = catch_unwind(AssertUnwindSafe(open));
    Ok(opened.map_err(|panic| Panicked::with(&*panic))??)
}

/// Says what a failure to open means.
fn refusal(path: &Path, source: Source) -> OpenError {
    let path: PathBuf = path.to_owned();
    match source.downcast_ref::<DatabaseError>() {
        Some(DatabaseError::DatabaseAlreadyOpen) => OpenError::InUse { dir: path.parent().unwrap_or(&path).to_owned() },
        Some(DatabaseError::UpgradeRequired(_)) => OpenError::NotOurs { path, source },
        Some(DatabaseError::Storage(StorageError::Io(error))) if error.kind() == ErrorKind::InvalidData => {
            OpenError::NotOurs { path, source }
        }
        _ => OpenError::Storage { path, source },
    }
}
