//! The independent checker names what was planted, and only that.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::audit::{self, Amount, Audit, Corruption, Finding, Notice, PlanFault};
use domain::container::{ContainerRow, Phase, Placement, State, Waiting};
use domain::fleet::{Fleet, Quotas};
use domain::id::{Attempt, GpuType, Incarnation, Revision};
use domain::model::{CellRow, Change, FleetName, MemoryRows, Replace, Rows, UsageRow};
use domain::placement::{Candidate, Verdict};
use domain::quota::{Limit, QuotaLimits};
use domain::request::{IfSilent, OrderKey};
use domain::resources::{Booking, Capacity, Used};
use domain::wait::{LotKey, LotRow, Why};
use domain::worker::{Worker, WorkerRow, WorkerSpec};

use crate::support::{Cell, ask, cid, gpu_ask, read, spec, wid, workspace};

/// `c1` and `c2` run on w1; `c3` and `c4` wait in a lot, `c5` in line; `c6` has ended.
fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    for id in ["c1", "c2", "c3", "c4", "c5", "c6"] {
        cell.submit(id, ask(1));
    }
    cell.running("c1", "w1");
    cell.running("c2", "w1");
    for id in ["c3", "c4"] {
        cell.park(id, lot());
    }
    cell.stop("c6");
    cell
}

fn lot() -> LotKey {
    LotKey::Shape(ask(1).shape())
}

fn plant_container(cell: &mut Cell, id: &str, change: impl FnOnce(&mut ContainerRow)) {
    let before = cell.row(id);
    let mut after = before.clone();
    change(&mut after);
    let replace = Replace { before: Some(before), after: Some(after) };
    cell.rows.apply(vec![Change::Container(Box::new(replace))]);
}

fn plant_worker(cell: &mut Cell, change: impl FnOnce(&mut WorkerRow)) {
    let before = cell.worker("w1");
    let mut after = before.clone();
    change(&mut after);
    cell.rows.apply(vec![Change::Worker(Box::new(Replace { before: Some(before), after: Some(after) }))]);
}

fn plant_lot(cell: &mut Cell, change: impl FnOnce(&mut LotRow)) {
    let before = cell.lot(&lot()).expect("two wait in it");
    let mut after = before.clone();
    change(&mut after);
    cell.rows.apply(vec![Change::Lot(Box::new(Replace { before: Some(before), after: Some(after) }))]);
}

fn plant_cell(cell: &mut Cell, change: impl FnOnce(&mut CellRow)) {
    let mut row = cell.cell();
    change(&mut row);
    cell.rows.apply(vec![Change::Cell(row)]);
}

fn placed(row: &mut ContainerRow, change: impl FnOnce(&mut Placement)) {
    let State::Running(place) = &mut row.state else { panic!("{row:?} does not run") };
    change(place);
}

/// Exactly this is found, in these words.
fn check(cell: &Cell, corruptions: &[&str]) {
    let found: Vec<_> = read(audit::of_rows(&cell.rows))
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Corruption(corruption) => Some(corruption.to_string()),
            Finding::Notice(_) => None,
        })
        .collect();
    assert_eq!(found, corruptions);
}

#[test]
fn a_sound_cell_has_no_findings() {
    assert_eq!(read(audit::of_rows(&cell().rows)), []);
}

#[test]
fn more_or_less_room_booked_than_owned() {
    let mut cell = cell();
    plant_worker(&mut cell, |row| row.used.cpu_milli = 3000);
    check(&cell, &["worker w1 books 3000 cpu_milli, its containers own 2000"]);
    plant_worker(&mut cell, |row| row.used = Used::default());
    check(
        &cell,
        &[
            "worker w1 books 0 cpu_milli, its containers own 2000",
            "worker w1 books 0 memory_mib, its containers own 2",
            "worker w1 books 0 containers, its containers own 2",
        ],
    );
}

#[test]
fn a_device_booked_that_nobody_owns() {
    let mut cell = cell();
    plant_worker(&mut cell, |row| row.used.gpu_milli = vec![0, 500]);
    check(&cell, &["worker w1 books 500 gpu_milli of device 1, its containers own 0"]);
}

