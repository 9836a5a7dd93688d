//! Placements: committed, lost, taken, reported on.

use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CellName, Revision, WorkerId};
use domain::model::placements::{Commit, CommitAnswer, Loss, LossOutcome, ReportAnswer, TakeAnswer};
use domain::model::{Mandate, OrderMark, Report};
use domain::time::Timestamp;
use domain::worker::Caller;

use crate::PortResult;

/// A batch's decisions become containers that workers run.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait PlacementRepository: Send + Sync {
    /// Commits a whole batch: one outcome per decision, in order.
    ///
    /// # Contract
    /// - `commit_never_books_more_than_a_worker_has`: Of a batch that asks for more than a worker has, as much is
    ///   placed as fits.
    /// - `commits_at_once_book_room_once`: Two planners' commits cannot be at the same time, but one planner's may:
    ///   room is booked once.
    /// - `commit_books_room_usage_and_orders_in_one_step`: Capacity, ownership, the container's state, usage and the
    ///   worker's orders change together.
    /// - `commit_books_gpu_devices`: Devices are booked by their index, up to a thousand thousandths each.
    /// - `commit_repeated_changes_nothing`: A repeat after a lost answer is answered `AlreadyDone` and changes nothing
    ///   but the planner's stamp.
    /// - `commit_repeated_for_another_worker_is_told_so`: Who decides otherwise after a lost answer is told that the
    ///   request no longer waits.
    /// - `one_refusal_hurts_no_other`: One outcome a decision, in their order, each as if it stood alone with what was
    ///   done before it.
    /// - `commit_outcomes_have_a_precedence`: Where several refusals hold, the first of the list is answered: not
    ///   pending, worker gone, worker closed, over quota, no room.
    /// - `commit_refuses_another_run_of_the_worker`: A placement is for the run of the worker that the plan saw.
    /// - `commit_keeps_quotas`: Usage is booked with the placement and released with the end; who would pass a limit
    ///   stays where it is.
    /// - `commit_parks_in_lots`: Parked requests share a lot that counts them and knows its first; a lot without any is
    ///   not there.
    /// - `commit_announces_and_removes_workers`: New workers are rows before the provider is called, and are given
    ///   nothing; only what owns nothing is removed.
    /// - `commit_refuses_an_older_term_and_another_history`: A commit of another planner, an older term or another
    ///   history does nothing at all.
    /// - `commit_answers_the_revisions_around_it`: The answer says how far the cell was before and after, so that a
    ///   reader knows whether anyone came between.
    /// - `commit_takes_a_whole_batch`: A batch of a thousand is one commit.
    /// - `random_calls_are_answered_as_the_model_answers`: Whatever is called, right, late or wrong, of this port and of
    ///   all others: each answer is that of `domain::model`, and so is what is left.
    /// - `commit_against_takeover_has_one_winner`: Of a commit and a takeover at the same time one is first: the other is
    ///   refused.
    /// - `what_was_committed_survives_reopening`: What was committed, taken and reported is as it was; workers go on
    ///   with the calls that they would have made.
    /// - `nothing_is_placed_before_all_have_said_what_they_hold`: After writes were lost nothing is placed before every
    ///   worker has registered anew and the planner says that the time is over.
    /// - `what_is_to_be_kept_waits_for_every_worker`: What is to be kept is not placed while any worker, lost or not, has
    ///   not registered in this history.
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer>;

    /// Gives up silent workers and ends drains: one outcome per loss; at most `limit` containers each in one call.
    ///
    /// # Contract
    /// - `lose_gives_back_what_a_silent_worker_owned`: What a silent worker owned goes back to its place in line, and
    ///   is counted as lost.
    /// - `lose_is_refused_if_anything_moved`: A worker is given up only if it is as the planner saw it: same run, same
    ///   number, same opening of the store.
    /// - `lose_repeated_changes_nothing`: A repeat after a lost answer takes nothing away from those who have it since.
    /// - `lose_leaves_what_is_to_be_kept`: What is to be kept stays with a lost worker until its own key comes without
    ///   it.
    /// - `lose_goes_in_bounded_steps`: What goes back in one call is bounded; the call is repeated until it is done.
    /// - `a_lost_worker_is_told_to_register`: A lost worker is told to register, whatever it calls, and none of it is
    ///   written down.
    /// - `a_drain_that_is_due_stops_what_runs`: When a drain's time is over, what still runs is told to stop, and goes
    ///   elsewhere without a failure.
    /// - `a_settling_waits_for_nobody_who_is_lost`: A worker that is given up holds up no settling.
    /// - `a_settling_is_not_cut_short_where_something_is_known_to_be_lost`: Who saw nothing lost does not end a settling
    ///   of which a caller saw more.
    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>>;

    /// Hands a worker its orders after a mark; none begins anew.
    ///
    /// # Contract
    /// - `take_claims_what_it_hands_over`: Handing over is the claim: what was placed is starting, and the order says
    ///   all that its worker needs.
    /// - `take_repeated_hands_out_the_same`: A repeat with the same mark hands out the same, and changes nothing.
    /// - `take_from_nothing_hands_out_all`: Without a mark a worker is handed all that it holds, and every stop order.
    /// - `take_in_bites_skips_and_repeats_nothing`: Orders in bites of any size come once each, oldest first.
    /// - `take_against_register_hands_nothing_to_an_older_run`: Of a take and a later run's registration at the same time,
    ///   either the take is first and is undone, or it is refused.
    /// - `calls_of_another_history_write_nothing`: Planners are told that the store lost writes, workers to register; and
    ///   none of what they say is written down.
    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer>;

    /// Writes down what a worker reports: one outcome per report, in order.
    ///
    /// # Contract
    /// - `reports_may_skip_states`: A worker says that what it took runs, and how it ended; states in between may be
    ///   skipped.
    /// - `an_end_releases_room_and_usage_once`: An end releases room and usage, once, however often it is told.
    /// - `report_repeated_changes_nothing`: A repeat of any report changes nothing, also of an end after which the
    ///   container waits again.
    /// - `only_the_newest_attempt_is_reported_on`: Only the owner of the newest attempt is heard: an end of another is
    ///   dropped, a run of another is killed.
    /// - `an_end_is_accepted_while_it_waits_again`: Finished work is not queued again: its end counts also while it
    ///   waits again.
    /// - `a_late_end_corrects_what_was_counted`: What turns out not to have failed is not counted, and a late end never
    ///   gives a container up.
    /// - `failures_give_a_container_up`: After its last failure a container is given up.
    /// - `a_command_that_ended_by_itself_keeps_its_end`: Told to stop or to drain, a command that ended by itself keeps
    ///   its own end.
    /// - `output_comes_with_an_end`: What a container wrote comes with its end.
    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer>;

    /// Waits until a worker has orders later than `seen`; at most so long.
    ///
    /// # Contract
    /// - `orders_wait_names_the_worker_concerned`: A placement and a stop end a wait, which names the worker concerned,
    ///   or says that it may be any.
    /// - `orders_wait_ends_in_time_and_misses_nothing`: A wait that nothing ends is over in its time, and concerns
    ///   nobody; what it missed it tells at once.
    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting>;
}

/// Who has orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersWaiting {
    /// How far orders go, at least; `seen` of the next wait. A store may count further than the cell's revision: whoever
    /// waits is then woken once in vain.
    pub upto: Revision,
    /// Whose orders are new.
    pub workers: WorkersConcerned,
}

/// Workers that may have orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkersConcerned {
    /// These; none if nothing came in time.
    These(Vec<WorkerId>),
    /// Any of them.
    All,
}
