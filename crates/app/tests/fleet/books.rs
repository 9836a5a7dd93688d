//! What the books say, as `/v1/export`, the audit and `/metrics` show them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::Fleet;

/// What all workspaces use together: thousandths of a cpu, mebibytes, containers. The audit finds that their containers
/// and workers own the same.
pub(crate) fn booked(fleet: &Fleet) -> [u64; 3] {
    let audit = fleet.stowplan(&["audit"]);
    assert_eq!(audit.code, 0, "{audit:?}");
    let page = last_page(fleet);
    let usage = page["usage"].as_array().unwrap();
    ["cpu_milli", "memory_mib", "containers"].map(|name| usage.iter().map(|row| row[name].as_u64().unwrap()).sum())
}

/// The page of the export that says what is used.
fn last_page(fleet: &Fleet) -> Value {
    let mut page = fleet.json("/v1/export?limit=5000");
    while page["more"] == true {
        page = fleet.json(&format!("/v1/export?limit=5000&since={}", page["upto"]));
    }
    page
}

/// The containers that are in a state.
pub(crate) fn in_state(fleet: &Fleet, state: &str) -> BTreeSet<String> {
    let (mut ids, mut after) = (BTreeSet::new(), String::new());
    loop {
        let page = fleet.json(&format!("/v1/containers?limit=1000&state={state}{after}"));
        let names = page["containers"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        ids.extend(names);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
}

/// Waits until containers have succeeded.
pub(crate) fn wait_until_succeeded(fleet: &Fleet, ids: &[String]) {
    fleet.eventually("all have succeeded", Duration::from_mins(2), || {
        let succeeded = in_state(fleet, "succeeded");
        ids.iter().all(|id| succeeded.contains(id))
    });
}

/// Nothing is used.
pub(crate) const NOTHING: [u64; 3] = [0; 3];

/// What one container of so many cpus owns, with a memory of 64 MiB.
pub(crate) fn of_one(cpu: u64) -> [u64; 3] {
    [cpu * 1_000, 64, 1]
}

/// A counter; 0 before it first counts.
pub(crate) fn metric(fleet: &Fleet, name: &str) -> u64 {
    let metrics = fleet.get("/metrics").unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// How many placements this server's planner has committed.
pub(crate) fn placed(fleet: &Fleet) -> u64 {
    metric(fleet, r#"stowplan_commit_outcomes_total{outcome="done"}"#)
}

/// The word of the cell's history.
pub(crate) fn history(fleet: &Fleet) -> u64 {
    fleet.json("/v1/export?limit=1")["history"].as_u64().unwrap()
}

/// A request for so many cpus and 64 MiB.
pub(crate) fn request(id: &str, cpu: u64) -> Value {
    json!({"id": id, "cpu": cpu, "memory": "64Mi", "command": ["true"]})
}
