//! Forms of lots, and of reasons to wait.

use std::sync::Arc;

use domain::id::{PoolName, Revision, WorkerId, Workspace};
use domain::quota::{OverQuota, QuotaResource};
use domain::request::{Ask, OrderKey, Shape};
use domain::resources::Capacity;
use domain::wait::{Largest, LargestOwner, LotKey, LotRow, Rule, RuleCounts, Why};
use serde::{Deserialize, Serialize};

use super::field::{self, forms};

#[derive(Serialize, Deserialize)]
#[serde(remote = "LotRow", deny_unknown_fields)]
struct LotForm {
    #[serde(rename = "lot", with = "field")]
    key: LotKey,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    ask: Option<Arc<Ask>>,
    #[serde(rename = "n", with = "field")]
    count: u64,
    #[serde(with = "field")]
    first: OrderKey,
    #[serde(with = "field")]
    why: Why,
    #[serde(rename = "rev", with = "field")]
    changed: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LotKey")]
enum LotKeyForm {
    #[serde(rename = "shape", with = "field")]
    Shape(Shape),
    #[serde(rename = "quota", with = "field")]
    Quota(Workspace),
    #[serde(rename = "corrupt")]
    Corrupt,
    #[serde(rename = "keep")]
    Keep,
    #[serde(rename = "stop")]
    Stop,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Why", deny_unknown_fields)]
enum WhyForm {
    #[serde(rename = "no_workers")]
    NoWorkers,
    #[serde(rename = "no_fit")]
    NoFit {
        #[serde(with = "field")]
        rules: RuleCounts,
        #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
        never: Option<Largest>,
    },
    #[serde(rename = "quota", with = "field")]
    Quota(OverQuota),
    #[serde(rename = "behind", with = "field")]
    Behind(u64),
    #[serde(rename = "corrupt")]
    Corrupt(String),
    #[serde(rename = "settling")]
    Settling {
        #[serde(with = "field")]
        unregistered: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Rule")]
enum RuleForm {
    #[serde(rename = "machine")]
    Machine,
    #[serde(rename = "workspace")]
    Workspace,
    #[serde(rename = "pool")]
    Pool,
    #[serde(rename = "gpu_type")]
    GpuType,
    #[serde(rename = "runtime")]
    Runtime,
    #[serde(rename = "preemptible")]
    Preemptible,
    #[serde(rename = "labels")]
    Labels,
    #[serde(rename = "status")]
    Status,
    #[serde(rename = "cpu")]
    Cpu,
    #[serde(rename = "memory")]
    Memory,
    #[serde(rename = "gpu_room")]
    GpuRoom,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Largest", deny_unknown_fields)]
struct LargestForm {
    #[serde(with = "field")]
    who: LargestOwner,
    #[serde(with = "field")]
    size: Capacity,
    #[serde(with = "field")]
    fails: Rule,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LargestOwner")]
enum LargestOwnerForm {
    #[serde(rename = "worker", with = "field")]
    Worker(WorkerId),
    #[serde(rename = "pool", with = "field")]
    Pool(PoolName),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OverQuota", deny_unknown_fields)]
struct OverQuotaForm {
    #[serde(rename = "of", with = "field")]
    resource: QuotaResource,
    #[serde(with = "field")]
    limit: u64,
    #[serde(with = "field")]
    used: u64,
    #[serde(with = "field")]
    needs: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "QuotaResource")]
enum QuotaResourceForm {
    #[serde(rename = "cpu")]
    Cpu,
    #[serde(rename = "memory")]
    Memory,
    #[serde(rename = "gpus")]
    Gpus,
    #[serde(rename = "containers")]
    Containers,
}

forms! {
    LotForm for LotRow
    LotKeyForm for LotKey
    WhyForm for Why
    RuleForm for Rule
    LargestForm for Largest
    LargestOwnerForm for LargestOwner
    OverQuotaForm for OverQuota
    QuotaResourceForm for QuotaResource
}
