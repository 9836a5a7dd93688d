//! A cluster of three nodes: each case has a cell of its own, and so they are spread over the nodes.

use adapters_redis::testing::shared_cluster;
use domain::id::{CellName, ContainerId};
use ports::Ports;
use ports::conformance::{Corruptible, Durable, Harness};

use crate::{open, row_of};

struct Clustered(Ports);

impl Harness for Clustered {
    async fn open() -> Self {
        Self(open(&shared_cluster().urls().join(",")))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }
}

impl Durable for Clustered {
    async fn reopen(self) -> Self {
        drop(self);
        Self::open().await
    }
}

impl Corruptible for Clustered {
    async fn spoil(&self, cell: &CellName, container: &ContainerId) {
        let (key, field) = row_of(cell, container);
        let set = shared_cluster().command(&key, &["HSET", &key, &field, "no row at all"]);
        assert_eq!(set.integer(), 0, "there was such a row");
    }
}

ports::conformance!(Clustered);
ports::conformance_durable!(Clustered);
ports::conformance_corrupt!(Clustered);
