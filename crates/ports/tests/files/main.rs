//! A third store, in plain files: what `docs/guide/adding-a-backend.md` shows.

mod log;
mod record;
mod store;

use std::fs;
use std::path::PathBuf;

use ports::Ports;
use ports::conformance::{Durable, Harness, Restorable};
use ports::rows::RowPorts;
use store::FileStore;
use tempfile::TempDir;

struct Files {
    ports: Ports,
    folder: TempDir,
}

impl Files {
    fn of(folder: TempDir) -> Self {
        let store = FileStore::open(folder.path()).expect("the folder is ours");
        Self { ports: RowPorts::over(store), folder }
    }
}

impl Harness for Files {
    async fn open() -> Self {
        Self::of(tempfile::tempdir().expect("a folder"))
    }

    fn ports(&self) -> Ports {
        self.ports.clone()
    }
}

impl Durable for Files {
    async fn reopen(self) -> Self {
        let Self { ports, folder } = self;
        drop(ports);
        Self::of(folder)
    }
}

impl Restorable for Files {
    /// Each file by its path.
    type Copy = Vec<(PathBuf, Vec<u8>)>;

    async fn copy(self) -> (Self, Self::Copy) {
        let entries = fs::read_dir(self.folder.path()).expect("the folder is ours");
        let paths = entries.map(|entry| entry.expect("it can be read to its end").path());
        let copy = paths.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
        (self, copy)
    }

    async fn restore(self, copy: Self::Copy) -> Self {
        let Self { ports, folder } = self;
        drop(ports);
        for (path, bytes) in copy {
            fs::write(path, bytes).expect("there is room");
        }
        Self::of(folder)
    }
}

ports::conformance!(Files);
ports::conformance_durable!(Files);
ports::conformance_restored!(Files);

/// A log of three records, and its bytes.
fn three() -> (TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("main.log");
    let (mut log, records) = log::Log::open(&path).expect("a log");
    assert_eq!(records, [] as [&str; 0]);
    for record in ["one", "two", "three"] {
        log.append(record).expect("there is room");
    }
    let bytes = fs::read(&path).expect("it is there");
    (folder, path, bytes)
}

fn records(path: &std::path::Path) -> std::io::Result<Vec<String>> {
    Ok(log::Log::open(path)?.1)
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_tears() {
    let (_folder, path, bytes) = three();
    let last = bytes.len() - "three\n".len() - 33;
    for torn in last..bytes.len() {
        fs::write(&path, &bytes[..torn]).expect("there is room");
        assert_eq!(records(&path).expect("the rest is good"), ["one", "two"], "{torn} bytes are left");
        assert_eq!(fs::read(&path).expect("it is there"), bytes[..last]);
    }
}

#[test]
fn what_is_torn_before_the_end_is_no_log() {
    let (_folder, path, bytes) = three();
    let last = bytes.len() - "three\n".len() - 33;
    // The last line break before the end is left alone: without it the torn line would be the last.
    for position in (0..last - 1).chain(last..bytes.len()) {
        let mut spoilt = bytes.clone();
        spoilt[position] ^= 1;
        fs::write(&path, &spoilt).expect("there is room");
        match records(&path) {
            Ok(left) => assert!(position >= last && left == ["one", "two"], "byte {position}: {left:?}"),
            Err(error) => assert!(position < last, "byte {position}: {error}"),
        }
    }
}