#[test]
fn usage_that_drifted() {
    let mut cell = cell();
    let before = read(cell.rows.usage(&workspace("default")));
    let after = before.clone().map(|mut row| {
        row.usage.containers = 1;
        row
    });
    cell.rows.apply(vec![Change::Usage(Replace { before: before.clone(), after: after.clone() })]);
    check(&cell, &["workspace default books 1 containers, its containers use 2"]);
    cell.rows.apply(vec![Change::Usage(Replace { before: after, after: None })]);
    check(
        &cell,
        &[
            "workspace default books 0 cpu_milli, its containers use 2000",
            "workspace default books 0 memory_mib, its containers use 2",
            "workspace default books 0 containers, its containers use 2",
        ],
    );
}

#[test]
fn an_owner_that_is_not_there() {
    let mut cell = cell();
    let before = Some(cell.worker("w1"));
    cell.rows.apply(vec![Change::Worker(Box::new(Replace { before, after: None }))]);
    let found = read(audit::of_rows(&cell.rows));
    let named = Corruption::NoSuchWorker { container: cid("c1"), worker: wid("w1") };
    assert!(found.contains(&named.into()), "{found:?}");
}

#[test]
fn a_container_that_moved_without_its_room() {
    let mut cell = cell();
    cell.join("w2", 4);
    plant_container(&mut cell, "c1", |row| placed(row, |place| place.worker = wid("w2")));
    check(
        &cell,
        &[
            "worker w1 books 2000 cpu_milli, its containers own 1000",
            "worker w1 books 2 memory_mib, its containers own 1",
            "worker w1 books 2 containers, its containers own 1",
            "worker w2 books 0 cpu_milli, its containers own 1000",
            "worker w2 books 0 memory_mib, its containers own 1",
            "worker w2 books 0 containers, its containers own 1",
        ],
    );
}

#[test]
fn a_booking_that_is_not_what_was_asked() {
    let mut cell = cell();
    plant_container(&mut cell, "c1", |row| placed(row, |place| place.booking.cpu_milli = 500));
    plant_worker(&mut cell, |row| row.used.cpu_milli = 1500);
    check(&cell, &["container c1 owns 500 cpu_milli, it asks 1000"]);
}

#[test]
fn a_placement_that_never_was() {
    let mut cell = cell();
    plant_container(&mut cell, "c1", |row| row.attempt = Attempt(0));
    check(&cell, &["container c1 is running but was never placed"]);
}

#[test]
fn a_placement_of_another_run_of_the_worker() {
    let mut cell = cell();
    plant_container(&mut cell, "c1", |row| placed(row, |place| place.incarnation = Incarnation(9)));
    check(&cell, &["container c1 is on worker w1 since run 9 of it, run 1 has registered"]);
}

#[test]
fn an_end_without_a_record() {
    let mut cell = cell();
    plant_container(&mut cell, "c6", |row| row.last_end = None);
    check(&cell, &["container c6 has ended, and nothing says how"]);
}

#[test]
fn a_lot_that_miscounts_or_begins_elsewhere() {
    let mut cell = cell();
    plant_lot(&mut cell, |row| row.count = 3);
    let named = format!("the lot of shape `{}` counts 3, 2 are parked in it", ask(1).shape());
    check(&cell, &[&named]);
    let second = cell.row("c4").key;
    plant_lot(&mut cell, |row| (row.count, row.first) = (2, second));
    let found = read(audit::of_rows(&cell.rows));
    let named = Corruption::LotFirst { lot: lot(), says: second, first: cell.row("c3").key };
    assert_eq!(found, [named.into()]);
}

#[test]
fn a_request_in_a_lot_where_it_does_not_belong() {
    let mut cell = cell();
    let quota = LotKey::Quota(workspace("other"));
    plant_container(&mut cell, "c3", |row| row.state = State::Pending(Waiting::Parked(quota.clone())));
    let found = read(audit::of_rows(&cell.rows));
    let named = Corruption::WrongLot { container: cid("c3"), lot: quota.clone() };
    assert_eq!(found[0], named.into());
    let uncounted = Corruption::LotCount { lot: quota, counted: 0, parked: 1 };
    assert!(found.contains(&uncounted.into()), "{found:?}");
}

