//! Broken stores, one flaw each, and the clauses that must find it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CallNumber, CellName, Revision, Stamp};
use domain::model::Change;
use domain::model::backlog::{Depth, Line, SubmitOutcome};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use ports::conformance::{
    backlog, containers, corrupt, durable, leadership, orders, placements, registrations, workers,
};
use ports::conformance::{run, run_corrupt, run_durable};
use ports::{BacklogRepository, PortResult, Ports};

use crate::store::{Flaw, Kept, Sound};

/// Fails unless the clause does.
fn finds(name: &str, clause: impl FnOnce()) {
    let found = catch_unwind(AssertUnwindSafe(clause)).is_err();
    assert!(found, "{name} does not notice the flaw");
}

/// Each of these clauses must fail on a store with this flaw.
macro_rules! flawed {
    ($flaw:ident: $($run:ident $port:ident::$clause:ident)*) => {$(
        finds(stringify!($clause), || flawed!(@ $run $flaw $port::$clause));
    )*};
    (@ run $flaw:ident $port:ident::$clause:ident) => { run::<Kept<$flaw>>(&$port::$clause) };
    (@ $run:ident $flaw:ident $port:ident::$clause:ident) => { $run::<Kept<$flaw>>(&$port::$clause::<Kept<$flaw>>) };
}

fn without(changes: Vec<Change>, dropped: impl Fn(&Change) -> bool) -> Vec<Change> {
    changes.into_iter().filter(|change| !dropped(change)).collect()
}

struct NoUsage;

impl Flaw for NoUsage {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        without(changes, |change| matches!(change, Change::Usage(_)))
    }
}

#[test]
fn usage_that_is_not_written() {
    flawed!(NoUsage: run placements::commit_keeps_quotas run placements::commit_books_room_usage_and_orders_in_one_step);
}

struct NoRoom;

impl Flaw for NoRoom {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        let books = |change: &Change| match change {
            Change::Worker(replace) => match (&replace.before, &replace.after) {
                (Some(before), Some(after)) => before.used != after.used,
                _ => false,
            },
            _ => false,
        };
        without(changes, books)
    }
}

#[test]
fn room_that_is_not_booked() {
    flawed!(NoRoom:
        run placements::commit_never_books_more_than_a_worker_has
        run placements::commits_at_once_book_room_once
        run placements::commit_books_gpu_devices);
}

struct NoBodies;

impl Flaw for NoBodies {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        without(changes, |change| matches!(change, Change::Body(_, Some(_))))
    }
}

#[test]
fn bodies_that_are_not_kept() {
    flawed!(NoBodies: run backlog::submit_accepts_and_next_shows_it run orders::take_claims_what_it_hands_over);
}

struct NoOutput;

impl Flaw for NoOutput {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        without(changes, |change| matches!(change, Change::Output(_, Some(_))))
    }
}

#[test]
fn output_that_is_not_kept() {
    flawed!(NoOutput: run orders::output_comes_with_an_end);
}

struct NoGone;

impl Flaw for NoGone {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        without(changes, |change| matches!(change, Change::Gone(..)))
    }
}

#[test]
fn removals_that_are_not_told() {
    flawed!(NoGone:
        run workers::look_reads_only_what_changed
        run workers::look_pages_add_up_while_all_changes
        run containers::export_pages_add_up_while_all_changes);
}

struct NoLots;

impl Flaw for NoLots {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        without(changes, |change| matches!(change, Change::Lot(replace) if replace.after.is_none()))
    }
}

#[test]
fn lots_that_stay_when_nobody_waits() {
    flawed!(NoLots: run placements::commit_parks_in_lots run containers::stop_of_what_was_not_handed_over_ends_it);
}

struct StampStays;

impl Flaw for StampStays {
    fn write(mut changes: Vec<Change>) -> Vec<Change> {
        for change in &mut changes {
            if let Change::Cell(row) = change
                && let Some(planner) = &mut row.planner
            {
                planner.stamp = Stamp(0);
            }
        }
        changes
    }
}

#[test]
fn a_stamp_that_does_not_move() {
    flawed!(StampStays:
        run leadership::every_fenced_write_moves_the_stamp
        run leadership::takeover_needs_the_stamp_that_is_there);
}

struct Races;

impl Flaw for Races {
    const RACES: bool = true;
}

#[test]
fn steps_that_race() {
    flawed!(Races:
        run placements::commits_at_once_book_room_once
        run backlog::submit_twice_at_once_accepts_once
        run leadership::acquire_at_once_gives_the_cell_to_one
        run containers::stop_against_take_has_one_winner);
}

struct OneCell;

impl Flaw for OneCell {
    const ONE_CELL: bool = true;
}

