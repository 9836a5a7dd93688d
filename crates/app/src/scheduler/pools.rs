//! Pools: fleets that grow when nothing else helps, and shrink again.
//!
//! The cycle asks [`Pools`] what to write: rows of workers that are to come, and rows that are to go. `tend` calls the providers
//! for what was written, until they answer. All that is remembered here is this planner's own: rows say the rest.

mod pool;
mod tend;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::fleet::{Fleet, Policy, PoolTemplate};
use domain::id::{PlannerId, PoolName, WorkerId};
use domain::model::CALL_ITEMS_MAX;
use domain::model::placements::{Commit, CommitAnswer, NewWorker, RemovalOutcome};
use domain::provisioning::{Demand, NewWorkers, PoolRoom, may_grow, new_workers, surplus};
use domain::retry::Backoff;
use domain::worker::Worker;
use ports::{AddOutcome, ProviderRemoveOutcome, WorkerProvider};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::JoinSet;

use super::report::Observer;
use super::view::View;

pub use pool::PoolState;
use tend::tend;

use pool::Pool;

/// A pool, as the planner is told of it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its name, what each of its workers is, and how many it may have.
    pub template: PoolTemplate,
    /// How many it has at least, whoever asks for anything.
    pub workers_min: u64,
    /// How many empty ones it keeps beyond what is asked for.
    pub warm: u64,
    /// How long a worker must have been empty before it goes.
    pub idle: Duration,
    /// How many are asked for at once at most.
    pub per_cycle_max: u64,
    /// How long after it asked for some it asks for no more.
    pub cooldown: Duration,
    /// How long it asks for none after a worker could not be had, longer each time.
    pub backoff: Backoff,
    /// How long a worker may boot.
    pub boot_within: Duration,
    /// How long the provider may take to answer.
    pub call_within: Duration,
}

/// A pool, and who makes its workers.
#[derive(Clone)]
pub struct PoolOf {
    /// What it is told.
    pub settings: PoolSettings,
    /// Makes its workers; a pool without never grows.
    pub provider: Option<Arc<dyn WorkerProvider>>,
}

/// What the planner remembers of its pools, shared by the cycle, the calls to providers, and whoever asks.
pub(super) struct Pools {
    all: Mutex<Vec<Pool>>,
    providers: Vec<Option<Arc<dyn WorkerProvider>>>,
    /// Tells what this process asks for from what any other does, and one worker from the next.
    planner: String,
    named: AtomicU64,
    /// How long a provider's worker may be without a row.
    stray_after: Duration,
    /// Told when there is something for a provider to do.
    for_providers: Notify,
    /// Told when there is something for a commit to write.
    for_commits: Notify,
}

/// What a commit is to write of pools.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Workers that are to come.
    pub(super) workers: Vec<NewWorker>,
    /// What they are for.
    pub(super) asked: Vec<NewWorkers>,
    /// Workers that are to go.
    pub(super) removals: Vec<WorkerId>,
}

impl Growth {
    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.removals.is_empty()
    }
}

impl Pools {
    /// Remembers nothing yet.
    pub(super) fn new(pools: &[PoolOf], planner: &PlannerId, stray_after: Duration) -> Self {
        let fresh = pools.iter().map(|pool| Pool::new(pool.settings.clone(), pool.provider.is_some()));
        Self {
            all: Mutex::new(fresh.collect()),
            providers: pools.iter().map(|pool| pool.provider.clone()).collect(),
            planner: planner.as_str().rsplit('-').next().unwrap_or_default().to_owned(),
            named: AtomicU64::new(0),
            stray_after,
            for_providers: Notify::new(),
            for_commits: Notify::new(),
        }
    }

    /// Begins anew: this process has just taken the cell.
    pub(super) fn forget_all(&self) {
        for pool in &mut *self.lock() {
            *pool = Pool::new(pool.settings.clone(), pool.grows);
        }
    }

    /// What the fleet could grow by.
    pub(super) fn templates(&self) -> Vec<PoolTemplate> {
        self.lock().iter().map(|pool| pool.expected.clone()).collect()
    }

