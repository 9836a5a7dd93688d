//! The store against the reference, against disks that fail, and against rows that nobody can read.

mod conformance;
mod disk;
mod equality;
mod faults;
mod merging;
mod pair;
mod side;
mod torture;

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use domain::container::State;
use domain::id::{CellName, ContainerId, Revision, Workspace};
use domain::request::{Ask, Body, IfSilent, Submission};
use ports::rows::{RowStore, RowsOf};
use ports::{PortResult, Source};

use super::file::StoreFile;
use super::{EmbeddedStore, tables};
use disk::Disk;

/// A store on a disk in memory, made if the disk is empty.
fn open(disk: &Disk) -> EmbeddedStore {
    try_open(disk).expect("a store")
}

fn try_open(disk: &Disk) -> Result<EmbeddedStore, Source> {
    let opened = disk.clone();
    let open = move || redb::Builder::new().create_with_backend(opened.backend());
    if disk.is_empty() {
        let database = open()?;
        tables::create(&database)?;
        database.close()?;
    }
    Ok(EmbeddedStore::over(StoreFile::through(open)?)?)
}

fn cell() -> CellName {
    CellName::new("main").expect("a name")
}

fn container(text: &str) -> ContainerId {
    ContainerId::new(text).expect("a name")
}

fn ask(workspace: &str, cpu_milli: u64, priority: i8) -> Ask {
    Ask { priority, ..Ask::plain(Workspace::new(workspace).expect("a name"), cpu_milli, 64) }
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
    let mut text = format!("{:?} {:?}\n", rows.ended(1_000)?, rows.ended(2)?);
    let mut show = |what: &dyn Debug| writeln!(text, "{what:?}").expect("text takes all");
    for (key, _) in rows.ready(None, 1_000)? {
        show(&(rows.ready(Some(key), 2)?, rows.ready(key.just_before(), 1)?));
    }
    let changed = rows.changed_containers(Revision(0), 1_000)?;
    let (mut lots, mut workers) = (BTreeSet::new(), BTreeSet::new());
    for (since, id) in &changed {
        show(&(since, id, rows.changed_containers(*since, 3)?));
        let state = rows.container(id)?.map(|row| row.state);
        lots.extend(state.as_ref().and_then(State::lot).cloned());
        workers.extend(state.as_ref().and_then(State::placement).map(|place| place.worker.clone()));
    }
    for (since, change) in rows.changed_fleet(Revision(0), 1_000)? {
        show(&(since, change, rows.changed_fleet(since, 3)?));
    }
    for lot in lots {
        for (key, _) in rows.parked(&lot, None, 1_000)? {
            show(&(key, rows.parked(&lot, Some(key), 2)?));
        }
    }
    for worker in workers {
        show(&rows.workers(Some(&worker), 1)?);
        for mark in rows.owned(&worker, None, 1_000)? {
            show(&(rows.owned(&worker, Some(&mark), 2)?, &mark));
        }
    }
    Ok(text)
}
