//! What the planner does beside its batches, at most two calls a second: it gives up silent workers, ends drains,
//! forgets what ended long ago, and proves that it lives.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use domain::id::{Boot, CallNumber, History, Incarnation, Mark, WorkerId};
use domain::model::Mandate;
use domain::model::placements::{Loss, LossOutcome};
use domain::model::workers::{Beats, SeenSilent};
use domain::wait::LotKey;
use ports::{PortError, PortResult, Ports};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Settings;
use super::cycle::look;
use super::report::Observer;
use super::view::{Silent, View};

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
/// How often a worker beats within its keepalive.
const BEATS_IN_KEEPALIVE: u32 = 5;

/// Keeps house until the mandate is lost; answers why.
pub(super) async fn run(
    ports: &Ports,
    settings: &Settings,
    mandate: &Mandate,
    witness: Option<Mark>,
    view: &RwLock<View>,
    observer: &dyn Observer,
) -> PortError {
    let mut house = House::new(ports, settings, mandate, view, observer).with_witness(witness);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match house.tick().await {
            Ok(()) => {}
            Err(error @ PortError::Unavailable(_)) => {
                observer.store_failed(&error);
                house.with_view(|view| view.note_trouble(Some(error.in_full())));
            }
            Err(error) => return error,
        }
    }
}

pub(super) struct House<'a> {
    ports: &'a Ports,
    settings: &'a Settings,
    mandate: &'a Mandate,
    view: &'a RwLock<View>,
    observer: &'a dyn Observer,
    silence: Silence,
    /// Losses that were begun and not ended: whoever is given up is heard of no more, and would be forgotten.
    unfinished: Vec<Loss>,
    /// Whether what an earlier planner left with workers that it gave up was asked back.
    asked_rest: bool,
    /// Since when this planner has seen the cell settle.
    settling_since: Option<Instant>,
    /// How far this planner saw the history before, if it had the mandate all the time.
    witness: Option<Mark>,
    ticks: u32,
    /// Whether more ended long ago than one call forgets.
    forgetting: bool,
}

impl<'a> House<'a> {
    pub(super) fn new(
        ports: &'a Ports,
        settings: &'a Settings,
        mandate: &'a Mandate,
        view: &'a RwLock<View>,
        observer: &'a dyn Observer,
    ) -> Self {
        Self {
            ports,
            settings,
            mandate,
            view,
            observer,
            silence: Silence::default(),
            unfinished: Vec::new(),
            asked_rest: false,
            settling_since: None,
            witness: None,
            ticks: 0,
            forgetting: false,
        }
    }

    /// With what the same planner saw of the history before.
    pub(super) fn with_witness(self, witness: Option<Mark>) -> Self {
        Self { witness, ..self }
    }

    pub(super) async fn tick(&mut self) -> PortResult<()> {
        self.ticks += 1;
        let beats = self.ports.workers.beats(&self.settings.cell).await?;
        self.silence.hear(&beats, Instant::now());
        self.with_view(|view| view.note_silence(self.silence.durations()));
        look(self.ports, self.settings, self.view).await?;
        let fleet = self.with_view(|view| view.fleet());
        self.observer.fleet_seen(&fleet);
        drop(fleet);
        self.lose().await?;
        // That something can be written is known only from a write.
        if self.ticks.is_multiple_of(RENEW_EVERY) || self.with_view(|view| view.trouble().is_some()) {
            self.ports.leadership.renew(self.mandate).await?;
            self.with_view(View::note_written);
        }
        if self.forgetting || self.ticks.is_multiple_of(FORGET_EVERY) {
            let (cell, now, keep) = (&self.settings.cell, (self.settings.clock)(), self.settings.keep);
            let forgotten = self.ports.containers.forget(cell, now, keep, CONTAINERS_MAX).await?;
            self.forgetting = forgotten.more;
        }
        Ok(())
    }

