//! Requests that wait.

use std::time::Duration;

use async_trait::async_trait;
use domain::id::{CellName, Revision};
use domain::model::backlog::{Depth, Line, SubmitOutcome};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;

use crate::PortResult;

/// Requests come in, and are read in line. Nothing here moves them.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait BacklogRepository: Send + Sync {
    /// Takes requests in: one outcome per submission, in order.
    ///
    /// # Contract
    /// - `submit_accepts_and_next_shows_it`: What is accepted waits in line, with all that was asked.
    /// - `submit_repeated_is_already_there`: The same request again is answered with its phase, and changes nothing.
    /// - `submit_of_another_content_is_a_conflict`: Another request under an id that is there is refused.
    /// - `submit_refuses_what_is_invalid_and_takes_the_rest`: What no worker could be asked is refused by name; the
    ///   rest of the call is taken.
    /// - `submit_twice_at_once_accepts_once`: Two calls with the same ids at the same time accept each of them once.
    /// - `cells_do_not_see_each_other`: What happens in one cell is not seen in another.
    /// - `what_was_submitted_survives_reopening`: What was accepted, parked, stopped and forgotten is as it was.
    /// - `an_undecodable_row_hides_no_other`: Submissions, lists and exports go on; only who asks for that row is told
    ///   what is wrong with it.
    async fn submit(
        &self,
        cell: &CellName,
        now: Timestamp,
        submissions: Vec<Submission>,
    ) -> PortResult<Vec<SubmitOutcome>>;

    /// Counts who waits.
    ///
    /// # Contract
    /// - `depth_counts_who_waits`: Ready and parked add up to who is pending; the phases count everyone.
    async fn depth(&self, cell: &CellName) -> PortResult<Depth>;

    /// Reads the first `limit` ready requests after a place in line, and the first so many of each named lot.
    ///
    /// # Contract
    /// - `next_moves_nothing`: Reading is not taking: only a commit moves a request.
    /// - `next_goes_by_priority_and_age`: Priority goes first and ages: a step of it is worth a minute; of two equals
    ///   the older goes first.
    /// - `next_reads_on_after_a_place`: A call's own order is the order among its equals, and pages by place in line
    ///   neither skip nor repeat.
    /// - `next_reads_the_first_of_each_named_lot`: The first so many of each lot that is named, and of no other; who is
    ///   parked is not in line.
    /// - `a_returned_request_keeps_its_place`: A request that comes back to the line has its old place in it.
    /// - `an_undecodable_request_is_named_and_parked`: A ready request that cannot be decoded is named beside the line,
    ///   and a commit parks it once.
    /// - `an_undecodable_request_blocks_no_lot`: A parked request that cannot be decoded keeps nobody behind it
    ///   waiting.
    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line>;

    /// Waits until there is ready work, or freed room or quota, later than `seen`; at most so long. Answers how far the
    /// cell is.
    ///
    /// `seen` is the mark of the line or look that was read last, not the end of a commit: what came in between them
    /// would be missed.
    ///
    /// # Contract
    /// - `backlog_wait_wakes_on_submit`: Ready work ends a wait.
    /// - `backlog_wait_wakes_on_freed_room`: Room that becomes free ends a wait.
    /// - `backlog_wait_wakes_on_an_opened_worker`: A worker that opens ends a wait.
    /// - `backlog_wait_sleeps_through_own_commits`: What the planner does itself, and what workers do with it, ends no
    ///   wait.
    /// - `backlog_wait_ends_in_time`: A wait ends in its time, also where nothing ever happened.
    /// - `backlog_wait_answers_at_once_what_it_missed`: What happened before the wait began is not missed.
    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision>;
}
