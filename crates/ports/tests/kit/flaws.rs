//! Broken stores, one flaw each, and what finds it: the whole kit is run against each of them, and these clauses must
//! fail, and no other.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CallNumber, CellName, Revision, Stamp};
use domain::model::Change;
use domain::model::backlog::{Depth, Line, SubmitOutcome};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use ports::conformance::{UNSOUND, run, run_corrupt, run_durable, run_restored};
use ports::{BacklogRepository, PortResult, Ports};

use crate::store::{Flaw, Kept, Sound};

/// A clause by its name, and its run.
type Clause = (&'static str, fn());

/// Names the clauses of a list.
macro_rules! named {
    ($harness:ty; $($port:ident { $($clause:ident)* })*) => {
        vec![$($((stringify!($clause), || run::<$harness>(&ports::conformance::$port::$clause))),*),*]
    };
    ($harness:ty; $run:ident $port:ident { $($clause:ident)* }) => {
        vec![$((stringify!($clause), || $run::<$harness>(&ports::conformance::$port::$clause::<$harness>))),*]
    };
}

/// The whole kit.
fn clauses<F: Flaw>() -> Vec<Clause> {
    let lists: [Vec<Clause>; 4] = [
        ports::__every_clause! { [named] Kept<F> },
        ports::__every_durable_clause! { [named] Kept<F> },
        ports::__every_restored_clause! { [named] Kept<F> },
        ports::__every_corrupt_clause! { [named] Kept<F> },
    ];
    lists.concat()
}

/// What fails on a store: clauses, and `books` where one ended well and the cell did not add up.
fn failures<F: Flaw>() -> BTreeSet<&'static str> {
    let failure = |(name, clause): Clause| {
        let panic = catch_unwind(clause).err()?;
        Some(if is_unsound(&*panic) { "books" } else { name })
    };
    clauses::<F>().into_iter().filter_map(failure).collect()
}

fn is_unsound(panic: &(dyn Any + Send)) -> bool {
    panic.downcast_ref::<String>().is_some_and(|message| message.starts_with(UNSOUND))
}

/// Fails unless these clauses find the flaw, and no other.
fn breaks<F: Flaw>(listed: &str) {
    let found = failures::<F>();
    println!("FOUND {} {found:?}", std::any::type_name::<F>());
    assert_eq!(found, listed.split_whitespace().collect(), "what finds the flaw is not what is listed");
}

fn without(changes: Vec<Change>, dropped: impl Fn(&Change) -> bool) -> Vec<Change> {
    changes.into_iter().filter(|change| !dropped(change)).collect()
}

#[test]
fn usage_that_is_not_written() {
    struct NoUsage;
    impl Flaw for NoUsage {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Usage(_)))
        }
    }
    breaks::<NoUsage>(
        "
        a_page_of_look_ends_with_a_whole_step an_end_releases_room_and_usage_once books
        commit_books_room_usage_and_orders_in_one_step commit_keeps_quotas commit_never_books_more_than_a_worker_has
        commit_takes_a_whole_batch commits_at_once_book_room_once export_pages_add_up_while_all_changes
        look_reads_only_what_changed lose_leaves_what_is_to_be_kept random_calls_are_answered_as_the_model_answers
        stop_of_what_was_handed_over_waits_for_its_worker what_was_committed_survives_reopening
        ",
    );
}

