//! Ports that say it again when the store did not answer.

use domain::retry::Backoff;

use super::{Answering, Around, wrap};
use crate::{PortError, PortResult, Ports};

/// Repeats what was answered [`Unavailable`](PortError::Unavailable), a bounded number of times and with a pause before
/// each. Every step may be repeated: it answers the same, or its `Already` twin.
pub struct Retried {
    /// How long to wait before each repeat.
    pub backoff: Backoff,
    /// How many repeats there are at most.
    pub repeats: u32,
    /// Draws the pauses apart from those of others: see [`Backoff::delay`].
    pub seed: u64,
}

impl Retried {
    /// The same ports, which say it again.
    pub fn over(self, ports: &Ports) -> Ports {
        wrap(ports, self)
    }
}

impl Around for Retried {
    async fn around<'a, T: Send + 'static>(
        &'a self,
        _operation: &'static str,
        call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> PortResult<T> {
        let mut failures = 0;
        loop {
            match call().await {
                Err(PortError::Unavailable(_)) if failures < self.repeats => failures += 1,
                answer => return answer,
            }
            tokio::time::sleep(self.backoff.delay(failures, self.seed)).await;
        }
    }
}
