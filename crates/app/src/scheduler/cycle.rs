//! One turn of the scheduler: next and look, plan, commit.

mod by_name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use domain::batch::{BatchDecision, BatchWindow, Flush};
use domain::id::{Attempt, ContainerId, Revision};
use domain::model::Mandate;
use domain::model::backlog::InLine;
use domain::model::placements::{Commit, CommitAnswer, Decision, DecisionKind, Outcome};
use domain::placement::{Candidate, Verdict, plan};
use domain::provisioning::open_demand;
use domain::request::OrderKey;
use domain::retry::Backoff;
use ports::{PortError, PortResult, Ports};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::look::look;
use super::pools::{Growth, Pools};
use super::refill::Refill;
use super::report::{BatchReport, Observer};
use super::view::View;
use super::{ScheduleCall, Settings};
use crate::failpoints::{self, Point};

pub use by_name::Scheduled;

/// Between two tries of a call that the store did not answer.
const RETRY: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(1) };

/// Plans the cell until the mandate is lost; answers why.
pub(super) async fn run(
    ports: &Ports,
    settings: &Settings,
    mandate: &Mandate,
    view: &RwLock<View>,
    pools: &Pools,
    observer: &dyn Observer,
    calls: &mut mpsc::Receiver<ScheduleCall>,
) -> PortError {
    let mut cycle = Cycle::new(ports, settings, mandate, view, pools, observer);
    loop {
        match cycle.turn(calls).await {
            Ok(()) => {}
            Err(error @ PortError::Unavailable(_)) => {
                cycle.store_failed(&error);
                cycle.begin_again();
                cycle.failures += 1;
                sleep(RETRY.delay(cycle.failures, u64::from(cycle.failures))).await;
            }
            Err(error) => return error,
        }
    }
}

/// The planner at work.
pub(super) struct Cycle<'a> {
    ports: &'a Ports,
    settings: &'a Settings,
    mandate: &'a Mandate,
    view: &'a RwLock<View>,
    pools: &'a Pools,
    observer: &'a dyn Observer,
    refill: Refill,
    /// How far the backlog was when it was read last.
    seen: Revision,
    /// Room may have become free that no look has read.
    room_unread: bool,
    /// When the batch that is about to be read began to gather.
    gathering: Option<Instant>,
    /// Calls that the store did not answer, and batches that it refused in part, since the last that went well.
    failures: u32,
}

/// What was read for one batch.
struct Batch {
    /// In line and from lots, first in line first.
    candidates: Vec<InLine>,
    corrupt: Vec<(OrderKey, ContainerId)>,
    /// Whether the fleet was read for it.
    looked: bool,
    /// Whether more wait than one batch holds.
    more: bool,
    began: Instant,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.candidates.is_empty() && self.corrupt.is_empty()
    }
}

impl<'a> Cycle<'a> {
    pub(super) fn new(
        ports: &'a Ports,
        settings: &'a Settings,
        mandate: &'a Mandate,
        view: &'a RwLock<View>,
        pools: &'a Pools,
        observer: &'a dyn Observer,
    ) -> Self {
        let (refill, seen) = (Refill::new(), Revision(0));
        Self {
            ports,
            settings,
            mandate,
            view,
            pools,
            observer,
            refill,
            seen,
            room_unread: true,
            gathering: None,
            failures: 0,
        }
    }

    /// One batch, and then whatever there is to wait for.
    async fn turn(&mut self, calls: &mut mpsc::Receiver<ScheduleCall>) -> PortResult<()> {
        while let Ok(call) = calls.try_recv() {
            self.schedule(call).await?;
        }
        self.gather().await?;
        if self.once().await? {
            return Ok(());
        }
        self.wait(calls).await
    }

    /// One cycle. Answers whether there may be more to do at once.
    pub(super) async fn once(&mut self) -> PortResult<bool> {
        let batch = self.next_and_look().await?;
        if self.is_settling(&batch).await? {
            self.view_mut().note_nothing_to_commit();
            return Ok(false);
        }
        if batch.is_empty() && !self.may_grow(&batch) {
            self.view_mut().note_nothing_to_commit();
            return Ok(batch.more || self.has_more());
        }
        failpoints::pass(Point::Looked, batch.candidates.len());
        let (mut batch, verdicts, mut report) = self.plan(batch).await?;
        let growth = self.grow(&mut batch).await?;
        failpoints::pass(Point::Planned, batch.candidates.len());
        let refused = self.commit(&batch, verdicts, growth, &mut report).await?;
        failpoints::pass(Point::Committed, batch.candidates.len());
        self.failures = if refused { self.failures + 1 } else { 0 };
        if refused {
            sleep(RETRY.delay(self.failures, 0)).await;
        }
        Ok(batch.more || refused || self.has_more())
    }

