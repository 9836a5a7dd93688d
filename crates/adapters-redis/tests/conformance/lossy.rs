//! A server each of whose answers is lost once, with the connection that it came on; callers say it again, and every
//! clause holds of what they mean by the second answer.
//!
//! A write goes through a proxy of its own, which keeps the answer that it loses and tells it afterwards: so both answers
//! are known, also where two callers say the same at the same time.

use std::sync::Arc;
use std::time::Duration;

use adapters_redis::testing::{Proxy, shared};
use domain::id::{CellName, ContainerId};
use domain::retry::Backoff;
use ports::around::{Answering, Retried};
use ports::conformance::{Corruptible, Harness, Hears, Repeating, Repeats, replay, run};
use ports::{PortResult, Ports};

use crate::{open, row_of};

/// Says it again until it is answered.
fn retried(ports: &Ports) -> Ports {
    let backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(20) };
    Retried { backoff, repeats: 1_000, within: Duration::from_mins(1), once: &[], seed: 1 }.over(ports)
}

/// Makes writes whose answers are lost once.
struct LostOnce {
    undisturbed: Ports,
}

impl Repeats for LostOnce {
    async fn repeat<T: Send + 'static>(
        &self,
        cell: &CellName,
        write: impl Fn(Ports) -> Answering<'static, T> + Send + Sync,
    ) -> (PortResult<T>, PortResult<T>) {
        // Founds the cell: else what is lost would say that there is none yet.
        self.undisturbed.workers.beats(cell).await.expect("a server that is there");
        let proxy = Proxy::before(shared());
        proxy.lose_each_reply_once();
        let again = write(retried(&open(&proxy.url()))).await;
        assert!(proxy.lost() > 0, "no answer was lost");
        proxy.tell_what_was_lost();
        let lost = write(open(&proxy.url())).await;
        (lost, again)
    }
}

/// A server behind such proxies, for writes, and behind one that loses each answer to a read once.
struct Lossy {
    proxy: Arc<Proxy>,
    ports: Ports,
}

impl Lossy {
    fn heard(hears: Hears) -> Self {
        let proxy = Arc::new(Proxy::before(shared()));
        proxy.lose_each_reply_once();
        let undisturbed = open(&shared().url());
        let writes = LostOnce { undisturbed: undisturbed.clone() };
        let reads = retried(&open(&proxy.url()));
        Self { ports: Repeating::over(writes, reads, undisturbed, hears), proxy }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.proxy.lost() > 0, "no answer to a read was lost");
        }
    }
}

impl Harness for Lossy {
    async fn open() -> Self {
        Self::heard(Hears::WhatIsMeant)
    }

    fn ports(&self) -> Ports {
        self.ports.clone()
    }

    fn likewise(model: Ports) -> Ports {
        Repeating::over(model.clone(), model.clone(), model, Hears::WhatIsMeant)
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

/// The same, whose callers hear the second answer as it is.
struct RepeatHeard(Lossy);

impl Harness for RepeatHeard {
    async fn open() -> Self {
        Self(Lossy::heard(Hears::TheRepeat))
    }

    fn ports(&self) -> Ports {
        self.0.ports()
    }

    fn likewise(model: Ports) -> Ports {
        Repeating::over(model.clone(), model.clone(), model, Hears::TheRepeat)
    }
}

#[test]
fn repeats_at_random_are_answered_as_the_model_answers_them() {
    run::<RepeatHeard>(&replay::random_calls_are_answered_as_the_model_answers);
}