    /// Takes in the fleet as it was read last, and answers what is to be written so that all `demand` has room, and nothing
    /// stands idle for long.
    pub(super) fn decide(
        &self,
        view: &View,
        demand: &[Demand<'_>],
        policy: &Policy,
        observer: &dyn Observer,
    ) -> Growth {
        let mut pools = self.lock();
        let fleet = view.fleet();
        let late = view.boots_over().into_iter().collect();
        for pool in &mut *pools {
            if let Some(why) = pool.see(view, &late, self.stray_after) {
                observer.pool_failed(pool.name(), &why);
            }
        }
        if fleet.settling {
            return Growth::default();
        }
        let rooms: Vec<PoolRoom<'_>> = pools.iter().map(|pool| pool.room(&fleet)).collect();
        let wanted = may_grow(&rooms, &fleet).then(|| new_workers(&rooms, &fleet, demand, policy));
        let idle = pools.iter().flat_map(|pool| pool.idle_ones(view)).collect();
        let mut removals: BTreeSet<WorkerId> = surplus(&rooms, &fleet, &idle, demand, policy).into_iter().collect();
        let is_of_no_pool = |id: &WorkerId| {
            let is_of = |worker: &Worker| pools.iter().any(|pool| *pool.name() == worker.spec.pool);
            fleet.worker(id).is_some_and(|worker| worker.used.containers == 0 && !is_of(worker))
        };
        removals.extend(late.into_iter().filter(is_of_no_pool));
        let (mut workers, mut asked) = (Vec::new(), Vec::new());
        for pool in &mut *pools {
            let new = pool.ask(wanted.as_ref(), CALL_ITEMS_MAX - workers.len());
            workers.extend((0..new.count()).filter_map(|_| Some(pool.new_worker(self.next_name(pool.name())?))));
            asked.push(new);
            removals.extend(pool.doomed().cloned());
            pool.has_decided(view);
        }
        Growth { workers, asked, removals: removals.into_iter().take(CALL_ITEMS_MAX).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn to_add(&self, at: usize, at_most: usize) -> Vec<NewWorker> {
        self.lock()[at].to_add(at_most)
    }

    fn to_remove(&self, at: usize, after: Option<&WorkerId>, at_most: usize) -> Vec<WorkerId> {
        self.lock()[at].to_remove(after, at_most)
    }

    fn was_told(&self, at: usize, told: &[NewWorker], outcomes: Vec<AddOutcome>, observer: &dyn Observer) {
        let mut pools = self.lock();
        if let Some(why) = pools[at].was_told(told, outcomes) {
            observer.pool_failed(pools[at].name(), &why);
        }
        self.for_commits.notify_waiters();
    }

    fn has_taken_away(&self, at: usize, told: &[WorkerId], outcomes: Vec<ProviderRemoveOutcome>) -> bool {
        let all = self.lock()[at].has_taken_away(told, outcomes);
        self.for_commits.notify_waiters();
        all
    }

    fn has_named(&self, at: usize, made: Vec<WorkerId>) {
        self.lock()[at].has_named(made);
        self.for_commits.notify_waiters();
    }

    /// The provider did not say what becomes of those that were asked for: the pool rests, and the same is asked again.
    fn was_not_answered(&self, at: usize, why: String, observer: &dyn Observer) {
        let mut pools = self.lock();
        let why = pools[at].fail(0, why);
        observer.pool_failed(pools[at].name(), &why);
    }

    fn note_trouble(&self, at: usize, why: String) {
        self.lock()[at].note_trouble(why);
    }

    fn settings_of(&self, at: usize) -> PoolSettings {
        self.lock()[at].settings.clone()
    }

    /// The commit is done: providers are told.
    pub(super) fn has_written(
        &self,
        commit: &Commit,
        asked: &[NewWorkers],
        answer: &CommitAnswer,
        observer: &dyn Observer,
    ) {
        for NewWorkers { pool, for_min, for_demand, for_warm, left_empty, .. } in asked {
            for (reason, count) in [("demand", *for_demand), ("min", *for_min), ("warm", *for_warm)] {
                if count > 0 {
                    observer.workers_asked(pool, reason, count, *left_empty);
                }
            }
        }
        let mut pools = self.lock();
        for pool in &mut *pools {
            let name = pool.name().clone();
            pool.has_asked(commit.workers.iter().filter(|new| new.spec.pool == name));
        }
        for (id, outcome) in commit.removals.iter().zip(&answer.removals) {
            let Some(pool) = pools.iter_mut().find(|pool| pool.knows(id)) else { continue };
            match outcome {
                RemovalOutcome::Done => {
                    let why = pool.has_removed(id);
                    observer.worker_retired(pool.name(), id, &why);
                }
                RemovalOutcome::Owns(_) => pool.keeps(id),
            }
        }
        drop(pools);
        self.for_providers.notify_waiters();
    }

    /// Tells every provider what is written for its pool, for as long as this process plans the cell.
    pub(super) async fn tend(self: &Arc<Self>, observer: &Arc<dyn Observer>) -> Infallible {
        let mut tended = JoinSet::new();
        for (at, provider) in self.providers.iter().enumerate() {
            if let Some(provider) = provider.clone() {
                let (pools, observer) = (Arc::clone(self), Arc::clone(observer));
                tended.spawn(async move { tend(&pools, at, &*provider, &*observer).await });
            }
        }
        while tended.join_next().await.is_some() {}
        std::future::pending().await
    }

    /// A name that no worker had before: the store knows every worker by it, and so does the provider.
    fn next_name(&self, pool: &PoolName) -> Option<WorkerId> {
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        WorkerId::new(&format!("{pool}-{}-{number}", self.planner)).ok()
    }

    /// Every pool as it stands.
    pub(super) fn states(&self, fleet: &Fleet) -> Vec<PoolState> {
        self.lock().iter().map(|pool| pool.state(fleet)).collect()
    }

    /// How long until there may be something to write though nobody waits and nothing changed.
    pub(super) fn until_due(&self, view: &View) -> Duration {
        if view.fleet().settling {
            return Duration::MAX;
        }
        self.lock().iter().map(Pool::until_due).min().unwrap_or(Duration::MAX)
    }

    /// Comes back when a provider's answer is something to write.
    pub(super) fn has_news(&self) -> Notified<'_> {
        self.for_commits.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Pool>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
