//! One server.

use std::path::PathBuf;
use std::sync::Arc;

use adapters_redis::testing::{Appendonly, Options, Server, shared};
use domain::id::{CellName, ContainerId};
use domain::model::workers::Look;
use ports::conformance::{Corruptible, Durable, Harness, Restorable};
use ports::{PortError, Ports};

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

#[tokio::test]
async fn a_cell_that_is_gone_settles_before_it_begins_anew_and_a_new_one_begins_at_once() {
    let (server, cell) = (Server::start(), CellName::new("main").expect("a name"));
    let settling = async |ports: &Ports| loop {
        match ports.workers.look(&cell, None, 1).await {
            Ok(Look::Page(page)) => break page.settling,
            // The connection broke with the server.
            Err(PortError::Unavailable(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    let ports = open(&server.url());
    assert!(!settling(&ports).await, "nothing was there before");
    server.restart();
    assert!(settling(&ports).await, "whoever ran something may run it still");
    assert!(settling(&open(&server.url())).await, "and who did not know is told");
}
