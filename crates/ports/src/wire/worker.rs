//! Forms of a worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{
    GpuType, History, Incarnation, MachineName, PoolName, Revision, Runtime, WorkerId, WorkerKey, Workspace,
};
use domain::request::Labels;
use domain::resources::{Capacity, Used};
use domain::worker::{Closed, Life, WorkerRow, WorkerSpec};
use serde::{Deserialize, Serialize};

use super::field::{self, forms};

#[derive(Serialize, Deserialize)]
#[serde(remote = "WorkerRow", deny_unknown_fields)]
struct WorkerForm {
    #[serde(with = "field")]
    id: WorkerId,
    #[serde(with = "field")]
    spec: Arc<WorkerSpec>,
    #[serde(with = "field")]
    life: Life,
    #[serde(with = "field")]
    closed: Closed,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    key: Option<WorkerKey>,
    #[serde(rename = "inc", with = "field")]
    incarnation: Incarnation,
    #[serde(rename = "hist", with = "field", default, skip_serializing_if = "Option::is_none")]
    registered_in: Option<History>,
    complete: bool,
    ready: bool,
    #[serde(with = "field")]
    used: Used,
    #[serde(rename = "rev", with = "field")]
    changed: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "WorkerSpec", deny_unknown_fields)]
struct WorkerSpecForm {
    #[serde(with = "field")]
    pool: PoolName,
    #[serde(with = "field")]
    total: Capacity,
    #[serde(rename = "prio")]
    priority: i32,
    #[serde(rename = "pre")]
    preemptible: bool,
    #[serde(rename = "named")]
    requires_pool_selector: bool,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    machine: Option<MachineName>,
    #[serde(rename = "ws", with = "field", default, skip_serializing_if = "Option::is_none")]
    workspace: Option<Workspace>,
    #[serde(rename = "runs", with = "field")]
    runtimes: Vec<Runtime>,
    #[serde(with = "field", default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: Labels,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Capacity", deny_unknown_fields)]
struct CapacityForm {
    #[serde(rename = "cpu", with = "field")]
    cpu_milli: u64,
    #[serde(rename = "mem", with = "field")]
    memory_mib: u64,
    #[serde(rename = "gpu", with = "field", default, skip_serializing_if = "Option::is_none")]
    gpu_type: Option<GpuType>,
    #[serde(rename = "gpus")]
    gpu_count: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Used", deny_unknown_fields)]
struct UsedForm {
    #[serde(rename = "cpu", with = "field")]
    cpu_milli: u64,
    #[serde(rename = "mem", with = "field")]
    memory_mib: u64,
    #[serde(rename = "gpus", default, skip_serializing_if = "Vec::is_empty")]
    gpu_milli: Vec<u32>,
    #[serde(rename = "n")]
    containers: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Life", deny_unknown_fields)]
enum LifeForm {
    #[serde(rename = "pending")]
    Pending {
        #[serde(rename = "within", with = "field")]
        boot_within: Duration,
    },
    #[serde(rename = "up")]
    Up,
    #[serde(rename = "lost")]
    Lost,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Closed", deny_unknown_fields)]
enum ClosedForm {
    #[serde(rename = "no")]
    No,
    #[serde(rename = "cordoned")]
    Cordoned,
    #[serde(rename = "draining")]
    Draining {
        #[serde(with = "field")]
        within: Duration,
        due: bool,
    },
}

forms! {
    WorkerForm for WorkerRow
    WorkerSpecForm for WorkerSpec
    CapacityForm for Capacity
    UsedForm for Used
    LifeForm for Life
    ClosedForm for Closed
}
