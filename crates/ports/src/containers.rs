//! Containers, read and ended.

use async_trait::async_trait;
use domain::id::{CellName, ContainerId, Revision};
use domain::model::Filter;
use domain::model::containers::{ContainerPage, ExportPage, Forgotten, Found, Keep, StopOutcome};
use domain::time::Timestamp;

use crate::PortResult;

/// Containers are read, listed, stopped, forgotten and exported.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ContainerRepository: Send + Sync {
    /// Reads containers: one answer per id, in order.
    ///
    /// # Contract
    /// - `get_answers_in_order`: One answer an id, in their order; none for an id that is not there.
    async fn get(&self, cell: &CellName, ids: Vec<ContainerId>) -> PortResult<Vec<Option<Found>>>;

    /// Lists containers by id, a page at a time.
    ///
    /// # Contract
    /// - `list_pages_skip_and_repeat_nothing`: Pages of any size hold each container once, by id, also if others come
    ///   and go meanwhile.
    /// - `list_filters_by_state_workspace_and_worker`: A filter holds those that are so now.
    async fn list(
        &self,
        cell: &CellName,
        filter: Filter,
        after: Option<ContainerId>,
        limit: usize,
    ) -> PortResult<ContainerPage>;

    /// Stops containers: one outcome per id, in order.
    ///
    /// # Contract
    /// - `stop_of_what_was_not_handed_over_ends_it`: What waits, or was not yet handed over, is stopped at once, and
    ///   its room is free.
    /// - `stop_of_what_was_handed_over_waits_for_its_worker`: What was handed over owns its room until its worker says
    ///   that it is over.
    /// - `stop_goes_over_drain`: Who asked for a stop does not see it run again: stop goes over drain, and never back.
    /// - `stop_repeated_changes_nothing`: A repeat of a stop changes nothing.
    /// - `stop_against_take_has_one_winner`: Of a stop and a take at the same time either the stop is first, and
    ///   nothing is handed over, or the take is.
    /// - `stop_against_submit_has_one_winner`: Of a stop and a submission at the same time either the stop finds nobody, or
    ///   it ends what was submitted.
    /// - `a_stop_while_settling_waits_for_who_may_run_it`: After writes were lost, what is stopped may run where nobody
    ///   knows: it is over when its worker says so, or when the settling is.
    /// - `what_was_placed_in_the_history_before_counts_as_handed_over`: What was placed before writes were lost may have
    ///   been taken since: a stop, or a drain, waits for its worker.
    async fn stop(&self, cell: &CellName, now: Timestamp, ids: Vec<ContainerId>) -> PortResult<Vec<StopOutcome>>;

    /// Forgets ended containers beyond what is kept, at most `limit` in one call.
    ///
    /// # Contract
    /// - `forget_keeps_as_long_and_as_many_as_it_is_told`: Ended containers stay for as long as is said, up to a
    ///   number; the oldest ends go first, in bounded steps.
    /// - `forget_repeated_forgets_no_more`: A repeat after a lost answer forgets nothing that is to be kept.
    /// - `a_forgotten_id_is_free`: A forgotten id is nobody's: its body and output are gone, and it may be handed in
    ///   anew.
    async fn forget(&self, cell: &CellName, now: Timestamp, keep: Keep, limit: usize) -> PortResult<Forgotten>;

    /// Reads all that waits or owns room, with the workers that it is on, a page at a time.
    ///
    /// # Contract
    /// - `export_pages_add_up_while_all_changes`: However small its pages, and whatever changes meanwhile, an export
    ///   ends with what waits or owns room.
    async fn export(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<ExportPage>;
}
