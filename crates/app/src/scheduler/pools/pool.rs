//! What is remembered of one pool.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::fleet::{Fleet, PoolTemplate};
use domain::id::{Incarnation, PoolName, WorkerId};
use domain::model::placements::NewWorker;
use domain::provisioning::{Bound, Growth as Wanted, NewWorkers, PoolRoom, corrected};
use domain::quantity::{format_cpu, format_memory};
use domain::resources::Capacity;
use domain::worker::{Status, Worker};
use ports::{AddOutcome, ProviderRemoveOutcome};
use tokio::time::Instant;

use super::PoolSettings;
use crate::scheduler::view::View;

/// How often is decided at least.
const DECIDE_EVERY: Duration = Duration::from_secs(5);

/// One pool, from the planner's side.
pub(super) struct Pool {
    pub(super) settings: PoolSettings,
    /// Whether anybody makes workers for it.
    pub(super) grows: bool,
    /// The template, cut down to what its workers turned out to be.
    pub(super) expected: PoolTemplate,
    /// Workers whose rows are written, and of which the provider is still to be told.
    asked: BTreeMap<WorkerId, NewWorker>,
    /// Workers that the provider said are coming, and how many failures in a row there were by then.
    coming: BTreeMap<WorkerId, u32>,
    /// Workers whose rows are to go, and why.
    doomed: BTreeMap<WorkerId, String>,
    /// Workers that the provider is to take away.
    leaving: BTreeSet<WorkerId>,
    /// Workers that it has taken away, and that have a row yet.
    taken_away: BTreeSet<WorkerId>,
    /// What the provider named last; nothing before its first answer.
    made: Option<BTreeSet<WorkerId>>,
    /// Workers of its name that were given up, and of which the provider knows nothing: who made them may have them yet.
    lost_elsewhere: BTreeSet<WorkerId>,
    /// Since when the provider names a worker that has no row.
    strays: BTreeMap<WorkerId, Instant>,
    rest: Rest,
    /// When to decide once more though nothing changed.
    due: Instant,
    /// How many could not be had since this planner has the cell.
    failed: u64,
    /// How many more the open demand needs of it, as far as it may have them; 0 while it rests after a failure.
    pub(super) wanted: u64,
    /// Why as many were asked for as were, the last time.
    pub(super) decision: String,
    trouble: Option<String>,
}

/// Until when a pool asks for nothing.
struct Rest {
    until: Instant,
    failures: u32,
}

/// A pool, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolState {
    /// What it was told.
    pub settings: PoolSettings,
    /// Whether anybody makes workers for it.
    pub grows: bool,
    /// The template, cut down to what its workers turned out to be.
    pub expected: PoolTemplate,
    /// Workers that take work.
    pub ready: u64,
    /// Workers that are asked for, or boot.
    pub pending: u64,
    /// Of the ready ones, those that own nothing.
    pub idle: u64,
    /// Workers that are closed, or given up.
    pub others: u64,
    /// Workers that the provider is to take away.
    pub leaving: u64,
    /// Workers that could not be had since this planner has the cell.
    pub failed: u64,
    /// How many more the open demand needs of it, as far as it may have them; 0 while it rests after a failure.
    pub wanted: u64,
    /// How long it asks for nothing yet.
    pub rests: Option<Duration>,
    /// How many failures in a row.
    pub failures: u32,
    /// Why the last decision was taken.
    pub decision: String,
    /// What went wrong last, until a worker comes.
    pub trouble: Option<String>,
}

impl Pool {
    /// As a planner knows it that has just taken the cell: it asks for nothing before its cooldown is over, for another
    /// may have asked a moment ago.
    pub(super) fn new(settings: PoolSettings, grows: bool) -> Self {
        let until = Instant::now() + settings.cooldown;
        Self {
            rest: Rest { until, failures: 0 },
            due: until,
            expected: settings.template.clone(),
            grows,
            asked: BTreeMap::new(),
            coming: BTreeMap::new(),
            doomed: BTreeMap::new(),
            leaving: BTreeSet::new(),
            taken_away: BTreeSet::new(),
            made: None,
            lost_elsewhere: BTreeSet::new(),
            strays: BTreeMap::new(),
            failed: 0,
            wanted: 0,
            decision: "nothing is decided yet".to_owned(),
            trouble: None,
            settings,
        }
    }

