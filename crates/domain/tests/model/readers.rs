//! Reading in pages: nothing twice, nothing skipped, and what went away is told.

use std::collections::{BTreeMap, BTreeSet};

use domain::container::{ContainerRow, Phase};
use domain::id::{ContainerId, Revision, WorkerId, Workspace};
use domain::model::containers::{self, Keep};
use domain::model::placements::{Outcome, RemovalOutcome};
use domain::model::workers::{self, Look, RemoveHow};
use domain::model::{CALL_ITEMS_MAX, Change, Filter, FleetName, GONE_ROWS_MAX, Rows};
use domain::quota::Usage;
use domain::wait::{LotKey, LotRow};
use domain::worker::WorkerRow;

use crate::support::{Cell, ask, cid, exited, read, wid};

/// What a reader of the fleet knows.
#[derive(Default, Debug, PartialEq)]
struct View {
    workers: BTreeMap<WorkerId, WorkerRow>,
    lots: BTreeMap<LotKey, LotRow>,
    usage: BTreeMap<Workspace, Usage>,
    upto: Option<Revision>,
}

impl View {
    fn read(&mut self, cell: &Cell, limit: usize) -> bool {
        let page = match read(workers::look(&cell.rows, self.upto, limit)) {
            Look::Page(page) => page,
            Look::Whole => {
                *self = Self::default();
                return true;
            }
        };
        for name in page.gone {
            match name {
                FleetName::Worker(id) => drop(self.workers.remove(&id)),
                FleetName::Lot(key) => drop(self.lots.remove(&key)),
                FleetName::Usage(workspace) => drop(self.usage.remove(&workspace)),
            }
        }
        self.workers.extend(page.workers.into_iter().map(|row| (row.id.clone(), row)));
        self.lots.extend(page.lots.into_iter().map(|row| (row.key.clone(), row)));
        self.usage.extend(page.usage);
        self.upto = Some(page.upto.revision);
        page.more
    }

    fn whole(cell: &Cell) -> Self {
        let mut view = Self::default();
        while view.read(cell, CALL_ITEMS_MAX) {}
        view
    }
}

fn fleet() -> Cell {
    let mut cell = Cell::new();
    for number in 0..5 {
        cell.join(&format!("w{number}"), 4);
        let id = format!("c{number}");
        cell.submit(&id, ask(1));
    }
    cell.place("c0", "w0");
    cell.park("c1", LotKey::Shape(ask(1).shape()));
    cell
}

#[test]
fn a_reader_in_pages_comes_to_the_same_state_while_all_changes() {
    for limit in [0, 1, 2, 3, 100] {
        let mut cell = fleet();
        let mut view = View::default();
        view.read(&cell, limit);
        cell.place("c2", "w1");
        cell.ends("w0", "c0", exited(0));
        view.read(&cell, limit);
        cell.remove("w0", RemoveHow::IfEmpty);
        cell.stop("c1");
        view.read(&cell, limit);
        cell.join("w0", 8);
        cell.ends("w1", "c2", exited(0));
        while view.read(&cell, limit) {}
        assert_eq!(view, View::whole(&cell), "limit {limit}");
        assert!(view.lots.is_empty() && view.usage.is_empty());
    }
}

#[test]
fn a_page_ends_with_a_whole_revision() {
    let mut cell = fleet();
    let decisions = vec![cell.placing("c2", "w2"), cell.placing("c3", "w3"), cell.placing("c4", "w4")];
    cell.decide(decisions);
    let Look::Page(first) = read(workers::look(&cell.rows, None, 1)) else { panic!("it begins with nothing") };
    assert!(first.more);
    let since = Revision(cell.cell().revision.0 - 1);
    let Look::Page(page) = read(workers::look(&cell.rows, Some(since), 1)) else { panic!("nothing is forgotten") };
    assert_eq!((page.workers.len(), page.usage.len()), (3, 1), "more than the limit, as one step changed them");
}

#[test]
fn a_reader_from_another_life_of_the_store_reads_all() {
    let cell = fleet();
    let beyond = Revision(cell.cell().revision.0 + 1);
    assert_eq!(read(workers::look(&cell.rows, Some(beyond), 10)), Look::Whole);
}

/// Remembers so many removals of workers that were there for a step.
fn removals(cell: &mut Cell, count: u64) {
    for _ in 0..count {
        let mut row = cell.cell();
        row.revision = row.revision.next();
        row.gone += 1;
        let name = FleetName::Worker(wid("passing"));
        cell.rows.apply(vec![Change::Gone(row.revision, name), Change::Cell(row)]);
    }
}

fn forget(cell: &mut Cell) {
    let (_, changes) = read(containers::forget(&cell.rows, cell.now(), &Keep::default(), 1));
    cell.rows.apply(changes);
}

#[test]
fn removals_are_forgotten_beyond_a_number_and_who_missed_them_reads_all() {
    let mut cell = fleet();
    let old = cell.cell().revision;
    removals(&mut cell, GONE_ROWS_MAX + 30);
    forget(&mut cell);
    assert_eq!(cell.cell().gone, GONE_ROWS_MAX);
    assert_eq!(read(workers::look(&cell.rows, Some(old), 10)), Look::Whole);
    let floor = cell.cell().gone_floor;
    assert!(matches!(read(workers::look(&cell.rows, Some(floor), 10)), Look::Page(_)));
    cell.audit();
}