#[test]
fn room_that_is_not_booked() {
    struct NoRoom;
    impl Flaw for NoRoom {
        fn write(mut changes: Vec<Change>) -> Vec<Change> {
            for change in &mut changes {
                if let Change::Worker(replace) = change
                    && let (Some(before), Some(after)) = (&replace.before, &mut replace.after)
                {
                    after.used.clone_from(&before.used);
                }
            }
            changes
        }
    }
    breaks::<NoRoom>(
        "
        a_command_that_ended_by_itself_keeps_its_end a_cordon_survives_registrations_and_losses
        a_drain_is_over_when_nothing_is_owned a_drain_that_is_due_stops_what_runs a_late_end_corrects_what_was_counted
        a_lost_worker_is_told_to_register a_registration_in_pages_ends_with_the_last a_returned_request_keeps_its_place
        a_settling_waits_for_nobody_who_is_lost a_smaller_worker_keeps_what_runs
        a_stop_while_settling_waits_for_who_may_run_it an_attempt_of_the_lost_part_is_adopted
        an_end_is_accepted_while_it_waits_again an_end_releases_room_and_usage_once an_old_end_hides_nothing
        an_older_copy_is_noticed an_undecodable_row_fails_no_step_of_its_worker
        another_key_is_refused_while_taken_work_is_owned backlog_wait_wakes_on_freed_room books commit_books_gpu_devices
        commit_books_room_usage_and_orders_in_one_step commit_keeps_quotas commit_never_books_more_than_a_worker_has
        commit_takes_a_whole_batch commits_at_once_book_room_once ends_travel_in_a_registration
        export_pages_add_up_while_all_changes failures_give_a_container_up list_filters_by_state_workspace_and_worker
        look_pages_add_up_while_all_changes lose_gives_back_what_a_silent_worker_owned lose_goes_in_bounded_steps
        lose_leaves_what_is_to_be_kept only_the_newest_attempt_is_reported_on output_comes_with_an_end
        random_calls_are_answered_as_the_model_answers register_answers_kill_for_what_it_may_not_hold
        register_gives_back_what_is_not_held remove_lost_goes_in_bounded_steps remove_lost_names_the_incarnation
        remove_refuses_what_owns report_repeated_changes_nothing reports_may_skip_states
        stop_against_take_has_one_winner stop_goes_over_drain stop_of_what_was_handed_over_waits_for_its_worker
        stop_of_what_was_not_handed_over_ends_it what_was_committed_survives_reopening
        what_was_placed_in_the_history_before_counts_as_handed_over
        ",
    );
}

#[test]
fn bodies_that_are_not_kept() {
    struct NoBodies;
    impl Flaw for NoBodies {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Body(_, Some(_))))
        }
    }
    breaks::<NoBodies>(
        "
        get_answers_in_order random_calls_are_answered_as_the_model_answers submit_accepts_and_next_shows_it
        take_claims_what_it_hands_over
        ",
    );
}

#[test]
fn output_that_is_not_kept() {
    struct NoOutput;
    impl Flaw for NoOutput {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Output(_, Some(_))))
        }
    }
    breaks::<NoOutput>(
        "
        output_comes_with_an_end random_calls_are_answered_as_the_model_answers what_was_committed_survives_reopening
        ",
    );
}

#[test]
fn removals_that_are_not_told() {
    struct NoGone;
    impl Flaw for NoGone {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Gone(..)))
        }
    }
    breaks::<NoGone>(
        "
        export_pages_add_up_while_all_changes look_pages_add_up_while_all_changes look_reads_only_what_changed
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn lots_that_stay_when_nobody_waits() {
    struct NoLots;
    impl Flaw for NoLots {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Lot(replace) if replace.after.is_none()))
        }
    }
    breaks::<NoLots>(
        "
        an_end_is_accepted_while_it_waits_again books commit_parks_in_lots look_pages_add_up_while_all_changes
        random_calls_are_answered_as_the_model_answers stop_of_what_was_not_handed_over_ends_it
        ",
    );
}

#[test]
fn a_stamp_that_does_not_move() {
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
    breaks::<StampStays>(
        "
        every_fenced_write_moves_the_stamp random_calls_are_answered_as_the_model_answers
        takeover_needs_the_stamp_that_is_there
        ",
    );
}

#[test]
fn steps_that_race() {
    struct Races;
    impl Flaw for Races {
        const RACES: bool = true;
    }
    breaks::<Races>(
        "
        acquire_at_once_gives_the_cell_to_one commits_at_once_book_room_once stop_against_take_has_one_winner
        submit_twice_at_once_accepts_once
        ",
    );
}