#[test]
fn cells_that_are_one() {
    flawed!(OneCell: run backlog::cells_do_not_see_each_other);
}

struct LastFirst;

impl Flaw for LastFirst {
    const LAST_FIRST: bool = true;
}

#[test]
fn a_line_that_is_read_backwards() {
    flawed!(LastFirst:
        run backlog::next_goes_by_priority_and_age
        run backlog::next_reads_on_after_a_place
        run backlog::a_returned_request_keeps_its_place);
}

struct ForgetsMarks;

impl Flaw for ForgetsMarks {
    const FORGETS_MARKS: bool = true;
}

#[test]
fn orders_that_begin_anew() {
    flawed!(ForgetsMarks:
        run orders::take_repeated_hands_out_the_same
        run orders::take_in_bites_skips_and_repeats_nothing);
}

struct NumbersFall;

impl Flaw for NumbersFall {
    const NUMBERS_FALL: bool = true;
}

#[test]
fn numbers_that_fall() {
    flawed!(NumbersFall: run workers::heartbeat_never_puts_a_number_back);
}

struct NoNumbers;

impl Flaw for NoNumbers {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        without(changes, |change| matches!(change, Change::Number(..)))
    }
}

#[test]
fn numbers_that_are_not_kept() {
    flawed!(NoNumbers:
        run placements::lose_is_refused_if_anything_moved
        run workers::beats_show_the_greatest_number);
}

struct NumbersGoOn;

impl Flaw for NumbersGoOn {
    fn write(changes: Vec<Change>) -> Vec<Change> {
        without(changes, |change| matches!(change, Change::Number(_, Some(CallNumber(0)))))
    }
}

#[test]
fn numbers_that_outlive_an_incarnation() {
    flawed!(NumbersGoOn:
        run workers::beats_show_the_greatest_number
        run registrations::another_key_must_raise_the_incarnation);
}

struct SameBoot;

impl Flaw for SameBoot {
    const SAME_BOOT: bool = true;
}

#[test]
fn an_opening_that_is_no_boot() {
    flawed!(SameBoot: run_durable durable::reopening_is_another_boot_of_the_same_history);
}

struct LosesLastStep;

impl Flaw for LosesLastStep {
    const LOSES_LAST_STEP: bool = true;
}

#[test]
fn a_last_step_that_is_lost() {
    flawed!(LosesLastStep:
        run_durable durable::what_was_submitted_survives_reopening
        run_durable durable::what_was_committed_survives_reopening);
}

struct CorruptIsAway;

impl Flaw for CorruptIsAway {
    const CORRUPT_IS_AWAY: bool = true;
}

#[test]
fn a_torn_row_that_stops_everything() {
    flawed!(CorruptIsAway:
        run_corrupt corrupt::an_undecodable_request_is_named_and_parked
        run_corrupt corrupt::an_undecodable_request_blocks_no_lot
        run_corrupt corrupt::an_undecodable_row_hides_no_other
        run_corrupt corrupt::an_undecodable_row_fails_no_step_of_its_worker);
}

/// A backlog whose waits are all as long as this; none for as long as is asked.
struct Waits {
    backlog: Arc<dyn BacklogRepository>,
    always: Option<Duration>,
}

#[async_trait]
impl BacklogRepository for Waits {
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>> {
        self.backlog.submit(cell, now, submissions).await
    }

    async fn depth(&self, cell: &CellName) -> PortResult<Depth> {
        self.backlog.depth(cell).await
    }

    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line> {
        self.backlog.next(cell, after, limit, lots).await
    }

    async fn wait(&self, _: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision> {
        tokio::time::sleep(self.always.unwrap_or(at_most)).await;
        Ok(seen)
    }
}

struct NeverWakes;

impl Flaw for NeverWakes {
    fn ports(ports: Ports) -> Ports {
        Ports { backlog: Arc::new(Waits { backlog: ports.backlog, always: None }), ..ports }
    }
}

#[test]
fn a_wait_that_nothing_ends() {
    flawed!(NeverWakes: run backlog::backlog_wait_wakes_on_submit);
}

struct AlwaysWakes;

impl Flaw for AlwaysWakes {
    fn ports(ports: Ports) -> Ports {
        Ports { backlog: Arc::new(Waits { backlog: ports.backlog, always: Some(Duration::ZERO) }), ..ports }
    }
}

#[test]
fn a_wait_that_anything_ends() {
    flawed!(AlwaysWakes:
        run backlog::backlog_wait_sleeps_through_own_commits
        run backlog::backlog_wait_ends_in_time
        run backlog::backlog_wait_answers_at_once_what_it_missed);
}

#[test]
fn a_store_without_a_flaw_is_found_sound() {
    run::<Kept<Sound>>(&placements::commits_at_once_book_room_once);
}
