//! One planner a cell.

use domain::id::{CellName, PlannerId, Stamp, Term};
use domain::model::leadership::{self, AcquireOutcome};
use domain::model::{Fence, Mandate, MemoryRows, Rows};

use crate::support::{Cell, read};

fn planner(name: &str) -> PlannerId {
    PlannerId::new(name).expect("a name")
}

fn acquire(cell: &mut Cell, who: &str, expected: Option<(Term, Stamp)>) -> AcquireOutcome {
    let name = CellName::new("main").expect("a name");
    cell.run(|rows: &MemoryRows, _| leadership::acquire(rows, &name, &planner(who), expected))
}

fn renew(cell: &mut Cell, mandate: &Mandate) -> Result<(), Fence> {
    cell.run(|rows, _| leadership::renew(rows, mandate))
}

fn held(cell: &mut Cell, who: &str) -> (Term, Stamp) {
    match acquire(cell, who, None) {
        AcquireOutcome::Held { term, stamp, .. } => (term, stamp),
        AcquireOutcome::Acquired(_) => panic!("{who} was given the cell"),
    }
}

#[test]
fn a_cell_has_one_planner() {
    let mut cell = Cell::new();
    assert_eq!(held(&mut cell, "p2").0, cell.mandate.term);
    let AcquireOutcome::Acquired(again) = acquire(&mut cell, "p1", None) else { panic!("it plans already") };
    assert_eq!((again.term, again.planner.clone()), (cell.mandate.term, cell.mandate.planner.clone()));
}

#[test]
fn a_stamp_that_moved_is_not_taken_over() {
    let mut cell = Cell::new();
    let seen = held(&mut cell, "p2");
    let mandate = cell.mandate.clone();
    assert_eq!(renew(&mut cell, &mandate), Ok(()));
    assert!(matches!(acquire(&mut cell, "p2", Some(seen)), AcquireOutcome::Held { .. }));
}

#[test]
fn a_takeover_raises_the_term_and_fences_the_planner_before() {
    let mut cell = Cell::new();
    let before = cell.mandate.clone();
    let seen = held(&mut cell, "p2");
    let AcquireOutcome::Acquired(mandate) = acquire(&mut cell, "p2", Some(seen)) else { panic!("it is as expected") };
    assert_eq!(mandate.term, before.term.next());
    assert_eq!(renew(&mut cell, &before), Err(Fence::StaleTerm));
    assert_eq!(renew(&mut cell, &mandate), Ok(()));
    assert!(matches!(acquire(&mut cell, "p1", Some(seen)), AcquireOutcome::Held { .. }), "two never have it");
}

#[test]
fn who_resigns_leaves_the_cell_to_the_next_at_once() {
    let mut cell = Cell::new();
    let mandate = cell.mandate.clone();
    cell.run(|rows, _| leadership::resign(rows, &mandate));
    assert_eq!(renew(&mut cell, &mandate), Err(Fence::StaleTerm));
    let AcquireOutcome::Acquired(next) = acquire(&mut cell, "p2", None) else { panic!("nobody plans") };
    assert_eq!(next.term, mandate.term.next());
    cell.run(|rows, _| leadership::resign(rows, &mandate));
    assert_eq!(renew(&mut cell, &next), Ok(()), "a late resignation is nobody's");
    assert_eq!(read(cell.rows.cell()).term, next.term);
}