#[test]
fn counts_of_the_cell_that_drifted() {
    let mut cell = cell();
    plant_cell(&mut cell, |row| {
        (row.ready, row.gone, row.unregistered, row.phases[Phase::Running as usize]) = (2, 1, 1, 3);
    });
    check(
        &cell,
        &[
            "the cell counts 3 running, there are 2",
            "the cell counts 2 ready, there are 1",
            "the cell counts 1 workers that have not registered in its history, there are 0",
            "the cell counts 1 removals, 0 are remembered",
        ],
    );
}

#[test]
fn a_row_from_beyond_the_cells_revision() {
    let mut cell = cell();
    plant_container(&mut cell, "c1", |row| row.changed = Revision(99));
    let revision = cell.cell().revision;
    check(&cell, &[&format!("container c1 changed at revision 99, the cell is at {revision}")]);
}

#[test]
fn two_in_the_same_place() {
    let mut cell = cell();
    let key = cell.row("c3").key;
    plant_container(&mut cell, "c5", |row| row.key = key);
    check(&cell, &["containers c3 and c5 have the same place in line"]);
}

#[test]
fn a_body_that_is_missing() {
    let mut cell = cell();
    cell.rows.apply(vec![Change::Body(cid("c5"), None)]);
    check(&cell, &["container c5 has no body"]);
}

#[test]
fn an_index_that_does_not_follow_its_rows() {
    let mut cell = cell();
    let stray = FleetName::Worker(wid("w9"));
    cell.rows.apply(vec![Change::Gone(Revision(1), stray), Change::ParkCorrupt(cell.row("c5").key, cid("c5"))]);
    let found: Vec<_> = read(audit::of_rows(&cell.rows));
    for index in ["ready", "parked"] {
        let named = |finding: &Finding| match finding {
            Finding::Corruption(
                Corruption::IndexLacks { index: of, .. } | Corruption::IndexStray { index: of, .. },
            ) => *of == index,
            _ => false,
        };
        assert!(found.iter().any(named), "{index}: {found:?}");
    }
}

#[test]
fn what_is_legal_is_only_a_notice() {
    let mut cell = cell();
    plant_worker(&mut cell, |row| row.spec = spec(1));
    let found = read(audit::of_rows(&cell.rows));
    let notice = Notice::OverCommitted { worker: wid("w1"), amount: Amount::CpuMilli, total: 1000, owned: 2000 };
    assert_eq!(found, [notice.into()]);
    let mut audit = Audit::default();
    audit.container(&cell.row("c1"));
    audit.container(&cell.row("c2"));
    let low = QuotaLimits { cpu_milli: Limit::AtMost(500), ..QuotaLimits::UNLIMITED };
    let quotas = Quotas { workspaces: BTreeMap::from([(workspace("default"), low)]), ..Quotas::default() };
    let (limit, used) = (500, 2000);
    let notice = Notice::AboveLimit { workspace: workspace("default"), amount: Amount::CpuMilli, limit, used };
    assert_eq!(audit.limits(&quotas), [notice.into()]);
}

#[test]
fn what_a_lost_worker_keeps_is_a_notice() {
    let mut cell = Cell::new();
    cell.join("w1", 4);
    cell.submit_keep("c1");
    cell.running("c1", "w1");
    cell.lose_worker("w1");
    let notice = Notice::KeptByLost { worker: wid("w1"), containers: 1 };
    assert_eq!(read(audit::of_rows(&cell.rows)), [notice.into()]);
}

#[test]
fn an_audit_in_pages_needs_no_whole_cell() {
    let cell = cell();
    let mut audit = Audit::default();
    audit.worker(&cell.worker("w1"));
    for id in ["c1", "c2", "c5"] {
        audit.container(&cell.row(id));
    }
    let usage: Option<UsageRow> = read(cell.rows.usage(&workspace("default")));
    if let Some(row) = usage {
        audit.usage(&row);
    }
    assert_eq!(audit.books(), []);
    audit.undecodable("container c4");
    assert_eq!(audit.books(), [Corruption::Undecodable { what: "container c4".to_owned() }.into()]);
    let rows: &MemoryRows = &cell.rows;
    assert!(!audit.whole(&read(rows.cell())).is_empty());
}

