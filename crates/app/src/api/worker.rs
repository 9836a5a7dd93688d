//! A worker as documents show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// A worker: as `GET /v1/workers` answers, as an agent registers, as a plan document lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerDocument {
    /// Its name.
    pub id: String,
    /// Its pool; `default` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// `available`, `pending`, `cordoned`, `draining`, `drained` or `lost`; `available` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Cpu, such as `10` or `"9500m"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Cpu as an exact integer; instead of `cpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<Quantity>,
    /// Memory with a unit, such as `"20Gi"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Memory as an exact integer; instead of `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<Quantity>,
    /// What kind its GPUs are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_type: Option<String>,
    /// How many GPU devices it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_count: Option<Quantity>,
    /// What is left of it; everything if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<FreeDocument>,
    /// Workers of a higher priority are preferred.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i32,
    /// Whether it may be taken away at any time.
    #[serde(skip_serializing_if = "is_default")]
    pub preemptible: bool,
    /// Whether it serves only requests that name its pool or fail over to it.
    #[serde(skip_serializing_if = "is_default")]
    pub requires_pool_selector: bool,
    /// The machine that it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The only workspace that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// What it can run: one name, or several; `process` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<OneOrMany>,
    /// Words that requests may demand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How many containers it owns. Answered, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<u32>,
    /// Whether its containers own more than it has. Answered, never read.
    #[serde(skip_serializing_if = "is_default")]
    pub over_committed: bool,
    /// Which run of it registered last. Answered, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

/// What is left of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeDocument {
    /// Thousandths of a cpu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<Quantity>,
    /// Mebibytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<Quantity>,
    /// Milli of each device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_milli: Option<Vec<Quantity>>,
}

/// One name, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
