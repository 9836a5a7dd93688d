//! A worker as documents show it.

use std::collections::BTreeMap;

use std::time::Duration;

use domain::id::{GpuType, MachineName, PoolName, Runtime, WorkerId, Workspace};
use domain::request::LABELS_MAX;
use domain::resources::{Capacity, Free, GPU_DEVICES_MAX, GPU_WHOLE_MILLI, Used};
use domain::worker::{DEFAULT_POOL, DEFAULT_RUNTIME, Status, Worker, WorkerRow, WorkerSpec};
use serde::{Deserialize, Serialize};

use super::calls::convert::integer;
use super::field::{BadField, name, some_name};
use super::is_default;
use super::json::{some_object, unique_keys};
use super::quantity::{Amount, Quantity};
use super::request::to_labels;
use crate::api::period::parse_period;

/// A worker that has been silent for less than this part of the keepalive may just have nothing to say.
pub const SILENCE_PART: u32 = 4;

/// A worker: as `GET /v1/workers` answers, as an agent registers, as a plan document lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerDocument {
    /// Its name; a template has none.
    #[serde(skip_serializing_if = "String::is_empty")]
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
    #[serde(deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
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
    #[serde(deserialize_with = "unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How many containers it owns. Answered, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<u32>,
    /// Whether its containers own more than it has; a plan then reads `used` in the place of `free`.
    #[serde(skip_serializing_if = "is_default")]
    pub over_committed: bool,
    /// Which run of it registered last. Answered, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// What its containers own together; read of an over-committed worker only.
    #[serde(deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
    pub used: Option<UsedDocument>,
    /// How long the planner has not heard of it. Answered, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
}

/// `GET /v1/workers`: a page of workers, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerList {
    /// The workers.
    pub workers: Vec<WorkerDocument>,
    /// `after` of the next page; none after the last.
    pub next: Option<String>,
}

/// `POST /v1/workers/{id}/cordon`, `uncordon`, `drain` and `remove`: what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerOutcome {
    /// The worker.
    pub id: String,
    /// `done`, or `already` if it was so before.
    pub outcome: String,
}

/// `POST /v1/workers/{id}/drain`: what runs may finish within this long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainCall {
    /// Such as `10m`, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// As an exact integer; instead of `within`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<Quantity>,
}

/// `POST /v1/workers/{id}/remove`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveCall {
    /// Says that this run of it is gone for good: what it owns goes elsewhere.
    #[serde(skip_serializing_if = "is_default")]
    pub lost: bool,
    /// The run that the caller read; needed with `lost`.
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

/// What the containers of a worker own together; more than it has, if it came back smaller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedDocument {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes.
    pub memory_mib: u64,
    /// Milli in use of each device; those after the last one are free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu_milli: Vec<u32>,
}

/// One name, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "write one name in quotes, or a list of names")]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// How long a drain lets run what runs, if nothing is said.
const DRAIN_WITHIN: Duration = Duration::from_mins(10);

/// What an agent can run containers with; each is the runtime that requests name.
pub const EXECUTORS: [&str; 3] = [DEFAULT_RUNTIME, SIMULATE_RUNTIME, HOOK_RUNTIME];
/// The runtime of workers that only pretend to run anything.
pub const SIMULATE_RUNTIME: &str = "simulate";
/// The runtime of workers that have a program of their own run it.
pub const HOOK_RUNTIME: &str = "hook";

/// The words of all states of a worker.
const STATUSES: [Status; 6] =
    [Status::Available, Status::Pending, Status::Cordoned, Status::Draining, Status::Drained, Status::Lost];

impl WorkerDocument {
    /// A worker as a store keeps it.
    pub fn of(row: &WorkerRow) -> Self {
        let (used, over_committed) = (UsedDocument::from(&row.used), row.is_over_committed());
        Self { used: Some(used), over_committed, ..Self::of_worker(&row.to_worker()) }
    }

    fn of_worker(worker: &Worker) -> Self {
        Self {
            id: worker.id.to_string(),
            status: Some(worker.status.as_str().to_owned()),
            free: Some(FreeDocument::from(&worker.free())),
            containers: Some(worker.used.containers),
            incarnation: Some(worker.incarnation.0),
            ..Self::of_spec(&worker.spec)
        }
    }

