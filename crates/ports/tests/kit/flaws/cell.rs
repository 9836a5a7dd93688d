//! Flaws of how a store writes the cell's own row.

use domain::container::Phase;
use domain::id::{History, Stamp, Term};
use domain::model::{CellRow, Change};
use domain::time::Timestamp;

use super::breaks;
use crate::store::Flaw;

fn with_cell(mut changes: Vec<Change>, bend: impl Fn(&mut CellRow)) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Cell(row) = change {
            bend(row);
        }
    }
    changes
}

#[test]
fn a_stamp_that_does_not_move() {
    struct StampStays;
    impl Flaw for StampStays {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| {
                if let Some(planner) = &mut row.planner {
                    planner.stamp = Stamp(0);
                }
            })
        }
    }
    breaks::<StampStays>(
        "
        commit_against_takeover_has_one_winner every_fenced_write_moves_the_stamp
        random_calls_are_answered_as_the_model_answers takeover_needs_the_stamp_that_is_there
        ",
    );
}

#[test]
fn ends_that_are_not_counted() {
    struct CountsNoEnds;
    impl Flaw for CountsNoEnds {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| {
                for phase in Phase::ALL.into_iter().filter(|phase| phase.is_ended()) {
                    row.phases[phase as usize] = 0;
                }
            })
        }
    }
    breaks::<CountsNoEnds>(
        "
        a_forgotten_id_is_free depth_counts_who_waits forget_keeps_as_long_and_as_many_as_it_is_told
        forget_repeated_forgets_no_more random_calls_are_answered_as_the_model_answers
        stop_against_submit_has_one_winner
        ",
    );
}

#[test]
fn terms_that_are_one() {
    struct OneTerm;
    impl Flaw for OneTerm {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| row.term = row.term.min(Term(1)))
        }
    }
    breaks::<OneTerm>(
        "
        a_late_resignation_is_nobodys commit_against_takeover_has_one_winner
        random_calls_are_answered_as_the_model_answers takeover_fences_the_planner_before
        ",
    );
}

#[test]
fn a_planner_that_cannot_resign() {
    struct NeverResigns;
    impl Flaw for NeverResigns {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            let resigns =
                |change: &Change| matches!(change, Change::Cell(row) if row.planner.is_none() && row.term > Term(0));
            if changes.iter().any(resigns) { Vec::new() } else { changes }
        }
    }
    breaks::<NeverResigns>(
        "
        random_calls_are_answered_as_the_model_answers resign_leaves_the_cell_at_once
        ",
    );
}

#[test]
fn a_history_that_never_ends() {
    struct OneHistory;
    impl Flaw for OneHistory {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| row.history = History::from_random(42))
        }
    }
    breaks::<OneHistory>(
        "
        a_caller_who_saw_more_starts_a_new_history a_stop_while_settling_waits_for_who_may_run_it
        an_attempt_of_the_lost_part_is_adopted an_older_copy_is_noticed books calls_of_another_history_write_nothing
        nothing_is_placed_before_all_have_said_what_they_hold random_calls_are_answered_as_the_model_answers
        what_is_to_be_kept_waits_for_every_worker what_was_accepted_and_is_lost_is_counted_and_killed
        what_was_placed_in_the_history_before_counts_as_handed_over
        ",
    );
}

#[test]
fn a_history_that_is_not_begun() {
    struct NoRewind;
    impl Flaw for NoRewind {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            let begins = |change: &Change| matches!(change, Change::Cell(row) if row.settling);
            if changes.iter().any(begins) { Vec::new() } else { changes }
        }
    }
    breaks::<NoRewind>(
        "
        a_caller_who_saw_more_starts_a_new_history a_settling_is_not_cut_short_where_something_is_known_to_be_lost
        a_settling_waits_for_nobody_who_is_lost a_stop_while_settling_waits_for_who_may_run_it
        an_attempt_of_the_lost_part_is_adopted an_older_copy_is_noticed calls_of_another_history_write_nothing
        nothing_is_placed_before_all_have_said_what_they_hold random_calls_are_answered_as_the_model_answers
        what_is_to_be_kept_waits_for_every_worker what_was_accepted_and_is_lost_is_counted_and_killed
        what_was_placed_in_the_history_before_counts_as_handed_over
        ",
    );
}

#[test]
fn a_history_that_settles_at_once() {
    struct NoSettling;
    impl Flaw for NoSettling {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| row.settling = false)
        }
    }
    breaks::<NoSettling>(
        "
        a_settling_is_not_cut_short_where_something_is_known_to_be_lost a_settling_waits_for_nobody_who_is_lost
        a_stop_while_settling_waits_for_who_may_run_it an_older_copy_is_noticed
        nothing_is_placed_before_all_have_said_what_they_hold random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn a_history_that_waits_for_no_kept_one() {
    struct NobodyUnregistered;
    impl Flaw for NobodyUnregistered {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| row.unregistered = 0)
        }
    }
    breaks::<NobodyUnregistered>(
        "
        books what_is_to_be_kept_waits_for_every_worker
        ",
    );
}

#[test]
fn a_loss_whose_size_is_not_kept() {
    struct NothingReached;
    impl Flaw for NothingReached {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| {
                if let Some(rewind) = &mut row.rewind {
                    rewind.reached = rewind.survived.revision;
                }
            })
        }
    }
    breaks::<NothingReached>(
        "
        a_settling_is_not_cut_short_where_something_is_known_to_be_lost random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn revisions_that_jump() {
    struct Jumps;
    impl Flaw for Jumps {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| row.revision = row.revision.next())
        }
    }
    breaks::<Jumps>(
        "
        commit_answers_the_revisions_around_it random_calls_are_answered_as_the_model_answers
        take_repeated_hands_out_the_same
        ",
    );
}

#[test]
fn a_clock_that_is_not_kept() {
    struct NoClock;
    impl Flaw for NoClock {
        fn write(changes: Vec<Change>) -> Vec<Change> {
            with_cell(changes, |row| row.now = Timestamp(0))
        }
    }
    breaks::<NoClock>(
        "
        random_calls_are_answered_as_the_model_answers
        ",
    );
}
