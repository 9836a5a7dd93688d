//! What a plan has booked so far, laid over a fleet that it does not touch.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

use super::Verdict;
use super::eligibility::Need;
use super::index::{Index, Trees};
use super::shapes::{Shape, Shapes};
use crate::fleet::{Fleet, Policy};
use crate::id::Workspace;
use crate::ledger;
use crate::quota::Usage;
use crate::request::Ask;
use crate::resources::Used;
use crate::strategy::Yardstick;
use crate::wait::Rule;
use crate::worker::Worker;

/// The workers and workspaces that a plan has changed, over the fleet as it was seen.
#[derive(Clone)]
pub(super) struct Overlay<'a> {
    fleet: &'a Fleet,
    index: &'a Index,
    /// The workers that were changed, which are few and asked for again and again; and all others.
    changed: Trees,
    unchanged: Trees,
    /// By the worker's place in the fleet.
    used: BTreeMap<usize, Used>,
    usage: BTreeMap<Workspace, Usage>,
    shapes: Shapes,
}

impl<'a> Overlay<'a> {
    pub(super) fn over(fleet: &'a Fleet) -> Self {
        let (index, shapes) = (fleet.index(), Shapes::default());
        let (changed, unchanged) = (index.no_trees(), index.trees());
        Self { fleet, index, changed, unchanged, used: BTreeMap::new(), usage: BTreeMap::new(), shapes }
    }

    pub(super) fn fleet(&self) -> &'a Fleet {
        self.fleet
    }

    pub(super) fn index(&self) -> &'a Index {
        self.index
    }

    /// The workers by what is left of them now.
    pub(super) fn trees(&self) -> [&Trees; 2] {
        [&self.changed, &self.unchanged]
    }

    pub(super) fn yardstick(&self) -> &Yardstick {
        self.index.yardstick()
    }

    /// The shape of an ask, and its number in this plan.
    pub(super) fn shape(&mut self, ask: &Arc<Ask>, policy: &Policy) -> (usize, Rc<Shape>) {
        self.shapes.of(ask, self.index, policy)
    }

    /// What is owned on a worker by now.
    fn used(&self, worker: usize) -> &Used {
        self.used.get(&worker).unwrap_or(&self.fleet.workers()[worker].used)
    }

    /// The first rule that a worker fails by now, if it fails one.
    pub(super) fn check(&self, need: &Need<'_>, worker: usize) -> Result<(), Rule> {
        need.check(&self.fleet.workers()[worker], self.used(worker))
    }

    /// The workers that were changed, and what is owned on each by now.
    pub(super) fn all_changed(&self) -> impl Iterator<Item = (&'a Worker, &Used)> {
        self.used.iter().map(|(&worker, used)| (&self.fleet.workers()[worker], used))
    }

    /// What a workspace uses by now.
    pub(super) fn usage(&self, workspace: &Workspace) -> Usage {
        let seen = || self.fleet.usage.get(workspace);
        self.usage.get(workspace).or_else(seen).copied().unwrap_or_default()
    }

    /// Books what passed every rule on this worker.
    pub(super) fn place(&mut self, index: usize, need: &Need<'_>) -> Verdict {
        let worker = &self.fleet.workers()[index];
        let (total, like) = (&worker.spec.total, self.index.like(index));
        let used = match self.used.entry(index) {
            Entry::Occupied(changed) => {
                let used = changed.into_mut();
                self.changed.take_out(like.kind, index, worker, used);
                used
            }
            Entry::Vacant(unchanged) => {
                self.unchanged.take_out(like.kind, index, worker, &worker.used);
                unchanged.insert(worker.used.clone())
            }
        };
        let booking = need.booking(total, used).expect("gpu_room passed, so its devices can be chosen");
        ledger::book(total, used, &booking).expect("cpu, memory and gpu_room passed, so it fits");
        self.changed.enter(like, index, worker, used);

        self.use_quota(need.ask);
        Verdict::Place { worker: worker.id.clone(), incarnation: worker.incarnation, booking }
    }
    fn use_quota(&mut self, ask: &Ask) {
        let usage = Usage::of(ask);
        match self.usage.get_mut(&ask.workspace) {
            Some(used) => *used = used.plus(&usage),
            None => drop(self.usage.insert(ask.workspace.clone(), self.usage(&ask.workspace).plus(&usage))),
        }
    }

    /// Whether there is room on a worker for what is known to be allowed there but for its machine, labels and status.
    pub(super) fn has_room(&self, need: &Need<'_>, worker: usize) -> bool {
        // Room is what most lack, and the quickest to ask.
        let total = &self.fleet.workers()[worker].spec.total;
        need.check_room(total, self.used(worker)).is_ok() && self.check(need, worker).is_ok()
    }
}