    /// Whether nothing may be placed before workers have said what they run: housekeeping sees to it.
    async fn is_settling(&self, batch: &Batch) -> PortResult<bool> {
        if self.view().fleet().settling && !batch.looked {
            look_again(self).await?;
        }
        Ok(self.view().fleet().settling)
    }

    /// Whether those who wait in lots are to be asked, or read, at once.
    fn has_more(&self) -> bool {
        self.room_unread || self.refill.is_wanted() || self.view().has_freed()
    }

    /// The first requests in line, and what changed in the fleet: two reads, one round trip.
    async fn next_and_look(&mut self) -> PortResult<Batch> {
        let began = self.gathering.take().unwrap_or_else(Instant::now);
        let size_max = self.settings.batch.size_max();
        let cached = !self.refill.wants_look() && self.view().is_fresh(self.settings.batch.fleet_cache());
        let lots = self.refill.take(size_max);
        // One more than a batch holds, to know whether there is more.
        let limit = (size_max + 1).min(self.ports.limits.call_items_max);
        let next = self.ports.backlog.next(&self.settings.cell, None, limit, lots);
        let look = async { if cached { Ok(()) } else { look(self.ports, self.mandate, self.view).await } };
        let (line, ()) = tokio::try_join!(next, look)?;
        self.seen = line.mark.revision;
        let mut looked = !cached;
        if line.ready.is_empty() && self.room_unread && cached {
            look_again(self).await?;
            looked = true;
        }
        if looked {
            self.fleet_was_read();
        }
        self.ask_lots(!line.lots.is_empty());
        let mut more = line.ready.len() + line.corrupt.len() >= limit;
        let from_lots = line.lots.into_iter().flat_map(|(_, members)| members);
        let mut candidates: Vec<InLine> = line.ready.into_iter().chain(from_lots).collect();
        candidates.sort_by_key(|waiting| waiting.candidate.key);
        // Who is left out of a full batch is read again with the next.
        while candidates.len() > size_max {
            match candidates.pop().and_then(|last| last.candidate.lot) {
                Some(lot) => self.refill.put_back(lot),
                None => more = true,
            }
        }
        let mut corrupt = line.corrupt;
        corrupt.truncate(self.ports.limits.call_items_max.saturating_sub(candidates.len()));
        Ok(Batch { candidates, corrupt, looked, more, began })
    }

    fn fleet_was_read(&mut self) {
        self.room_unread = false;
        let fleet = self.view().fleet();
        self.observer.fleet_seen(&fleet);
    }

    /// Whatever became free, whoever saw it, may serve those who wait. While some are being `read` the fleet does not
    /// show yet what they take.
    fn ask_lots(&mut self, read: bool) {
        let mut view = self.view_mut();
        let (freed, fleet) = (view.take_freed(), view.fleet());
        drop(view);
        if freed {
            self.refill.ask_all(&fleet);
        }
        if !read {
            self.refill.ask(&fleet, &self.settings.policy, self.settings.batch.size_max());
        }
        self.refill.sweep_when_due(&fleet);
    }

    /// After a turn that did not end: what it had read from lots is forgotten, so all are asked once more.
    fn begin_again(&mut self) {
        self.room_unread = true;
        self.view_mut().note_freed();
    }

    /// Plans the batch. If anything does not fit on a cached fleet, the changes are read and all of it planned once more,
    /// before anything parks.
    async fn plan(&mut self, mut batch: Batch) -> PortResult<(Batch, Vec<Verdict>, BatchReport)> {
        let candidates: Vec<Candidate> = batch.candidates.iter().map(|waiting| waiting.candidate.clone()).collect();
        let collection = batch.began.elapsed();
        let began = Instant::now();
        let fleet = self.view().fleet();
        let mut verdicts = plan(&fleet, &candidates, &self.settings.policy);
        drop(fleet);
        let mut planning = began.elapsed();
        let cache_hit = !batch.looked;
        let waits = |verdict: &Verdict| matches!(verdict, Verdict::Wait { .. });
        if cache_hit && verdicts.iter().any(waits) {
            look_again(self).await?;
            self.fleet_was_read();
            batch.looked = true;
            let began = Instant::now();
            let fleet = self.view().fleet();
            verdicts = plan(&fleet, &candidates, &self.settings.policy);
            planning += began.elapsed();
        }
        let report = BatchReport {
            size: candidates.len(),
            cache_hit: !batch.looked,
            collection,
            planning,
            ..BatchReport::default()
        };
        Ok((batch, verdicts, report))
    }

    /// Whether pools may have to grow or shrink: the fleet was read, or their time has come.
    fn may_grow(&self, batch: &Batch) -> bool {
        !self.pools.is_empty() && (batch.looked || self.pools.until_due(&self.view()).is_zero())
    }

