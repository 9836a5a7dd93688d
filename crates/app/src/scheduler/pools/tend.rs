//! The calls to one pool's provider: repeated, with the same names, until it answers.

use std::future::Future;
use std::time::Duration;

use domain::id::WorkerId;
use domain::retry::Backoff;
use ports::{PortError, PortResult, WorkerProvider};
use tokio::time::{Instant, sleep, timeout};

use super::{PoolSettings, Pools};
use crate::scheduler::report::Observer;

/// How many workers one call names at most.
const WORKERS_MAX: usize = 100;
/// How often the provider is asked what it has made.
const LIST_EVERY: Duration = Duration::from_secs(5);

/// Tells the provider of pool number `at` what is written for it, as long as this process plans the cell.
pub(super) async fn tend(pools: &Pools, at: usize, provider: &dyn WorkerProvider, observer: &dyn Observer) {
    let settings = pools.settings_of(at);
    let (adding, removing) = (Held::default(), Held::default());
    let mut tender =
        Tender { pools, at, provider, observer, settings, adding, removing, removed_upto: None, listed: None };
    loop {
        let told = pools.for_providers.notified();
        tender.turn().await;
        tokio::select! {
            () = told => {}
            () = sleep(tender.until_next()) => {}
        }
    }
}

struct Tender<'a> {
    pools: &'a Pools,
    at: usize,
    provider: &'a dyn WorkerProvider,
    observer: &'a dyn Observer,
    settings: PoolSettings,
    adding: Held,
    removing: Held,
    /// Where the last call to remove some ended that did not remove all: one that stays holds up no other.
    removed_upto: Option<WorkerId>,
    listed: Option<Instant>,
}

/// A kind of call that is not made for a while after it failed.
#[derive(Default)]
struct Held {
    failures: u32,
    until: Option<Instant>,
}

impl Held {
    fn left(&self) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn fail(&mut self, backoff: Backoff) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + backoff.delay(self.failures, u64::from(self.failures)));
    }
}

impl Tender<'_> {
    /// Makes every call that there is to make now.
    async fn turn(&mut self) {
        self.add().await;
        self.remove().await;
        self.list().await;
    }

    fn until_next(&self) -> Duration {
        let held = [self.adding.left(), self.removing.left()].into_iter().filter(|left| !left.is_zero());
        held.chain([self.until_list()]).fold(LIST_EVERY, Duration::min)
    }

    fn until_list(&self) -> Duration {
        self.listed.map_or(Duration::ZERO, |at| LIST_EVERY.saturating_sub(at.elapsed()))
    }

    async fn add(&mut self) {
        while self.adding.left().is_zero() {
            let new = self.pools.to_add(self.at, WORKERS_MAX);
            if new.is_empty() {
                return;
            }
            match self.answered("add", self.provider.add(new.clone())).await {
                Ok(outcomes) => {
                    self.adding = Held::default();
                    self.pools.was_told(self.at, &new, outcomes, self.observer);
                }
                Err(error) => {
                    self.adding.fail(self.settings.backoff);
                    self.pools.was_not_answered(self.at, said(&error), self.observer);
                }
            }
        }
    }

    async fn remove(&mut self) {
        while self.removing.left().is_zero() {
            let going = self.pools.to_remove(self.at, self.removed_upto.as_ref(), WORKERS_MAX);
            if going.is_empty() {
                return;
            }
            let are_gone = match self.answered("remove", self.provider.remove(going.clone())).await {
                Ok(outcomes) => self.pools.has_taken_away(self.at, &going, outcomes),
                Err(error) => {
                    self.pools.note_trouble(self.at, said(&error));
                    false
                }
            };
            if are_gone {
                self.removing = Held::default();
            } else {
                self.removed_upto = going.last().cloned();
                self.removing.fail(self.settings.backoff);
            }
        }
    }

    async fn list(&mut self) {
        if !self.until_list().is_zero() {
            return;
        }
        match self.answered("list", self.provider.list()).await {
            Ok(made) => self.pools.has_named(self.at, made),
            Err(error) => self.pools.note_trouble(self.at, said(&error)),
        }
        self.listed = Some(Instant::now());
    }

    async fn answered<T>(&self, call: &str, answer: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        let within = self.settings.call_within;
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
