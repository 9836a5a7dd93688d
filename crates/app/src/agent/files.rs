//! Files that are read while others write them: replaced whole, by rename.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a replaced file must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlives {
    /// Any death of a process. What is about the processes of one boot needs no more.
    Processes,
    /// A power failure too.
    PowerFailure,
}

/// Replaces the file at `path` whole: readers see the old content or the new.
pub fn replace(path: &Path, content: &[u8], outlives: Outlives) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    if outlives == Outlives::PowerFailure {
        file.sync_all()?;
    }
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) if outlives == Outlives::PowerFailure => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Replaces the file at `path` by `value` as JSON.
pub fn replace_json<T: Serialize>(path: &Path, value: &T, outlives: Outlives) -> io::Result<()> {
    replace(path, &serde_json::to_vec(value)?, outlives)
}

/// Reads the JSON at `path`; `None` if there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
