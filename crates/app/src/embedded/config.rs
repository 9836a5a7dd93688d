//! The measures of the embedded store.

/// The file within the data folder.
pub(super) const FILE_NAME: &str = "store.redb";
/// A file that is being made, before it has its name.
pub(super) const NEW_FILE_NAME: &str = "store.redb.new";
/// Locked for as long as a process has the store open.
pub(super) const LOCK_NAME: &str = "store.lock";

/// The version of the tables and keys. Rows carry one of their own.
pub(super) const FORMAT: u64 = 1;

/// How much of the file is kept in memory, in bytes.
pub(super) const CACHE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How many steps may wait for the writer; who comes later waits for a place.
pub(super) const QUEUE_JOBS_MAX: usize = 1_024;
/// How many steps one commit may hold.
pub(super) const GROUP_JOBS_MAX: usize = 512;
/// How many changes a commit may have before it takes in no further step, so that nobody waits for one without end.
pub(super) const GROUP_CHANGES_MAX: usize = 20_000;
