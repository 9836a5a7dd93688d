//! Containers: submitted, listed, shown, waited for, stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::container::{Phase, State as ContainerState, Waiting};
use domain::id::{ContainerId, WorkerId, Workspace};
use domain::model::Filter;
use domain::model::backlog::SubmitOutcome;
use domain::model::containers::{Found, StopOutcome};
use domain::request::Submission;
use ports::around::counting_repeats;
use serde::Deserialize;
use tokio::time::Instant;

use super::answer::{Answer, Refusal};
use super::calls::check_items;
use super::clock::now;
use super::explain::Reasons;
use super::read::{Body, Id, Params, page_size};
use super::room::{Room, WAIT_MAX};
use crate::api::calls::convert::each;
use crate::api::container::{
    ContainerDocument, ContainerList, LogsDocument, StopDocument, SubmitAnswer, SubmitDocument,
};
use crate::api::field::{BadField, some_name};
use crate::api::json::{OneOrList, read_one_or_list};
use crate::api::problem::{Kind, Problem};
use crate::api::request::RequestDocument;
use crate::failpoints::{self, Point};

/// How many containers a page holds if nothing is said, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Who waits for a container reads it again after this long, and longer each time.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// `POST /v1/containers`: one request, or a list that the store decides on in one call.
pub(super) async fn submit(State(room): State<Arc<Room>>, Body(bytes): Body) -> Result<Response, Refusal> {
    match read_one_or_list::<RequestDocument>(&bytes)? {
        OneOrList::One(request) => {
            let submission = request.to_submission()?;
            let id = submission.id.to_string();
            let outcomes = hand_in(&room, vec![submission]).await?;
            failpoints::pass(Point::Submitted, 1);
            let outcome = outcomes.first().ok_or_else(|| Refusal::new(Kind::Internal, "the store gave no answer"))?;
            answer_one(&id, outcome)
        }
        OneOrList::List(requests) => {
            check_items(&room, "", requests.len())?;
            let submissions = each("", &requests, RequestDocument::to_submission)?;
            check_ids(&submissions)?;
            let ids: Vec<_> = submissions.iter().map(|submission| submission.id.to_string()).collect();
            let outcomes = hand_in(&room, submissions).await?;
            failpoints::pass(Point::Submitted, ids.len());
            let outcomes = ids.iter().zip(&outcomes).map(|(id, outcome)| SubmitDocument::of(id, outcome)).collect();
            Ok(Json(SubmitAnswer { outcomes }).into_response())
        }
    }
}

/// Hands requests in, and knows again what a try of this very call handed in whose answer was lost: who is told that his
/// id was there already may choose another, and have it run twice.
async fn hand_in(room: &Room, submissions: Vec<Submission>) -> Result<Vec<SubmitOutcome>, Refusal> {
    let now = now();
    let ids: Vec<_> = submissions.iter().map(|submission| submission.id.clone()).collect();
    let (outcomes, repeats) = counting_repeats(room.ports.backlog.submit(&room.cell, now, submissions)).await;
    let mut outcomes = outcomes?;
    if repeats == 0 || !outcomes.iter().any(|outcome| matches!(outcome, SubmitOutcome::Already(_))) {
        return Ok(outcomes);
    }
    let found = room.ports.containers.get(&room.cell, ids).await?;
    for (outcome, found) in outcomes.iter_mut().zip(found) {
        // No step writes a time before that of its call.
        let since = found.is_none_or(|found| found.row.submitted >= now);
        if since && matches!(outcome, SubmitOutcome::Already(_)) {
            *outcome = SubmitOutcome::Accepted;
        }
    }
    Ok(outcomes)
}

fn answer_one(id: &str, outcome: &SubmitOutcome) -> Result<Response, Refusal> {
    let document = SubmitDocument::of(id, outcome);
    match outcome {
        SubmitOutcome::Accepted => Ok((StatusCode::CREATED, Json(document)).into_response()),
        SubmitOutcome::Already(_) => Ok(Json(document).into_response()),
        SubmitOutcome::Invalid(bad) => Err(BadField::from(bad.clone()).into()),
        SubmitOutcome::Conflict => {
            let problem = Problem::new(Kind::Conflict, document.detail.unwrap_or_default());
            let problem = Problem { field: Some("id".to_owned()), value: Some(id.to_owned()), ..problem };
            Err(problem.next(format!("stowplan status {id}")).into())
        }
    }
}

fn check_ids(submissions: &[Submission]) -> Result<(), BadField> {
    let mut seen = BTreeSet::new();
    for (index, submission) in submissions.iter().enumerate() {
        if !seen.insert(&submission.id) {
            return Err(BadField::of("id", submission.id.as_str(), "is there already; choose another").at(index));
        }
    }
    Ok(())
}

/// What [`list`] is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListParams {
    state: Option<String>,
    workspace: Option<String>,
    worker: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

