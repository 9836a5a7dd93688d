//! Flaws of how a store writes what containers, workers and lots are.

use std::sync::Arc;

use domain::container::{ContainerRow, State, StopCause};
use domain::id::{Attempt, CallNumber, Incarnation};
use domain::model::Change;
use domain::request::Digest;
use domain::worker::{Closed, Life, WorkerRow};

use super::breaks;
use crate::store::Flaw;

fn without(changes: Vec<Change>, dropped: impl Fn(&Change) -> bool) -> Vec<Change> {
    changes.into_iter().filter(|change| !dropped(change)).collect()
}

fn with_containers(mut changes: Vec<Change>, bend: impl Fn(&mut ContainerRow)) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Container(replace) = change
            && let Some(row) = &mut replace.after
        {
            bend(row);
        }
    }
    changes
}

fn with_workers(mut changes: Vec<Change>, bend: impl Fn(&mut WorkerRow)) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Worker(replace) = change
            && let Some(row) = &mut replace.after
        {
            bend(row);
        }
    }
    changes
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
        commit_against_takeover_has_one_winner commit_books_room_usage_and_orders_in_one_step commit_keeps_quotas
        commit_never_books_more_than_a_worker_has commit_takes_a_whole_batch commits_at_once_book_room_once
        export_pages_add_up_while_all_changes look_reads_only_what_changed lose_leaves_what_is_to_be_kept
        random_calls_are_answered_as_the_model_answers stop_of_what_was_handed_over_waits_for_its_worker
        what_was_committed_survives_reopening
        ",
    );
}

#[test]
fn room_that_is_booked_twice() {
    struct BookedTwice;
    impl Flaw for BookedTwice {
        fn write(mut changes: Vec<Change>) -> Vec<Change> {
            for change in &mut changes {
                if let Change::Worker(replace) = change
                    && let (Some(before), Some(after)) = (&replace.before, &mut replace.after)
                {
                    after.used.cpu_milli += after.used.cpu_milli.saturating_sub(before.used.cpu_milli);
                }
            }
            changes
        }
    }
    breaks::<BookedTwice>(
        "
        a_drain_that_is_due_stops_what_runs a_registration_in_pages_ends_with_the_last
        a_smaller_worker_keeps_what_runs an_attempt_of_the_lost_part_is_adopted an_end_releases_room_and_usage_once
        an_old_end_hides_nothing an_undecodable_row_fails_no_step_of_its_worker
        another_key_is_refused_while_taken_work_is_owned books commit_against_takeover_has_one_winner
        commit_books_room_usage_and_orders_in_one_step commit_keeps_quotas commit_never_books_more_than_a_worker_has
        commit_takes_a_whole_batch commits_at_once_book_room_once failures_give_a_container_up
        lose_gives_back_what_a_silent_worker_owned lose_goes_in_bounded_steps lose_leaves_what_is_to_be_kept
        random_calls_are_answered_as_the_model_answers register_gives_back_what_is_not_held
        remove_lost_goes_in_bounded_steps stop_against_take_has_one_winner
        stop_of_what_was_handed_over_waits_for_its_worker stop_of_what_was_not_handed_over_ends_it
        take_from_nothing_hands_out_all what_was_committed_survives_reopening
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
fn a_last_step_that_is_lost() {
    struct LosesLastStep;
    impl Flaw for LosesLastStep {
        const LOSES_LAST_STEP: bool = true;
    }
    breaks::<LosesLastStep>(
        "
        an_older_copy_is_noticed reopening_loses_nobody_for_numbers_of_before the_term_survives_reopening
        what_was_committed_survives_reopening what_was_submitted_survives_reopening
        ",
    );
}

#[test]
fn ends_that_free_no_place() {
    struct KeepsForgotten;
    impl Flaw for KeepsForgotten {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Container(replace) if replace.after.is_none()))
        }
    }
    breaks::<KeepsForgotten>(
        "
        a_forgotten_id_is_free forget_keeps_as_long_and_as_many_as_it_is_told forget_repeated_forgets_no_more
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn workers_that_stay_when_they_are_removed() {
    struct KeepsRemoved;
    impl Flaw for KeepsRemoved {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            without(changes, |change| matches!(change, Change::Worker(replace) if replace.after.is_none()))
        }
    }
    breaks::<KeepsRemoved>(
        "
        a_removed_worker_is_told_so books commit_announces_and_removes_workers look_pages_add_up_while_all_changes
        random_calls_are_answered_as_the_model_answers remove_lost_names_the_incarnation remove_refuses_what_owns
        remove_repeated_hits_nobody_else
        ",
    );
}

