//! A server each of whose answers is lost once, with the connection that it came on; callers say it again.

use std::sync::Arc;
use std::time::Duration;

use adapters_redis::testing::{Proxy, shared};
use domain::id::{CellName, ContainerId};
use domain::retry::Backoff;
use ports::Ports;
use ports::around::Retried;
use ports::conformance::{Corruptible, Harness};

use crate::{open, row_of};

struct Lossy {
    proxy: Arc<Proxy>,
    ports: Ports,
}

impl Harness for Lossy {
    async fn open() -> Self {
        let proxy = Arc::new(Proxy::before(shared()));
        proxy.lose_each_reply_once();
        let backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(20) };
        let within = Duration::from_mins(1);
        let retried = Retried { backoff, repeats: 1_000, within, once: &[], seed: 1 };
        Self { ports: retried.over(&open(&proxy.url())), proxy }
    }

    fn ports(&self) -> Ports {
        self.ports.clone()
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.proxy.lost() > 0, "no answer was lost");
        }
    }
}

impl Corruptible for Lossy {
    async fn spoil(&self, cell: &CellName, container: &ContainerId) {
        let (key, field) = row_of(cell, container);
        shared().command(&["HSET", &key, &field, "no row at all"]);
    }
}

ports::conformance!(Lossy);
ports::conformance_corrupt!(Lossy);
