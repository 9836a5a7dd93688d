//! Flaws of what a store shows.

use domain::worker::{Life, WorkerRow};

use super::breaks;
use crate::store::Flaw;
use crate::view::Range;

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
        fn range<T>(range: Range, mut entries: Vec<T>) -> Vec<T> {
            if range == Range::Ready {
                entries.reverse();
            }
            entries
        }
    }
    breaks::<LastFirst>(
        "
        a_returned_request_keeps_its_place next_goes_by_priority_and_age next_moves_nothing
        next_reads_on_after_a_place random_calls_are_answered_as_the_model_answers
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
        random_calls_are_answered_as_the_model_answers take_in_bites_skips_and_repeats_nothing
        take_repeated_hands_out_the_same what_was_committed_survives_reopening
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
        lose_repeated_changes_nothing random_calls_are_answered_as_the_model_answers remove_lost_goes_in_bounded_steps
        remove_lost_names_the_incarnation remove_repeated_hits_nobody_else
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

#[test]
fn an_opening_that_is_no_boot() {
    struct SameBoot;
    impl Flaw for SameBoot {
        const SAME_BOOT: bool = true;
    }
    breaks::<SameBoot>(
        "
        reopening_loses_nobody_for_numbers_of_before
        ",
    );
}

#[test]
fn a_lot_that_hides_its_first() {
    struct HidesFirstParked;
    impl Flaw for HidesFirstParked {
        fn range<T>(range: Range, entries: Vec<T>) -> Vec<T> {
            if range == Range::Parked { entries.into_iter().skip(1).collect() } else { entries }
        }
    }
    breaks::<HidesFirstParked>(
        "
        a_stop_while_settling_waits_for_who_may_run_it an_undecodable_request_blocks_no_lot
        next_reads_the_first_of_each_named_lot random_calls_are_answered_as_the_model_answers
        what_was_submitted_survives_reopening
        ",
    );
}

#[test]
fn orders_that_hide_the_oldest() {
    struct HidesFirstOwned;
    impl Flaw for HidesFirstOwned {
        fn range<T>(range: Range, entries: Vec<T>) -> Vec<T> {
            if range == Range::Owned { entries.into_iter().skip(1).collect() } else { entries }
        }
    }
    breaks::<HidesFirstOwned>(
        "
        a_command_that_ended_by_itself_keeps_its_end a_cordon_survives_registrations_and_losses
        a_drain_that_is_due_stops_what_runs a_kill_makes_a_registration_incomplete a_lost_worker_is_told_to_register
        a_settling_waits_for_nobody_who_is_lost an_old_end_hides_nothing an_older_copy_is_noticed
        another_key_is_refused_while_taken_work_is_owned commit_books_room_usage_and_orders_in_one_step
        ends_travel_in_a_registration lose_gives_back_what_a_silent_worker_owned lose_goes_in_bounded_steps
        lose_leaves_what_is_to_be_kept lose_repeated_changes_nothing of_two_runs_at_once_the_later_stays
        random_calls_are_answered_as_the_model_answers register_gives_back_what_is_not_held
        register_keeps_what_is_held remove_lost_goes_in_bounded_steps remove_lost_names_the_incarnation
        remove_repeated_hits_nobody_else stop_goes_over_drain stop_of_what_was_handed_over_waits_for_its_worker
        take_against_register_hands_nothing_to_an_older_run take_claims_what_it_hands_over
        take_from_nothing_hands_out_all take_in_bites_skips_and_repeats_nothing
        ",
    );
}

#[test]
fn a_list_that_hides_its_first() {
    struct HidesFirstListed;
    impl Flaw for HidesFirstListed {
        fn range<T>(range: Range, entries: Vec<T>) -> Vec<T> {
            if range == Range::Containers { entries.into_iter().skip(1).collect() } else { entries }
        }
    }
    breaks::<HidesFirstListed>(
        "
        forget_keeps_as_long_and_as_many_as_it_is_told forget_repeated_forgets_no_more
        list_filters_by_state_workspace_and_worker list_pages_skip_and_repeat_nothing
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn ends_that_hide_the_oldest() {
    struct HidesFirstEnded;
    impl Flaw for HidesFirstEnded {
        fn range<T>(range: Range, entries: Vec<T>) -> Vec<T> {
            if range == Range::Ended { entries.into_iter().skip(1).collect() } else { entries }
        }
    }
    breaks::<HidesFirstEnded>(
        "
        a_forgotten_id_is_free forget_keeps_as_long_and_as_many_as_it_is_told forget_repeated_forgets_no_more
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn workers_that_hide_the_first() {
    struct HidesFirstWorker;
    impl Flaw for HidesFirstWorker {
        fn range<T>(range: Range, entries: Vec<T>) -> Vec<T> {
            if range == Range::Workers { entries.into_iter().skip(1).collect() } else { entries }
        }
    }
    breaks::<HidesFirstWorker>(
        "
        a_cordon_survives_registrations_and_losses a_late_end_corrects_what_was_counted
        a_lost_worker_is_told_to_register a_settling_waits_for_nobody_who_is_lost
        an_end_is_accepted_while_it_waits_again an_undecodable_row_fails_no_step_of_its_worker
        another_key_must_raise_the_incarnation beats_leave_out_the_lost beats_show_the_greatest_number
        books commit_refuses_another_run_of_the_worker ends_travel_in_a_registration
        heartbeat_answers_each_caller_by_who_it_is heartbeat_never_puts_a_number_back
        lose_gives_back_what_a_silent_worker_owned lose_goes_in_bounded_steps lose_is_refused_if_anything_moved
        lose_leaves_what_is_to_be_kept lose_repeated_changes_nothing
        nothing_is_placed_before_all_have_said_what_they_hold random_calls_are_answered_as_the_model_answers
        remove_lost_goes_in_bounded_steps remove_lost_names_the_incarnation remove_repeated_hits_nobody_else
        reopening_loses_nobody_for_numbers_of_before what_is_to_be_kept_waits_for_every_worker
        ",
    );
}

#[test]
fn a_fleet_that_hides_its_oldest_change() {
    struct HidesFirstChange;
    impl Flaw for HidesFirstChange {
        fn range<T>(range: Range, entries: Vec<T>) -> Vec<T> {
            if range == Range::Fleet { entries.into_iter().skip(1).collect() } else { entries }
        }
    }
    breaks::<HidesFirstChange>(
        "
        a_cordon_survives_registrations_and_losses a_drain_is_over_when_nothing_is_owned
        a_drain_that_is_due_stops_what_runs a_page_of_look_ends_with_a_whole_step
        a_registration_in_pages_ends_with_the_last a_settling_waits_for_nobody_who_is_lost
        a_worker_that_is_not_ready_is_given_nothing an_attempt_of_the_lost_part_is_adopted
        an_end_releases_room_and_usage_once an_undecodable_row_fails_no_step_of_its_worker
        another_key_is_refused_while_taken_work_is_owned another_key_must_raise_the_incarnation books
        commit_against_takeover_has_one_winner commit_books_gpu_devices commit_books_room_usage_and_orders_in_one_step
        commit_never_books_more_than_a_worker_has commits_at_once_book_room_once export_pages_add_up_while_all_changes
        look_pages_add_up_while_all_changes look_reads_only_what_changed lose_gives_back_what_a_silent_worker_owned
        lose_leaves_what_is_to_be_kept lose_repeated_changes_nothing
        nothing_is_placed_before_all_have_said_what_they_hold random_calls_are_answered_as_the_model_answers
        register_repeated_changes_nothing register_shows_a_worker_to_look remove_lost_goes_in_bounded_steps
        remove_lost_names_the_incarnation remove_repeated_hits_nobody_else
        reopening_loses_nobody_for_numbers_of_before set_status_repeated_is_already_so
        stop_of_what_was_handed_over_waits_for_its_worker the_same_key_replaces_only_upwards
        the_term_survives_reopening what_was_committed_survives_reopening
        ",
    );
}

#[test]
fn a_line_that_hides_its_first() {
    struct HidesFirstReady;
    impl Flaw for HidesFirstReady {
        fn range<T>(range: Range, entries: Vec<T>) -> Vec<T> {
            if range == Range::Ready { entries.into_iter().skip(1).collect() } else { entries }
        }
    }
    breaks::<HidesFirstReady>(
        "
        a_returned_request_keeps_its_place an_undecodable_request_is_named_and_parked depth_counts_who_waits
        next_goes_by_priority_and_age next_moves_nothing next_reads_on_after_a_place
        random_calls_are_answered_as_the_model_answers submit_accepts_and_next_shows_it
        submit_twice_at_once_accepts_once what_was_submitted_survives_reopening
        ",
    );
}

#[test]
fn the_lost_that_are_taken_for_living() {
    struct NobodyIsLost;
    impl Flaw for NobodyIsLost {
        fn worker(mut row: WorkerRow) -> WorkerRow {
            if row.life == Life::Lost {
                row.life = Life::Up;
            }
            row
        }
    }
    breaks::<NobodyIsLost>(
        "
        a_lost_worker_is_told_to_register a_settling_waits_for_nobody_who_is_lost beats_leave_out_the_lost
        commit_refuses_another_run_of_the_worker heartbeat_answers_each_caller_by_who_it_is
        lose_gives_back_what_a_silent_worker_owned random_calls_are_answered_as_the_model_answers
        what_is_to_be_kept_waits_for_every_worker
        ",
    );
}
