//! The embedded store, on a real disk, keeps every clause.

use std::fs;
use std::sync::Arc;

use domain::id::{CellName, ContainerId};
use ports::Ports;
use ports::conformance::{Corruptible, Durable, Harness, Restorable};
use ports::rows::RowPorts;
use tempfile::TempDir;

use super::EmbeddedStore;
use crate::embedded::tables::Tables;

struct Embedded {
    store: Arc<EmbeddedStore>,
    ports: Ports,
    dir: TempDir,
}

impl Embedded {
    fn of(dir: TempDir) -> Self {
        let store = Arc::new(EmbeddedStore::open(dir.path()).expect("the folder is ours"));
        Self { ports: RowPorts::over(Arc::clone(&store)), store, dir }
    }
}

impl Harness for Embedded {
    async fn open() -> Self {
        Self::of(tempfile::tempdir().expect("a folder"))
    }

    fn ports(&self) -> Ports {
        self.ports.clone()
    }
}

impl Durable for Embedded {
    async fn reopen(self) -> Self {
        let Self { store, ports, dir } = self;
        drop((store, ports));
        Self::of(dir)
    }
}

impl Restorable for Embedded {
    type Copy = TempDir;

    async fn copy(self) -> (Self, TempDir) {
        let Self { store, ports, dir } = self;
        drop((store, ports));
        let copy = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(dir.path()).expect("the folder is ours") {
            let file = entry.expect("it can be read to its end");
            fs::copy(file.path(), copy.path().join(file.file_name())).expect("there is room");
        }
        (Self::of(dir), copy)
    }

    async fn restore(self, copy: TempDir) -> Self {
        Self::of(copy)
    }
}

impl Corruptible for Embedded {
    async fn spoil(&self, cell: &CellName, container: &ContainerId) {
        let transaction = self.store.shared.file.begin_write().expect("nobody else writes");
        let mut tables = Tables::of_write(&transaction).expect("the tables are there");
        let spoilt: &[u8] = b"1{\"id\":\"../..\"}";
        tables.containers.insert((cell.as_str(), container.as_str()), spoilt).expect("there is room");
        drop(tables);
        transaction.commit().expect("there is room");
    }
}

ports::conformance!(Embedded);
ports::conformance_durable!(Embedded);
ports::conformance_restored!(Embedded);
ports::conformance_corrupt!(Embedded);
