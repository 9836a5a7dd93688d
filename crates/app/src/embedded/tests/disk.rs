//! A disk in memory that can fail, hold a sync back, and lose what was not synced.

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::StorageBackend;

/// A disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    written: Mutex<Vec<u8>>,
    synced: Mutex<Vec<u8>>,
    is_full: AtomicBool,
    is_held: Mutex<bool>,
    released: Condvar,
}

/// Syncs are held while this lives.
pub(super) struct HeldSyncs<'a>(&'a State);

impl Drop for HeldSyncs<'_> {
    fn drop(&mut self) {
        *lock(&self.0.is_held) = false;
        self.0.released.notify_all();
    }
}

#[derive(Debug)]
struct Backend(Arc<State>);

impl Disk {
    pub(super) fn backend(&self) -> impl StorageBackend {
        Backend(Arc::clone(&self.0))
    }

    /// From now on nothing can be written, or it can again.
    pub(super) fn fill(&self, is_full: bool) {
        self.0.is_full.store(is_full, Ordering::SeqCst);
    }

    /// Keeps syncs from returning, until what is answered is dropped.
    pub(super) fn hold_syncs(&self) -> HeldSyncs<'_> {
        *lock(&self.0.is_held) = true;
        HeldSyncs(&self.0)
    }

    /// Another disk with what was synced here: what a machine finds after it lost its power.
    pub(super) fn after_power_loss(&self) -> Self {
        let other = Self::default();
        lock(&other.0.written).clone_from(&lock(&self.0.synced));
        other
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics")
}

impl Backend {
    fn check_room(&self) -> Result<(), Error> {
        let is_full = self.0.is_full.load(Ordering::SeqCst);
        if is_full { Err(Error::new(ErrorKind::StorageFull, "no space left")) } else { Ok(()) }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, Error> {
        Ok(lock(&self.0.written).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let offset = usize::try_from(offset).expect("it is in memory");
        let written = lock(&self.0.written);
        let range = written.get(offset..offset + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(range);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.check_room()?;
        lock(&self.0.written).resize(usize::try_from(len).expect("it is in memory"), 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut is_held = lock(&self.0.is_held);
        while *is_held {
            is_held = self.0.released.wait(is_held).expect("nobody panics");
        }
        drop(is_held);
        self.check_room()?;
        lock(&self.0.synced).clone_from(&lock(&self.0.written));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.check_room()?;
        let offset = usize::try_from(offset).expect("it is in memory");
        lock(&self.0.written)[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}
