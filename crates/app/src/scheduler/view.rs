//! The fleet as the planner saw it last: read in changes, and kept up with its own commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::fleet::{Fleet, PoolTemplate};
use domain::id::{Incarnation, Mark, PlannerId, Revision, WorkerId};
use domain::model::backlog::InLine;
use domain::model::placements::{Commit, CommitAnswer, Decision, DecisionKind, Outcome};
use domain::model::workers::{LookPage, SeenSilent};
use domain::model::{FleetName, Rewind};
use domain::wait::LotKey;
use domain::worker::{Closed, Life, Status, Worker, WorkerRow};
use ports::PortError;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The cached fleet, and what the planner's own clock says about it.
#[derive(Default)]
pub struct View {
    fleet: Arc<Fleet>,
    upto: Option<Revision>,
    /// The end of the last commit of our own.
    committed: Revision,
    /// How far the cell ever was seen, read or written, whatever it is read to be now.
    reached: Option<Revision>,
    read_at: Option<Instant>,
    stale: bool,
    freed: bool,
    /// Told when room or quota is seen to be free, whoever looked.
    noticed: Arc<Notify>,
    drains: BTreeMap<WorkerId, Deadline>,
    boots: BTreeMap<WorkerId, Deadline>,
    idle: BTreeMap<WorkerId, Idle>,
    silent: BTreeMap<WorkerId, Silent>,
    trouble: Option<Trouble>,
    /// Whether a commit is under way whose answer has not come.
    committing: bool,
    rewind: Option<Rewind>,
    held_by: Option<PlannerId>,
}

/// How long a worker has been silent, as far as this planner has watched it.
#[derive(Debug, Clone, Copy)]
pub struct Silent {
    /// The run that is silent: another may have registered since, and number its calls alike.
    pub run: Incarnation,
    /// How long.
    pub lasted: Duration,
    /// The number that stood still meanwhile.
    pub seen: SeenSilent,
}

/// Why the store does not do what the planner asks.
#[derive(Debug, Clone)]
struct Trouble {
    text: String,
    /// Whether it was a commit that failed: another write that goes well says nothing of that.
    of_commit: bool,
}

/// A drain or a boot, counted from when the planner first saw it.
struct Deadline {
    within: Duration,
    since: Instant,
}

impl Deadline {
    fn is_over(&self) -> bool {
        self.since.elapsed() >= self.within
    }
}

/// A worker that owns nothing, as it was changed last.
struct Idle {
    changed: Revision,
    since: Instant,
}

