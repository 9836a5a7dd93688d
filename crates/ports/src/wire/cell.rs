//! Forms of the cell's own row, and of usage.

use domain::container::Phase;
use domain::id::{History, Mark, PlannerId, Revision, Stamp, Term, Workspace};
use domain::model::{CellRow, PlannerRow, Rewind, UsageRow};
use domain::quota::Usage;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::field::{self, forms};

#[derive(Serialize, Deserialize)]
#[serde(remote = "CellRow", deny_unknown_fields)]
struct CellForm {
    #[serde(rename = "hist", with = "field")]
    history: History,
    #[serde(rename = "rev", with = "field")]
    revision: Revision,
    #[serde(with = "field")]
    now: Timestamp,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    planner: Option<PlannerRow>,
    #[serde(with = "field")]
    term: Term,
    #[serde(with = "field")]
    phases: [u64; Phase::ALL.len()],
    #[serde(with = "field")]
    ready: u64,
    #[serde(with = "field")]
    woken: Revision,
    #[serde(with = "field")]
    ordered: Revision,
    #[serde(with = "field")]
    gone: u64,
    #[serde(rename = "floor", with = "field")]
    gone_floor: Revision,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    rewind: Option<Rewind>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    settling: bool,
    #[serde(rename = "away", with = "field")]
    unregistered: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Rewind", deny_unknown_fields)]
struct RewindForm {
    #[serde(with = "field")]
    survived: Mark,
    #[serde(with = "field")]
    reached: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mark", deny_unknown_fields)]
struct MarkForm {
    #[serde(rename = "hist", with = "field")]
    history: History,
    #[serde(rename = "rev", with = "field")]
    revision: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PlannerRow", deny_unknown_fields)]
struct PlannerForm {
    #[serde(rename = "id", with = "field")]
    planner: PlannerId,
    #[serde(with = "field")]
    stamp: Stamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "UsageRow", deny_unknown_fields)]
struct UsageRowForm {
    #[serde(rename = "ws", with = "field")]
    workspace: Workspace,
    #[serde(rename = "uses", with = "field")]
    usage: Usage,
    #[serde(rename = "rev", with = "field")]
    changed: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Usage", deny_unknown_fields)]
struct UsageForm {
    #[serde(rename = "cpu", with = "field")]
    cpu_milli: u64,
    #[serde(rename = "mem", with = "field")]
    memory_mib: u64,
    #[serde(rename = "gpu", with = "field")]
    gpu_milli: u64,
    #[serde(rename = "n", with = "field")]
    containers: u64,
}

forms! {
    CellForm for CellRow
    RewindForm for Rewind
    MarkForm for Mark
    PlannerForm for PlannerRow
    UsageRowForm for UsageRow
    UsageForm for Usage
}