#[test]
fn workers_that_are_not_announced() {
    struct AnnouncesNobody;
    impl Flaw for AnnouncesNobody {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            let announced = |change: &Change| match change {
                Change::Worker(replace) => {
                    replace.after.as_ref().is_some_and(|row| matches!(row.life, Life::Pending { .. }))
                }
                _ => false,
            };
            without(changes, announced)
        }
    }
    breaks::<AnnouncesNobody>(
        "
        commit_announces_and_removes_workers random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn registrations_that_are_all_complete() {
    struct AllComplete;
    impl Flaw for AllComplete {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_workers(changes, |row| row.complete = row.life == Life::Up)
        }
    }
    breaks::<AllComplete>(
        "
        a_kill_makes_a_registration_incomplete a_kill_on_any_page_spoils_the_registration
        a_registration_in_pages_ends_with_the_last nothing_is_placed_before_all_have_said_what_they_hold
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn workers_that_are_all_ready() {
    struct AllReady;
    impl Flaw for AllReady {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_workers(changes, |row| row.ready = true)
        }
    }
    breaks::<AllReady>(
        "
        a_worker_that_is_not_ready_is_given_nothing random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn cordons_that_are_not_kept() {
    struct AllOpen;
    impl Flaw for AllOpen {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_workers(changes, |row| row.closed = Closed::No)
        }
    }
    breaks::<AllOpen>(
        "
        a_command_that_ended_by_itself_keeps_its_end a_cordon_survives_registrations_and_losses
        a_drain_is_over_when_nothing_is_owned a_drain_that_is_due_stops_what_runs
        backlog_wait_wakes_on_an_opened_worker commit_outcomes_have_a_precedence
        random_calls_are_answered_as_the_model_answers set_status_repeated_is_already_so stop_goes_over_drain
        ",
    );
}

#[test]
fn keys_that_are_not_kept() {
    struct NoKeys;
    impl Flaw for NoKeys {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_workers(changes, |row| row.key = None)
        }
    }
    breaks::<NoKeys>(
        "
        a_registration_in_pages_ends_with_the_last another_key_is_refused_while_taken_work_is_owned
        another_key_must_raise_the_incarnation of_two_runs_at_once_the_later_stays
        random_calls_are_answered_as_the_model_answers register_answers_kill_for_what_it_may_not_hold
        register_keeps_what_is_held register_repeated_changes_nothing the_same_key_replaces_only_upwards
        ",
    );
}

#[test]
fn runs_that_are_one() {
    struct OneRun;
    impl Flaw for OneRun {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_workers(changes, |row| row.incarnation = Incarnation(1))
        }
    }
    breaks::<OneRun>(
        "
        a_caller_who_saw_more_starts_a_new_history a_kill_makes_a_registration_incomplete
        a_kill_on_any_page_spoils_the_registration a_late_end_corrects_what_was_counted
        a_registration_in_pages_ends_with_the_last a_stop_while_settling_waits_for_who_may_run_it
        an_attempt_of_the_lost_part_is_adopted an_end_is_accepted_while_it_waits_again an_older_copy_is_noticed
        another_key_must_raise_the_incarnation beats_show_the_greatest_number books
        commit_refuses_another_run_of_the_worker ends_travel_in_a_registration
        heartbeat_answers_each_caller_by_who_it_is of_two_runs_at_once_the_later_stays
        random_calls_are_answered_as_the_model_answers register_keeps_what_is_held register_repeated_changes_nothing
        remove_repeated_hits_nobody_else take_against_register_hands_nothing_to_an_older_run
        the_same_key_replaces_only_upwards
        ",
    );
}

