//! Forms of what is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{GpuType, MachineName, PoolName, Runtime, Workspace};
use domain::request::{Ask, Body, GpuAsk, GpuWish, IfSilent, Labels};
use serde::{Deserialize, Serialize};

use super::field::{self, forms};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ask", deny_unknown_fields)]
struct AskForm {
    #[serde(rename = "ws", with = "field")]
    workspace: Workspace,
    #[serde(rename = "cpu", with = "field")]
    cpu_milli: u64,
    #[serde(rename = "mem", with = "field")]
    memory_mib: u64,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    gpu: Option<GpuAsk>,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    pool: Option<PoolName>,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    machine: Option<MachineName>,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    runtime: Option<Runtime>,
    #[serde(rename = "pre")]
    preemptible: bool,
    #[serde(rename = "prio")]
    priority: i8,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    affinity: Option<Arc<str>>,
    #[serde(with = "field", default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: Labels,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "GpuAsk", deny_unknown_fields)]
struct GpuAskForm {
    #[serde(with = "field")]
    types: GpuWish,
    #[serde(rename = "n")]
    count: u32,
    milli: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "GpuWish")]
enum GpuWishForm {
    #[serde(rename = "any")]
    Any,
    #[serde(rename = "of", with = "field")]
    OneOf(Vec<GpuType>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "IfSilent")]
enum IfSilentForm {
    #[serde(rename = "stop")]
    Stop,
    #[serde(rename = "keep")]
    Keep,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Body", deny_unknown_fields)]
struct BodyForm {
    #[serde(rename = "cmd")]
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    #[serde(with = "field", default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    #[serde(rename = "kill", with = "field", default, skip_serializing_if = "Option::is_none")]
    kill_after: Option<Duration>,
}

forms! {
    AskForm for Ask
    GpuAskForm for GpuAsk
    GpuWishForm for GpuWish
    IfSilentForm for IfSilent
    BodyForm for Body
}
