//! What the planner does beside its batches, at most two calls a second: it gives up silent workers, ends drains,
//! forgets what ended long ago, and proves that it lives.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use domain::id::{Boot, CallNumber, History, Incarnation, WorkerId};
use domain::model::Mandate;
use domain::model::placements::{Loss, LossOutcome};
use domain::model::workers::Beats;
use ports::{PortError, PortResult, Ports};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Settings;
use super::cycle::look;
use super::report::Observer;
use super::view::View;

/// Beats and the fleet are read this often.
const TICK: Duration = Duration::from_millis(1_400);
/// Every so many ticks, what ended long ago is forgotten.
const FORGET_EVERY: u32 = 8;
/// Every so many ticks, the mandate is renewed.
const RENEW_EVERY: u32 = 2;
/// A poll later than this begins every count anew: we do not know what happened in between.
const GAP_MAX: Duration = Duration::from_secs(4);
/// How many containers one call gives back, and how many it forgets.
const CONTAINERS_MAX: usize = 1_000;
/// With fewer silent workers than this, each is given up however few there are.
const BRAKE_WORKERS: usize = 5;

/// Keeps house until the mandate is lost; answers why.
pub(super) async fn run(
    ports: &Ports,
    settings: &Settings,
    mandate: &Mandate,
    view: &RwLock<View>,
    observer: &dyn Observer,
) -> PortError {
    let mut house = House { ports, settings, mandate, view, observer, silence: Silence::default(), ticks: 0 };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match house.tick().await {
            Ok(()) => {}
            Err(error @ PortError::Unavailable(_)) => observer.store_failed(&error),
            Err(error) => return error,
        }
    }
}

struct House<'a> {
    ports: &'a Ports,
    settings: &'a Settings,
    mandate: &'a Mandate,
    view: &'a RwLock<View>,
    observer: &'a dyn Observer,
    silence: Silence,
    ticks: u32,
}

impl House<'_> {
    async fn tick(&mut self) -> PortResult<()> {
        self.ticks += 1;
        let beats = self.ports.workers.beats(&self.settings.cell).await?;
        self.silence.hear(&beats, Instant::now());
        self.with_view(|view| view.note_silence(self.silence.durations()));
        look(self.ports, self.settings, self.view).await?;
        let fleet = self.with_view(|view| view.fleet());
        self.observer.fleet_seen(&fleet);
        drop(fleet);
        self.lose().await?;
        if self.ticks.is_multiple_of(RENEW_EVERY) {
            self.ports.leadership.renew(self.mandate).await?;
        }
        if self.ticks.is_multiple_of(FORGET_EVERY) {
            let now = (self.settings.clock)();
            self.ports.containers.forget(&self.settings.cell, now, self.settings.keep, CONTAINERS_MAX).await?;
        }
        Ok(())
    }

    /// Gives up who was silent for keepalive and grace, and tells what runs past a drain to stop.
    async fn lose(&mut self) -> PortResult<()> {
        let drains = self.with_view(|view| view.drains_due());
        let mut losses: Vec<Loss> = drains.into_iter().map(|worker| Loss::DrainDue { worker }).collect();
        let silent = self.silence.longer_than(self.settings.keepalive + self.settings.grace);
        let workers = self.silence.heard.len();
        if silent.len() >= BRAKE_WORKERS && silent.len() * 4 > workers {
            self.observer.losing_suspended(silent.len(), workers);
        } else {
            losses.extend(silent);
        }
        if losses.is_empty() {
            return Ok(());
        }
        let now = (self.settings.clock)();
        let outcomes = self.ports.placements.lose(self.mandate, now, losses.clone(), CONTAINERS_MAX).await?;
        for (loss, outcome) in losses.iter().zip(outcomes) {
            if let (Loss::Silent { worker, .. }, LossOutcome::Done(moved) | LossOutcome::More(moved)) = (loss, outcome)
            {
                self.observer.worker_lost(worker, moved);
            }
        }
        Ok(())
    }

    fn with_view<T>(&self, run: impl FnOnce(&mut View) -> T) -> T {
        run(&mut self.view.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who has been silent since when, counted on our own clock from the answer in which a number was first seen.
#[derive(Default)]
struct Silence {
    store: Option<(Boot, History)>,
    polled_at: Option<Instant>,
    heard: BTreeMap<WorkerId, Heard>,
}

/// The last that was heard of a worker.
struct Heard {
    incarnation: Incarnation,
    number: CallNumber,
    since: Instant,
}

impl Silence {
    /// Takes in an answer. A gap between polls, another boot or history begins every count anew.
    fn hear(&mut self, beats: &Beats, now: Instant) {
        let store = Some((beats.boot, beats.history));
        let gap = self.polled_at.is_none_or(|at| now.duration_since(at) > GAP_MAX);
        if self.store != store || gap {
            self.heard.clear();
        }
        (self.store, self.polled_at) = (store, Some(now));
        let mut heard = BTreeMap::new();
        for (worker, incarnation, number) in &beats.numbers {
            let same =
                self.heard.remove(worker).filter(|last| (last.incarnation, last.number) == (*incarnation, *number));
            let since = same.map_or(now, |last| last.since);
            heard.insert(worker.clone(), Heard { incarnation: *incarnation, number: *number, since });
        }
        self.heard = heard;
    }

    /// How long each worker has been silent.
    fn durations(&self) -> BTreeMap<WorkerId, Duration> {
        let Some(polled_at) = self.polled_at else {
            return BTreeMap::new();
        };
        self.heard.iter().map(|(worker, heard)| (worker.clone(), polled_at - heard.since)).collect()
    }

    /// Whom to give up.
    fn longer_than(&self, patience: Duration) -> Vec<Loss> {
        let (Some((boot, _)), Some(polled_at)) = (self.store, self.polled_at) else {
            return Vec::new();
        };
        let silent = self.heard.iter().filter(|(_, heard)| polled_at - heard.since > patience);
        let loss = |(worker, heard): (&WorkerId, &Heard)| Loss::Silent {
            worker: worker.clone(),
            incarnation: heard.incarnation,
            number: heard.number,
            boot,
        };
        silent.map(loss).collect()
    }
}
