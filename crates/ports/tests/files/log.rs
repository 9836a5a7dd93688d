//! A text file of records: each a line, behind the digest of what it says.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use domain::request::Digest;

/// A log, open at its end.
pub(crate) struct Log(File);

impl Log {
    /// Opens the log at `path`, and makes it if it is not there. Answers its records, oldest first.
    ///
    /// Each append was on the disk before the next began, so that only the last line can be torn: it is cut off, for
    /// nobody was told that it is there. A torn line before it is no accident of ours, and an error.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<String>)> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut records, mut good) = (Vec::new(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(record) = record(line) else { break };
            records.push(record.to_owned());
            good += line.len();
        }
        let torn = bytes.len() - good;
        if bytes[good..].iter().take(torn.saturating_sub(1)).any(|byte| *byte == b'\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("line {} is torn", records.len() + 1)));
        }
        file.set_len(good as u64)?;
        file.sync_all()?;
        Ok((Self(file), records))
    }

    /// Writes a record, and is back once it is on the disk. After an error nobody knows what is there: the log is to be
    /// opened again.
    pub(crate) fn append(&mut self, record: &str) -> io::Result<()> {
        let Digest(digest) = Digest::of(record);
        self.0.write_all(format!("{digest:032x} {record}\n").as_bytes())?;
        self.0.sync_data()
    }
}

/// The record of a whole line; none if the line is not what was written.
fn record(line: &[u8]) -> Option<&str> {
    let (digest, record) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    (u128::from_str_radix(digest, 16) == Ok(Digest::of(record).0)).then_some(record)
}
