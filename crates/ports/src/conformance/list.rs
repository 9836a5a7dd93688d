//! Every clause, listed once: what a backend's one line becomes.

/// Tests a store against every clause that needs nothing but its ports: one `#[test]` each, named after the clause.
///
/// See the documentation of [`conformance`](mod@crate::conformance) for what to write.
#[macro_export]
macro_rules! conformance {
    ($harness:ty) => {
        $crate::__every_clause! { [$crate::__conformance_tests] $harness }
    };
}

/// Tests a store that outlives its process: see [`Durable`](crate::conformance::Durable).
#[macro_export]
macro_rules! conformance_durable {
    ($harness:ty) => {
        $crate::__every_durable_clause! { [$crate::__conformance_tests] $harness }
    };
}

/// Tests a store that can be put back to an older copy: see [`Restorable`](crate::conformance::Restorable).
#[macro_export]
macro_rules! conformance_restored {
    ($harness:ty) => {
        $crate::__every_restored_clause! { [$crate::__conformance_tests] $harness }
    };
}

/// Tests a store whose rows can be spoilt: see [`Corruptible`](crate::conformance::Corruptible).
#[macro_export]
macro_rules! conformance_corrupt {
    ($harness:ty) => {
        $crate::__every_corrupt_clause! { [$crate::__conformance_tests] $harness }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($harness:ty; $($port:ident { $($clause:ident)* })*) => {
        $($(
            #[test]
            fn $clause() {
                $crate::conformance::run::<$harness>(&$crate::conformance::$port::$clause);
            }
        )*)*
    };
    ($harness:ty; $run:ident $port:ident { $($clause:ident)* }) => {
        $(
            #[test]
            fn $clause() {
                $crate::conformance::$run::<$harness>(&$crate::conformance::$port::$clause::<$harness>);
            }
        )*
    };
}

/// Hands the list to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_clause {
    ([$($macro:tt)*] $harness:ty) => {
        $($macro)*! {
            $harness;
            backlog {
                submit_accepts_and_next_shows_it
                submit_repeated_is_already_there
                submit_of_another_content_is_a_conflict
                submit_refuses_what_is_invalid_and_takes_the_rest
                submit_twice_at_once_accepts_once
                cells_do_not_see_each_other
                next_moves_nothing
                next_goes_by_priority_and_age
                next_reads_on_after_a_place
                next_reads_the_first_of_each_named_lot
                a_returned_request_keeps_its_place
                depth_counts_who_waits
                backlog_wait_wakes_on_submit
                backlog_wait_wakes_on_freed_room
                backlog_wait_wakes_on_an_opened_worker
                backlog_wait_sleeps_through_own_commits
                backlog_wait_ends_in_time
                backlog_wait_answers_at_once_what_it_missed
            }
            leadership {
                acquire_gives_the_cell_to_one
                acquire_at_once_gives_the_cell_to_one
                acquire_by_its_holder_is_the_same_term
                takeover_needs_the_stamp_that_is_there
                takeover_fences_the_planner_before
                every_fenced_write_moves_the_stamp
                resign_leaves_the_cell_at_once
                a_late_resignation_is_nobodys
            }
            registrations {
                register_shows_a_worker_to_look
                register_repeated_changes_nothing
                register_keeps_what_is_held
                register_gives_back_what_is_not_held
                register_answers_kill_for_what_it_may_not_hold
                a_kill_makes_a_registration_incomplete
                a_registration_in_pages_ends_with_the_last
                a_kill_on_any_page_spoils_the_registration
                ends_travel_in_a_registration
                an_old_end_hides_nothing
                the_same_key_replaces_only_upwards
                another_key_is_refused_while_taken_work_is_owned
                another_key_must_raise_the_incarnation
                a_worker_that_is_not_ready_is_given_nothing
                a_smaller_worker_keeps_what_runs
            }
            workers {
                beats_show_the_greatest_number
                beats_leave_out_the_lost
                heartbeat_never_puts_a_number_back
                heartbeat_answers_each_caller_by_who_it_is
                a_cordon_survives_registrations_and_losses
                a_drain_is_over_when_nothing_is_owned
                set_status_repeated_is_already_so
                remove_refuses_what_owns
                remove_lost_names_the_incarnation
                remove_repeated_hits_nobody_else
                remove_lost_goes_in_bounded_steps
                a_removed_worker_is_told_so
                look_pages_add_up_while_all_changes
                look_reads_only_what_changed
                a_page_of_look_ends_with_a_whole_step
                look_from_beyond_the_end_is_whole
            }
            placements {
                commit_never_books_more_than_a_worker_has
                commits_at_once_book_room_once
                commit_books_room_usage_and_orders_in_one_step
                commit_books_gpu_devices
                commit_repeated_changes_nothing
                commit_repeated_for_another_worker_is_told_so
                one_refusal_hurts_no_other
                commit_outcomes_have_a_precedence
                commit_refuses_another_run_of_the_worker
                commit_keeps_quotas
                commit_parks_in_lots
                commit_announces_and_removes_workers
                commit_refuses_an_older_term_and_another_history
                commit_answers_the_revisions_around_it
                commit_takes_a_whole_batch
                lose_gives_back_what_a_silent_worker_owned
                lose_is_refused_if_anything_moved
                lose_repeated_changes_nothing
                lose_leaves_what_is_to_be_kept
                lose_goes_in_bounded_steps
                a_lost_worker_is_told_to_register
                a_drain_that_is_due_stops_what_runs
            }
            orders {
                take_claims_what_it_hands_over
                take_repeated_hands_out_the_same
                take_from_nothing_hands_out_all
                take_in_bites_skips_and_repeats_nothing
                reports_may_skip_states
                an_end_releases_room_and_usage_once
                report_repeated_changes_nothing
                only_the_newest_attempt_is_reported_on
                an_end_is_accepted_while_it_waits_again
                a_late_end_corrects_what_was_counted
                failures_give_a_container_up
                a_command_that_ended_by_itself_keeps_its_end
                stop_goes_over_drain
                output_comes_with_an_end
                orders_wait_names_the_worker_concerned
                orders_wait_ends_in_time_and_misses_nothing
            }
            containers {
                get_answers_in_order
                list_pages_skip_and_repeat_nothing
                list_filters_by_state_workspace_and_worker
                stop_of_what_was_not_handed_over_ends_it
                stop_of_what_was_handed_over_waits_for_its_worker
                stop_repeated_changes_nothing
                stop_against_take_has_one_winner
                forget_keeps_as_long_and_as_many_as_it_is_told
                forget_repeated_forgets_no_more
                a_forgotten_id_is_free
                export_pages_add_up_while_all_changes
            }
            histories {
                a_caller_who_saw_more_starts_a_new_history
                calls_of_another_history_write_nothing
                nothing_is_placed_before_all_have_said_what_they_hold
                a_settling_waits_for_nobody_who_is_lost
                a_settling_is_not_cut_short_where_something_is_known_to_be_lost
                an_attempt_of_the_lost_part_is_adopted
                what_was_accepted_and_is_lost_is_counted_and_killed
                what_was_placed_in_the_history_before_counts_as_handed_over
                a_stop_while_settling_waits_for_who_may_run_it
                what_is_to_be_kept_waits_for_every_worker
            }
            races {
                stop_against_submit_has_one_winner
                of_two_runs_at_once_the_later_stays
                take_against_register_hands_nothing_to_an_older_run
                commit_against_takeover_has_one_winner
            }
            replay {
                random_calls_are_answered_as_the_model_answers
            }
        }
    };
}

/// Hands the list of a durable store's clauses to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_durable_clause {
    ([$($macro:tt)*] $harness:ty) => {
        $($macro)*! {
            $harness; run_durable durable {
                what_was_submitted_survives_reopening
                what_was_committed_survives_reopening
                reopening_loses_nobody_for_numbers_of_before
                the_term_survives_reopening
            }
        }
    };
}

/// Hands the list of the clauses of older copies to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_restored_clause {
    ([$($macro:tt)*] $harness:ty) => {
        $($macro)*! {
            $harness; run_restored histories {
                an_older_copy_is_noticed
            }
        }
    };
}

/// Hands the list of the clauses of spoilt rows to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_corrupt_clause {
    ([$($macro:tt)*] $harness:ty) => {
        $($macro)*! {
            $harness; run_corrupt corrupt {
                an_undecodable_request_is_named_and_parked
                an_undecodable_request_blocks_no_lot
                an_undecodable_row_hides_no_other
                an_undecodable_row_fails_no_step_of_its_worker
            }
        }
    };
}
