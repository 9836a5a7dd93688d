//! All that a cell holds, to be checked or kept: `GET /v1/export`.

use domain::model::UsageRow;
use domain::model::containers::ExportPage;
use serde::{Deserialize, Serialize};

use super::container::ContainerDocument;
use super::worker::WorkerDocument;

/// A page: rows changed after `since` of the call, up to and including `upto`, oldest change first. What was read is
/// the state at `upto` once `more` is false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportDocument {
    /// Workers with all that they own together.
    pub workers: Vec<WorkerDocument>,
    /// Containers that wait or own room. Of one that is named twice the later page holds.
    pub containers: Vec<ContainerDocument>,
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
}

impl From<&ExportPage> for ExportDocument {
    fn from(page: &ExportPage) -> Self {
        Self {
            workers: page.workers.iter().map(WorkerDocument::of).collect(),
            containers: page.containers.iter().map(|row| ContainerDocument::of(row, None, None)).collect(),
            usage: page.usage.iter().map(WorkspaceUsage::from).collect(),
            history: page.upto.history.get(),
            upto: page.upto.revision.0,
            more: page.more,
        }
    }
}

impl From<&UsageRow> for WorkspaceUsage {
    fn from(row: &UsageRow) -> Self {
        Self {
            workspace: row.workspace.to_string(),
            cpu_milli: row.usage.cpu_milli,
            memory_mib: row.usage.memory_mib,
            gpu_milli: row.usage.gpu_milli,
            containers: row.usage.containers,
        }
    }
}
