//! A live cell, read through the pages of its export.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::audit::{Audit, Corruption, Finding, Owner, Room};
use domain::fleet::Quotas;
use domain::id::{ContainerId, WorkerId};
use domain::model::UsageRow;
use domain::quota::QuotaLimits;
use domain::resources::Booking;
use domain::worker::Status;

use super::Verdict;
use crate::api::container::{BookingDocument, ContainerDocument};
use crate::api::export::{ExportDocument, WorkspaceUsage};
use crate::api::field::{BadField, name};
use crate::api::worker::WorkerDocument;

/// The cell as far as its pages were read: its workers, what owns room on them, and usage; of what waits, nothing.
#[derive(Debug, Default)]
pub struct Reading {
    workers: BTreeMap<WorkerId, Room>,
    owners: BTreeMap<ContainerId, Owner>,
    undecodable: BTreeSet<ContainerId>,
    usage: Vec<(UsageRow, QuotaLimits)>,
    /// The history that is read, and how far.
    mark: Option<(u64, u64)>,
    is_whole: bool,
}

impl Reading {
    /// Where the next page begins; none for the first.
    pub fn since(&self) -> Option<u64> {
        self.mark.map(|(_, revision)| revision)
    }

    /// Whether the last page was taken: what was read is the cell as it was then. Who reads on has it as it is later.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes the page behind [`Self::since`]. A page of another history is no page of this cell: all begins anew.
    pub fn take(&mut self, page: &ExportDocument) -> Result<(), BadField> {
        if self.mark.is_some_and(|(history, _)| history != page.history) {
            *self = Self::default();
            return Ok(());
        }
        for id in &page.gone {
            self.workers.remove(&name("gone", id, WorkerId::new)?);
        }
        for id in &page.ended {
            self.forget(&name("ended", id, ContainerId::new)?);
        }
        for worker in &page.workers {
            self.workers.insert(worker.to_id()?, room(worker)?);
        }
        for container in &page.containers {
            let id = name("id", &container.id, ContainerId::new)?;
            self.forget(&id);
            self.owners.extend(owner(container)?.map(|owner| (id, owner)));
        }
        for id in &page.undecodable {
            let id = name("undecodable", id, ContainerId::new)?;
            self.forget(&id);
            self.undecodable.insert(id);
        }
        let usage = |usage: &WorkspaceUsage| Ok((usage.to_row()?, (&usage.limits).into()));
        self.usage = page.usage.iter().map(usage).collect::<Result<_, BadField>>()?;
        self.mark = Some((page.history, page.upto));
        self.is_whole = !page.more;
        Ok(())
    }

    /// The containers that may be to blame for a verdict that is not clean: one that ended and was forgotten between two
    /// pages is named by neither.
    pub fn doubtful(&self, verdict: &Verdict) -> Vec<ContainerId> {
        let at_fault: BTreeSet<_> = verdict.found.iter().filter_map(worker_at_fault).collect();
        let owners = self.owners.iter().filter(|(_, owner)| at_fault.contains(&owner.worker));
        owners.map(|(id, _)| id.clone()).collect()
    }

    /// Takes a container out that is no more.
    pub fn forget(&mut self, id: &ContainerId) {
        self.owners.remove(id);
        self.undecodable.remove(id);
    }

    /// What the whole reading comes to.
    pub fn verdict(&self) -> Verdict {
        let mut audit = Audit::default();
        for (id, room) in &self.workers {
            audit.room(id.clone(), room.clone());
        }
        for (id, owner) in &self.owners {
            audit.owner(id, owner);
        }
        for id in &self.undecodable {
            audit.undecodable(format!("container {id}"));
        }
        let mut quotas = Quotas { default: QuotaLimits::UNLIMITED, ..Quotas::default() };
        for (row, limits) in &self.usage {
            audit.usage(row);
            quotas.workspaces.insert(row.workspace.clone(), *limits);
        }
        let found = [audit.books(), audit.limits(&quotas)].concat();
        Verdict::new(self.mark.map_or(0, |(_, revision)| revision), &audit, found)
    }
}

fn worker_at_fault(finding: &Finding) -> Option<&WorkerId> {
    match finding {
        Finding::Corruption(Corruption::Worker { worker, .. } | Corruption::NoSuchWorker { worker, .. }) => {
            Some(worker)
        }
        _ => None,
    }
}

fn room(worker: &WorkerDocument) -> Result<Room, BadField> {
    let total = worker.to_spec()?.total;
    let used = worker.to_used(&total)?;
    Ok(Room { used, total, is_lost: worker.to_status()? == Status::Lost, run: None })
}

/// What the container owns; none if it owns nothing.
fn owner(container: &ContainerDocument) -> Result<Option<Owner>, BadField> {
    let (Some(owns), Some(worker)) = (&container.owns, &container.worker) else { return Ok(None) };
    let BookingDocument { cpu_milli, memory_mib, gpu_milli } = *owns;
    let gpu_devices = container.gpu_devices.clone();
    Ok(Some(Owner {
        ask: Arc::new(container.request.to_ask()?),
        worker: name("worker", worker, WorkerId::new)?,
        run: None,
        booking: Booking { cpu_milli, memory_mib, gpu_devices, gpu_milli },
    }))
}