    /// Gives up who was silent for keepalive and grace, and tells what runs past a drain to stop.
    async fn lose(&mut self) -> PortResult<()> {
        let settled = self.settled();
        let rest = if self.asked_rest { Vec::new() } else { self.with_view(|view| view.lost_owners()) };
        self.asked_rest = true;
        let rest = rest.into_iter().map(|worker| Loss::Rest { worker });
        let drains = self.with_view(|view| view.drains_due());
        let drains = drains.into_iter().map(|worker| Loss::DrainDue { worker });
        let silent = match self.silence.given_up(self.settings.keepalive, self.settings.grace) {
            Ok(silent) => silent,
            Err(Brake { silent, workers }) => {
                self.observer.losing_suspended(silent, workers);
                Vec::new()
            }
        };
        for loss in drains.chain(silent).chain(rest).chain(settled) {
            if !self.unfinished.contains(&loss) {
                self.unfinished.push(loss);
            }
        }
        while !self.unfinished.is_empty() {
            let now = (self.settings.clock)();
            let losses = self.unfinished.clone();
            let outcomes = self.ports.placements.lose(self.mandate, now, losses, CONTAINERS_MAX).await?;
            let mut outcomes = outcomes.into_iter();
            let observer = self.observer;
            self.unfinished.retain(|loss| {
                let outcome = outcomes.next();
                if let (
                    Loss::Silent { worker, .. } | Loss::Rest { worker },
                    Some(LossOutcome::Done(moved) | LossOutcome::More(moved)),
                ) = (loss, outcome)
                {
                    observer.worker_lost(worker, moved);
                }
                outcome.is_none_or(|outcome| outcome.more().is_some())
            });
        }
        Ok(())
    }

    /// Ends the settling once a new history has been seen for as long as what nobody told of may live; at once, if
    /// nothing of this planner's was lost. Also has those stopped whom somebody wanted stopped meanwhile.
    fn settled(&mut self) -> Option<Loss> {
        let (fleet, rewind) = self.with_view(|view| (view.fleet(), view.rewind()));
        if !fleet.settling {
            if self.settling_since.take().is_some() {
                self.observer.settled();
            }
            let waits = fleet.unregistered == 0 && fleet.lots.contains_key(&LotKey::Stop);
            return waits.then_some(Loss::Settled { witness: None });
        }
        if self.settling_since.is_none() {
            self.observer.settling(rewind.as_ref(), fleet.unregistered);
        }
        let since = *self.settling_since.get_or_insert_with(Instant::now);
        let witness = self.witness.take();
        let is_due = since.elapsed() >= self.settings.keepalive + self.settings.grace;
        (is_due || witness.is_some()).then_some(Loss::Settled { witness })
    }

    fn with_view<T>(&self, run: impl FnOnce(&mut View) -> T) -> T {
        run(&mut self.view.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who has been silent since when, counted on our own clock from the answer in which a number was first seen.
#[derive(Default)]
pub(super) struct Silence {
    store: Option<(Boot, History)>,
    polled_at: Option<Instant>,
    heard: BTreeMap<WorkerId, Heard>,
}

/// So many of so many workers are silent at once that none is given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Brake {
    pub(super) silent: usize,
    pub(super) workers: usize,
}

/// The last that was heard of a worker.
struct Heard {
    incarnation: Incarnation,
    number: CallNumber,
    since: Instant,
}

impl Silence {
    /// Takes in an answer. A gap between polls, another boot or history begins every count anew.
    pub(super) fn hear(&mut self, beats: &Beats, now: Instant) {
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
    fn durations(&self) -> BTreeMap<WorkerId, Silent> {
        let (Some(polled_at), Some((boot, _))) = (self.polled_at, self.store) else {
            return BTreeMap::new();
        };
        let silent =
            |heard: &Heard| Silent { lasted: polled_at - heard.since, seen: SeenSilent { number: heard.number, boot } };
        self.heard.iter().map(|(worker, heard)| (worker.clone(), silent(heard))).collect()
    }

    /// Whom to give up; nobody if too many are silent at once. Workers that were cut off together were heard of last at
    /// different times, a beat apart: whoever will be due within a beat counts as silent with those who are.
    pub(super) fn given_up(&self, keepalive: Duration, grace: Duration) -> Result<Vec<Loss>, Brake> {
        let patience = keepalive + grace;
        let due = self.longer_than(patience);
        let silent = self.longer_than(patience.saturating_sub(keepalive / BEATS_IN_KEEPALIVE)).len();
        let workers = self.heard.len();
        let braked = silent >= BRAKE_WORKERS && silent * 4 > workers;
        if braked && !due.is_empty() { Err(Brake { silent, workers }) } else { Ok(due) }
    }

    /// Who was silent for longer than this.
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