#[test]
fn attempts_that_are_one() {
    struct OneAttempt;
    impl Flaw for OneAttempt {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_containers(changes, |row| row.attempt = row.attempt.min(Attempt(1)))
        }
    }
    breaks::<OneAttempt>(
        "
        a_settling_waits_for_nobody_who_is_lost an_attempt_of_the_lost_part_is_adopted an_old_end_hides_nothing
        only_the_newest_attempt_is_reported_on random_calls_are_answered_as_the_model_answers
        register_answers_kill_for_what_it_may_not_hold
        ",
    );
}

#[test]
fn failures_that_are_not_counted() {
    struct NoFailures;
    impl Flaw for NoFailures {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_containers(changes, |row| row.failures = 0)
        }
    }
    breaks::<NoFailures>(
        "
        a_late_end_corrects_what_was_counted failures_give_a_container_up lose_gives_back_what_a_silent_worker_owned
        random_calls_are_answered_as_the_model_answers register_gives_back_what_is_not_held
        remove_repeated_hits_nobody_else report_repeated_changes_nothing
        ",
    );
}

#[test]
fn priorities_that_are_not_kept() {
    struct NoPriorities;
    impl Flaw for NoPriorities {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_containers(changes, |row| row.key.rank = 0)
        }
    }
    breaks::<NoPriorities>(
        "
        next_goes_by_priority_and_age random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn digests_that_are_one() {
    struct OneDigest;
    impl Flaw for OneDigest {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_containers(changes, |row| row.digest = Digest(0))
        }
    }
    breaks::<OneDigest>(
        "
        random_calls_are_answered_as_the_model_answers submit_accepts_and_next_shows_it
        submit_repeated_is_already_there
        ",
    );
}

#[test]
fn stops_that_are_kept_as_drains() {
    struct StopsAreDrains;
    impl Flaw for StopsAreDrains {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_containers(changes, |row| {
                if let State::Stopping(_, cause) = &mut row.state {
                    *cause = StopCause::Drain;
                }
            })
        }
    }
    breaks::<StopsAreDrains>(
        "
        lose_gives_back_what_a_silent_worker_owned random_calls_are_answered_as_the_model_answers
        register_gives_back_what_is_not_held stop_goes_over_drain stop_of_what_was_handed_over_waits_for_its_worker
        stop_repeated_changes_nothing what_was_placed_in_the_history_before_counts_as_handed_over
        ",
    );
}

#[test]
fn devices_that_are_not_kept() {
    struct NoDevices;
    impl Flaw for NoDevices {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_workers(changes, |row| row.used.gpu_milli = Vec::new())
        }
    }
    breaks::<NoDevices>(
        "
        commit_books_gpu_devices random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn sizes_that_stay() {
    struct SizesStay;
    impl Flaw for SizesStay {
        fn write(mut changes: Vec<Change>) -> Vec<Change> {
            for change in &mut changes {
                if let Change::Worker(replace) = change
                    && let (Some(before), Some(after)) = (&replace.before, &mut replace.after)
                {
                    after.spec = Arc::clone(&before.spec);
                }
            }
            changes
        }
    }
    breaks::<SizesStay>(
        "
        a_smaller_worker_keeps_what_runs another_key_is_refused_while_taken_work_is_owned
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn times_that_are_not_kept() {
    struct NoTimes;
    impl Flaw for NoTimes {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_containers(changes, |row| (row.placed_at, row.taken_at, row.running_at) = (None, None, None))
        }
    }
    breaks::<NoTimes>(
        "
        commit_books_room_usage_and_orders_in_one_step random_calls_are_answered_as_the_model_answers
        take_claims_what_it_hands_over
        ",
    );
}
