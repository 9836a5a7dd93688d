//! Why a request has no place, as counts that add up. `placement/sentence.rs` puts them in words.

use std::cmp::Reverse;

use super::eligibility::Need;
use super::overlay::Overlay;
use super::shapes::Shape;
use crate::fleet::{Fleet, Policy};
use crate::wait::{Largest, LargestOwner, Rule, RuleCounts, Why};
use crate::worker::WorkerSpec;

/// How many workers fail each rule.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally([u64; Rule::ALL.len()]);

impl Tally {
    pub(super) fn of(&mut self, rule: Rule) -> &mut u64 {
        &mut self.0[rule as usize]
    }

    pub(super) fn counts(&self) -> RuleCounts {
        Rule::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0).collect()
    }
}

/// The reason of a request that found no worker, as things are by now.
pub(super) fn no_fit(need: &Need<'_>, shape: &Shape, overlay: &Overlay<'_>, policy: &Policy) -> Why {
    let fleet = overlay.fleet();
    let mut known = overlay.index().refusals.of(&shape.alike, shape.lot(), fleet, policy);
    let never = if known.could_hold { None } else { closest_pool(need, fleet, known.closest) };
    if never.is_none() && fleet.workers().is_empty() {
        return Why::NoWorkers;
    }
    for (worker, used) in overlay.all_changed() {
        let check_room = |used| need.check_room(&worker.spec.total, used);
        if check_room(&worker.used) == check_room(used) {
            continue;
        }
        if let Err(rule) = need.check(worker, &worker.used) {
            *known.tally.of(rule) -= 1;
        }
        if let Err(rule) = need.check(worker, used) {
            *known.tally.of(rule) += 1;
        }
    }
    Why::NoFit { rules: known.tally.counts(), never }
}

/// If no worker could ever hold the request: which one comes closest. It passes the most rules; among those that fail
/// the same one it is the largest in that resource; then the first.
pub(super) fn closest_worker(need: &Need<'_>, fleet: &Fleet) -> Option<Largest> {
    let workers = fleet.workers().iter().map(|worker| (LargestOwner::Worker(worker.id.clone()), &worker.spec));
    closest(need, workers.map(|(who, spec)| (who, &**spec)), None)
}

/// The same of workers and templates; workers come first. None if a template could hold it.
///
/// A pool that may have no workers holds nothing.
fn closest_pool(need: &Need<'_>, fleet: &Fleet, closest_worker: Option<Largest>) -> Option<Largest> {
    let growing = fleet.pools.iter().filter(|pool| pool.workers_max > 0);
    closest(need, growing.map(|pool| (LargestOwner::Pool(pool.name.clone()), &*pool.spec)), closest_worker)
}

fn closest<'a>(
    need: &Need<'_>,
    those: impl Iterator<Item = (LargestOwner, &'a WorkerSpec)>,
    mut closest: Option<Largest>,
) -> Option<Largest> {
    for (who, spec) in those {
        let fails = need.check_empty(spec).err()?;
        let misfit = Largest { who, size: spec.total.clone(), fails };
        closest = closest.filter(|closest| closeness(closest) >= closeness(&misfit)).or(Some(misfit));
    }
    closest
}

fn closeness(misfit: &Largest) -> (Rule, u64, Reverse<&LargestOwner>) {
    let size = match misfit.fails {
        Rule::Cpu => misfit.size.cpu_milli,
        Rule::Memory => misfit.size.memory_mib,
        Rule::GpuRoom => u64::from(misfit.size.gpu_count),
        _ => 0,
    };
    (misfit.fails, size, Reverse(&misfit.who))
}