    /// What each worker of a kind is.
    pub fn of_spec(spec: &WorkerSpec) -> Self {
        let owned = |text: &str| text.to_owned();
        let whole = |value: u64| Some(Quantity::integer(value));
        Self {
            pool: Some(spec.pool.to_string()),
            cpu_milli: whole(spec.total.cpu_milli),
            memory_mib: whole(spec.total.memory_mib),
            gpu_type: spec.gpu_type().map(ToString::to_string),
            gpu_count: spec.gpu_type().and_then(|_| whole(spec.total.gpu_count.into())),
            priority: spec.priority,
            preemptible: spec.preemptible,
            requires_pool_selector: spec.requires_pool_selector,
            machine: spec.machine.as_ref().map(ToString::to_string),
            workspace: spec.workspace.as_ref().map(ToString::to_string),
            runtime: Some(OneOrMany::of(&spec.runtimes)),
            labels: spec.labels.iter().map(|(key, value)| (owned(key), owned(value))).collect(),
            ..Self::default()
        }
    }

    /// Its name, which must be given.
    pub fn to_id(&self) -> Result<WorkerId, BadField> {
        name("id", &self.id, WorkerId::new)
    }

    /// What it is. Amounts are rounded down: a worker is never believed to have more than it has.
    pub fn to_spec(&self) -> Result<WorkerSpec, BadField> {
        if self.labels.len() > LABELS_MAX {
            let problem = format!("{} labels, at most {LABELS_MAX} are allowed", self.labels.len());
            return Err(BadField::new("labels", problem));
        }
        Ok(WorkerSpec {
            pool: name("pool", self.pool.as_deref().unwrap_or(DEFAULT_POOL), PoolName::new)?,
            total: self.to_capacity()?,
            priority: self.priority,
            preemptible: self.preemptible,
            requires_pool_selector: self.requires_pool_selector,
            machine: some_name("machine", self.machine.as_ref(), MachineName::new)?,
            workspace: some_name("workspace", self.workspace.as_ref(), Workspace::new)?,
            runtimes: self.to_runtimes()?,
            labels: to_labels(&self.labels),
        })
    }

    fn to_capacity(&self) -> Result<Capacity, BadField> {
        let count = self.gpu_count.as_ref().map_or(Ok(0), |count| count.whole_u32("gpu_count"))?;
        let gpu_type = some_name("gpu_type", self.gpu_type.as_ref(), GpuType::new)?;
        if count > GPU_DEVICES_MAX {
            let problem = format!("is too large; at most {GPU_DEVICES_MAX} devices");
            return Err(BadField::of("gpu_count", &count.to_string(), &problem));
        }
        match (&gpu_type, count) {
            (None, 1..) => return Err(BadField::missing("gpu_type", "say what kind the GPUs are")),
            (Some(_), 0) => return Err(BadField::missing("gpu_count", "say how many GPUs there are")),
            _ => {}
        }
        Ok(Capacity {
            cpu_milli: Amount::cpu(self.cpu.as_ref(), self.cpu_milli.as_ref()).had()?,
            memory_mib: Amount::memory(self.memory.as_ref(), self.memory_mib.as_ref()).had()?,
            gpu_type,
            gpu_count: count,
        })
    }

    fn to_runtimes(&self) -> Result<Vec<Runtime>, BadField> {
        let names: Vec<&str> = match &self.runtime {
            None => vec![DEFAULT_RUNTIME],
            Some(OneOrMany::One(name)) => vec![name],
            Some(OneOrMany::Many(names)) => names.iter().map(String::as_str).collect(),
        };
        if names.is_empty() {
            return Err(BadField::new("runtime", "an empty list runs nothing; leave it out for \"process\""));
        }
        names.into_iter().map(|text| name("runtime", text, Runtime::new)).collect()
    }

    /// Its status; `available` if absent.
    pub fn to_status(&self) -> Result<Status, BadField> {
        let Some(word) = &self.status else { return Ok(Status::Available) };
        let found = STATUSES.into_iter().find(|status| status.as_str() == word);
        found.ok_or_else(|| BadField::unknown("status", word, &STATUSES.map(Status::as_str)))
    }

