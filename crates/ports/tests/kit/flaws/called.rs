//! Flaws of what a store answers, and when.

use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::container::Phase;
use domain::id::{CellName, History, Mark, PlannerId, Revision, Stamp, Term};
use domain::model::Mandate;
use domain::model::backlog::{Depth, Line, SubmitOutcome};
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{CommitAnswer, Outcome, ReportAnswer, ReportOutcome};
use domain::model::workers::{Look, LookPage};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use ports::around::{Answering, Around, wrap};
use ports::{BacklogRepository, Leadership, OrdersWaiting, PortError, PortResult, Ports, WorkersConcerned};

use super::breaks;
use crate::store::Flaw;

#[test]
fn steps_that_race() {
    struct Races;
    impl Flaw for Races {
        const RACES: bool = true;
    }
    breaks::<Races>(
        "
        acquire_at_once_gives_the_cell_to_one commit_against_takeover_has_one_winner commits_at_once_book_room_once
        of_two_runs_at_once_the_later_stays stop_against_submit_has_one_winner stop_against_take_has_one_winner
        submit_twice_at_once_accepts_once take_against_register_hands_nothing_to_an_older_run
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

/// A cell that whoever asks for it is given, with a new term.
struct Anybodys(Arc<dyn Leadership>);

#[async_trait]
impl Leadership for Anybodys {
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome> {
        match self.0.acquire(cell, planner, expected).await? {
            AcquireOutcome::Held { term, stamp, .. } => self.0.acquire(cell, planner, Some((term, stamp))).await,
            AcquireOutcome::Acquired(mandate) => {
                self.0.resign(&mandate).await?;
                self.0.acquire(cell, planner, None).await
            }
        }
    }

    async fn renew(&self, mandate: &Mandate) -> PortResult<()> {
        self.0.renew(mandate).await
    }

    async fn resign(&self, mandate: &Mandate) -> PortResult<()> {
        self.0.resign(mandate).await
    }
}

#[test]
fn a_cell_that_is_anybodys() {
    struct NoOwner;
    impl Flaw for NoOwner {
        fn ports(ports: Ports) -> Ports {
            Ports { leadership: Arc::new(Anybodys(ports.leadership)), ..ports }
        }
    }
    breaks::<NoOwner>(
        "
        a_late_resignation_is_nobodys acquire_at_once_gives_the_cell_to_one acquire_by_its_holder_is_the_same_term
        acquire_gives_the_cell_to_one commit_against_takeover_has_one_winner every_fenced_write_moves_the_stamp
        random_calls_are_answered_as_the_model_answers takeover_fences_the_planner_before
        takeover_needs_the_stamp_that_is_there the_term_survives_reopening
        ",
    );
}

/// Bends what is answered.
trait Bend: Send + Sync + 'static {
    fn bend(_answer: &mut dyn Any) {}

    fn refuse(error: PortError) -> PortError {
        error
    }
}

/// A store of which all is right but some answers.
struct Bent<B>(PhantomData<B>);

impl<B: Bend> Flaw for Bent<B> {
    fn ports(ports: Ports) -> Ports {
        wrap(&ports, Self(PhantomData))
    }
}

impl<B: Bend> Around for Bent<B> {
    async fn around<'a, T: Send + 'static>(
        &'a self,
        _operation: &'static str,
        call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> PortResult<T> {
        let mut answer = call().await.map_err(B::refuse)?;
        B::bend(&mut answer);
        Ok(answer)
    }
}

/// Bends each outcome of a submission.
fn bend_each(answer: &mut dyn Any, bend: impl Fn(&mut SubmitOutcome)) {
    if let Some(outcomes) = answer.downcast_mut::<Vec<SubmitOutcome>>() {
        outcomes.iter_mut().for_each(bend);
    }
}

fn empty_page() -> LookPage {
    LookPage {
        workers: Vec::new(),
        gone: Vec::new(),
        usage: BTreeMap::new(),
        lots: Vec::new(),
        upto: Mark { history: History::from_random(42), revision: Revision(0) },
        more: false,
        rewind: None,
        settling: false,
        unregistered: 0,
    }
}

#[test]
fn conflicts_that_are_taken_for_repeats() {
    struct NoConflicts;
    impl Bend for NoConflicts {
        fn bend(answer: &mut dyn Any) {
            bend_each(answer, |outcome| {
                if *outcome == SubmitOutcome::Conflict {
                    *outcome = SubmitOutcome::Already(Phase::Pending);
                }
            });
        }
    }
    breaks::<Bent<NoConflicts>>(
        "
        an_undecodable_row_hides_no_other random_calls_are_answered_as_the_model_answers
        submit_of_another_content_is_a_conflict
        ",
    );
}

#[test]
fn the_invalid_that_is_accepted() {
    struct AllValid;
    impl Bend for AllValid {
        fn bend(answer: &mut dyn Any) {
            bend_each(answer, |outcome| {
                if let SubmitOutcome::Invalid(_) = outcome {
                    *outcome = SubmitOutcome::Accepted;
                }
            });
        }
    }
    breaks::<Bent<AllValid>>(
        "
        random_calls_are_answered_as_the_model_answers submit_refuses_what_is_invalid_and_takes_the_rest
        ",
    );
}

#[test]
fn a_look_that_is_never_whole() {
    struct NeverWhole;
    impl Bend for NeverWhole {
        fn bend(answer: &mut dyn Any) {
            if let Some(answer) = answer.downcast_mut::<Look>()
                && *answer == Look::Whole
            {
                *answer = Look::Page(empty_page());
            }
        }
    }
    breaks::<Bent<NeverWhole>>(
        "
        look_from_beyond_the_end_is_whole random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn orders_for_nobody() {
    struct ForNobody;
    impl Bend for ForNobody {
        fn bend(answer: &mut dyn Any) {
            if let Some(answer) = answer.downcast_mut::<OrdersWaiting>() {
                answer.workers = WorkersConcerned::These(Vec::new());
            }
        }
    }
    breaks::<Bent<ForNobody>>(
        "
        orders_wait_ends_in_time_and_misses_nothing orders_wait_names_the_worker_concerned
        ",
    );
}

#[test]
fn repeats_that_are_told_as_if_they_were_none() {
    struct NoRepeats;
    impl Bend for NoRepeats {
        fn bend(answer: &mut dyn Any) {
            if let Some(answer) = answer.downcast_mut::<CommitAnswer>() {
                for outcome in &mut answer.outcomes {
                    if *outcome == Outcome::AlreadyDone {
                        *outcome = Outcome::Done;
                    }
                }
            }
        }
    }
    breaks::<Bent<NoRepeats>>(
        "
        an_undecodable_request_is_named_and_parked commit_repeated_changes_nothing
        random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn what_waits_no_more_that_is_taken_for_a_repeat() {
    struct AllRepeats;
    impl Bend for AllRepeats {
        fn bend(answer: &mut dyn Any) {
            if let Some(answer) = answer.downcast_mut::<CommitAnswer>() {
                for outcome in &mut answer.outcomes {
                    if *outcome == Outcome::NotPending {
                        *outcome = Outcome::AlreadyDone;
                    }
                }
            }
        }
    }
    breaks::<Bent<AllRepeats>>(
        "
        a_stop_while_settling_waits_for_who_may_run_it commit_outcomes_have_a_precedence
        commit_repeated_for_another_worker_is_told_so random_calls_are_answered_as_the_model_answers
        ",
    );
}

#[test]
fn a_refusal_that_ends_the_batch() {
    struct RefusesAll;
    impl Bend for RefusesAll {
        fn bend(answer: &mut dyn Any) {
            if let Some(answer) = answer.downcast_mut::<CommitAnswer>() {
                let refused = answer.outcomes.iter().position(|outcome| *outcome != Outcome::Done);
                for outcome in answer.outcomes.iter_mut().skip(refused.unwrap_or(usize::MAX)) {
                    *outcome = Outcome::NotPending;
                }
            }
        }
    }
    breaks::<Bent<RefusesAll>>(
        "
        a_cordon_survives_registrations_and_losses a_drain_is_over_when_nothing_is_owned
        a_kill_makes_a_registration_incomplete a_settling_waits_for_nobody_who_is_lost
        a_smaller_worker_keeps_what_runs a_worker_that_is_not_ready_is_given_nothing an_older_copy_is_noticed
        an_undecodable_request_is_named_and_parked commit_announces_and_removes_workers commit_books_gpu_devices
        commit_keeps_quotas commit_never_books_more_than_a_worker_has commit_outcomes_have_a_precedence
        commit_refuses_another_run_of_the_worker commit_repeated_changes_nothing
        nothing_is_placed_before_all_have_said_what_they_hold one_refusal_hurts_no_other
        random_calls_are_answered_as_the_model_answers what_is_to_be_kept_waits_for_every_worker
        ",
    );
}

#[test]
fn kills_that_are_not_told() {
    struct NoKills;
    impl Bend for NoKills {
        fn bend(answer: &mut dyn Any) {
            if let Some(answer) = answer.downcast_mut::<ReportAnswer>() {
                for outcome in &mut answer.outcomes {
                    if *outcome == ReportOutcome::Kill {
                        *outcome = ReportOutcome::Dropped;
                    }
                }
            }
        }
    }
    breaks::<Bent<NoKills>>(
        "
        an_undecodable_row_fails_no_step_of_its_worker only_the_newest_attempt_is_reported_on
        random_calls_are_answered_as_the_model_answers reports_may_skip_states
        ",
    );
}

#[test]
fn a_history_that_is_taken_for_a_term() {
    struct NeverRewound;
    impl Bend for NeverRewound {
        fn refuse(error: PortError) -> PortError {
            if matches!(error, PortError::Rewound) { PortError::StaleTerm } else { error }
        }
    }
    breaks::<Bent<NeverRewound>>(
        "
        calls_of_another_history_write_nothing commit_refuses_an_older_term_and_another_history
        random_calls_are_answered_as_the_model_answers
        ",
    );
}
