//! A whole cell as its store shows it: the rows, and the indexes that must follow from them.

use std::collections::BTreeSet;

use super::entry::Entry;
use super::{Audit, Corruption, Finding};
use crate::container::{ContainerRow, Phase, State, Waiting};
use crate::id::{ContainerId, Revision, WorkerId, Workspace};
use crate::model::{CellRow, Filter, FleetChange, FleetName, OrderMark, Rows};
use crate::request::OrderKey;
use crate::time::Timestamp;
use crate::wait::LotKey;

const PAGE: usize = 1_000;

/// What the rows say that the indexes hold.
#[derive(Default)]
struct Expected {
    ready: BTreeSet<(OrderKey, ContainerId)>,
    parked: BTreeSet<(LotKey, OrderKey, ContainerId)>,
    owned: BTreeSet<(WorkerId, OrderMark)>,
    phases: BTreeSet<(Phase, ContainerId)>,
    workspaces: BTreeSet<(Workspace, ContainerId)>,
    ended: BTreeSet<(Timestamp, ContainerId)>,
    changed: BTreeSet<(Revision, ContainerId)>,
    fleet: BTreeSet<(Revision, FleetChange)>,
}

/// A whole cell, read.
#[derive(Debug)]
pub struct Whole {
    /// What was taken.
    pub audit: Audit,
    /// The cell's own row.
    pub cell: CellRow,
    /// What does not add up.
    pub found: Vec<Finding>,
}

/// Reads a whole cell and says what does not add up.
pub fn of_rows<R: Rows>(rows: &R) -> Result<Vec<Finding>, R::Error> {
    Ok(whole(rows)?.found)
}

/// Reads a whole cell: from a store that nobody writes to meanwhile, or in one transaction.
///
/// If there are rows that cannot be decoded, these are named, and the indexes are not compared.
pub fn whole<R: Rows>(rows: &R) -> Result<Whole, R::Error> {
    let mut audit = Audit::default();
    let mut expected = Expected::default();
    let mut found = Vec::new();
    let decoded = take_containers(rows, &mut audit, &mut expected, &mut found)?
        & take_workers(rows, &mut audit, &mut expected)?
        & take_fleet(rows, &mut audit, &mut expected)?;
    let cell = rows.cell()?;
    found.extend(audit.whole(&cell));
    if decoded {
        compare_lines(rows, &expected, &mut found)?;
        compare_filters(rows, &expected, &mut found)?;
        compare_changes(rows, &expected, cell.gone, &mut found)?;
    }
    Ok(Whole { audit, cell, found })
}