    /// What is in use of a worker of size `total`: what `free` leaves of it. Of one that is over-committed, `free` does
    /// not tell, for nothing is less than 0.
    pub fn to_used(&self, total: &Capacity) -> Result<Used, BadField> {
        let containers = self.containers.unwrap_or_default();
        if self.over_committed {
            let missing = || BadField::missing("used", "of an over-committed worker, say what its containers own");
            let used = self.used.as_ref().ok_or_else(missing)?;
            return Ok(Used { containers, ..used.to_used().map_err(|bad| bad.inside("used"))? });
        }
        let Some(free) = &self.free else { return Ok(Used { containers, ..Used::default() }) };
        let used = free.to_used(total).map_err(|bad| bad.inside("free"))?;
        Ok(Used { containers, ..used })
    }
}

impl FreeDocument {
    fn to_used(&self, total: &Capacity) -> Result<Used, BadField> {
        let within = |path: &'static str, free: Option<&Quantity>, total: u64| {
            let Some(free) = free else { return Ok(0) };
            let used = total.checked_sub(free.whole(path)?);
            used.ok_or_else(|| BadField::of(path, free.as_str(), &format!("is more than the worker's {total}")))
        };
        Ok(Used {
            cpu_milli: within("cpu_milli", self.cpu_milli.as_ref(), total.cpu_milli)?,
            memory_mib: within("memory_mib", self.memory_mib.as_ref(), total.memory_mib)?,
            gpu_milli: self.to_used_gpus(total.gpu_count)?,
            containers: 0,
        })
    }

    fn to_used_gpus(&self, count: u32) -> Result<Vec<u32>, BadField> {
        let Some(free) = &self.gpu_milli else { return Ok(Vec::new()) };
        if free.len() != count as usize {
            let problem = format!("{} devices are listed, the worker has {count}", free.len());
            return Err(BadField::new("gpu_milli", problem));
        }
        let used = |(index, free): (usize, &Quantity)| {
            let inside = |bad: BadField| bad.at(index).inside("gpu_milli");
            let milli = free.whole_u32("").map_err(inside)?;
            let used = GPU_WHOLE_MILLI.checked_sub(milli);
            let problem = format!("is more than a whole device, {GPU_WHOLE_MILLI}");
            used.ok_or_else(|| inside(BadField::of("", free.as_str(), &problem)))
        };
        let used: Vec<u32> = free.iter().enumerate().map(used).collect::<Result<_, _>>()?;
        Ok(without_free_end(used))
    }
}

impl UsedDocument {
    fn to_used(&self) -> Result<Used, BadField> {
        Ok(Used {
            cpu_milli: integer("cpu_milli", self.cpu_milli)?,
            memory_mib: integer("memory_mib", self.memory_mib)?,
            gpu_milli: without_free_end(self.gpu_milli.clone()),
            containers: 0,
        })
    }
}

/// The form in which the domain holds what is in use of each device.
fn without_free_end(mut used: Vec<u32>) -> Vec<u32> {
    while used.last() == Some(&0) {
        used.pop();
    }
    used
}

impl DrainCall {
    /// How long what runs may go on.
    pub fn to_within(&self) -> Result<Duration, BadField> {
        match (&self.within, &self.within_ms) {
            (Some(within), Some(_)) => {
                Err(BadField::of("within", within, "is given together with within_ms; give one of them"))
            }
            (Some(within), None) => parse_period(within).map_err(|bad| BadField::period("within", &bad)),
            (None, Some(ms)) => ms.whole("within_ms").map(Duration::from_millis),
            (None, None) => Ok(DRAIN_WITHIN),
        }
    }
}

impl From<&Free> for FreeDocument {
    fn from(free: &Free) -> Self {
        let whole = |milli: &u32| Quantity::integer((*milli).into());
        Self {
            cpu_milli: Some(Quantity::integer(free.cpu_milli)),
            memory_mib: Some(Quantity::integer(free.memory_mib)),
            gpu_milli: Some(free.gpu_milli.iter().map(whole).collect()).filter(|list: &Vec<_>| !list.is_empty()),
        }
    }
}

impl From<&Used> for UsedDocument {
    fn from(used: &Used) -> Self {
        Self { cpu_milli: used.cpu_milli, memory_mib: used.memory_mib, gpu_milli: used.gpu_milli.clone() }
    }
}

impl OneOrMany {
    fn of(runtimes: &[Runtime]) -> Self {
        match runtimes {
            [one] => Self::One(one.to_string()),
            many => Self::Many(many.iter().map(ToString::to_string).collect()),
        }
    }
}