    /// What the pools are to grow and shrink by, so that the batch and all that is parked has room. Nobody asks for a worker
    /// before the fleet was read for it.
    async fn grow(&mut self, batch: &mut Batch) -> PortResult<Growth> {
        if !self.may_grow(batch) {
            return Ok(Growth::default());
        }
        if !batch.looked {
            look_again(self).await?;
            self.fleet_was_read();
            batch.looked = true;
        }
        Ok(self.decide_growth(batch))
    }

    fn decide_growth(&self, batch: &Batch) -> Growth {
        let view = self.view();
        let fleet = view.fleet();
        let demand = open_demand(&fleet.lots, batch.candidates.iter().map(|waiting| &waiting.candidate));
        let growth = self.pools.decide(&view, &demand, &self.settings.policy, self.observer);
        drop(view);
        self.view_mut().note_templates(self.pools.templates());
        growth
    }

    /// Commits every decision of the batch, and what becomes of pools, in one step. Answers whether the store refused any
    /// placement.
    async fn commit(
        &mut self,
        batch: &Batch,
        verdicts: Vec<Verdict>,
        growth: Growth,
        report: &mut BatchReport,
    ) -> PortResult<bool> {
        let mut decisions = Vec::with_capacity(verdicts.len());
        let mut deciding = Vec::with_capacity(verdicts.len());
        for (waiting, verdict) in batch.candidates.iter().zip(verdicts) {
            if let Some(decision) = decision(&waiting.candidate, verdict) {
                decisions.push(decision);
                deciding.push(waiting);
            }
        }
        if !batch.is_empty() {
            self.observer.batch_planned(report);
        }
        decisions.extend(batch.corrupt.iter().map(|(key, id)| Decision {
            container: id.clone(),
            attempt: Attempt(0),
            kind: DecisionKind::ParkCorrupt { key: *key, detail: "the request's row cannot be decoded".to_owned() },
        }));
        if decisions.is_empty() && growth.is_empty() {
            self.view_mut().note_nothing_to_commit();
            return Ok(false);
        }
        let began = Instant::now();
        let Growth { workers, asked, removals } = growth;
        let commit = Commit { decisions, workers, removals, limits: self.limits(&deciding) };
        let answer = self.finalize(&commit, &deciding).await?;
        report.commit = Some(began.elapsed());
        self.pools.has_written(&commit, &asked, &answer, self.observer);
        if !batch.is_empty() {
            self.tell(&commit.decisions, &deciding, &answer, report);
        }
        let refusal =
            |outcome: &Outcome| !matches!(outcome, Outcome::Done | Outcome::AlreadyDone | Outcome::NotPending);
        Ok(answer.outcomes.iter().any(refusal))
    }

    /// Commits, repeating the same until the store answers, and books what was placed in the view.
    /// `Retried` would give up in time, which a batch of unknown outcome must not, and hide what the observer is told.
    async fn finalize(&self, commit: &Commit, deciding: &[&InLine]) -> PortResult<CommitAnswer> {
        let mut tries = 0;
        self.view_mut().note_committing(true);
        let answer = loop {
            let now = (self.settings.clock)();
            match self.ports.placements.commit(self.mandate, now, commit.clone()).await {
                Err(error @ PortError::Unavailable(_)) => {
                    self.observer.store_failed(&error);
                    self.view_mut().note_commit_failed(error.in_full());
                    tries += 1;
                    sleep(RETRY.delay(tries, u64::from(tries))).await;
                }
                answer => break answer,
            }
        };
        let mut view = self.view_mut();
        // A refusal says of this try alone that it wrote nothing.
        view.note_committing(tries > 0 && answer.is_err());
        if let Err(error @ (PortError::Corrupt { .. } | PortError::Unsupported(_))) = &answer {
            view.note_commit_failed(error.in_full());
        }
        let answer = answer?;
        view.note_no_trouble();
        let gone = view.apply_commit(commit, deciding, &answer);
        if tries > 0 {
            // What a repeated commit answers may have been done by the first: the fleet is read again.
            view.mark_stale();
        }
        drop(view);
        for worker in &gone {
            self.observer.worker_not_found(worker);
        }
        Ok(answer)
    }

    /// The limits of the workspaces that are placed for.
    fn limits(&self, deciding: &[&InLine]) -> BTreeMap<domain::id::Workspace, domain::quota::QuotaLimits> {
        let Some(quotas) = &self.settings.policy.quotas else {
            return BTreeMap::new();
        };
        let workspaces = deciding.iter().map(|waiting| &waiting.candidate.ask.workspace);
        workspaces.map(|workspace| (workspace.clone(), *quotas.limits(workspace))).collect()
    }