fn take_containers<R: Rows>(
    rows: &R,
    audit: &mut Audit,
    expected: &mut Expected,
    found: &mut Vec<Finding>,
) -> Result<bool, R::Error> {
    let mut decoded = true;
    for id in pages(|after: Option<&ContainerId>| rows.containers(&Filter::All, after, PAGE))? {
        match rows.container(&id) {
            Ok(Some(row)) => {
                audit.container(&row);
                expected.container(&row);
                found.extend(check_body(rows, id)?);
            }
            Ok(None) => found.push(Corruption::IndexStray { index: "containers", entry: id.to_string() }.into()),
            Err(error) if rows.is_corrupt(&error) => {
                audit.undecodable(format!("container {id}"));
                decoded = false;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(decoded)
}

/// What is wrong with what belongs to a container and counts for nothing.
fn check_body<R: Rows>(rows: &R, id: ContainerId) -> Result<Option<Finding>, R::Error> {
    let undecodable = |what: &str| Some(Corruption::Undecodable { what: format!("{what} of container {id}") }.into());
    match rows.body(&id) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(Some(Corruption::NoBody { container: id }.into())),
        Err(error) if rows.is_corrupt(&error) => return Ok(undecodable("the body")),
        Err(error) => return Err(error),
    }
    match rows.output(&id) {
        Ok(_) => Ok(None),
        Err(error) if rows.is_corrupt(&error) => Ok(undecodable("the output")),
        Err(error) => Err(error),
    }
}

fn take_workers<R: Rows>(rows: &R, audit: &mut Audit, expected: &mut Expected) -> Result<bool, R::Error> {
    let mut decoded = true;
    for id in pages(|after: Option<&WorkerId>| rows.workers(after, PAGE))? {
        match rows.worker(&id) {
            Ok(Some(row)) => {
                audit.worker(&row);
                expected.fleet.insert((row.changed, FleetChange::Changed(FleetName::Worker(id))));
            }
            Ok(None) => {}
            Err(error) if rows.is_corrupt(&error) => {
                audit.undecodable_worker(id);
                decoded = false;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(decoded)
}

/// Lots and usage are known by name only from the index of changes, so that it is trusted for them.
fn take_fleet<R: Rows>(rows: &R, audit: &mut Audit, expected: &mut Expected) -> Result<bool, R::Error> {
    let mut decoded = true;
    for (revision, change) in all_fleet_changes(rows)? {
        let read = match &change {
            FleetChange::Changed(FleetName::Lot(key)) => {
                rows.lot(key).map(|row| row.iter().for_each(|row| audit.lot(row)))
            }
            FleetChange::Changed(FleetName::Usage(workspace)) => {
                rows.usage(workspace).map(|row| row.iter().for_each(|row| audit.usage(row)))
            }
            FleetChange::Changed(FleetName::Worker(_)) | FleetChange::Gone(_) => continue,
        };
        match read {
            Ok(()) => drop(expected.fleet.insert((revision, change))),
            Err(error) if rows.is_corrupt(&error) => {
                audit.undecodable(change.in_words());
                decoded = false;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(decoded)
}

impl Expected {
    fn container(&mut self, row: &ContainerRow) {
        let id = || row.id.clone();
        match &row.state {
            State::Pending(Waiting::Ready) => drop(self.ready.insert((row.key, id()))),
            State::Pending(Waiting::Parked(lot)) => drop(self.parked.insert((lot.clone(), row.key, id()))),
            _ => {}
        }
        if let Some(place) = row.state.placement() {
            self.owned.insert((place.worker.clone(), OrderMark { revision: place.order, container: id() }));
        }
        if let Some(end) = row.last_end.as_ref().filter(|_| row.state.phase().is_ended()) {
            self.ended.insert((end.at, id()));
        }
        self.phases.insert((row.state.phase(), id()));
        self.workspaces.insert((row.ask.workspace.clone(), id()));
        self.changed.insert((row.changed, id()));
    }
}

fn compare_lines<R: Rows>(rows: &R, expected: &Expected, found: &mut Vec<Finding>) -> Result<(), R::Error> {
    let ready = pages(|after: Option<&(OrderKey, ContainerId)>| rows.ready(after.map(|(key, _)| *key), PAGE))?;
    compare("ready", &expected.ready, ready, found);
    let lots: BTreeSet<_> = expected.parked.iter().map(|(lot, ..)| lot.clone()).chain([LotKey::Corrupt]).collect();
    let mut parked = Vec::new();
    for lot in lots {
        let members =
            pages(|after: Option<&(OrderKey, ContainerId)>| rows.parked(&lot, after.map(|(key, _)| *key), PAGE))?;
        parked.extend(members.into_iter().map(|(key, id)| (lot.clone(), key, id)));
    }
    compare("parked", &expected.parked, parked, found);
    let mut workers: BTreeSet<_> = expected.owned.iter().map(|(worker, _)| worker.clone()).collect();
    workers.extend(pages(|after: Option<&WorkerId>| rows.workers(after, PAGE))?);
    let mut owned = Vec::new();
    for worker in workers {
        let marks = pages(|after: Option<&OrderMark>| rows.owned(&worker, after, PAGE))?;
        owned.extend(marks.into_iter().map(|mark| (worker.clone(), mark)));
    }
    compare("owned", &expected.owned, owned, found);
    compare("ended", &expected.ended, rows.ended(expected.ended.len() + 1)?, found);
    Ok(())
}

fn compare_filters<R: Rows>(rows: &R, expected: &Expected, found: &mut Vec<Finding>) -> Result<(), R::Error> {
    let mut phases = Vec::new();
    for phase in Phase::ALL {
        let ids = pages(|after: Option<&ContainerId>| rows.containers(&Filter::Phase(phase), after, PAGE))?;
        phases.extend(ids.into_iter().map(|id| (phase, id)));
    }
    compare("containers by phase", &expected.phases, phases, found);
    let mut workspaces = Vec::new();
    for workspace in expected.workspaces.iter().map(|(workspace, _)| workspace).collect::<BTreeSet<_>>() {
        let filter = Filter::Workspace(workspace.clone());
        let ids = pages(|after: Option<&ContainerId>| rows.containers(&filter, after, PAGE))?;
        workspaces.extend(ids.into_iter().map(|id| (workspace.clone(), id)));
    }
    compare("containers by workspace", &expected.workspaces, workspaces, found);
    Ok(())
}

fn compare_changes<R: Rows>(
    rows: &R,
    expected: &Expected,
    gone: u64,
    found: &mut Vec<Finding>,
) -> Result<(), R::Error> {
    let changed = rows.changed_containers(Revision(0), expected.changed.len() + 1)?;
    compare("changed containers", &expected.changed, changed, found);
    let (remembered, changed): (Vec<_>, Vec<_>) =
        all_fleet_changes(rows)?.into_iter().partition(|(_, change)| matches!(change, FleetChange::Gone(_)));
    compare("changed fleet", &expected.fleet, changed, found);
    if remembered.len() as u64 != gone {
        found.push(Corruption::GoneCount { counted: gone, found: remembered.len() as u64 }.into());
    }
    Ok(())
}

fn all_fleet_changes<R: Rows>(rows: &R) -> Result<Vec<(Revision, FleetChange)>, R::Error> {
    let mut size = PAGE;
    loop {
        let changes = rows.changed_fleet(Revision(0), size)?;
        if changes.len() < size {
            return Ok(changes);
        }
        size *= 2;
    }
}

/// All entries of a range, in the order in which it has them.
fn pages<T, E>(read: impl Fn(Option<&T>) -> Result<Vec<T>, E>) -> Result<Vec<T>, E> {
    let mut all = read(None)?;
    let mut page = all.len();
    while page == PAGE {
        let more = read(all.last())?;
        page = more.len();
        all.extend(more);
    }
    Ok(all)
}

fn compare<T: Ord + Entry>(index: &'static str, expected: &BTreeSet<T>, actual: Vec<T>, found: &mut Vec<Finding>) {
    for (earlier, later) in actual.iter().zip(actual.iter().skip(1)) {
        if earlier >= later {
            let entry = format!("{}, out of order", later.in_words());
            found.push(Corruption::IndexStray { index, entry }.into());
        }
    }
    let actual: BTreeSet<_> = actual.into_iter().collect();
    let lacks = expected.difference(&actual).map(|entry| Corruption::IndexLacks { index, entry: entry.in_words() });
    found.extend(lacks.map(Finding::from));
    let strays = actual.difference(expected).map(|entry| Corruption::IndexStray { index, entry: entry.in_words() });
    found.extend(strays.map(Finding::from));
}
