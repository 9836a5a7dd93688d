//! The kit itself: a sound store keeps every clause, and each flaw breaks the clauses that are there to find it.

mod flaws;
mod listed;
mod store;
mod view;

use ports::Ports;
use ports::conformance::{Corruptible, Durable, Harness, Restorable};
use store::{Kept, Sound};

type Reference = Kept<Sound>;

ports::conformance!(Reference);
ports::conformance_durable!(Reference);
ports::conformance_restored!(Reference);
ports::conformance_corrupt!(Reference);

impl<F: store::Flaw> Harness for Kept<F> {
    async fn open() -> Self {
        Self::empty()
    }

    fn ports(&self) -> Ports {
        self.ports.clone()
    }
}

impl<F: store::Flaw> Durable for Kept<F> {
    async fn reopen(self) -> Self {
        self.again()
    }
}

impl<F: store::Flaw> Restorable for Kept<F> {
    type Copy = store::Cells;

    async fn copy(self) -> (Self, store::Cells) {
        let copy = self.cells();
        (self, copy)
    }

    async fn restore(self, copy: store::Cells) -> Self {
        self.put_back(copy).again()
    }
}

impl<F: store::Flaw> Corruptible for Kept<F> {
    async fn spoil(&self, cell: &domain::id::CellName, container: &domain::id::ContainerId) {
        self.spoil_row(cell, container);
    }
}
