//! The document that `stowplan plan` reads, and the one that it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::fleet::{Fleet, Policy, PoolTemplate, Quotas};
use domain::id::{Attempt, Incarnation, PoolName, Revision, Workspace};
use domain::placement::{Candidate, Verdict};
use domain::provisioning::NewWorkers;
use domain::quota::QuotaLimits;
use domain::request::{IfSilent, OrderKey};
use domain::time::Timestamp;
use domain::worker::Worker;
use serde::{Deserialize, Serialize};

use super::calls::convert::{each, integer};
use super::field::{BadField, name};
use super::json::{object, objects, some_unique_objects};
use super::policy::PolicyDocument;
use super::quantity::Quantity;
use super::quota::QuotaDocument;
use super::reason::ReasonDocument;
use super::request::RequestDocument;
use super::worker::WorkerDocument;

/// The only version of the document that there is.
const VERSION: u32 = 1;

/// What `stowplan plan --input` reads: a fleet, and requests in the order in which they were handed in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlanDocument {
    /// 1, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How requests are placed.
    #[serde(deserialize_with = "object")]
    pub policy: PolicyDocument,
    /// What the fleet could grow by; nothing if absent.
    #[serde(deserialize_with = "objects")]
    pub pools: Vec<PoolDocument>,
    /// What workspaces may use; nothing is limited if absent. A workspace that is not named has the defaults.
    #[serde(deserialize_with = "some_unique_objects", skip_serializing_if = "Option::is_none")]
    pub quotas: Option<BTreeMap<String, QuotaDocument>>,
    /// The workers, as `GET /v1/workers` answers them.
    #[serde(deserialize_with = "objects")]
    pub workers: Vec<WorkerDocument>,
    /// The requests, as `POST /v1/containers` takes them, but that none needs a command.
    #[serde(deserialize_with = "objects")]
    pub requests: Vec<RequestDocument>,
}

/// A pool: workers made from one template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolDocument {
    /// Its name.
    pub name: String,
    /// What each of its workers is. `id`, `status` and `free` are not read, and `pool` is this one.
    #[serde(deserialize_with = "object")]
    pub worker: WorkerDocument,
    /// How many it may have.
    pub max_workers: Quantity,
}

/// What a planner reads of a [`PlanDocument`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInput {
    /// The fleet.
    pub fleet: Fleet,
    /// The requests.
    pub batch: Vec<Candidate>,
    /// The policy.
    pub policy: Policy,
}

/// What `stowplan plan` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// 1.
    pub version: u32,
    /// Who goes where, in the order of the requests.
    pub placements: Vec<PlacementDocument>,
    /// Who waits, and why.
    pub unplaced: Vec<UnplacedDocument>,
    /// The fewest workers on which those who wait for room would fit.
    pub new_workers: Vec<NewWorkersDocument>,
}

/// One request that has a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementDocument {
    /// The request.
    pub id: String,
    /// Its worker.
    pub worker: String,
    /// The indices of its GPU devices there.
    pub gpu_devices: Vec<u32>,
}

/// One request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnplacedDocument {
    /// The request.
    pub id: String,
    /// Why, in one word.
    pub reason: String,
    /// The same in numbers.
    pub detail: DetailDocument,
    /// Whether nothing that can happen by itself would make room.
    pub can_never_fit: bool,
    /// Why, in a sentence.
    pub text: String,
}

/// The numbers of a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailDocument {
    /// How many workers fail each rule, each counted under the first that it fails.
    #[serde(flatten)]
    pub rules: BTreeMap<String, u64>,
    /// If a quota is in the way, what is left under it of the resource that is short; 0 if more is used than it allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub free: BTreeMap<String, u64>,
}

/// New workers of one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewWorkersDocument {
    /// The pool.
    pub pool: String,
    /// How many.
    pub count: u64,
    /// The requests that they are for.
    #[serde(rename = "for")]
    pub for_ids: Vec<String>,
}

