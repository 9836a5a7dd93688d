//! Why a request has no place, as counts that add up. `placement/sentence.rs` puts them in words.

use std::cmp::Reverse;

use super::eligibility::Need;
use crate::fleet::Fleet;
use crate::wait::{Largest, LargestOwner, Rule, RuleCounts, Why};

/// How many workers fail each rule.
#[derive(Default)]
pub(super) struct Tally([u64; Rule::ALL.len()]);

impl Tally {
    pub(super) fn count(&mut self, rule: Rule) {
        self.0[rule as usize] += 1;
    }

    pub(super) fn counts(&self) -> RuleCounts {
        Rule::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0).collect()
    }
}

/// The reason of a request that found no worker.
pub(super) fn no_fit(need: &Need<'_>, fleet: &Fleet, tally: &Tally) -> Why {
    match closest_misfit(need, fleet) {
        None if fleet.workers().is_empty() => Why::NoWorkers,
        never => Why::NoFit { rules: tally.counts(), never },
    }
}

/// If nothing could ever hold the request: which worker or template comes closest. It passes the most rules; among
/// those that fail the same one it is the largest in that resource; then the first, workers before pools.
///
/// A pool that may have no workers holds nothing.
fn closest_misfit(need: &Need<'_>, fleet: &Fleet) -> Option<Largest> {
    let workers = fleet.workers().iter().map(|worker| (LargestOwner::Worker(worker.id.clone()), &worker.spec));
    let growing = fleet.pools.iter().filter(|pool| pool.workers_max > 0);
    let pools = growing.map(|pool| (LargestOwner::Pool(pool.name.clone()), &pool.spec));
    let mut closest: Option<Largest> = None;
    for (who, spec) in workers.chain(pools) {
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
