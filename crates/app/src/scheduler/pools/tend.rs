//! The calls to one pool's provider: repeated, with the same ids, until it answers.

use std::future::Future;
use std::time::Duration;

use ports::{PortError, PortResult, WorkerProvider};
use tokio::time::{Instant, sleep, timeout};

use super::Pools;
use crate::scheduler::report::Observer;

/// How many workers one call names at most.
const WORKERS_MAX: usize = 100;
/// How often the provider is asked what it has made.
const LIST_EVERY: Duration = Duration::from_secs(5);

/// Tells the provider of pool number `at` what is written for it, as long as this process plans the cell.
pub(super) async fn tend(pools: &Pools, at: usize, provider: &dyn WorkerProvider, observer: &dyn Observer) {
    let mut tender = Tender { pools, at, provider, observer, failures: 0, listed: None };
    loop {
        let told = pools.for_providers.notified();
        let wait = tender.turn().await;
        tokio::select! {
            // What failed is not tried earlier because there is more of it.
            () = told, if tender.failures == 0 => {}
            () = sleep(wait) => {}
        }
    }
}

struct Tender<'a> {
    pools: &'a Pools,
    at: usize,
    provider: &'a dyn WorkerProvider,
    observer: &'a dyn Observer,
    /// Calls that were not answered, since the last that was.
    failures: u32,
    listed: Option<Instant>,
}

impl Tender<'_> {
    /// Makes every call that there is to make. Answers how long until the next.
    async fn turn(&mut self) -> Duration {
        match self.calls().await {
            Ok(()) => {
                self.failures = 0;
                LIST_EVERY.saturating_sub(self.listed.map_or(LIST_EVERY, |at| at.elapsed()))
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.pools.was_not_answered(self.at, said(&error), self.observer);
                self.pools.settings_of(self.at).backoff.delay(self.failures, u64::from(self.failures))
            }
        }
    }

    async fn calls(&mut self) -> PortResult<()> {
        let (pools, at, provider) = (self.pools, self.at, self.provider);
        loop {
            let (add, remove) = pools.to_tell(at, WORKERS_MAX);
            if add.is_empty() && remove.is_empty() {
                break;
            }
            if !add.is_empty() {
                let outcomes = self.answered("add", provider.add(add.clone())).await?;
                pools.was_told(at, &add, outcomes, self.observer);
            }
            if !remove.is_empty() {
                let outcomes = self.answered("remove", provider.remove(remove.clone())).await?;
                if let Some(trouble) = pools.has_taken_away(at, &remove, outcomes) {
                    return Err(PortError::unavailable(trouble));
                }
            }
        }
        if self.listed.is_none_or(|listed| listed.elapsed() >= LIST_EVERY) {
            let made = self.answered("list", provider.list()).await?;
            pools.has_named(at, made);
            self.listed = Some(Instant::now());
        }
        Ok(())
    }

    async fn answered<T>(&self, call: &str, answer: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        let within = self.pools.settings_of(self.at).call_within;
        let late = |_| PortError::unavailable(format!("{call}: no answer within {} s", within.as_secs_f64()));
        timeout(within, answer).await.map_err(late)?
    }
}

/// What a provider said when it did not do what it was asked.
fn said(error: &PortError) -> String {
    match error {
        PortError::Unavailable(source) => source.to_string(),
        other => other.in_full(),
    }
}
