//! All that a cell holds, to be checked or kept: `GET /v1/export`.

use domain::fleet::Quotas;
use domain::id::{Revision, Workspace};
use domain::model::UsageRow;
use domain::model::containers::ExportPage;
use domain::quota::{Limit, QuotaLimits, Usage};
use serde::{Deserialize, Serialize};

use super::container::ContainerDocument;
use super::field::{BadField, name};
use super::worker::WorkerDocument;

/// A page: rows changed after `since` of the call, up to and including `upto`, oldest change first. What was read is
/// the state at `upto` once `more` is false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportDocument {
    /// Workers with all that they own together.
    pub workers: Vec<WorkerDocument>,
    /// Containers that wait or own room. Of one that is named twice the later page holds.
    pub containers: Vec<ContainerDocument>,
    /// Workers that earlier pages may name and that are no more: to be taken away before this page is put.
    pub gone: Vec<String>,
    /// Containers that earlier pages may name and that have ended.
    pub ended: Vec<String>,
    /// Containers whose rows cannot be decoded.
    pub undecodable: Vec<String>,
    /// What workspaces use; on the last page only.
    pub usage: Vec<WorkspaceUsage>,
    /// The history of the store.
    pub history: u64,
    /// `since` of the next page.
    pub upto: u64,
    /// Whether there is more.
    pub more: bool,
}

/// What one workspace uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceUsage {
    /// The workspace.
    pub workspace: String,
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Mebibytes of memory.
    pub memory_mib: u64,
    /// Thousandths of a GPU.
    pub gpu_milli: u64,
    /// Containers.
    pub containers: u64,
    /// What it may use, as the planner of this server is told.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub limits: LimitsDocument,
}

/// What one workspace may use; what is left out is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsDocument {
    /// Thousandths of a cpu.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u64>,
    /// Mebibytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Thousandths of a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_milli: Option<u64>,
    /// Containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<u64>,
}

impl ExportDocument {
    /// The page, with what workspaces may use; nothing is limited without quotas.
    pub fn of(page: &ExportPage, quotas: Option<&Quotas>) -> Self {
        let limits = |workspace| quotas.map_or(&QuotaLimits::UNLIMITED, |quotas| quotas.limits(workspace)).into();
        Self {
            workers: page.workers.iter().map(WorkerDocument::of).collect(),
            containers: page.containers.iter().map(|row| ContainerDocument::of(row, None, None)).collect(),
            gone: page.gone.iter().map(ToString::to_string).collect(),
            ended: page.ended.iter().map(ToString::to_string).collect(),
            undecodable: page.undecodable.iter().map(ToString::to_string).collect(),
            usage: page.usage.iter().map(|row| WorkspaceUsage::of(row, limits(&row.workspace))).collect(),
            history: page.upto.history.get(),
            upto: page.upto.revision.0,
            more: page.more,
        }
    }
}

impl WorkspaceUsage {
    fn of(row: &UsageRow, limits: LimitsDocument) -> Self {
        Self {
            workspace: row.workspace.to_string(),
            cpu_milli: row.usage.cpu_milli,
            memory_mib: row.usage.memory_mib,
            gpu_milli: row.usage.gpu_milli,
            containers: row.usage.containers,
            limits,
        }
    }

    /// The row that it was made of, without its revision.
    pub fn to_row(&self) -> Result<UsageRow, BadField> {
        let usage = Usage {
            cpu_milli: self.cpu_milli,
            memory_mib: self.memory_mib,
            gpu_milli: self.gpu_milli,
            containers: self.containers,
        };
        Ok(UsageRow { workspace: name("workspace", &self.workspace, Workspace::new)?, usage, changed: Revision(0) })
    }
}

impl From<&QuotaLimits> for LimitsDocument {
    fn from(limits: &QuotaLimits) -> Self {
        let some = |limit| match limit {
            Limit::Unlimited => None,
            Limit::AtMost(most) => Some(most),
        };
        Self {
            cpu_milli: some(limits.cpu_milli),
            memory_mib: some(limits.memory_mib),
            gpu_milli: some(limits.gpu_milli),
            containers: some(limits.containers),
        }
    }
}

impl From<&LimitsDocument> for QuotaLimits {
    fn from(document: &LimitsDocument) -> Self {
        let limit = |most: Option<u64>| most.map_or(Limit::Unlimited, Limit::AtMost);
        Self {
            cpu_milli: limit(document.cpu_milli),
            memory_mib: limit(document.memory_mib),
            gpu_milli: limit(document.gpu_milli),
            containers: limit(document.containers),
        }
    }
}
