//! Workers: listed, shown, cordoned, drained, removed.

use std::ops::Bound;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::id::{Incarnation, WorkerId};
use domain::model::workers::{RemoveHow, RemoveOutcome, SeenSilent, StatusChange, StatusOutcome};
use domain::worker::{Status, WorkerRow};
use ports::around::counting_repeats;
use serde::Deserialize;

use super::answer::{Answer, Refusal};
use super::clock::now;
use super::fleet::Workers;
use super::read::{Id, MaybeDocument, Params, page_size};
use super::room::Room;
use crate::api::field::{BadField, some_name};
use crate::api::period::{millis, spoken};
use crate::api::problem::Kind;
use crate::api::worker::{DrainCall, RemoveCall, WorkerDocument, WorkerList, WorkerOutcome};

/// How many workers a page holds if nothing is said, and at most.
const PAGE: usize = 1_000;
const PAGE_MAX: usize = 5_000;
/// How many containers of a worker that is gone go back in one step, and how many such steps one call makes.
const GIVE_BACK: usize = 1_000;
const REMOVE_STEPS_MAX: usize = 100;

/// What [`list`] is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListParams {
    after: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/workers`
pub(super) async fn list(State(room): State<Arc<Room>>, Params(params): Params<ListParams>) -> Answer<WorkerList> {
    let after = some_name("after", params.after.as_ref(), WorkerId::new)?;
    let limit = page_size(params.limit.as_ref(), PAGE, PAGE_MAX)?;
    let (page, more) = read(&room, |workers| {
        let mut later = workers.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let page: Vec<_> = later.by_ref().take(limit).map(|(_, row)| row.clone()).collect();
        (page, later.next().is_some())
    })
    .await?;
    let next = page.last().filter(|_| more).map(|row| row.id.to_string());
    Ok(Json(WorkerList { workers: page.iter().map(|row| show(&room, row)).collect(), next }))
}

/// `GET /v1/workers/{id}`
pub(super) async fn get(State(room): State<Arc<Room>>, id: Id) -> Answer<WorkerDocument> {
    let row = find(&room, &id.read(WorkerId::new)?).await?;
    Ok(Json(show(&room, &row)))
}

fn show(room: &Room, row: &WorkerRow) -> WorkerDocument {
    WorkerDocument {
        silent_ms: room.view.silence_of(&row.id, row.incarnation).map(|(silent, _)| millis(silent)),
        ..WorkerDocument::of(row)
    }
}

async fn find(room: &Room, id: &WorkerId) -> Result<WorkerRow, Refusal> {
    read(room, |workers| workers.get(id).cloned()).await?.ok_or_else(|| no_such_worker(id))
}

fn no_such_worker(id: &WorkerId) -> Refusal {
    Refusal::new(Kind::NotFound, format!("there is no worker {id}")).next("stowplan worker list")
}

/// Reads all workers.
async fn read<T>(room: &Room, read: impl FnOnce(&Workers) -> T + Send) -> Result<T, Refusal> {
    let overtaken = || Refusal::new(Kind::Unavailable, "the fleet changes faster than it can be read; ask again");
    room.fleet.read(&*room.ports.workers, &room.cell, read).await?.ok_or_else(overtaken)
}

/// `POST /v1/workers/{id}/cordon`
pub(super) async fn cordon(State(room): State<Arc<Room>>, id: Id) -> Answer<WorkerOutcome> {
    set_status(&room, &id, StatusChange::Cordoned).await
}

/// `POST /v1/workers/{id}/uncordon`
pub(super) async fn uncordon(State(room): State<Arc<Room>>, id: Id) -> Answer<WorkerOutcome> {
    set_status(&room, &id, StatusChange::Open).await
}

/// `POST /v1/workers/{id}/drain`
pub(super) async fn drain(
    State(room): State<Arc<Room>>,
    id: Id,
    MaybeDocument(call): MaybeDocument<DrainCall>,
) -> Answer<WorkerOutcome> {
    set_status(&room, &id, StatusChange::Draining { within: call.to_within()? }).await
}

async fn set_status(room: &Room, id: &Id, change: StatusChange) -> Answer<WorkerOutcome> {
    let id = id.read(WorkerId::new)?;
    let changes = vec![(id.clone(), change)];
    let (outcomes, repeats) = counting_repeats(room.ports.workers.set_status(&room.cell, now(), changes)).await;
    match outcomes?.first() {
        Some(StatusOutcome::Done) => Ok(done(&id, "done")),
        // Most likely by the try whose answer was lost.
        Some(StatusOutcome::Already) if repeats > 0 => Ok(done(&id, "done")),
        Some(StatusOutcome::Already) => Ok(done(&id, "already")),
        Some(StatusOutcome::NoSuchWorker) | None => Err(no_such_worker(&id)),
    }
}

fn done(id: &WorkerId, outcome: &str) -> Json<WorkerOutcome> {
    Json(WorkerOutcome { id: id.to_string(), outcome: outcome.to_owned() })
}

/// `POST /v1/workers/{id}/remove`
pub(super) async fn remove(
    State(room): State<Arc<Room>>,
    id: Id,
    MaybeDocument(call): MaybeDocument<RemoveCall>,
) -> Answer<WorkerOutcome> {
    let id = id.read(WorkerId::new)?;
    let how = match (call.lost, call.incarnation) {
        (false, None) => {
            find(&room, &id).await?;
            RemoveHow::IfEmpty
        }
        (false, Some(_)) => {
            return Err(BadField::new("incarnation", "is read only with lost; add \"lost\": true").into());
        }
        (true, None) => return Err(BadField::missing("incarnation", "name the run that you read").into()),
        (true, Some(incarnation)) => {
            let incarnation = Incarnation(incarnation);
            let seen = check_is_silent(&room, &id, incarnation).await?;
            RemoveHow::Lost { incarnation, seen }
        }
    };
    for _ in 0..REMOVE_STEPS_MAX {
        let removals = vec![(id.clone(), how)];
        let removal = room.ports.workers.remove(&room.cell, now(), removals, GIVE_BACK);
        let (outcomes, repeats) = counting_repeats(removal).await;
        match outcomes?.first() {
            Some(RemoveOutcome::Done) => return Ok(done(&id, "done")),
            // It was there a moment ago: a try whose answer was lost removed it.
            Some(RemoveOutcome::NoSuchWorker) if repeats > 0 => return Ok(done(&id, "done")),
            Some(RemoveOutcome::NoSuchWorker) | None => return Err(no_such_worker(&id)),
            Some(RemoveOutcome::Owns(count)) => return Err(owns(&id, *count)),
            Some(RemoveOutcome::Registered) => {
                let detail = format!("another run of {id} has registered since you read it; look again");
                return Err(Refusal::new(Kind::WorkerLives, detail).next("stowplan worker list"));
            }
            Some(RemoveOutcome::Lives) => {
                let detail = format!("{id} has called since it was last looked at; it is not gone");
                return Err(Refusal::new(Kind::WorkerLives, detail).next("stowplan worker list"));
            }
            Some(RemoveOutcome::More(_)) => {}
        }
    }
    Err(Refusal::new(Kind::Unavailable, format!("{id} owns so much that removing it takes longer; say it again")))
}

fn owns(id: &WorkerId, count: u32) -> Refusal {
    let detail = format!("{id} owns {count} containers; drain it first");
    Refusal::new(Kind::WorkerOwns, detail).next(format!("stowplan worker drain {id}"))
}

/// Refuses to call a worker lost that spoke a moment ago, or of which nobody here knows when it did: what it runs would
/// run twice. Answers what stood still.
async fn check_is_silent(room: &Room, id: &WorkerId, run: Incarnation) -> Result<Option<SeenSilent>, Refusal> {
    let row = find(room, id).await?;
    let is_another = row.incarnation != run; // the store says so
    if is_another || row.status() == Status::Lost || row.key.is_none() {
        return Ok(None);
    }
    let least = room.keepalive + room.grace;
    let refuse = |detail: String| Err(Refusal::new(Kind::WorkerLives, detail).next("stowplan worker list"));
    match room.view.silence_of(id, run) {
        Some((silent, seen)) if silent >= least => Ok(Some(seen)),
        Some((silent, _)) => refuse(format!(
            "{id} was heard of {} ago; it can be called lost after {} of silence",
            spoken(silent),
            spoken(least)
        )),
        None => refuse(format!("this server has not watched {id} for long enough to call it lost; try again later")),
    }
}
