//! What a plan has booked so far, laid over a fleet that it does not touch.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

use super::Verdict;
use super::eligibility::Need;
use super::index::{Index, Key, Trees};
use super::shapes::{Shape, Shapes};
use crate::fleet::{Fleet, Policy};
use crate::ledger;
use crate::quota::Usage;
use crate::request::Ask;
use crate::resources::Used;
use crate::strategy::Yardstick;
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
    /// By the workspace's number.
    usage: Vec<Usage>,
    shapes: Shapes,
}

impl<'a> Overlay<'a> {
    pub(super) fn over(fleet: &'a Fleet) -> Self {
        let (index, shapes) = (fleet.index(), Shapes::default());
        let (changed, unchanged) = (index.no_trees(), index.trees());
        Self { fleet, index, changed, unchanged, used: BTreeMap::new(), usage: Vec::new(), shapes }
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
        let (number, shape) = self.shapes.of(ask, self.index, policy);
        if shape.workspace >= self.usage.len() {
            // Workspaces are numbered as they are met.
            self.usage.push(self.fleet.usage.get(&ask.workspace).copied().unwrap_or_default());
        }
        (number, shape)
    }

    /// What is owned on a worker by now.
    fn used(&self, worker: usize) -> &Used {
        self.used.get(&worker).unwrap_or(&self.fleet.workers()[worker].used)
    }

    /// Where a worker stands by now, if it takes work.
    pub(super) fn key(&self, worker: usize) -> Option<Key> {
        self.unchanged.key(worker, &self.fleet.workers()[worker], self.used(worker))
    }

    /// Whether a worker is the machine and carries the labels that are asked for.
    pub(super) fn is_as_asked(&self, need: &Need<'_>, worker: usize) -> bool {
        let spec = &self.fleet.workers()[worker].spec;
        need.check_machine(spec).is_ok() && need.check_labels(spec).is_ok()
    }

    /// Whether enough of each resource is left of a worker by now.
    pub(super) fn has_amounts(&self, need: &Need<'_>, worker: usize) -> bool {
        need.check_room(self.index.total(worker), self.used(worker)).is_ok()
    }

    /// The workers that were changed, and what is owned on each by now.
    pub(super) fn all_changed(&self) -> impl Iterator<Item = (&'a Worker, &Used)> {
        self.used.iter().map(|(&worker, used)| (&self.fleet.workers()[worker], used))
    }

    /// What the workspace of a shape uses by now.
    pub(super) fn usage(&self, shape: &Shape) -> Usage {
        self.usage[shape.workspace]
    }

    /// Books what passed every rule on the worker that stands here.
    pub(super) fn place(&mut self, key: &Key, need: &Need<'_>, shape: &Shape) -> Verdict {
        let worker = &self.fleet.workers()[key.worker];
        let (total, like) = (self.index.total(key.worker), self.index.like(key.worker));
        let used = match self.used.entry(key.worker) {
            Entry::Occupied(changed) => {
                self.changed.take_out_of(like.kind, key);
                changed.into_mut()
            }
            Entry::Vacant(unchanged) => {
                self.unchanged.take_out_of(like.kind, key);
                unchanged.insert(worker.used.clone())
            }
        };
        let booking = need.booking(total, used).expect("gpu_room passed, so its devices can be chosen");
        ledger::book(total, used, &booking).expect("cpu, memory and gpu_room passed, so it fits");
        let key = Key::of(key.worker, key.left.minus(need.amount()), self.index.yardstick());
        self.changed.enter_at(key, like, total, used);

        let usage = &mut self.usage[shape.workspace];
        *usage = usage.plus(&Usage::of(need.ask));
        Verdict::Place { worker: worker.id.clone(), incarnation: worker.incarnation, booking }
    }

    /// Whether there is room on a worker for what is known to be allowed there but for its machine, labels and status.
    pub(super) fn has_room(&self, need: &Need<'_>, worker: usize) -> bool {
        // Room is what most lack, and the quickest to ask.
        self.has_amounts(need, worker) && need.check(&self.fleet.workers()[worker], self.used(worker)).is_ok()
    }
}