    fn tell(&self, decisions: &[Decision], deciding: &[&InLine], answer: &CommitAnswer, report: &mut BatchReport) {
        let now = (self.settings.clock)();
        let mut corrupt: Vec<ContainerId> = Vec::new();
        let mut workers = BTreeSet::new();
        for (index, (decision, outcome)) in decisions.iter().zip(&answer.outcomes).enumerate() {
            *report.outcomes.entry(outcome.word()).or_default() += 1;
            match &decision.kind {
                // What was waiting when it was read and is done already was done by a commit whose answer was lost.
                DecisionKind::Place { worker, .. } if matches!(outcome, Outcome::Done | Outcome::AlreadyDone) => {
                    report.placed += 1;
                    workers.insert(worker);
                    let Some(waiting) = deciding.get(index) else { continue };
                    let waited = waiting.submitted.until(now);
                    report.waited.push(waited);
                    if waiting.candidate.lot.is_none() && decision.attempt == Attempt(0) {
                        report.waited_in_line.push(waited);
                    }
                }
                DecisionKind::Park { why, .. } if *outcome == Outcome::Done => {
                    *report.parked.entry(why.word()).or_default() += 1;
                }
                DecisionKind::ParkCorrupt { .. } => corrupt.push(decision.container.clone()),
                _ => {}
            }
        }
        report.workers_used = workers.len();
        if !corrupt.is_empty() {
            self.observer.corrupt_parked(&corrupt);
        }
        self.observer.batch_committed(report);
    }

    /// With `flush = window`, lets requests gather before the batch is read.
    async fn gather(&mut self) -> PortResult<()> {
        if self.settings.batch.flush() == Flush::Idle || self.refill.is_wanted() {
            return Ok(());
        }
        let began = Instant::now();
        loop {
            let depth = self.ports.backlog.depth(&self.settings.cell).await?;
            let waiting = usize::try_from(depth.ready).unwrap_or(usize::MAX);
            let window = BatchWindow { elapsed: began.elapsed(), waiting };
            match window.decide(&self.settings.batch) {
                BatchDecision::Close => {
                    self.gathering = Some(began);
                    return Ok(());
                }
                BatchDecision::WaitAtMost(_) if waiting == 0 => return Ok(()),
                BatchDecision::WaitAtMost(left) => sleep(left.min(GATHER_LOOK)).await,
            }
        }
    }

    /// Waits for ready work, freed room, a call, or the next sweep.
    async fn wait(&mut self, calls: &mut mpsc::Receiver<ScheduleCall>) -> PortResult<()> {
        let pools = self.pools.has_news();
        let at_most = self.refill.until_sweep().min(self.pools.until_due(&self.view())).max(Duration::from_millis(1));
        let noticed = self.view().noticed();
        let noticed = noticed.notified();
        let seen = self.seen_in_full();
        let wait = self.ports.backlog.wait(&self.settings.cell, seen, at_most);
        tokio::select! {
            () = noticed => {}
            () = pools => {}
            woken = timeout(at_most * 2, wait) => {
                if let Ok(woken) = woken {
                    let woken = woken?;
                    self.room_unread |= self.view().somebody_waits() && woken > seen;
                }
            }
            Some(call) = calls.recv() => self.schedule(call).await?,
        }
        let fleet = self.view().fleet();
        self.refill.sweep_when_due(&fleet);
        Ok(())
    }

    /// How far both the line and, for those who wait in lots, the fleet were read: they are read at once, and either may
    /// be the older.
    fn seen_in_full(&self) -> Revision {
        let view = self.view();
        if view.somebody_waits() { view.upto().unwrap_or(Revision(0)).min(self.seen) } else { self.seen }
    }

    fn store_failed(&self, error: &PortError) {
        self.observer.store_failed(error);
        self.view_mut().note_trouble(error.in_full());
    }

    fn view(&self) -> std::sync::RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_mut(&self) -> std::sync::RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While a batch gathers, how often its size is looked at.
const GATHER_LOOK: Duration = Duration::from_millis(10);

async fn look_again(cycle: &Cycle<'_>) -> PortResult<()> {
    look(cycle.ports, cycle.mandate, cycle.view).await
}

/// What is to be written of a verdict; nothing if the request waits where it waited before.
fn decision(candidate: &Candidate, verdict: Verdict) -> Option<Decision> {
    let kind = match verdict {
        Verdict::Place { worker, incarnation, booking } => DecisionKind::Place { worker, incarnation, booking },
        Verdict::Wait { lot, .. } if candidate.lot.as_ref() == Some(&lot) => return None,
        Verdict::Wait { lot, why } => DecisionKind::Park { lot, why },
    };
    Some(Decision { container: candidate.id.clone(), attempt: candidate.attempt, kind })
}
