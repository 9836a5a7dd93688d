//! Shapes for which no room was found, and how many workers fail which rule, kept up with every change.
//!
//! It is memory, not state: a plan says the same with and without it, only later.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Like;
use super::most::marks;
use crate::fleet::{Fleet, Policy};
use crate::placement::eligibility::Need;
use crate::placement::reason::{self, Tally};
use crate::placement::shapes::Alike;
use crate::request::Labels;
use crate::resources::Used;
use crate::wait::{Largest, LotKey, Rule};
use crate::worker::{Worker, WorkerSpec};

/// How many shapes are remembered. Each is asked at every change of a worker.
const SHAPES_MAX: usize = 256;

/// What is remembered of a shape.
#[derive(Debug, Clone)]
pub(in crate::placement) struct Refusal {
    pub(in crate::placement) lot: LotKey,
    /// How many workers have room, and how many fail which rule.
    pub(in crate::placement) fits: u64,
    pub(in crate::placement) tally: Tally,
    /// How many workers could hold it when empty.
    could_hold: u64,
    /// If none could: the one that comes closest, once it was looked for. None if there is no worker at all.
    closest: OnceCell<Option<Largest>>,
    asked: u64,
}

/// All that is remembered.
#[derive(Debug, Default)]
pub(in crate::placement) struct Refusals(Mutex<Remembered>);

#[derive(Debug, Clone, Default)]
struct Remembered {
    /// Under which nothing is limited; of another one, nothing is remembered.
    policy: Policy,
    by_shape: BTreeMap<Alike, Refusal>,
    /// Counts questions, so that the shape that was asked for longest ago is forgotten.
    asked: u64,
}

impl Clone for Refusals {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.with(|remembered| remembered.clone())))
    }
}

impl Refusals {
    /// The lot of a shape that has no room anywhere, if that is remembered.
    pub(in crate::placement) fn lot_without_room(&self, alike: &Alike, policy: &Policy) -> Option<LotKey> {
        self.with(|remembered| {
            let refusal = remembered.under(policy).get(alike)?;
            (refusal.fits == 0).then(|| refusal.lot.clone())
        })
    }

    /// What is known of a shape, looking at the whole fleet if nothing is remembered.
    pub(in crate::placement) fn of(&self, alike: &Alike, lot: &LotKey, fleet: &Fleet, policy: &Policy) -> Known {
        self.with(|remembered| {
            remembered.asked += 1;
            let asked = remembered.asked;
            let by_shape = remembered.under(policy);
            if by_shape.len() >= SHAPES_MAX && !by_shape.contains_key(alike) {
                let oldest = by_shape.iter().min_by_key(|(_, refusal)| refusal.asked).map(|(oldest, _)| oldest.clone());
                oldest.map(|oldest| by_shape.remove(&oldest));
            }
            let need = Need::of(alike.ask(), policy);
            let refusal = by_shape.entry(alike.clone()).or_insert_with(|| Refusal::look(&need, lot, fleet));
            refusal.asked = asked;
            Known { tally: refusal.tally, could_hold: refusal.could_hold > 0, closest: refusal.closest(&need, fleet) }
        })
    }

    /// Follows a worker that changes, comes or goes.
    pub(super) fn follow(&mut self, before: Option<&Worker>, after: Option<&Worker>) {
        let Remembered { policy, by_shape, .. } = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (alike, refusal) in by_shape {
            refusal.follow(&Need::of(alike.ask(), policy), before, after);
        }
    }

