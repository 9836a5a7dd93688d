//! Calls that go in bites: after `More` a repeat is the next bite, of which nobody was told.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{CellName, WorkerId};
use domain::model::containers::Forgotten;
use domain::model::placements::{Loss, LossOutcome};
use domain::model::workers::RemoveOutcome;

/// What repeats did beyond what callers were told: it is told with the answer to the next bite.
#[derive(Debug, Default)]
pub(super) struct Bites {
    lost: BTreeMap<(CellName, Option<WorkerId>), u32>,
    removed: BTreeSet<(CellName, WorkerId)>,
    forgotten: BTreeMap<CellName, u64>,
}

impl Bites {
    /// What a planner is told of a loss, at most `limit` containers at once.
    pub(super) fn lose(
        &mut self,
        cell: &CellName,
        loss: &Loss,
        limit: usize,
        first: LossOutcome,
        again: LossOutcome,
    ) -> LossOutcome {
        let untold = self.lost.entry((cell.clone(), worker_of(loss))).or_default();
        match first {
            LossOutcome::More(_) => {
                *untold += moved(again);
                first
            }
            LossOutcome::Done(last) => {
                let all = last + std::mem::take(untold);
                let told = all.min(u32::try_from(limit.max(1)).unwrap_or(u32::MAX));
                *untold = all - told;
                if all > told { LossOutcome::More(told) } else { LossOutcome::Done(told) }
            }
            LossOutcome::Refused => first,
        }
    }

    /// What an operator is told of a removal.
    pub(super) fn remove(
        &mut self,
        cell: &CellName,
        worker: &WorkerId,
        first: RemoveOutcome,
        again: RemoveOutcome,
    ) -> RemoveOutcome {
        let name = (cell.clone(), worker.clone());
        match (first, again) {
            (RemoveOutcome::More(_), RemoveOutcome::Done) => {
                self.removed.insert(name);
                first
            }
            (RemoveOutcome::NoSuchWorker, _) if self.removed.remove(&name) => RemoveOutcome::Done,
            _ => first,
        }
    }

    /// What is told of what was forgotten, at most `limit` containers at once.
    pub(super) fn forget(&mut self, cell: &CellName, limit: usize, first: Forgotten, again: Forgotten) -> Forgotten {
        let untold = self.forgotten.entry(cell.clone()).or_default();
        if first.more {
            *untold += again.containers;
            return first;
        }
        let all = first.containers + std::mem::take(untold);
        let containers = all.min(limit.max(1) as u64);
        *untold = all - containers;
        Forgotten { containers, more: *untold > 0 }
    }
}

/// Whom a loss is about; nobody, if it is the end of a settling.
fn worker_of(loss: &Loss) -> Option<WorkerId> {
    match loss {
        Loss::Silent { worker, .. } | Loss::Rest { worker } | Loss::DrainDue { worker } => Some(worker.clone()),
        Loss::Settled { .. } => None,
    }
}

fn moved(outcome: LossOutcome) -> u32 {
    match outcome {
        LossOutcome::Done(moved) | LossOutcome::More(moved) => moved,
        LossOutcome::Refused => 0,
    }
}
