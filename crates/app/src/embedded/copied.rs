//! A data folder that was restored from a copy: what was written after the copy is lost, so every cell begins a new
//! history.
//!
//! A file is known by its inode and its birth, which a copy does not share. What was copied over the old file in place,
//! or with the whole disk, is noticed later, when a worker has seen more than there is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use domain::id::{Boot, CallNumber, CellName, WorkerId};
use domain::model::{Change, history};
use ports::{PortResult, Source};
use redb::ReadableTable;

use super::file::StoreFile;
use super::rows::CellRows;
use super::tables::{self, Tables};
use super::write::Write;

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    /// In nanoseconds of the wall clock; 0 where files have no birth.
    pub(super) born: u64,
}

impl Identity {
    /// The identity of the file at `path`.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        let born = about.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0);
        Ok(Self { inode: about.ino(), born })
    }
}

/// Starts a new history in every cell if the file, which is `now`, is a copy of the one that was written last. Answers
/// whether it did.
pub(super) fn notice(file: &StoreFile, now: Identity, boot: Boot) -> Result<bool, Source> {
    let transaction = file.begin_write()?;
    let before = tables::identity(&transaction)?;
    if before == Some(now) {
        transaction.abort()?;
        return Ok(false);
    }
    tables::set_identity(&transaction, now)?;
    if before.is_some() {
        rewind_all(&mut Tables::of_write(&transaction)?, boot)?;
    }
    transaction.commit()?;
    Ok(before.is_some())
}

fn rewind_all(tables: &mut Tables<tables::Writing<'_>>, boot: Boot) -> Result<(), Source> {
    let number = |_: &WorkerId| Ok(CallNumber(0));
    for name in cells(tables)? {
        let cell = CellName::new(&name)?;
        let (_, changes) = history::rewind(&CellRows::new(&cell, tables, boot, &number))?;
        let is_row = |change: &Change| !matches!(change, Change::Number(..));
        let writes = changes.into_iter().filter(is_row).map(Write::of).collect::<PortResult<Vec<_>>>()?;
        for write in &writes {
            tables.make(cell.as_str(), write)?;
        }
    }
    Ok(())
}

fn cells(tables: &Tables<tables::Writing<'_>>) -> Result<Vec<String>, Source> {
    let mut names = Vec::new();
    for cell in tables.cells.iter()? {
        names.push(cell?.0.value().to_owned());
    }
    Ok(names)
}
