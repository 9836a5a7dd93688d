//! A disk in memory that can fail, hold a sync back, lose its power, and lose or tear what was not synced.

use std::io::{Error, ErrorKind};
use std::mem::take;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::StorageBackend;

use ports::random::dice::Dice;

/// What a disk writes at once or not at all, if it keeps to its word.
const SECTOR: usize = 512;

/// A disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    platter: Mutex<Platter>,
    is_held: Mutex<bool>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Platter {
    /// What who reads is shown.
    written: Vec<u8>,
    synced: Vec<u8>,
    /// What leads from the one to the other.
    unsynced: Vec<Edit>,
    is_full: bool,
    /// Syncs are answered, and nothing is made durable.
    lies: bool,
    /// How many more operations are made before the power goes out.
    powered_for: Option<u64>,
    is_off: bool,
}

#[derive(Debug, Clone)]
enum Edit {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

/// What a loss of power took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Writes of which something is gone.
    pub(super) writes: usize,
    /// How much of them.
    pub(super) bytes: usize,
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

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0.platter).written.is_empty()
    }

    /// From now on nothing can be written, or it can again.
    pub(super) fn fill(&self, is_full: bool) {
        lock(&self.0.platter).is_full = is_full;
    }

    /// From now on syncs are answered and do nothing.
    pub(super) fn lie(&self) {
        lock(&self.0.platter).lies = true;
    }

    /// Keeps syncs from returning, until what is answered is dropped.
    pub(super) fn hold_syncs(&self) -> HeldSyncs<'_> {
        *lock(&self.0.is_held) = true;
        HeldSyncs(&self.0)
    }

    /// So many more writes and syncs are made; the next is under way when the power goes out.
    pub(super) fn cut_power_after(&self, operations: u64) {
        lock(&self.0.platter).powered_for = Some(operations);
    }

    /// Another disk with what was synced here: the least that a machine finds after it lost its power.
    pub(super) fn after_power_loss(&self) -> Self {
        Self::holding(lock(&self.0.platter).synced.clone())
    }

    /// Another disk with what was synced here and any part of what was not, and what is missing of that.
    pub(super) fn after_power_cut(&self, dice: &mut Dice) -> (Self, Lost) {
        let platter = lock(&self.0.platter);
        let (mut survived, mut lost) = (platter.synced.clone(), Lost::default());
        let mut edits = platter.unsynced.clone();
        dice.shuffle(&mut edits);
        let (tear, kept_of_ten) = (dice.below(3), dice.below(10));
        for edit in edits {
            let mut gone = 0;
            for piece in edit.pieces(tear, dice) {
                if dice.below(10) < kept_of_ten {
                    edit.make(&mut survived, piece);
                } else {
                    gone += piece.len();
                }
            }
            lost.writes += usize::from(gone > 0);
            lost.bytes += gone;
        }
        (Self::holding(survived), lost)
    }

    fn holding(bytes: Vec<u8>) -> Self {
        let platter = Platter { written: bytes.clone(), synced: bytes, ..Platter::default() };
        Self(Arc::new(State { platter: Mutex::new(platter), ..State::default() }))
    }
}

impl Edit {
    fn whole(&self) -> Range<usize> {
        match self {
            Self::Length(_) => 0..0,
            Self::Bytes(_, bytes) => 0..bytes.len(),
        }
    }

    /// What of it survives or not, each by itself: all of it at once, the part in each sector, or either side of a byte.
    fn pieces(&self, tear: u64, dice: &mut Dice) -> Vec<Range<usize>> {
        let Self::Bytes(offset, bytes) = self else { return vec![self.whole()] };
        let mut bounds = vec![0, bytes.len()];
        match tear {
            0 => {}
            1 => bounds.extend((1..bytes.len()).filter(|at| (offset + at).is_multiple_of(SECTOR))),
            _ => bounds.push(dice.size(bytes.len() as u64)),
        }
        bounds.sort_unstable();
        bounds.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// Makes a piece of it. What lies beyond the end of a file makes it longer.
    fn make(&self, file: &mut Vec<u8>, piece: Range<usize>) {
        match self {
            Self::Length(length) => file.resize(*length, 0),
            Self::Bytes(offset, bytes) => {
                let (from, to) = (offset + piece.start, offset + piece.end);
                file.resize(file.len().max(to), 0);
                file[from..to].copy_from_slice(&bytes[piece]);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics")
}

impl Platter {
    fn edit(&mut self, edit: Edit) -> Result<(), Error> {
        self.check()?;
        edit.make(&mut self.written, edit.whole());
        self.unsynced.push(edit);
        self.work()
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.check()?;
        self.work()?;
        if !self.lies {
            for edit in take(&mut self.unsynced) {
                edit.make(&mut self.synced, edit.whole());
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        self.check_power()?;
        if self.is_full { Err(Error::new(ErrorKind::StorageFull, "no space left")) } else { Ok(()) }
    }

    fn check_power(&self) -> Result<(), Error> {
        if self.is_off { Err(Error::other("the power is out")) } else { Ok(()) }
    }

    /// Fails if the power goes out meanwhile.
    fn work(&mut self) -> Result<(), Error> {
        match &mut self.powered_for {
            Some(0) => self.is_off = true,
            Some(left) => *left -= 1,
            None => {}
        }
        self.check_power()
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, Error> {
        Ok(lock(&self.0.platter).written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let offset = in_memory(offset);
        let platter = lock(&self.0.platter);
        platter.check_power()?;
        let range = platter.written.get(offset..offset + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(range);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        lock(&self.0.platter).edit(Edit::Length(in_memory(len)))
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut is_held = lock(&self.0.is_held);
        while *is_held {
            is_held = self.0.released.wait(is_held).expect("nobody panics");
        }
        drop(is_held);
        lock(&self.0.platter).sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        lock(&self.0.platter).edit(Edit::Bytes(in_memory(offset), data.to_vec()))
    }
}

fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).expect("it is in memory")
}
