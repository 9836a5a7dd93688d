//! What a plan has booked so far, laid over a fleet that it does not touch.

use std::collections::BTreeMap;

use super::Verdict;
use super::eligibility::Need;
use crate::fleet::Fleet;
use crate::id::Workspace;
use crate::ledger;
use crate::quota::Usage;
use crate::resources::Used;

/// The workers and workspaces that a plan has changed, over the fleet as it was seen.
#[derive(Clone)]
pub(super) struct Overlay<'a> {
    fleet: &'a Fleet,
    /// By the worker's place in the fleet.
    used: BTreeMap<usize, Used>,
    usage: BTreeMap<Workspace, Usage>,
}

impl<'a> Overlay<'a> {
    pub(super) fn over(fleet: &'a Fleet) -> Self {
        Self { fleet, used: BTreeMap::new(), usage: BTreeMap::new() }
    }

    pub(super) fn fleet(&self) -> &'a Fleet {
        self.fleet
    }

    /// What is owned on a worker by now.
    pub(super) fn used(&self, worker: usize) -> &Used {
        self.used.get(&worker).unwrap_or(&self.fleet.workers()[worker].used)
    }

    /// What a workspace uses by now.
    pub(super) fn usage(&self, workspace: &Workspace) -> Usage {
        let seen = || self.fleet.usage.get(workspace);
        self.usage.get(workspace).or_else(seen).copied().unwrap_or_default()
    }

    /// Books what passed every rule on this worker.
    pub(super) fn place(&mut self, index: usize, need: &Need<'_>) -> Verdict {
        let worker = &self.fleet.workers()[index];
        let total = &worker.spec.total;
        let used = self.used.entry(index).or_insert_with(|| worker.used.clone());
        let booking = need.booking(total, used).expect("gpu_room passed, so its devices can be chosen");
        ledger::book(total, used, &booking).expect("cpu, memory and gpu_room passed, so it fits");

        let usage = self.usage(&need.ask.workspace).plus(&Usage::of(need.ask));
        self.usage.insert(need.ask.workspace.clone(), usage);
        Verdict::Place { worker: worker.id.clone(), incarnation: worker.incarnation, booking }
    }
}