    pub(super) fn name(&self) -> &PoolName {
        &self.settings.template.name
    }

    /// Takes in the fleet as it was read last. Answers what went wrong, if a worker did not come in time.
    pub(super) fn see(&mut self, view: &View, late: &BTreeSet<WorkerId>, stray_after: Duration) -> Option<String> {
        let fleet = view.fleet();
        let has_row = |id: &WorkerId| fleet.worker(id).is_some();
        self.asked.retain(|id, _| has_row(id));
        self.coming.retain(|id, _| has_row(id));
        self.taken_away.retain(has_row);
        // Writes that were lost may have handed it what nobody knows of.
        let may_hide = fleet.unregistered > 0;
        let mut too_late = 0;
        self.lost_elsewhere.clear();
        for worker in self.workers(&fleet) {
            self.follow(worker, view);
            let id = &worker.id;
            if !may_hide {
                // One that has a row came after all: it stays until it is idle.
                self.leaving.remove(id);
            }
            if worker.used.containers > 0 {
                continue;
            }
            if late.contains(id) {
                too_late += u64::from(self.give_up(id, "did not come in time", may_hide));
            } else if worker.status == Status::Lost {
                if self.has_made(id) || self.taken_away.contains(id) {
                    self.give_up(id, "was given up", may_hide);
                } else if self.made.is_some() {
                    self.lost_elsewhere.insert(id.clone());
                }
            }
        }
        self.doomed.retain(|id, _| has_row(id));
        self.learn_size(&fleet);
        self.find_strays(&fleet, stray_after);
        (too_late > 0).then(|| {
            let within = self.settings.boot_within.as_secs_f64();
            self.fail(too_late, format!("{too_late} did not come within {within} s"))
        })
    }

    /// Notes that a worker has come, or that one is still to be asked for.
    fn follow(&mut self, worker: &Worker, view: &View) {
        if worker.incarnation == Incarnation(0) {
            self.remember_asked(worker, view);
        } else if self.coming.remove(&worker.id).is_some_and(|failures| failures == self.rest.failures) {
            // One that was promised before the last failure does not show that it is over.
            (self.rest.failures, self.trouble) = (0, None);
        }
    }

    /// Has the row of an empty worker removed, and then its machine; the machine first if it `may_hide` what it runs.
    /// Answers whether that is news.
    fn give_up(&mut self, id: &WorkerId, why: &str, may_hide: bool) -> bool {
        let machine_is_gone = self.taken_away.contains(id);
        if may_hide && self.grows && !machine_is_gone {
            return self.leaving.insert(id.clone());
        }
        self.doomed.insert(id.clone(), why.to_owned()).is_none() && !machine_is_gone
    }

    /// A row that an earlier planner wrote, or this one before it lost the cell, and that no worker has taken yet.
    fn remember_asked(&mut self, worker: &Worker, view: &View) {
        let is_known = self.asked.contains_key(&worker.id) || self.coming.contains_key(&worker.id);
        if is_known || self.doomed.contains_key(&worker.id) {
            return;
        }
        if let Some(boot_within) = view.boot_within(&worker.id) {
            let new = NewWorker { id: worker.id.clone(), spec: Arc::clone(&worker.spec), boot_within };
            self.asked.insert(worker.id.clone(), new);
        }
    }

    /// What a worker of the provider's turns out to be when it registers is what the next will be.
    fn learn_size(&mut self, fleet: &Fleet) {
        let registered = self.workers(fleet).filter(|worker| worker.incarnation > Incarnation(0));
        let made = registered.filter(|worker| self.has_made(&worker.id)).map(|worker| &*worker.spec);
        self.expected = corrected(&self.expected, made);
    }

