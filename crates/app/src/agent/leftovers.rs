//! Containers of a data folder whose agent is gone for good.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::executor::{Cause, StopRequest};
use super::procfs;
use super::record::{Claim, Record, marks, recorded_placement, records_path};
use crate::api::calls::PlacementName;

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Ends them all: each by its shim, and what has none that hears by force. Whether none is left within this long.
pub fn end_all(data: &Path, worker: &str, within: Duration) -> bool {
    let began = Instant::now();
    let mut live = live(data);
    for (record, _) in &live {
        let _ = record.ask_to_stop(&StopRequest { cause: Cause::Kill, kill_after_ms: None });
    }
    while !live.is_empty() && began.elapsed() < within / 2 {
        thread::sleep(LOOK_EVERY);
        live.retain(|(record, _)| record.end().is_none());
    }
    while !live.is_empty() && began.elapsed() < within {
        live.retain(|(record, placement)| {
            let marks = marks(placement, worker).map(|(name, value)| format!("{name}={value}"));
            procfs::kill_leftovers(record.started().as_ref(), &marks)
        });
        thread::sleep(LOOK_EVERY);
    }
    live.is_empty()
}

/// Those that a shim has begun and that are not known to have ended. No other will begin.
fn live(data: &Path) -> Vec<(Record, PlacementName)> {
    let entries = fs::read_dir(records_path(data)).into_iter().flatten().flatten();
    let records = entries.filter_map(|entry| Some((recorded_placement(&entry.path())?, Record::at(entry.path()))));
    records
        .filter(|(_, record)| record.end().is_none() && matches!(record.revoke(), Claim::Taken(_)))
        .map(|(placement, record)| (record, placement))
        .collect()
}
