//! A planner in a few lines: it gives up whom the scheduler's own count of silences gives up, ends drains, and places
//! what is ready on the first worker with room.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use app::scheduler::{Silence, Silent};
use domain::id::{Mark, WorkerId};
use domain::ledger;
use domain::model::placements::{Commit, Decision, DecisionKind, Loss};
use domain::model::{Mandate, MemoryRows, Rows, backlog, workers};
use domain::request::IfSilent;
use domain::resources::Booking;
use domain::wait::LotKey;
use domain::worker::{Closed, Life, Status, WorkerRow};
use tokio::time::Instant;

use crate::world::{GRACE, KEEPALIVE, read};

/// How long a planner takes a tick for: it reads the beats once a tick, and with one reading left out the next comes
/// after a gap. All its waits are ticks, so that its clock need not agree with those of the agents on what a tick is.
const TICK: Duration = Duration::from_secs(3);
/// A planner's clock is this much too fast each tick, which is what `grace` is for: whoever was silent for keepalive is
/// given up in that very tick, and to have counted one too few is found out.
const TOO_FAST: Duration = Duration::from_millis(1);
/// When time began.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap()
}

/// What a planner's clock shows.
fn instant(now: u64) -> Instant {
    *BEGAN + (TICK + TOO_FAST) * u32::try_from(now).unwrap()
}

/// What one planner knows.
#[derive(Debug, Clone)]
pub(crate) struct Planner {
    /// None once it was told that another plans.
    pub(crate) mandate: Option<Mandate>,
    silence: Silence,
    /// When each drain was first seen.
    drains: BTreeMap<WorkerId, u64>,
    /// Since when it has seen the cell settle.
    settling_since: Option<u64>,
    /// Whether it has asked for what an earlier planner left with workers that it gave up.
    asked_rest: bool,
    /// How far it has seen the cell, unless it does not know what became of a call.
    pub(crate) seen: Option<Mark>,
    /// How far it saw the history before.
    pub(crate) witness: Option<Mark>,
    /// What it committed last in this tick: nothing is said twice without news.
    last: Vec<Decision>,
}

/// What a planner asks of the store.
#[derive(Debug, Clone)]
pub(crate) enum PlannerCall {
    Lose(Vec<Loss>),
    Commit(Commit),
}

impl Planner {
    pub(crate) fn new(mandate: Mandate) -> Self {
        Self {
            seen: Some(mandate.mark),
            mandate: Some(mandate),
            silence: Silence::default(),
            drains: BTreeMap::new(),
            settling_since: None,
            asked_rest: false,
            witness: None,
            last: Vec::new(),
        }
    }

    /// Reads the beats, once a tick; answers what is to be given up.
    pub(crate) fn poll(&mut self, now: u64, rows: &MemoryRows) -> Vec<Loss> {
        self.last.clear();
        self.silence.hear(&read(workers::beats(rows)), instant(now));
        let mut losses = self.drains_due(now, rows);
        let silent = self.silence.given_up(ticks(KEEPALIVE), ticks(GRACE));
        losses.extend(silent.expect("fewer workers than it takes to suspend the losing"));
        losses.extend(self.rest(rows));
        losses.extend(self.settled(now, rows));
        losses
    }

    /// What is left with workers that were given up, once a mandate.
    fn rest(&mut self, rows: &MemoryRows) -> Vec<Loss> {
        if std::mem::replace(&mut self.asked_rest, true) {
            return Vec::new();
        }
        let is_owner = |row: &WorkerRow| row.life == Life::Lost && row.used.containers > 0;
        all_workers(rows).into_iter().filter(is_owner).map(|row| Loss::Rest { worker: row.id }).collect()
    }

    /// Whether the settling may end, or those be ended whom somebody wanted stopped meanwhile.
    fn settled(&mut self, now: u64, rows: &MemoryRows) -> Option<Loss> {
        let cell = read(rows.cell());
        if !cell.settling {
            self.settling_since = None;
            let waits = cell.unregistered == 0 && read(rows.lot(&LotKey::Stop)).is_some();
            return waits.then_some(Loss::Settled { witness: None });
        }
        let since = *self.settling_since.get_or_insert(now);
        let witness = self.witness.take();
        (now - since >= KEEPALIVE + GRACE || witness.is_some()).then_some(Loss::Settled { witness })
    }

    /// How long it has seen this worker silent, whichever run of it, if that is as long as it takes to call one lost.
    pub(crate) fn silence_of(&self, worker: &WorkerId) -> Option<Silent> {
        self.silence.durations().remove(worker).filter(|silent| silent.lasted >= ticks(KEEPALIVE + GRACE))
    }

    fn drains_due(&mut self, now: u64, rows: &MemoryRows) -> Vec<Loss> {
        let is_open_drain = |row: &WorkerRow| matches!(row.closed, Closed::Draining { due: false, .. });
        let draining: Vec<_> = all_workers(rows).into_iter().filter(is_open_drain).map(|row| row.id).collect();
        self.drains.retain(|worker, _| draining.contains(worker));
        for worker in draining {
            self.drains.entry(worker).or_insert(now);
        }
        let due = self.drains.iter().filter(|(_, since)| now > **since);
        due.map(|(worker, _)| Loss::DrainDue { worker: worker.clone() }).collect()
    }

    /// What it would commit now, if that is news.
    pub(crate) fn plan(&mut self, rows: &MemoryRows) -> Option<Commit> {
        let commit = place(all_workers(rows), rows);
        self.seen = self.seen.map(|_| read(rows.cell()).mark());
        let is_news = !commit.decisions.is_empty() && commit.decisions != self.last;
        self.last.clone_from(&commit.decisions);
        is_news.then_some(commit)
    }
}

/// Places what is ready on the first of these with room.
pub(crate) fn place(mut fleet: Vec<WorkerRow>, rows: &MemoryRows) -> Commit {
    fleet.retain(|row| row.status() == Status::Available);
    let cell = read(rows.cell());
    let mut decisions = Vec::new();
    for waiting in read(backlog::next(rows, None, 10, &[])).ready {
        let candidate = waiting.candidate;
        if cell.settling || candidate.if_silent == IfSilent::Keep && cell.unregistered > 0 {
            continue;
        }
        let booking = Booking {
            cpu_milli: candidate.ask.cpu_milli,
            memory_mib: candidate.ask.memory_mib,
            gpu_devices: Vec::new(),
            gpu_milli: 0,
        };
        let fits = |row: &mut WorkerRow| ledger::book(&row.spec.total, &mut row.used, &booking).is_ok();
        if let Some(row) = fleet.iter_mut().find_map(|row| fits(row).then_some(row)) {
            let kind = DecisionKind::Place { worker: row.id.clone(), incarnation: row.incarnation, booking };
            decisions.push(Decision { container: candidate.id, attempt: candidate.attempt, kind });
        }
    }
    Commit { decisions, ..Commit::default() }
}

pub(crate) fn all_workers(rows: &MemoryRows) -> Vec<WorkerRow> {
    read(rows.workers(None, 100)).iter().filter_map(|id| read(rows.worker(id))).collect()
}