impl View {
    /// The fleet.
    pub fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet)
    }

    /// Whether it was ever read.
    pub fn was_read(&self) -> bool {
        self.upto.is_some()
    }

    /// Whether it may serve: read less than `max_age` ago, and nothing since has shown it to be wrong.
    pub(super) fn is_fresh(&self, max_age: Duration) -> bool {
        !self.stale && self.read_at.is_some_and(|at| at.elapsed() < max_age)
    }

    /// Asks for a look before the next plan.
    pub(super) fn mark_stale(&mut self) {
        self.stale = true;
    }

    /// Since when changes are to be read.
    pub(super) fn upto(&self) -> Option<Revision> {
        self.upto
    }

    /// Begins with nothing but what was wrong last: that is over when something has been written.
    pub(super) fn forget_all(&mut self) {
        *self = Self { trouble: self.trouble.take(), ..Self::default() };
    }

    /// Forgets what was read, but neither what the clock says nor how far it was read: a store that has less than was seen
    /// is one that lost writes. What is read next is not all before its last page.
    pub(super) fn read_anew(&mut self) {
        let mut fleet = Fleet::default();
        fleet.pools.clone_from(&self.fleet.pools);
        (self.fleet, self.upto, self.committed, self.stale) = (Arc::new(fleet), None, Revision(0), true);
    }

    /// Notes what the fleet could grow by.
    pub(super) fn note_templates(&mut self, templates: Vec<PoolTemplate>) {
        if self.fleet.pools != templates {
            Arc::make_mut(&mut self.fleet).pools = templates;
        }
    }

    /// Whether somebody may wait in a lot: a view that is stale may not show it.
    pub(super) fn somebody_waits(&self) -> bool {
        self.stale || !self.fleet.lots.is_empty()
    }

    /// Whether room or quota became free since it was asked last.
    pub(super) fn has_freed(&self) -> bool {
        self.freed
    }

    /// Has all who wait asked once more.
    pub(super) fn note_freed(&mut self) {
        self.freed = true;
    }

    /// Tells when room or quota is seen to be free.
    pub(super) fn noticed(&self) -> Arc<Notify> {
        Arc::clone(&self.noticed)
    }

    /// Whether room or quota became free since this was asked last.
    pub(super) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Notes how far the cell was seen, whatever becomes of what was seen.
    pub(super) fn note_reached(&mut self, upto: Revision) {
        self.reached = self.reached.max(Some(upto));
    }

    /// Takes in a page of changes; not one that was read before what is known already, such as a commit of our own: it
    /// would take back what the commit booked.
    pub(super) fn apply(&mut self, page: LookPage) {
        let upto = page.upto.revision;
        self.note_reached(upto);
        if self.upto.is_some_and(|known| upto < known) || (!page.more && upto < self.committed) {
            return;
        }
        (self.upto, self.stale) = (Some(upto), page.more);
        if !page.more {
            self.read_at = Some(Instant::now());
        }
        let fleet = Arc::make_mut(&mut self.fleet);
        let missed = (fleet.settling, fleet.unregistered > 0);
        (fleet.settling, fleet.unregistered) = (page.settling, page.unregistered);
        self.rewind = page.rewind;
        self.freed |= missed > (fleet.settling, fleet.unregistered > 0);
        for name in page.gone {
            match name {
                FleetName::Worker(id) => {
                    fleet.remove(&id);
                    self.drains.remove(&id);
                    self.boots.remove(&id);
                    self.idle.remove(&id);
                    self.silent.remove(&id);
                }
                FleetName::Lot(key) => drop(fleet.lots.remove(&key)),
                FleetName::Usage(workspace) => self.freed |= fleet.usage.remove(&workspace).is_some(),
            }
        }
        for row in page.workers {
            let worker = row.to_worker();
            self.freed |= frees_room(fleet.worker(&row.id), &worker);
            follow_deadline(&mut self.drains, &row.id, drain_within(&row));
            follow_deadline(&mut self.boots, &row.id, boot_within(&row));
            follow_idle(&mut self.idle, &row);
            fleet.put(worker);
        }
        for (workspace, usage) in page.usage {
            let before = fleet.usage.insert(workspace, usage);
            self.freed |= before.is_some_and(|before| before.exceeds(&usage));
        }
        for lot in page.lots {
            let (first, of_quota) = (lot.first, matches!(lot.key, LotKey::Quota(_)));
            let before = fleet.lots.insert(lot.key.clone(), lot);
            // Who comes next in a quota's lot may ask for less than who was first when it was parked.
            self.freed |= of_quota && before.is_none_or(|before| before.first != first);
        }
        if self.freed {
            self.noticed.notify_waiters();
        }
    }

    /// Books what a commit of our own placed. The cached revision moves on only if nobody wrote in between, and if all
    /// that the commit changed is booked here.
    ///
    /// Answers the workers that the store turned out not to have as they are here: none is planned for until a look shows it
    /// again. One whose row cannot be read any more is shown by no look, nor is it said to be gone.
    pub(super) fn apply_commit(
        &mut self,
        commit: &Commit,
        deciding: &[&InLine],
        answer: &CommitAnswer,
    ) -> BTreeSet<WorkerId> {
        let decisions = &commit.decisions;
        self.committed = answer.after;
        self.note_reached(answer.after);
        let gone = self.drop_gone(decisions, answer);
        if self.upto >= Some(answer.after) {
            // A look that began while the commit was on its way has read it: it is booked already.
            return gone;
        }
        let mut booked = Vec::with_capacity(decisions.len());
        for ((decision, waiting), outcome) in decisions.iter().zip(deciding).zip(&answer.outcomes) {
            let candidate = &waiting.candidate;
            let (DecisionKind::Place { worker, booking, .. }, Outcome::Done) = (&decision.kind, outcome) else {
                self.stale = true;
                continue;
            };
            booked.push((worker, &*candidate.ask, booking));
            self.idle.remove(worker);
            // A lot that was read from has changed.
            self.stale |= candidate.lot.is_some();
        }
        Arc::make_mut(&mut self.fleet).book_all(booked);
        // Requests that cannot be decoded follow the others, and change a lot.
        self.stale |= decisions.len() > deciding.len();
        // Workers that come and go are seen by the next look.
        self.stale |= !commit.workers.is_empty() || !commit.removals.is_empty();
        if !self.stale && self.upto == Some(answer.before) {
            self.upto = Some(answer.after);
        }
        gone
    }

    /// Takes out the workers that a commit did not find, unless a look has shown since what became of them.
    fn drop_gone(&mut self, decisions: &[Decision], answer: &CommitAnswer) -> BTreeSet<WorkerId> {
        let mut gone = BTreeSet::new();
        for (decision, outcome) in decisions.iter().zip(&answer.outcomes) {
            if let (DecisionKind::Place { worker, incarnation, .. }, Outcome::WorkerGone) = (&decision.kind, outcome) {
                let shown = self.fleet.worker(worker);
                if shown.is_some_and(|shown| shown.incarnation == *incarnation && shown.status != Status::Lost) {
                    Arc::make_mut(&mut self.fleet).remove(worker);
                    gone.insert(worker.clone());
                }
            }
        }
        gone
    }

    /// Notes that the store does not do what the planner asks, and what it said.
    pub(super) fn note_trouble(&mut self, text: String) {
        let of_commit = self.trouble.as_ref().is_some_and(|trouble| trouble.of_commit);
        self.trouble = Some(Trouble { text, of_commit });
    }

    /// Notes that a commit failed, and what the store said.
    pub(super) fn note_commit_failed(&mut self, text: String) {
        self.trouble = Some(Trouble { text, of_commit: true });
    }

    /// Notes that the store does what it is asked, or that somebody else asks it now.
    pub(super) fn note_no_trouble(&mut self) {
        self.trouble = None;
    }

    /// Notes that the store answers, and that this planner has the cell.
    pub(super) fn note_held_by(&mut self, planner: PlannerId) {
        self.note_no_trouble();
        self.held_by = Some(planner);
    }

    /// Who had the cell when this process asked for it last.
    pub(super) fn held_by(&self) -> Option<&PlannerId> {
        self.held_by.as_ref()
    }

    /// Notes why the planner left the cell.
    pub(super) fn note_stepped_down(&mut self, error: &PortError) {
        match error {
            PortError::StaleTerm => self.note_no_trouble(),
            PortError::Rewound => {}
            error => self.note_trouble(error.in_full()),
        }
    }

    /// Notes that there is nothing to commit: any write may show from now on that the store does what it is asked.
    pub(super) fn note_nothing_to_commit(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.of_commit = false;
        }
    }

    /// Notes that the store has written something. A commit that failed says itself when it has come through.
    pub(super) fn note_written(&mut self) {
        self.trouble.take_if(|trouble| !trouble.of_commit);
    }

    /// Notes whether a commit is under way.
    pub(super) fn note_committing(&mut self, committing: bool) {
        self.committing = committing;
    }

    /// How far this planner saw the history in which it has planned since this mark, if it knows what became of all that it
    /// wrote.
    pub(super) fn witness(&self, since: Mark) -> Option<Mark> {
        let reached = self.reached.filter(|_| !self.committing)?;
        Some(Mark { revision: reached.max(since.revision), ..since })
    }

    /// How the cell's history began, if writes were lost before it.
    pub(super) fn rewind(&self) -> Option<Rewind> {
        self.rewind
    }

    /// What the store said when it did not answer the planner's last call.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.text.as_str())
    }

    /// Workers that are given up and still own containers.
    pub(super) fn lost_owners(&self) -> Vec<WorkerId> {
        let lost = self.fleet.workers().iter();
        let lost = lost.filter(|worker| worker.status == Status::Lost && worker.used.containers > 0);
        lost.map(|worker| worker.id.clone()).collect()
    }

    /// Workers whose drain has come due.
    pub(super) fn drains_due(&self) -> Vec<WorkerId> {
        self.over(&self.drains)
    }

    /// Workers that have not come within the time that they may boot.
    pub(super) fn boots_over(&self) -> Vec<WorkerId> {
        self.over(&self.boots)
    }

    fn over(&self, deadlines: &BTreeMap<WorkerId, Deadline>) -> Vec<WorkerId> {
        let there = |id: &WorkerId| self.fleet.worker(id).is_some();
        let over = deadlines.iter().filter(|(id, deadline)| deadline.is_over() && there(id));
        over.map(|(id, _)| id.clone()).collect()
    }

    /// How long until the next worker should have come.
    pub(super) fn until_boot_over(&self) -> Option<Duration> {
        let left = self.boots.values().filter(|boot| !boot.is_over());
        left.map(|boot| boot.within.saturating_sub(boot.since.elapsed())).min()
    }

    /// How long a worker may boot that does.
    pub(super) fn boot_within(&self, worker: &WorkerId) -> Option<Duration> {
        self.boots.get(worker).map(|boot| boot.within)
    }

    /// How long a worker has owned nothing, if it owns nothing.
    pub(super) fn idle_for(&self, worker: &WorkerId) -> Option<Duration> {
        self.idle.get(worker).map(|idle| idle.since.elapsed())
    }

    /// Notes how long workers have been silent.
    pub(super) fn note_silence(&mut self, silent: BTreeMap<WorkerId, Silent>) {
        self.silent = silent;
    }

    /// How long this run of a worker has been silent, if it is watched.
    pub fn silence_of(&self, worker: &WorkerId, run: Incarnation) -> Option<Silent> {
        self.silent.get(worker).copied().filter(|silent| silent.run == run)
    }
}

