//! Why a container is where it is, by the fleet as this process's planner saw it last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use domain::container::{ContainerRow, State as ContainerState, Waiting};
use domain::fleet::{Fleet, Policy};
use domain::id::ContainerId;
use domain::model::backlog::InLine;
use domain::placement::Explanation;
use domain::wait::{LotKey, Why};

use super::answer::{Answer, Refusal};
use super::containers::find;
use super::read::Id;
use super::room::Room;
use super::view::Explain;
use crate::api::container::ContainerDocument;
use crate::api::explain::{ExplainDocument, FleetDocument, reason_now};
use crate::api::period::spoken;
use crate::api::problem::Kind;
use crate::api::reason::ReasonDocument;
use crate::api::worker::SILENCE_PART;

/// For how many lots one list looks at the fleet.
const LOTS_EXPLAINED_MAX: usize = 32;

/// `GET /v1/containers/{id}/explain`
pub(super) async fn explain(State(room): State<Arc<Room>>, id: Id) -> Answer<ExplainDocument> {
    let id = id.read(ContainerId::new)?;
    let row = match find(&room, &id).await {
        Ok(found) => found.row,
        Err(refusal) if refusal.is(Kind::Corrupt) => return Ok(Json(unreadable(&id, refusal.detail()))),
        Err(refusal) => return Err(refusal),
    };
    let (id, state) = (row.id.to_string(), row.state.phase().as_str().to_owned());
    if !matches!(row.state, ContainerState::Pending(_)) || row.state.lot() == Some(&LotKey::Stop) {
        let text = whereabouts(&row, &*room.view, room.keepalive);
        return Ok(Json(ExplainDocument { id, state, text, fleet: None, reason: None }));
    }
    let Some(fleet) = room.view.fleet() else {
        let why = room.view.trouble().unwrap_or_else(|| "the fleet has not been looked at yet".to_owned());
        return Err(Refusal::new(Kind::Unavailable, format!("this server cannot explain: {why}")));
    };
    let explanation = explain_row(&row, &fleet, &room.view.policy());
    Ok(Json(ExplainDocument {
        id,
        state,
        text: explanation.sentence(&row.ask),
        fleet: Some(FleetDocument::of(&explanation)),
        reason: reason_now(&explanation, &row.ask),
    }))
}

/// What can be said of a container whose row cannot be read.
fn unreadable(id: &ContainerId, problem: &str) -> ExplainDocument {
    let reason = ReasonDocument::corrupt(problem);
    ExplainDocument {
        id: id.to_string(),
        state: "unknown".to_owned(),
        text: reason.text.clone(),
        fleet: None,
        reason: Some(reason),
    }
}

fn explain_row(row: &ContainerRow, fleet: &Fleet, policy: &Policy) -> Explanation {
    domain::placement::explain(fleet, &InLine::from(row.clone()).candidate, policy)
}

/// Where a container is that does not wait.
fn whereabouts(row: &ContainerRow, view: &dyn Explain, keepalive: Duration) -> String {
    let document = ContainerDocument::of(row, None, None);
    let (state, worker) = (&document.state, document.worker.as_deref().unwrap_or("no worker"));
    let how = document.last_end.as_ref().map(|end| end.text.as_str());
    match &row.state {
        ContainerState::Placed(_) => format!("placed on {worker}, which has not taken it yet"),
        ContainerState::Starting(place) | ContainerState::Running(place) | ContainerState::Stopping(place, _) => {
            let silent = view
                .silence_of(&place.worker, place.incarnation)
                .map(|(silent, _)| silent)
                .filter(|silent| *silent >= keepalive / SILENCE_PART);
            let silent = silent.map(|silent| format!(", which has been silent for {}", spoken(silent)));
            format!("{state} on {worker}, attempt {}{}", row.attempt, silent.unwrap_or_default())
        }
        ContainerState::Pending(_) => "to be stopped once all workers have said what they run".to_owned(),
        _ => format!("{state}: {}", how.unwrap_or("nothing more is known")),
    }
}

/// Why containers wait, for one answer: the fleet is read once, and those of one lot share what was found.
pub(super) struct Reasons {
    fleet: Option<Arc<Fleet>>,
    policy: Arc<Policy>,
    found: BTreeMap<LotKey, ReasonDocument>,
}

impl Reasons {
    pub(super) fn new(view: &dyn Explain) -> Self {
        Self { fleet: view.fleet(), policy: view.policy(), found: BTreeMap::new() }
    }

    /// As a list says it: what the last plan found for its lot. A lot that is new to us is looked at, up to a bound.
    pub(super) fn in_list(&mut self, row: &ContainerRow) -> Option<ReasonDocument> {
        let lot = match &row.state {
            ContainerState::Pending(Waiting::Ready) => return Some(ReasonDocument::ready()),
            ContainerState::Pending(Waiting::Parked(lot)) => lot,
            _ => return None,
        };
        let Some(fleet) = self.fleet.clone() else { return Some(ReasonDocument::unknown()) };
        let known =
            quota_now(row, lot, &fleet, &self.policy).or_else(|| fleet.lots.get(lot).map(|lot| lot.why.clone()));
        if let Some(why) = known {
            return Some(ReasonDocument::of(&why, &row.ask));
        }
        if let Some(found) = self.found.get(lot) {
            return Some(found.clone());
        }
        if self.found.len() >= LOTS_EXPLAINED_MAX {
            return Some(ReasonDocument::unknown());
        }
        let reason = reason_now(&explain_row(row, &fleet, &self.policy), &row.ask).unwrap_or_else(ReasonDocument::fits);
        self.found.insert(lot.clone(), reason.clone());
        Some(reason)
    }

    /// As its own answer says it: what a plan of it alone finds now, else what the last plan found.
    pub(super) fn alone(&mut self, row: &ContainerRow) -> Option<ReasonDocument> {
        let parked = row.state.lot();
        let fleet = parked.and(self.fleet.as_deref());
        let now = fleet.and_then(|fleet| reason_now(&explain_row(row, fleet, &self.policy), &row.ask));
        now.or_else(|| self.in_list(row))
    }
}

/// A quota's lot holds requests of all sizes, so its reason speaks of another one.
fn quota_now(row: &ContainerRow, lot: &LotKey, fleet: &Fleet, policy: &Policy) -> Option<Why> {
    let LotKey::Quota(workspace) = lot else { return None };
    let used = fleet.usage.get(workspace).copied().unwrap_or_default();
    used.obstacle(&row.ask, policy.quotas.as_ref()?.limits(workspace)).map(Why::Quota)
}
