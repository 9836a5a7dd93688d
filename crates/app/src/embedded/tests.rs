//! The store against the reference, against disks that fail, and against rows that nobody can read.

mod disk;
mod equality;
mod faults;
mod merging;
mod script;
mod side;

use std::fmt::Debug;
use std::sync::Arc;

use domain::id::{CellName, ContainerId, Revision, Workspace};
use domain::model::{FleetChange, FleetName};
use domain::request::{Ask, Body, IfSilent, Submission};
use ports::rows::{RowStore, RowsOf};
use ports::{PortResult, Source};

use super::EmbeddedStore;
use super::file::StoreFile;
use disk::Disk;

/// A store on a disk in memory.
fn open(disk: &Disk) -> EmbeddedStore {
    let disk = disk.clone();
    let open = move || -> Result<_, Source> { Ok(redb::Builder::new().create_with_backend(disk.backend())?) };
    EmbeddedStore::over(StoreFile::through(open).expect("a database")).expect("a store")
}

fn cell() -> CellName {
    CellName::new("main").expect("a name")
}

fn container(text: &str) -> ContainerId {
    ContainerId::new(text).expect("a name")
}

fn ask(workspace: &str, cpu_milli: u64, priority: i8) -> Ask {
    Ask {
        workspace: Workspace::new(workspace).expect("a name"),
        cpu_milli,
        memory_mib: 64,
        gpu: None,
        pool: None,
        machine: None,
        runtime: None,
        preemptible: false,
        priority,
        affinity: None,
        labels: std::collections::BTreeMap::new(),
    }
}

fn submission(id: &str, ask: Ask) -> Submission {
    let body = Body { command: vec!["true".into(), id.into()], ..Body::default() };
    Submission::new(container(id), ask, body, IfSilent::Stop)
}

/// Reads something of the rows of the cell `main`.
async fn read<T, F>(store: &dyn RowStore, mut what: F) -> PortResult<T>
where
    T: Send + 'static,
    F: FnMut(&RowsOf<'_>) -> PortResult<T> + Send + 'static,
{
    let found = Arc::new(std::sync::Mutex::new(None));
    let put = Arc::clone(&found);
    let step = move |rows: &RowsOf<'_>| {
        *put.lock().expect("nobody panics") = Some(what(rows)?);
        Ok(())
    };
    store.read(&cell(), Box::new(step)).await?;
    let found = found.lock().expect("nobody panics").take();
    Ok(found.expect("the step ran"))
}

/// Every range of the rows, from after every one of its entries.
fn ranges(rows: &RowsOf<'_>) -> PortResult<String> {
    let changes = rows.changed_fleet(Revision(0), 1_000)?;
    let mut text = format!("{changes:?} {:?} {:?}", rows.ended(1_000)?, rows.ended(2)?);
    let mut show = |what: &dyn Debug| text += &format!("{what:?}\n");
    for (key, _) in rows.ready(None, 1_000)? {
        show(&(rows.ready(Some(key), 2)?, rows.ready(key.just_before(), 1)?));
    }
    for (since, change) in changes {
        show(&(rows.changed_fleet(since, 3)?, rows.changed_containers(since, 3)?));
        match change {
            FleetChange::Changed(FleetName::Lot(lot)) => {
                for (key, _) in rows.parked(&lot, None, 1_000)? {
                    show(&rows.parked(&lot, Some(key), 2)?);
                }
            }
            FleetChange::Changed(FleetName::Worker(worker)) => {
                for mark in rows.owned(&worker, None, 1_000)? {
                    show(&(rows.owned(&worker, Some(&mark), 2)?, rows.workers(Some(&worker), 1)?));
                }
            }
            _ => {}
        }
    }
    Ok(text)
}
