//! The versioned encoding of rows: a store keeps bytes, plus the few fields that it must index.
//!
//! A row is one byte that names the version, then JSON. The forms below mirror the domain's types field by field, so
//! that the domain may be renamed freely and what is written stays readable; a field that the domain gains does not
//! compile until it has a form here. Whatever reads back is valid: names are checked, integers fit in 53 bits, and a
//! field that this version does not know is refused, for it would be lost with the next write.

mod cell;
mod container;
mod field;
mod request;
mod wait;
mod worker;

use std::fmt::Display;

use domain::container::{ContainerRow, End, Output};
use domain::model::{CellRow, UsageRow};
use domain::request::{Ask, Body};
use domain::wait::{LotRow, Why};
use domain::worker::{WorkerRow, WorkerSpec};

use crate::{PortError, PortResult};
use field::{Field, Form};

/// The first byte of every row that is written, and the only version that is read.
pub const VERSION: u8 = b'1';

/// Bytes that are no row.
#[derive(Debug, thiserror::Error)]
enum NoRow {
    /// There are none.
    #[error("it is empty")]
    Empty,
    /// Another program, or a later one, wrote them.
    #[error("it begins with {found:#04x}, and only version {VERSION:#04x} is known")]
    Version { found: u8 },
}

/// A row that has an encoding, or a part of one that a store may keep by itself.
pub trait Row: Sized {
    /// The row as bytes; an error if it holds an integer beyond 53 bits, which no reader would accept.
    fn encode(&self) -> PortResult<Vec<u8>>;

    /// The row that `bytes` hold; [`PortError::Corrupt`], calling it `what`, if they hold none.
    fn decode(what: impl Display, bytes: &[u8]) -> PortResult<Self>;
}

macro_rules! rows {
    ($($row:ident $word:literal)*) => {$(
        impl Row for $row {
            fn encode(&self) -> PortResult<Vec<u8>> {
                encode($word, self)
            }

            fn decode(what: impl Display, bytes: &[u8]) -> PortResult<Self> {
                decode(bytes).map_err(|source| PortError::Corrupt { what: what.to_string(), source })
            }
        }
    )*};
}

rows! {
    Ask "what is asked"
    Body "a body"
    CellRow "the cell's row"
    ContainerRow "a container"
    End "an end"
    LotRow "a lot"
    Output "an output"
    UsageRow "usage"
    Why "a reason to wait"
    WorkerRow "a worker"
    WorkerSpec "what a worker is"
}

fn encode<T: Field>(word: &str, row: &T) -> PortResult<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    bytes.push(VERSION);
    serde_json::to_writer(&mut bytes, &Form(row)).map_err(|error| PortError::corrupt(word, error))?;
    Ok(bytes)
}

fn decode<T: Field>(bytes: &[u8]) -> Result<T, crate::Source> {
    match bytes.split_first() {
        Some((&VERSION, json)) => Ok(serde_json::from_slice::<Form<T>>(json)?.0),
        Some((&found, _)) => Err(NoRow::Version { found }.into()),
        None => Err(NoRow::Empty.into()),
    }
}