impl ListParams {
    /// The filter that the store goes by: the one that leaves the fewest. The others are applied to what it answers.
    fn filter(&self) -> Result<(Filter, Option<Phase>, Option<Workspace>), BadField> {
        let phase = self.state.as_ref().map(|word| {
            let found = Phase::ALL.into_iter().find(|phase| phase.as_str() == word);
            found.ok_or_else(|| BadField::unknown("state", word, &Phase::ALL.map(Phase::as_str)))
        });
        let phase = phase.transpose()?;
        let workspace = some_name("workspace", self.workspace.as_ref(), Workspace::new)?;
        let filter = match (some_name("worker", self.worker.as_ref(), WorkerId::new)?, phase, &workspace) {
            (Some(worker), ..) => Filter::Worker(worker),
            (None, Some(phase), _) => Filter::Phase(phase),
            (None, None, Some(workspace)) => Filter::Workspace(workspace.clone()),
            (None, None, None) => Filter::All,
        };
        Ok((filter, phase, workspace))
    }
}

/// `GET /v1/containers`
pub(super) async fn list(State(room): State<Arc<Room>>, Params(params): Params<ListParams>) -> Answer<ContainerList> {
    let (filter, phase, workspace) = params.filter()?;
    let after = some_name("after", params.after.as_ref(), ContainerId::new)?;
    let limit = page_size(params.limit.as_ref(), PAGE, PAGE_MAX)?;
    let mut page = room.ports.containers.list(&room.cell, filter, after, limit).await?;
    page.rows.retain(|row| {
        phase.is_none_or(|phase| row.state.phase() == phase)
            && workspace.as_ref().is_none_or(|workspace| row.ask.workspace == *workspace)
    });
    let mut reasons = Reasons::new(&*room.view);
    let show = |row| ContainerDocument::of(row, None, reasons.in_list(row));
    let containers = page.rows.iter().map(show).collect();
    Ok(Json(ContainerList { containers, next: page.after.map(|id| id.to_string()) }))
}

/// What [`get`] is asked to wait for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WaitParams {
    wait: Option<u64>,
    until: Option<String>,
}

/// What a caller may wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// A plan has looked at it.
    Decided,
    /// It is over.
    Ended,
}

impl Until {
    fn is_reached(self, found: &Found) -> bool {
        match self {
            Self::Decided => !matches!(found.row.state, ContainerState::Pending(Waiting::Ready)),
            Self::Ended => found.row.state.phase().is_ended(),
        }
    }
}

/// `GET /v1/containers/{id}`
pub(super) async fn get(
    State(room): State<Arc<Room>>,
    id: Id,
    Params(params): Params<WaitParams>,
) -> Answer<ContainerDocument> {
    let id = id.read(ContainerId::new)?;
    let until = match params.until.as_deref() {
        None | Some("ended") => Until::Ended,
        Some("decided") => Until::Decided,
        Some(other) => return Err(BadField::unknown("until", other, &["decided", "ended"]).into()),
    };
    let wait = Duration::from_millis(params.wait.unwrap_or(0)).min(WAIT_MAX);
    let found = find_when(&room, &id, until, wait).await?;
    let reason = Reasons::new(&*room.view).alone(&found.row);
    Ok(Json(ContainerDocument::of(&found.row, found.body.as_deref(), reason)))
}

/// Reads the container until what is waited for has come, or the time is up.
async fn find_when(room: &Room, id: &ContainerId, until: Until, wait: Duration) -> Result<Found, Refusal> {
    let deadline = Instant::now() + wait;
    let mut pause = PAUSE_MIN;
    loop {
        let found = find(room, id).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || room.is_closing() || until.is_reached(&found) {
            return Ok(found);
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Reads one container; refused if it is not there.
pub(super) async fn find(room: &Room, id: &ContainerId) -> Result<Found, Refusal> {
    let found = room.ports.containers.get(&room.cell, vec![id.clone()]).await?;
    found.into_iter().next().flatten().ok_or_else(|| no_such_container(id))
}

fn no_such_container(id: &ContainerId) -> Refusal {
    let detail = format!("there is no container {id}; what ended long ago is forgotten");
    Refusal::new(Kind::NotFound, detail).next("stowplan status")
}

/// `POST /v1/containers/{id}/stop`
pub(super) async fn stop(State(room): State<Arc<Room>>, id: Id) -> Answer<StopDocument> {
    let id = id.read(ContainerId::new)?;
    let now = now();
    let (outcomes, repeats) = counting_repeats(room.ports.containers.stop(&room.cell, now, vec![id.clone()])).await;
    let mut outcome = outcomes?.into_iter().next().unwrap_or(StopOutcome::NoSuchContainer);
    if repeats > 0 && outcome == StopOutcome::Ended(Phase::Stopped) {
        let end = find(&room, &id).await?.row.last_end;
        if end.is_some_and(|end| end.at >= now) {
            outcome = StopOutcome::Stopped;
        }
    }
    StopDocument::of(id.as_str(), outcome).map(Json).ok_or_else(|| no_such_container(&id))
}

/// `GET /v1/containers/{id}/logs`
pub(super) async fn logs(State(room): State<Arc<Room>>, id: Id) -> Answer<LogsDocument> {
    let found = find(&room, &id.read(ContainerId::new)?).await?;
    Ok(Json(LogsDocument::of(&found.row, found.output.as_ref())))
}