impl PlanDocument {
    /// What a planner reads of it.
    pub fn to_input(&self) -> Result<PlanInput, BadField> {
        if let Some(version) = self.version.filter(|version| *version != VERSION) {
            return Err(BadField::of("version", &version.to_string(), &format!("is not known; write {VERSION}")));
        }
        let workers = each("workers", &self.workers, to_worker)?;
        no_duplicates("workers", self.workers.iter().map(|worker| worker.id.as_str()))?;
        let mut fleet = Fleet::of(workers);
        fleet.pools = each("pools", &self.pools, PoolDocument::to_template)?;
        no_duplicates("pools", self.pools.iter().map(|pool| pool.name.as_str()))?;
        let batch: Vec<_> = (0..).zip(&self.requests).collect();
        let batch = each("requests", &batch, |(position, request)| to_candidate(*position, request))?;
        no_duplicates("requests", self.requests.iter().filter_map(|request| request.id.as_deref()))?;
        let mut policy = self.policy.to_policy().map_err(|bad| bad.inside("policy"))?;
        if let Some(quotas) = &self.quotas {
            policy.quotas = Some(read_quotas(quotas, &mut fleet).map_err(|bad| bad.inside("quotas"))?);
        }
        Ok(PlanInput { fleet, batch, policy })
    }
}

impl PoolDocument {
    /// What a planner reads of it.
    pub fn to_template(&self) -> Result<PoolTemplate, BadField> {
        let pool = name("name", &self.name, PoolName::new)?;
        let mut spec = self.worker.to_spec().map_err(|bad| bad.inside("worker"))?;
        if let Some(other) = self.worker.pool.as_ref().filter(|other| **other != self.name) {
            return Err(BadField::of("worker.pool", other, "is not the pool that it stands in; leave it out"));
        }
        spec.pool = pool.clone();
        Ok(PoolTemplate { name: pool, spec: Arc::new(spec), workers_max: self.max_workers.whole("max_workers")? })
    }
}

fn to_worker(document: &WorkerDocument) -> Result<Worker, BadField> {
    let spec = document.to_spec()?;
    Ok(Worker {
        id: document.to_id()?,
        status: document.to_status()?,
        incarnation: Incarnation(integer("incarnation", document.incarnation.unwrap_or_default())?),
        used: document.to_used(&spec.total)?,
        spec: Arc::new(spec),
    })
}

/// In a document, priority comes first and then the position; nothing has waited.
fn to_candidate(position: u32, document: &RequestDocument) -> Result<Candidate, BadField> {
    let ask = document.to_ask()?;
    document.check_body()?;
    Ok(Candidate {
        id: document.to_id()?,
        key: OrderKey::new(Timestamp(0), ask.priority, Revision(0), position),
        attempt: Attempt(0),
        ask: Arc::new(ask),
        if_silent: IfSilent::Stop,
        lot: None,
    })
}

fn read_quotas(quotas: &BTreeMap<String, QuotaDocument>, fleet: &mut Fleet) -> Result<Quotas, BadField> {
    let mut read = Quotas::default();
    for (text, quota) in quotas {
        let workspace = name(text, text, Workspace::new)?;
        let inside = |bad: BadField| bad.inside(text);
        fleet.usage.insert(workspace.clone(), quota.to_usage().map_err(inside)?);
        read.workspaces.insert(workspace, quota.to_limits(&QuotaLimits::default()).map_err(inside)?);
    }
    Ok(read)
}

fn no_duplicates<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Result<(), BadField> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let bad =
                BadField::of(if path == "pools" { "name" } else { "id" }, name, "is there already; choose another");
            return Err(bad.at(index).inside(path));
        }
    }
    Ok(())
}

impl PlanAnswer {
    /// What was planned for each of `batch`.
    pub fn of(batch: &[Candidate], verdicts: &[Verdict], new_workers: &[NewWorkers]) -> Self {
        let mut answer =
            Self { version: VERSION, placements: Vec::new(), unplaced: Vec::new(), new_workers: Vec::new() };
        for (candidate, verdict) in batch.iter().zip(verdicts) {
            let id = candidate.id.to_string();
            match verdict {
                Verdict::Place { worker, booking, .. } => answer.placements.push(PlacementDocument {
                    id,
                    worker: worker.to_string(),
                    gpu_devices: booking.gpu_devices.clone(),
                }),
                Verdict::Wait { why, .. } => {
                    let ReasonDocument { word, text, can_never_fit, rules, free, .. } =
                        ReasonDocument::of(why, &candidate.ask);
                    let detail = DetailDocument { rules, free };
                    answer.unplaced.push(UnplacedDocument { id, reason: word, detail, can_never_fit, text });
                }
            }
        }
        answer.new_workers.extend(new_workers.iter().map(|new| NewWorkersDocument {
            pool: new.pool.to_string(),
            count: new.count(),
            for_ids: new.for_ids.iter().map(ToString::to_string).collect(),
        }));
        answer
    }
}
