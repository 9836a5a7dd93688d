//! Ports that say it again when the store did not answer.

use std::cell::Cell;
use std::time::Duration;

use domain::retry::Backoff;
use tokio::time::{Instant, sleep};

use super::{Answering, Around, wrap};
use crate::{PortError, PortResult, Ports};

/// Operations that wait for something to happen.
pub const WAITS: &[&str] = &["backlog_wait", "placements_wait"];

/// Repeats what was answered [`Unavailable`](PortError::Unavailable), a bounded number of times, for a bounded time, and
/// with a pause before each. Every step may be repeated: it answers the same, or its `Already` twin, which
/// [`counting_repeats`] tells from one that was so before.
pub struct Retried {
    /// How long to wait before each repeat.
    pub backoff: Backoff,
    /// How many repeats there are at most.
    pub repeats: u32,
    /// No repeat begins later than this after the first try did.
    pub within: Duration,
    /// Operations that are tried once: [`WAITS`], if whoever waits begins anew by itself.
    pub once: &'static [&'static str],
    /// Draws the pauses apart from those of others: see [`Backoff::delay`].
    pub seed: u64,
}

impl Retried {
    /// The same ports, which say it again.
    pub fn over(self, ports: &Ports) -> Ports {
        wrap(ports, self)
    }

    /// How long to wait after so many failures of a call that began then; none if it has failed.
    fn pause(&self, failures: u32, began: Instant) -> Option<Duration> {
        let pause = self.backoff.delay(failures, self.seed);
        (failures <= self.repeats && began.elapsed() + pause <= self.within).then_some(pause)
    }
}

impl Around for Retried {
    async fn around<'a, T: Send + 'static>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> PortResult<T> {
        if self.once.contains(&operation) {
            return call().await;
        }
        let began = Instant::now();
        let mut failures = 0;
        loop {
            let answer = call().await;
            let Err(PortError::Unavailable(_)) = &answer else { return answer };
            failures += 1;
            let Some(pause) = self.pause(failures, began) else { return answer };
            sleep(pause).await;
            // Nobody counts, as a rule.
            let _ = REPEATS.try_with(|repeats| repeats.set(repeats.get() + 1));
        }
    }
}

tokio::task_local! {
    /// How often calls of this task were repeated.
    static REPEATS: Cell<u32>;
}

/// Answers also how many repeats `calls` took, of any [`Retried`] around the ports that they are made to.
///
/// After a repeat, what is `Already` so may have been made so by the try before it, whose answer was lost.
pub async fn counting_repeats<T>(calls: impl Future<Output = T>) -> (T, u32) {
    let counted = async {
        let answer = calls.await;
        (answer, REPEATS.with(Cell::get))
    };
    REPEATS.scope(Cell::new(0), counted).await
}
