//! What the planner does beside its batches, at most two calls a second: it gives up silent workers, ends drains,
//! forgets what ended long ago, and proves that it lives.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use domain::id::Mark;
use domain::model::Mandate;
use domain::model::placements::{Loss, LossOutcome};
use domain::wait::LotKey;
use ports::{PortError, PortResult, Ports};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Settings;
use super::look::look;
use super::pools::Pools;
use super::report::Observer;
use super::silence::{Brake, Silence};
use super::view::View;

/// Beats and the fleet are read this often.
const TICK: Duration = Duration::from_millis(1_400);
/// Every so many ticks, what ended long ago is forgotten.
const FORGET_EVERY: u32 = 8;
/// Every so many ticks, the mandate is renewed.
const RENEW_EVERY: u32 = 2;
/// How many containers one call gives back of each loss, and how many it forgets.
const CONTAINERS_MAX: usize = 1_000;
/// How many losses one call takes: nobody else is served by the store meanwhile.
const LOSSES_MAX: usize = 10;

/// Keeps house until the mandate is lost; answers why.
pub(super) async fn run(
    ports: &Ports,
    settings: &Settings,
    mandate: &Mandate,
    witness: Option<Mark>,
    view: &RwLock<View>,
    pools: &Pools,
    observer: &dyn Observer,
) -> PortError {
    let mut house = House::new(ports, settings, mandate, view, observer).with_witness(witness);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match house.tick().await {
            Ok(()) => observer.pools_seen(&pools.states(&house.with_view(|view| view.fleet()))),
            Err(error @ PortError::Unavailable(_)) => {
                observer.store_failed(&error);
                house.with_view(|view| view.note_trouble(error.in_full()));
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
        look(self.ports, self.mandate, self.view).await?;
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
            let losses = self.unfinished.iter().take(LOSSES_MAX).cloned().collect();
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
