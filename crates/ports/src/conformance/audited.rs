//! What a cell shows of itself at the end of a case must add up.

use std::collections::BTreeMap;

use domain::audit::{Audit, Finding};
use domain::id::Revision;
use domain::model::UsageRow;

use super::case::{Case, answered};

/// How the message begins with which a case ends whose cell does not add up.
pub const UNSOUND: &str = "the books do not add up";

/// Reads the whole cell through the ports, and recomputes who owns and uses what, and who waits.
pub(crate) async fn audit(case: &Case) {
    let mut audit = Audit::default();
    let (mut workers, mut containers, mut since) = (BTreeMap::new(), BTreeMap::new(), None);
    loop {
        let page = answered(case.ports.containers.export(&case.cell, since, 100).await);
        for id in &page.gone {
            workers.remove(id);
        }
        for id in &page.ended {
            containers.remove(id);
        }
        workers.extend(page.workers.into_iter().map(|row| (row.id.clone(), row)));
        containers.extend(page.containers.into_iter().map(|row| (row.id.clone(), row)));
        since = Some(page.upto.revision);
        if !page.more {
            for row in &page.usage {
                audit.usage(row);
            }
            break;
        }
    }
    for row in workers.values() {
        audit.worker(row);
    }
    for row in containers.values() {
        audit.container(row);
    }
    let found: Vec<_> = audit.books().into_iter().filter(Finding::is_corruption).collect();
    assert!(found.is_empty(), "{UNSOUND}, by the export: {found:#?}");
    audit_look(case, &workers, &containers).await;
}

/// What a look shows must be what the export shows; lots and counts must follow from the containers.
async fn audit_look(
    case: &Case,
    workers: &BTreeMap<domain::id::WorkerId, domain::worker::WorkerRow>,
    containers: &BTreeMap<domain::id::ContainerId, domain::container::ContainerRow>,
) {
    let look = case.look().await;
    let mut seen = look.workers;
    seen.sort_by(|a, b| a.id.cmp(&b.id));
    assert!(seen.iter().eq(workers.values()), "{UNSOUND}, look and export differ: {seen:#?} {workers:#?}");
    let mut audit = Audit::default();
    for row in workers.values() {
        audit.worker(row);
    }
    for row in containers.values() {
        audit.container(row);
    }
    for row in &look.lots {
        audit.lot(row);
    }
    for (workspace, usage) in look.usage {
        audit.usage(&UsageRow { workspace, usage, changed: Revision(0) });
    }
    let depth = answered(case.ports.backlog.depth(&case.cell).await);
    // Ended containers are not exported: they are taken as counted.
    let mut cell = domain::model::CellRow::new(look.upto.history);
    cell.revision = look.upto.revision;
    cell.unregistered = look.unregistered;
    cell.ready = depth.ready;
    cell.phases = depth.phases;
    for phase in domain::container::Phase::ALL {
        if phase.is_ended() {
            cell.phases[phase as usize] = 0;
        }
    }
    let found: Vec<_> = audit.whole(&cell).into_iter().filter(Finding::is_corruption).collect();
    assert!(found.is_empty(), "{UNSOUND}, by look and depth: {found:#?}");
}
