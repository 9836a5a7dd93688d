//! Workers and their life.

use async_trait::async_trait;
use domain::id::{CellName, Revision, WorkerId};
use domain::model::workers::{
    Beats, Look, RegisterOutcome, Registration, RemoveHow, RemoveOutcome, StatusChange, StatusOutcome,
};
use domain::time::Timestamp;
use domain::worker::{CallAnswer, Caller};

use crate::PortResult;

/// Workers register, prove life, are closed, removed, and looked at.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait WorkerRepository: Send + Sync {
    /// Registers a worker with all that it holds and all that ended.
    ///
    /// # Contract
    /// - `register_shows_a_worker_to_look`: A worker that registers is there, as large as it says, and takes work.
    /// - `register_repeated_changes_nothing`: A repeat of a complete registration changes nothing, not even the number
    ///   of calls.
    /// - `register_keeps_what_is_held`: What a worker holds stays its own, in the same attempt.
    /// - `register_gives_back_what_is_not_held`: What a worker owns and neither holds nor ended goes back; only what
    ///   ran counts as a failure.
    /// - `register_answers_kill_for_what_it_may_not_hold`: What a worker holds and another owns, or what is an old
    ///   attempt, is answered kill.
    /// - `a_kill_makes_a_registration_incomplete`: Until it comes without what it was told to kill, a worker gets no
    ///   orders and no work.
    /// - `a_registration_in_pages_ends_with_the_last`: A long registration comes in pages; what no page held goes back
    ///   only with the last.
    /// - `a_kill_on_any_page_spoils_the_registration`: A kill on an early page is not made up for by a clean last one.
    /// - `ends_travel_in_a_registration`: What ended while no server was reached is told with the registration, also of
    ///   what waits again since.
    /// - `an_old_end_hides_nothing`: The end of an older attempt does not hide that the newest is not held.
    /// - `the_same_key_replaces_only_upwards`: A registration that comes late, with empty hands, is not believed.
    /// - `of_two_runs_at_once_the_later_stays`: Of two runs of one worker that register at the same time the later stays,
    ///   whoever was first.
    /// - `another_key_is_refused_while_taken_work_is_owned`: Another machine does not get a name while work that the
    ///   name was handed may run.
    /// - `another_key_must_raise_the_incarnation`: A stranger goes on above the incarnation that was there, so that no
    ///   late call passes for its own.
    /// - `a_worker_that_is_not_ready_is_given_nothing`: A worker that still boots is there, and is given nothing.
    /// - `a_smaller_worker_keeps_what_runs`: A worker that comes back smaller than what it owns keeps what runs, and is
    ///   given nothing new.
    /// - `an_undecodable_row_fails_no_step_of_its_worker`: A worker that owns such a container takes, reports,
    ///   registers, is given up and drained as ever; its room stays booked.
    /// - `an_attempt_of_the_lost_part_is_adopted`: A worker that holds, or ended, a higher attempt than is known has it:
    ///   it was placed in a part that is lost. The owner of an older attempt kills it.
    /// - `what_was_accepted_and_is_lost_is_counted_and_killed`: What a worker holds and nobody here knows any more is
    ///   counted, and answered kill.
    async fn register(
        &self,
        cell: &CellName,
        now: Timestamp,
        registration: Registration,
    ) -> PortResult<RegisterOutcome>;

    /// Answers each worker's greatest number.
    ///
    /// # Contract
    /// - `beats_show_the_greatest_number`: Each worker that is up, with its incarnation and the greatest number of its
    ///   calls.
    /// - `beats_leave_out_the_lost`: Nobody waits for a worker that is given up.
    /// - `reopening_loses_nobody_for_numbers_of_before`: A reopened store is of the same history. If its numbers begin
    ///   anew it is another boot, and nobody is lost for numbers of the boot before.
    async fn beats(&self, cell: &CellName) -> PortResult<Beats>;

    /// Keeps each caller's number: one answer per caller, in order.
    ///
    /// # Contract
    /// - `heartbeat_never_puts_a_number_back`: A call that comes late, or twice, or before another in the same batch,
    ///   never puts a number back.
    /// - `heartbeat_answers_each_caller_by_who_it_is`: Older runs are refused; later ones, those of another history,
    ///   and the lost are to register; strangers are to leave.
    /// - `a_caller_who_saw_more_starts_a_new_history`: Who has seen the cell come further than it is proves that writes
    ///   were lost: the cell goes on in a new history, with all that is there.
    /// - `an_older_copy_is_noticed`: A store put back to an older copy does not go on as if nothing had happened: its
    ///   workers register anew, and nothing runs twice.
    async fn heartbeat(&self, cell: &CellName, callers: Vec<Caller>) -> PortResult<Vec<CallAnswer>>;

    /// Opens, cordons or drains: one outcome per worker, in order.
    ///
    /// # Contract
    /// - `a_cordon_survives_registrations_and_losses`: A cordon belongs to the name: only `Open` ends it.
    /// - `a_drain_is_over_when_nothing_is_owned`: A drain gives back what was not handed over, lets run what runs, and
    ///   is over only when nothing is owned.
    /// - `set_status_repeated_is_already_so`: Twice is as once, and a name that is not there hurts no other.
    async fn set_status(
        &self,
        cell: &CellName,
        now: Timestamp,
        changes: Vec<(WorkerId, StatusChange)>,
    ) -> PortResult<Vec<StatusOutcome>>;

    /// Removes workers: one outcome each, in order; of those that are lost, `limit` containers each go back in one call.
    ///
    /// # Contract
    /// - `remove_refuses_what_owns`: What owns anything stays.
    /// - `remove_lost_names_the_incarnation`: Who says that a worker is gone for good names the run that it read; then
    ///   all that it owned goes back.
    /// - `remove_repeated_hits_nobody_else`: A repeat after a lost answer does not remove who has come under the name
    ///   since.
    /// - `remove_lost_goes_in_bounded_steps`: What goes back in one call is bounded; the call is repeated until it is
    ///   done.
    /// - `a_removed_worker_is_told_so`: The calls of a worker that was removed tell it to leave; its name is free for
    ///   another key.
    async fn remove(
        &self,
        cell: &CellName,
        now: Timestamp,
        removals: Vec<(WorkerId, RemoveHow)>,
        limit: usize,
    ) -> PortResult<Vec<RemoveOutcome>>;

    /// Reads what changed in the fleet since a revision; all of it, for a reader who begins with nothing.
    ///
    /// # Contract
    /// - `look_pages_add_up_while_all_changes`: However small its pages, and whatever changes meanwhile, a reader ends
    ///   with what is there.
    /// - `look_reads_only_what_changed`: A look since a revision reads what changed, what came to be, and what is no
    ///   more, and nothing else.
    /// - `a_page_of_look_ends_with_a_whole_step`: All that one step changed is on one page.
    /// - `look_from_beyond_the_end_is_whole`: Who asks from beyond what is there has seen another life of the store,
    ///   and reads all.
    async fn look(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<Look>;
}