#[test]
fn a_reader_who_begins_with_nothing_gets_past_what_is_forgotten() {
    let mut cell = fleet();
    removals(&mut cell, GONE_ROWS_MAX + 30);
    forget(&mut cell);
    let mut view = View::default();
    let pages = (0..1_000_000).find(|_| !view.read(&cell, 1)).expect("it ends");
    assert!(pages > 1);
    assert_eq!(view.workers.len(), 5);
}

#[test]
fn forgetting_removals_does_not_stick_at_rows_that_never_change() {
    let mut cell = Cell::new();
    let mut rows = Vec::new();
    cell.join("w0", 1);
    let template = cell.worker("w0");
    for number in 0..CALL_ITEMS_MAX + 10 {
        let id = wid(&format!("idle{number}"));
        let after = Some(WorkerRow { id, ..template.clone() });
        rows.push(Change::Worker(Box::new(domain::model::Replace { before: None, after })));
    }
    cell.rows.apply(rows);
    removals(&mut cell, GONE_ROWS_MAX + 30);
    for _ in 0..3 {
        forget(&mut cell);
    }
    assert_eq!(cell.cell().gone, GONE_ROWS_MAX);
}

/// What a reader of the export knows.
#[derive(Default)]
struct Export {
    workers: BTreeMap<WorkerId, WorkerRow>,
    containers: BTreeMap<ContainerId, ContainerRow>,
    upto: Option<Revision>,
}

impl Export {
    fn read(&mut self, cell: &Cell, limit: usize) -> bool {
        let page = read(containers::export(&cell.rows, self.upto, limit));
        for id in page.gone {
            self.workers.remove(&id);
        }
        for id in page.ended {
            self.containers.remove(&id);
        }
        self.workers.extend(page.workers.into_iter().map(|row| (row.id.clone(), row)));
        self.containers.extend(page.containers.into_iter().map(|row| (row.id.clone(), row)));
        self.upto = Some(page.upto.revision);
        assert_eq!(
            page.usage.is_empty(),
            page.more || self.containers.values().all(|row| row.state.placement().is_none())
        );
        page.more
    }
}

#[test]
fn an_export_in_pages_adds_up_while_all_changes() {
    for limit in [1, 2, 3, 100] {
        let mut cell = fleet();
        let mut export = Export::default();
        export.read(&cell, limit);
        cell.ends("w0", "c0", exited(0));
        cell.remove("w0", RemoveHow::IfEmpty);
        export.read(&cell, limit);
        cell.place("c2", "w1");
        while export.read(&cell, limit) {}
        let mut audit = domain::audit::Audit::default();
        export.workers.values().for_each(|row| audit.worker(row));
        export.containers.values().for_each(|row| audit.container(row));
        let page = read(containers::export(&cell.rows, export.upto, limit));
        page.usage.iter().for_each(|row| audit.usage(row));
        assert_eq!(audit.books(), [], "limit {limit}");
        let ids: BTreeSet<_> = export.containers.keys().map(ContainerId::as_str).collect();
        assert_eq!(ids, BTreeSet::from(["c1", "c2", "c3", "c4"]), "c0 has ended");
    }
}

#[test]
fn lists_in_pages_skip_nothing_and_repeat_nothing() {
    let mut cell = fleet();
    let all = |cell: &Cell, filter: &Filter, limit| {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = read(containers::list(&cell.rows, filter, after.as_ref(), limit));
            ids.extend(page.rows.into_iter().map(|row| row.id.to_string()));
            after = page.after;
            if after.is_none() {
                return ids;
            }
        }
    };
    for limit in [0, 1, 2, 5, 100] {
        assert_eq!(all(&cell, &Filter::All, limit), ["c0", "c1", "c2", "c3", "c4"]);
        assert_eq!(all(&cell, &Filter::Phase(Phase::Pending), limit), ["c1", "c2", "c3", "c4"]);
        assert_eq!(all(&cell, &Filter::Worker(wid("w0")), limit), ["c0"]);
    }
    let page = read(containers::list(&cell.rows, &Filter::All, None, 2));
    cell.submit("a", ask(1));
    cell.stop("c1");
    let rest = read(containers::list(&cell.rows, &Filter::All, page.after.as_ref(), 10));
    let ids: Vec<_> = rest.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["c2", "c3", "c4"]);
}

#[test]
fn a_worker_that_is_removed_while_it_is_placed_on_stays() {
    let mut cell = fleet();
    let commit = domain::model::placements::Commit {
        decisions: vec![cell.placing("c2", "w4")],
        removals: vec![wid("w4")],
        ..Default::default()
    };
    let answer = cell.commit(&commit).expect("the mandate holds");
    assert_eq!((answer.outcomes, answer.removals), (vec![Outcome::Done], vec![RemovalOutcome::Owns(1)]));
    assert_eq!(read(cell.rows.container(&cid("c2"))).map(|row| row.state.phase()), Some(Phase::Placed));
}
