//! One server.

use std::path::PathBuf;
use std::sync::Arc;

use adapters_redis::testing::{Appendonly, Options, Server, shared};
use domain::id::{CellName, ContainerId};
use ports::Ports;
use ports::conformance::{Corruptible, Durable, Harness, Restorable};

use crate::{open, row_of};

struct Standalone(Ports);

impl Harness for Standalone {
    async fn open() -> Self {
        Self(open(&shared().url()))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }
}

impl Durable for Standalone {
    /// The server goes on: what ends is one of its clients.
    async fn reopen(self) -> Self {
        drop(self);
        Self::open().await
    }
}

impl Corruptible for Standalone {
    async fn spoil(&self, cell: &CellName, container: &ContainerId) {
        let (key, field) = row_of(cell, container);
        let set = shared().command(&["HSET", &key, &field, "no row at all"]);
        assert_eq!(set.integer(), 0, "there was such a row");
    }
}

ports::conformance!(Standalone);
ports::conformance_durable!(Standalone);
ports::conformance_corrupt!(Standalone);

/// A server of one's own, which can be put back to how it was.
struct Private {
    server: Arc<Server>,
    ports: Ports,
}

/// What a server had written at some time.
struct Copy(tempfile::TempDir);

impl Copy {
    fn path(&self) -> PathBuf {
        self.0.path().join("copy")
    }
}

impl Private {
    fn over(server: Arc<Server>) -> Self {
        let ports = open(&server.url());
        Self { server, ports }
    }
}

impl Harness for Private {
    async fn open() -> Self {
        Self::over(Arc::new(Options::new().appendonly(Appendonly::Always).start()))
    }

    fn ports(&self) -> Ports {
        self.ports.clone()
    }
}

impl Durable for Private {
    async fn reopen(self) -> Self {
        Self::over(self.server)
    }
}

impl Restorable for Private {
    type Copy = Copy;

    async fn copy(self) -> (Self, Copy) {
        let copy = Copy(tempfile::tempdir().expect("a folder"));
        self.server.copy_aof(&copy.path());
        (self, copy)
    }

    async fn restore(self, copy: Copy) -> Self {
        self.server.restart_from(&copy.path());
        Self::over(self.server)
    }
}

ports::conformance_restored!(Private);