    /// Workers that the provider names and that have no row, for so long that whatever ran there is given up.
    fn find_strays(&mut self, fleet: &Fleet, after: Duration) {
        if fleet.settling {
            self.strays.clear();
            return;
        }
        let made = self.made.iter().flatten();
        let mut strays = BTreeMap::new();
        for id in made.filter(|id| fleet.worker(id).is_none()) {
            let since = self.strays.get(id).copied().unwrap_or_else(Instant::now);
            if since.elapsed() >= after {
                self.leaving.insert(id.clone());
            }
            strays.insert(id.clone(), since);
        }
        self.strays = strays;
    }

    fn has_made(&self, id: &WorkerId) -> bool {
        self.made.as_ref().is_some_and(|made| made.contains(id))
    }

    /// All workers of its name.
    pub(super) fn workers<'a>(&self, fleet: &'a Fleet) -> impl Iterator<Item = &'a Worker> + use<'a> {
        let name = self.name().clone();
        fleet.workers().iter().filter(move |worker| worker.spec.pool == name)
    }

    /// Its machines that are no workers of its name: they are to be taken away, or registered under another.
    fn elsewhere(&self, fleet: &Fleet) -> u64 {
        let is_ours = |id: &WorkerId| fleet.worker(id).is_some_and(|worker| worker.spec.pool == *self.name());
        let machines: BTreeSet<&WorkerId> = self.made.iter().flatten().chain(&self.leaving).collect();
        machines.into_iter().filter(|id| !is_ours(id)).count() as u64
    }

    /// How it may change now. What it waits with for a moment is counted as its own all the same: no other pool should
    /// jump in.
    pub(super) fn room(&self, fleet: &Fleet) -> PoolRoom<'_> {
        let there = self.workers(fleet).count() as u64 + self.elsewhere(fleet);
        let is_able = self.grows && (self.rest.failures == 0 || self.rests().is_none());
        let left = self.settings.template.workers_max.saturating_sub(there);
        PoolRoom {
            template: &self.expected,
            workers_min: self.settings.workers_min,
            warm: self.settings.warm,
            may_add: if is_able { left } else { 0 },
        }
    }

    /// What it asks for now of what is wanted of it; nothing is known of that while no pool may ask.
    pub(super) fn ask(&mut self, wanted: Option<&Wanted>, at_most: usize) -> NewWorkers {
        let new = wanted.and_then(|wanted| wanted.new_workers.iter().find(|new| new.pool == *self.name()));
        self.wanted = new.map_or(0, NewWorkers::count);
        let rests = self.rests().is_some();
        let most = if rests { 0 } else { self.settings.per_cycle_max.min(at_most as u64) };
        let asked = first_of(new, self.name(), most);
        self.decision = self.reason(&asked, wanted);
        asked
    }

    fn reason(&self, asked: &NewWorkers, wanted: Option<&Wanted>) -> String {
        let template = &self.settings.template;
        let full = Bound::WorkersMax(template.name.clone());
        let full = wanted.and_then(|wanted| wanted.unserved.get(&full)).copied().unwrap_or(0);
        let words = match asked.count() {
            _ if !self.grows => "nobody makes workers for it".to_owned(),
            0 if self.rests().is_some() && self.rest.failures > 0 => {
                "rests, for it did not get what it asked for".to_owned()
            }
            0 if self.wanted > 0 => "waits a moment before it asks for more".to_owned(),
            0 if full > 0 => format!("has the {} workers that it may have; {full} requests wait", template.workers_max),
            0 if wanted.is_none() => format!("has the {} workers that it may have", template.workers_max),
            0 => "nothing waits for more of its workers".to_owned(),
            count => {
                let parts = [
                    (asked.for_demand, "for requests that wait"),
                    (asked.for_min, "for its least"),
                    (asked.for_warm, "to keep warm"),
                ];
                let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
                format!("asked for {count}: {}", parts.collect::<Vec<_>>().join(", "))
            }
        };
        let words = match self.lost_elsewhere.first() {
            Some(lost) => {
                let count = self.lost_elsewhere.len();
                let next = format!("stowplan worker remove {lost} --lost");
                format!("{words}; {count} of its workers were given up, and its provider knows none of them: {next}")
            }
            None => words,
        };
        if self.expected == *template {
            return words;
        }
        let (found, expected) = (size(&self.expected.spec.total), size(&template.spec.total));
        format!("{words}; its workers turned out to have {found}, not {expected}")
    }

    /// A row of a worker that is to come, as large as it is likely to be.
    pub(super) fn new_worker(&self, id: WorkerId) -> NewWorker {
        NewWorker { id, spec: Arc::clone(&self.expected.spec), boot_within: self.settings.boot_within }
    }

    /// Its own workers that have owned nothing for long enough to go.
    pub(super) fn idle_ones(&self, view: &View) -> BTreeSet<WorkerId> {
        let fleet = view.fleet();
        let is_idle = |id: &WorkerId| view.idle_for(id).is_some_and(|idle| idle >= self.settings.idle);
        let own = self.workers(&fleet).filter(|worker| worker.status != Status::Lost && self.has_made(&worker.id));
        own.filter(|worker| is_idle(&worker.id)).map(|worker| worker.id.clone()).collect()
    }

    pub(super) fn doomed(&self) -> impl Iterator<Item = &WorkerId> {
        self.doomed.keys()
    }

    /// Rows are written for these.
    pub(super) fn has_asked<'n>(&mut self, new: impl Iterator<Item = &'n NewWorker>) {
        let before = self.asked.len();
        self.asked.extend(new.map(|new| (new.id.clone(), new.clone())));
        let new = self.asked.len() - before;
        if new > 0 {
            self.wanted = self.wanted.saturating_sub(new as u64);
            self.rest_at_least(self.settings.cooldown);
        }
    }

    /// Whether this may be a worker of its own.
    pub(super) fn knows(&self, id: &WorkerId) -> bool {
        self.asked.contains_key(id) || self.coming.contains_key(id) || self.doomed.contains_key(id) || self.has_made(id)
    }

    /// The row of this worker is gone. Answers why.
    pub(super) fn has_removed(&mut self, id: &WorkerId) -> String {
        self.asked.remove(id);
        self.coming.remove(id);
        if self.grows {
            self.leaving.insert(id.clone());
        }
        self.doomed.remove(id).unwrap_or_else(|| "was idle".to_owned())
    }

    /// It owns something after all.
    pub(super) fn keeps(&mut self, id: &WorkerId) {
        self.doomed.remove(id);
    }

    fn rest_at_least(&mut self, long: Duration) {
        self.rest.until = self.rest.until.max(Instant::now() + long);
    }

    /// It was decided what becomes of it; when is that to be done once more, though nothing changed?
    pub(super) fn has_decided(&mut self, view: &View) {
        let fleet = view.fleet();
        let own = self.workers(&fleet).filter(|worker| self.has_made(&worker.id));
        let idle = own.filter_map(|worker| self.settings.idle.checked_sub(view.idle_for(&worker.id)?));
        let left = idle.chain(self.rests()).chain(view.until_boot_over()).fold(DECIDE_EVERY, Duration::min);
        self.due = Instant::now() + left;
    }

    /// How long until then.
    pub(super) fn until_due(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// How long it asks for nothing yet.
    pub(super) fn rests(&self) -> Option<Duration> {
        let left = self.rest.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Rests longer for each failure in a row.
    pub(super) fn fail(&mut self, workers: u64, why: String) -> String {
        self.failed += workers;
        self.rest.failures = self.rest.failures.saturating_add(1);
        self.rest_at_least(self.settings.backoff.delay(self.rest.failures, u64::from(self.rest.failures)));
        self.trouble = Some(why.clone());
        why
    }

    /// What the provider is to be asked for: workers as the template has them.
    pub(super) fn to_add(&self, at_most: usize) -> Vec<NewWorker> {
        let spec = &self.settings.template.spec;
        self.asked.values().take(at_most).map(|new| NewWorker { spec: Arc::clone(spec), ..new.clone() }).collect()
    }

    /// Whom the provider is to take away, beginning with who comes `after` the last that it was told of.
    pub(super) fn to_remove(&self, after: Option<&WorkerId>, at_most: usize) -> Vec<WorkerId> {
        let (before, next): (Vec<_>, Vec<_>) = self.leaving.iter().partition(|id| Some(*id) <= after);
        next.into_iter().chain(before).take(at_most).cloned().collect()
    }

    /// The provider answered. Answers what it said of those that do not come.
    pub(super) fn was_told(&mut self, told: &[NewWorker], outcomes: Vec<AddOutcome>) -> Option<String> {
        let mut failed = 0;
        let mut why = String::new();
        for (new, outcome) in told.iter().zip(outcomes) {
            // Its row may have gone meanwhile.
            if self.asked.remove(&new.id).is_none() {
                continue;
            }
            match outcome {
                AddOutcome::Coming => {
                    self.made.get_or_insert_default().insert(new.id.clone());
                    self.coming.insert(new.id.clone(), self.rest.failures);
                }
                AddOutcome::Failed(text) => {
                    failed += 1;
                    self.doomed.insert(new.id.clone(), text.clone());
                    self.due = Instant::now();
                    why = text;
                }
            }
        }
        (failed > 0).then(|| self.fail(failed, format!("{failed} of {} could not be had: {why}", told.len())))
    }

    /// The provider answered. Whether it has taken away all of them; what it said of the others is noted.
    pub(super) fn has_taken_away(&mut self, told: &[WorkerId], outcomes: Vec<ProviderRemoveOutcome>) -> bool {
        let before = self.leaving.len();
        for (id, outcome) in told.iter().zip(outcomes) {
            match outcome {
                ProviderRemoveOutcome::Gone => {
                    self.leaving.remove(id);
                    self.taken_away.insert(id.clone());
                    if let Some(made) = &mut self.made {
                        made.remove(id);
                    }
                }
                ProviderRemoveOutcome::Failed(why) => self.trouble = Some(format!("{id} is not taken away: {why}")),
            }
        }
        // There is room for another, or a row to remove.
        self.due = Instant::now();
        before - self.leaving.len() >= told.len()
    }

    /// Something went wrong that is no failure to get workers.
    pub(super) fn note_trouble(&mut self, why: String) {
        self.trouble = Some(why);
    }

    pub(super) fn has_named(&mut self, made: Vec<WorkerId>) {
        self.made = Some(made.into_iter().collect());
        self.due = Instant::now();
    }

    pub(super) fn state(&self, fleet: &Fleet) -> PoolState {
        let count = |is: &dyn Fn(&Worker) -> bool| self.workers(fleet).filter(|worker| is(worker)).count() as u64;
        let ready = |worker: &Worker| worker.status == Status::Available;
        let pending = count(&|worker| worker.status == Status::Pending);
        PoolState {
            ready: count(&ready),
            pending,
            idle: count(&|worker| ready(worker) && worker.used.containers == 0),
            others: count(&|worker| !ready(worker)) - pending,
            leaving: self.leaving.len() as u64,
            failed: self.failed,
            wanted: self.wanted,
            rests: self.rests(),
            failures: self.rest.failures,
            decision: self.decision.clone(),
            trouble: self.trouble.clone(),
            settings: self.settings.clone(),
            grows: self.grows,
            expected: self.expected.clone(),
        }
    }
}

/// The first so many of what is wanted: those that it lacks whoever asks, then those that requests wait for.
fn first_of(wanted: Option<&NewWorkers>, pool: &PoolName, most: u64) -> NewWorkers {
    let mut left = most;
    let mut some = |count: fn(&NewWorkers) -> u64| {
        let taken = wanted.map_or(0, count).min(left);
        left -= taken;
        taken
    };
    NewWorkers {
        pool: pool.clone(),
        for_min: some(|new| new.for_min),
        for_demand: some(|new| new.for_demand),
        for_warm: some(|new| new.for_warm),
        left_empty: wanted.map_or(0, |new| new.left_empty),
        for_ids: Vec::new(),
    }
}

fn size(total: &Capacity) -> String {
    let gpus = if total.gpu_count > 0 { format!(", {} gpus", total.gpu_count) } else { String::new() };
    format!("{} cpu, {}{gpus}", format_cpu(total.cpu_milli), format_memory(total.memory_mib))
}