/// Whether something may fit on `now` that did not fit before.
fn frees_room(before: Option<&Worker>, now: &Worker) -> bool {
    let Some(before) = before.filter(|before| before.status == Status::Available) else {
        return now.status == Status::Available;
    };
    let (was, is) = (before.free(), now.free());
    now.status == Status::Available
        && (before.spec != now.spec
            || is.cpu_milli > was.cpu_milli
            || is.memory_mib > was.memory_mib
            || is.gpu_milli.iter().zip(&was.gpu_milli).any(|(is, was)| is > was))
}

fn drain_within(row: &WorkerRow) -> Option<Duration> {
    match row.closed {
        Closed::Draining { within, due: false } => Some(within),
        _ => None,
    }
}

fn boot_within(row: &WorkerRow) -> Option<Duration> {
    match row.life {
        Life::Pending { boot_within } => Some(boot_within),
        _ => None,
    }
}

fn follow_deadline(deadlines: &mut BTreeMap<WorkerId, Deadline>, worker: &WorkerId, within: Option<Duration>) {
    match within {
        Some(within) => {
            let began = || Deadline { within, since: Instant::now() };
            deadlines.entry(worker.clone()).or_insert_with(began).within = within;
        }
        None => drop(deadlines.remove(worker)),
    }
}

/// A worker is idle from when it was seen to own nothing, anew at each change of its row: it may have owned something in
/// between.
fn follow_idle(idle: &mut BTreeMap<WorkerId, Idle>, row: &WorkerRow) {
    if row.used.containers > 0 || matches!(row.life, Life::Pending { .. }) {
        idle.remove(&row.id);
    } else if idle.get(&row.id).is_none_or(|idle| idle.changed != row.changed) {
        idle.insert(row.id.clone(), Idle { changed: row.changed, since: Instant::now() });
    }
}