    /// Follows what is owned on a worker.
    pub(super) fn follow_used(&mut self, worker: &Worker, before: &Used) {
        let Remembered { policy, by_shape, .. } = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (alike, refusal) in by_shape {
            refusal.follow_used(&Need::of(alike.ask(), policy), worker, before);
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Remembered) -> T) -> T {
        ask(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known of a shape in the fleet as it was seen.
pub(in crate::placement) struct Known {
    pub(in crate::placement) tally: Tally,
    /// Whether a worker could hold it when empty.
    pub(in crate::placement) could_hold: bool,
    /// If none could: the one that comes closest.
    pub(in crate::placement) closest: Option<Largest>,
}

impl Remembered {
    fn under(&mut self, policy: &Policy) -> &mut BTreeMap<Alike, Refusal> {
        let known = &self.policy;
        let is_same = known.memory_overhead_percent == policy.memory_overhead_percent
            && known.cpu_on_gpu_workers == policy.cpu_on_gpu_workers
            && known.failover == policy.failover;
        if !is_same {
            self.policy = Policy { quotas: None, failover: policy.failover.clone(), ..*policy };
            self.by_shape.clear();
        }
        &mut self.by_shape
    }
}

impl Refusal {
    fn look(need: &Need<'_>, lot: &LotKey, fleet: &Fleet) -> Self {
        let (tally, closest) = (Tally::default(), OnceCell::new());
        let mut refusal = Self { lot: lot.clone(), fits: 0, tally, could_hold: 0, closest, asked: 0 };
        let index = fleet.index();
        let kinds: Vec<Result<(), Rule>> = index.kinds.all.iter().map(|spec| need.check_kind(spec)).collect();
        let marked = Marked::of(need);
        let known = index.kinds.of_worker.iter().zip(&index.kinds.totals);
        for (worker, (like, total)) in fleet.workers().iter().zip(known) {
            let is_of_use = marked.check(like, || kinds[like.kind], &worker.spec);
            refusal.count(is_of_use.and_then(|()| need.check_now(worker.status, total, &worker.used)), true);
            let could_hold = is_of_use.and_then(|()| need.check_room(total, &Used::default()));
            refusal.could_hold += u64::from(could_hold.is_ok());
        }
        refusal
    }

    fn follow(&mut self, need: &Need<'_>, before: Option<&Worker>, after: Option<&Worker>) {
        if let (Some(before), Some(after)) = (before, after)
            && before.status == after.status
            && Arc::ptr_eq(&before.spec, &after.spec)
        {
            return self.follow_used(need, after, &before.used);
        }
        self.closest = OnceCell::new();
        for (worker, is_there) in [(before, false), (after, true)] {
            let Some(worker) = worker else { continue };
            self.count(need.check(worker, &worker.used), is_there);
            if need.check_empty(&worker.spec).is_ok() {
                add(&mut self.could_hold, is_there);
            }
        }
    }

    fn follow_used(&mut self, need: &Need<'_>, worker: &Worker, before: &Used) {
        let check = |used| need.check_room(&worker.spec.total, used);
        if check(before) != check(&worker.used) {
            self.count(need.check(worker, before), false);
            self.count(need.check(worker, &worker.used), true);
        }
    }

    fn count(&mut self, checked: Result<(), Rule>, is_there: bool) {
        match checked {
            Ok(()) => add(&mut self.fits, is_there),
            Err(rule) => add(self.tally.of(rule), is_there),
        }
    }

    fn closest(&self, need: &Need<'_>, fleet: &Fleet) -> Option<Largest> {
        if self.could_hold > 0 {
            return None;
        }
        self.closest.get_or_init(|| reason::closest_worker(need, fleet)).clone()
    }
}

/// A need and the marks of what it demands: who lacks one fails without being read.
struct Marked<'a> {
    need: &'a Need<'a>,
    machine: u64,
    labels: u64,
}

impl<'a> Marked<'a> {
    fn of(need: &'a Need<'a>) -> Self {
        let (labels, machine) = (&need.ask.labels, need.ask.machine.as_ref());
        Self { need, machine: marks(&Labels::new(), machine), labels: marks(labels, None) }
    }

    fn check(&self, like: &Like, check_kind: impl Fn() -> Result<(), Rule>, spec: &WorkerSpec) -> Result<(), Rule> {
        if !like.bears(self.machine) {
            return Err(Rule::Machine);
        }
        if self.need.ask.machine.is_none() && !like.bears(self.labels) {
            return check_kind().and(Err(Rule::Labels));
        }
        self.need.check_spec_of(spec, check_kind)
    }
}

fn add(count: &mut u64, is_there: bool) {
    if is_there {
        *count += 1;
    } else {
        *count -= 1;
    }
}