#[test]
fn cells_that_are_one() {
    struct OneCell;
    impl Flaw for OneCell {
        const ONE_CELL: bool = true;
    }
    breaks::<OneCell>(
        "
        an_undecodable_request_blocks_no_lot an_undecodable_request_is_named_and_parked
        an_undecodable_row_fails_no_step_of_its_worker an_undecodable_row_hides_no_other cells_do_not_see_each_other
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn a_line_that_is_read_backwards() {
    struct LastFirst;
    impl Flaw for LastFirst {
        const LAST_FIRST: bool = true;
    }
    breaks::<LastFirst>(
        "
        a_returned_request_keeps_its_place next_goes_by_priority_and_age next_moves_nothing next_reads_on_after_a_place
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn orders_that_begin_anew() {
    struct ForgetsMarks;
    impl Flaw for ForgetsMarks {
        const FORGETS_MARKS: bool = true;
    }
    breaks::<ForgetsMarks>(
        "
        take_in_bites_skips_and_repeats_nothing take_repeated_hands_out_the_same what_was_committed_survives_reopening
        ",
    );
}

#[test]
fn numbers_that_fall() {
    struct NumbersFall;
    impl Flaw for NumbersFall {
        const NUMBERS_FALL: bool = true;
    }
    breaks::<NumbersFall>(
        "
        a_lost_worker_is_told_to_register a_settling_waits_for_nobody_who_is_lost ends_travel_in_a_registration
        heartbeat_answers_each_caller_by_who_it_is heartbeat_never_puts_a_number_back
        lose_gives_back_what_a_silent_worker_owned lose_goes_in_bounded_steps lose_leaves_what_is_to_be_kept
        random_calls_are_answered_as_the_model_answers remove_lost_goes_in_bounded_steps
        remove_lost_names_the_incarnation
        ",
    );
}

#[test]
fn numbers_that_are_not_kept() {
    struct NoNumbers;
    impl Flaw for NoNumbers {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Number(..)))
        }
    }
    breaks::<NoNumbers>(
        "
        beats_show_the_greatest_number heartbeat_never_puts_a_number_back lose_is_refused_if_anything_moved
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn numbers_that_outlive_an_incarnation() {
    struct NumbersGoOn;
    impl Flaw for NumbersGoOn {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Number(_, Some(CallNumber(0)))))
        }
    }
    breaks::<NumbersGoOn>(
        "
        another_key_must_raise_the_incarnation beats_show_the_greatest_number
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn an_opening_that_is_no_boot() {
    struct SameBoot;
    impl Flaw for SameBoot {
        const SAME_BOOT: bool = true;
    }
    breaks::<SameBoot>(
        "
        reopening_is_another_boot_of_the_same_history
        ",
    );
}

#[test]
fn a_last_step_that_is_lost() {
    struct LosesLastStep;
    impl Flaw for LosesLastStep {
        const LOSES_LAST_STEP: bool = true;
    }
    breaks::<LosesLastStep>(
        "
        an_older_copy_is_noticed reopening_is_another_boot_of_the_same_history the_term_survives_reopening
        what_was_committed_survives_reopening what_was_submitted_survives_reopening
        ",
    );
}

#[test]
fn a_torn_row_that_stops_everything() {
    struct CorruptIsAway;
    impl Flaw for CorruptIsAway {
        const CORRUPT_IS_AWAY: bool = true;
    }
    breaks::<CorruptIsAway>(
        "
        an_undecodable_request_blocks_no_lot an_undecodable_request_is_named_and_parked
        an_undecodable_row_fails_no_step_of_its_worker an_undecodable_row_hides_no_other
        ",
    );
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

#[test]
fn a_wait_that_nothing_ends() {
    struct NeverWakes;
    impl Flaw for NeverWakes {
        fn ports(ports: Ports) -> Ports {
            Ports { backlog: Arc::new(Waits { backlog: ports.backlog, always: None }), ..ports }
        }
    }
    breaks::<NeverWakes>(
        "
        backlog_wait_answers_at_once_what_it_missed backlog_wait_wakes_on_an_opened_worker
        backlog_wait_wakes_on_freed_room backlog_wait_wakes_on_submit random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn a_wait_that_anything_ends() {
    struct AlwaysWakes;
    impl Flaw for AlwaysWakes {
        fn ports(ports: Ports) -> Ports {
            Ports { backlog: Arc::new(Waits { backlog: ports.backlog, always: Some(Duration::ZERO) }), ..ports }
        }
    }
    breaks::<AlwaysWakes>(
        "
        backlog_wait_answers_at_once_what_it_missed backlog_wait_ends_in_time backlog_wait_sleeps_through_own_commits
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn a_store_without_a_flaw_is_found_sound() {
    breaks::<Sound>("");
}
