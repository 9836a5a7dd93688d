//! The memory store keeps every clause that needs no disk.

use ports::Ports;
use ports::conformance::Harness;
use ports::rows::{MemoryStore, RowPorts};

struct Memory(Ports);

impl Harness for Memory {
    async fn open() -> Self {
        Self(RowPorts::over(MemoryStore::new().expect("memory is there")))
    }

    fn ports(&self) -> Ports {
        self.0.clone()
    }
}

ports::conformance!(Memory);
