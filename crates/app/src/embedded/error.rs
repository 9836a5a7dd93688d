//! What can go wrong: while the store is opened, and while it is used.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use ports::{PortError, Source};

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder, or a file in it, cannot be made or entered.
    #[error("failed to use {path} as a data folder")]
    Folder {
        /// The folder or the file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is none, and none is to be made.
    #[error("there is no store in {dir}")]
    Absent {
        /// The data folder.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("the store in {dir} is open in another process; a data folder serves one at a time")]
    InUse {
        /// The data folder.
        dir: PathBuf,
    },
    /// There is a file, and it is not ours.
    #[error("{path} is not a store of this program; move it away, or name another data folder")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        #[source]
        source: Source,
    },
    /// A later version of this program wrote it.
    #[error("{path} has format {found}, and this version reads format {known}; use the version that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// The file cannot be read or repaired.
    #[error("failed to open {path}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// The system gave no thread, or no random word.
    #[error("failed to start the store")]
    Start(#[source] Source),
}

/// Why none of the steps of a group were made, or it is unknown whether they were: the same for all of them.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the step could not be made durable")]
pub(super) struct NotDurable(#[source] Arc<dyn std::error::Error + Send + Sync>);

/// A step, or the store under it, broke an assertion.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub(super) struct Panicked(String);

impl NotDurable {
    pub(super) fn because(source: Source) -> Self {
        Self(source.into())
    }
}

impl Panicked {
    pub(super) fn with(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("no message").to_owned())
    }
}

/// The file cannot be read.
pub(super) fn unavailable(error: impl Into<redb::Error>) -> PortError {
    PortError::unavailable(error.into())
}