fn fleet() -> Fleet {
    let total = Capacity {
        cpu_milli: 2000,
        memory_mib: 100,
        gpu_type: Some(GpuType::new("T4").expect("a name")),
        gpu_count: 2,
    };
    let spec = Arc::new(WorkerSpec { total, ..WorkerSpec::clone(&spec(2)) });
    let mut cell = Cell::new();
    cell.join("w1", 2);
    let worker = Worker { spec, ..cell.worker("w1").to_worker() };
    let closed = Worker { id: wid("w2"), status: domain::worker::Status::Cordoned, ..worker.clone() };
    Fleet::of([worker, closed])
}

fn candidate(id: &str, ask: domain::request::Ask) -> Candidate {
    Candidate {
        id: cid(id),
        key: OrderKey::default(),
        attempt: Attempt(0),
        ask: Arc::new(ask),
        if_silent: IfSilent::Stop,
        lot: None,
    }
}

fn goes(worker: &str, gpu_devices: Vec<u32>, gpu_milli: u32) -> Verdict {
    let booking = Booking { cpu_milli: 1000, memory_mib: 1, gpu_devices, gpu_milli };
    Verdict::Place { worker: wid(worker), incarnation: Incarnation(1), booking }
}

#[test]
fn a_plan_that_fits_has_no_faults() {
    let batch = [candidate("c1", gpu_ask(2, 500)), candidate("c2", gpu_ask(1, 500)), candidate("c3", ask(99))];
    let wait = Verdict::Wait { lot: LotKey::Shape(ask(99).shape()), why: Why::NoWorkers };
    assert_eq!(audit::plan(&fleet(), &batch, &[goes("w1", vec![0, 1], 500), goes("w1", vec![1], 500), wait]), []);
}

#[test]
fn a_plan_that_overbooks_is_named() {
    let batch = [candidate("c1", ask(1)), candidate("c2", ask(1)), candidate("c3", ask(1))];
    let verdicts = [goes("w1", vec![], 0), goes("w1", vec![], 0), goes("w1", vec![], 0)];
    let (total, needed) = (2000, 3000);
    let faults = [PlanFault::Overbooked { worker: wid("w1"), amount: Amount::CpuMilli, total, needed }];
    assert_eq!(audit::plan(&fleet(), &batch, &verdicts), faults);
    let batch = [candidate("c1", gpu_ask(1, 600)), candidate("c2", gpu_ask(1, 600))];
    let verdicts = [goes("w1", vec![0], 600), goes("w1", vec![0], 600)];
    let (amount, total, needed) = (Amount::DeviceMilli(0), 1000, 1200);
    let faults = [PlanFault::Overbooked { worker: wid("w1"), amount, total, needed }];
    assert_eq!(audit::plan(&fleet(), &batch, &verdicts), faults);
}

#[test]
fn a_plan_with_other_faults_names_each() {
    let batch = [
        candidate("c1", ask(1)),
        candidate("c2", ask(1)),
        candidate("c3", ask(2)),
        candidate("c4", gpu_ask(2, 10)),
        candidate("c5", ask(1)),
    ];
    let verdicts = [goes("w9", vec![], 0), goes("w2", vec![], 0), goes("w1", vec![], 0), goes("w1", vec![1, 1], 10)];
    let faults = [
        PlanFault::Count { candidates: 5, verdicts: 4 },
        PlanFault::NoSuchWorker { container: cid("c1"), worker: wid("w9") },
        PlanFault::Closed { container: cid("c2"), worker: wid("w2") },
        PlanFault::Booking { container: cid("c3"), amount: Amount::CpuMilli, booked: 1000, asked: 2000 },
        PlanFault::Devices { container: cid("c4") },
    ];
    assert_eq!(audit::plan(&fleet(), &batch, &verdicts), faults);
    let other_run = match goes("w1", vec![], 0) {
        Verdict::Place { worker, booking, .. } => Verdict::Place { worker, incarnation: Incarnation(7), booking },
        wait @ Verdict::Wait { .. } => wait,
    };
    let faults = [PlanFault::AnotherRun { container: cid("c1"), worker: wid("w1") }];
    assert_eq!(audit::plan(&fleet(), &batch[..1], &[other_run]), faults);
}
