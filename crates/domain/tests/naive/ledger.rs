//! What no plan may do, whatever it prefers: recomputed from its bookings alone.

use std::collections::BTreeMap;

use domain::fleet::{Fleet, Policy};
use domain::placement::{Candidate, Verdict};
use domain::quota::{Limit, Usage};
use domain::resources::Booking;
use domain::wait::Why;
use domain::worker::{Status, Worker};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

pub(crate) fn check(
    fleet: &Fleet,
    batch: &[Candidate],
    policy: &Policy,
    verdicts: &[Verdict],
) -> Result<(), TestCaseError> {
    let mut bookings: BTreeMap<&str, Vec<&Booking>> = BTreeMap::new();
    let mut usage = fleet.usage.clone();
    for (candidate, verdict) in batch.iter().zip(verdicts) {
        match verdict {
            Verdict::Place { worker, booking, .. } => {
                check_booking(candidate, booking)?;
                bookings.entry(worker.as_str()).or_default().push(booking);
                let used = usage.entry(candidate.ask.workspace.clone()).or_default();
                *used = used.plus(&Usage::of(&candidate.ask));
                let limits = policy.quotas.as_ref().map(|quotas| quotas.limits(&candidate.ask.workspace));
                if let Some(Limit::AtMost(limit)) = limits.map(|limits| limits.cpu_milli) {
                    prop_assert!(used.cpu_milli <= limit, "{} passes its quota", candidate.id);
                }
            }
            Verdict::Wait { why: Why::NoFit { rules, .. }, .. } => {
                let counted: u64 = rules.values().sum();
                prop_assert_eq!(counted, fleet.workers().len() as u64, "rule counts of {}", candidate.id);
            }
            Verdict::Wait { .. } => {}
        }
    }
    for (id, bookings) in bookings {
        check_worker(fleet.worker(&id.parse().expect("a name")).expect("a worker of the fleet"), &bookings)?;
    }
    Ok(())
}

fn check_booking(candidate: &Candidate, booking: &Booking) -> Result<(), TestCaseError> {
    let ask = &candidate.ask;
    prop_assert_eq!(booking.cpu_milli, ask.cpu_milli);
    prop_assert!(booking.memory_mib >= ask.memory_mib);
    let (count, milli) = ask.gpu.as_ref().map_or((0, 0), |gpu| (gpu.count as usize, gpu.milli));
    prop_assert_eq!((booking.gpu_devices.len(), booking.gpu_milli), (count, milli));
    prop_assert!(booking.gpu_devices.windows(2).all(|pair| pair[0] < pair[1]), "{booking:?}");
    Ok(())
}

fn check_worker(worker: &Worker, bookings: &[&Booking]) -> Result<(), TestCaseError> {
    let (total, used) = (&worker.spec.total, &worker.used);
    prop_assert_eq!(worker.status, Status::Available);
    let sum = |of: fn(&Booking) -> u64| bookings.iter().map(|booking| of(booking)).sum::<u64>();
    prop_assert!(used.cpu_milli + sum(|booking| booking.cpu_milli) <= total.cpu_milli, "{worker:?}");
    prop_assert!(used.memory_mib + sum(|booking| booking.memory_mib) <= total.memory_mib, "{worker:?}");
    let devices = total.gpu_count as usize;
    for device in 0..devices.max(used.gpu_milli.len()) {
        let index = u32::try_from(device).expect("few devices");
        let on_it = bookings.iter().filter(|booking| booking.gpu_devices.contains(&index));
        let owned = used.gpu_milli_at(index) + on_it.map(|booking| booking.gpu_milli).sum::<u32>();
        prop_assert!(owned <= if device < devices { 1000 } else { 0 }, "device {device} of {worker:?}");
    }
    let beyond = bookings.iter().flat_map(|booking| &booking.gpu_devices).any(|device| *device >= total.gpu_count);
    prop_assert!(!beyond, "{worker:?} has no such device");
    Ok(())
}
