//! What agents call: register, heartbeat, take, report.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use domain::id::WorkerId;
use domain::model::workers::{RegisterOutcome, Registration};
use domain::model::{self, placements};
use domain::worker::{CallAnswer, Caller};
use tokio::time::Instant;

use super::answer::{Answer, Refusal};
use super::clock::now;
use super::read::{Document, Id};
use super::room::{Room, WAIT_MAX};
use crate::api::calls::convert::each;
use crate::api::calls::{
    HeartbeatAnswer, HeartbeatCall, Order, OrderMark, RegisterAnswer, RegisterCall, Report, ReportAnswer, ReportCall,
    ReportOutcome, TakeAnswer, TakeCall,
};
use crate::api::field::BadField;
use crate::api::period::millis;
use crate::api::problem::Kind;
use crate::failpoints::{self, Point};

/// The most orders in one answer, each of which may carry a whole body.
const ORDERS_MAX: usize = 256;

/// `POST /v1/workers`
pub(super) async fn register(
    State(room): State<Arc<Room>>,
    Document(call): Document<RegisterCall>,
) -> Answer<RegisterAnswer> {
    let registration = call.to_registration()?;
    check_items(&room, "holds", registration.holds.len() + registration.ends.len())?;
    let worker = registration.worker.clone();
    let keepalive_ms = millis(room.keepalive);
    match register_in(&room, registration).await? {
        RegisterOutcome::Registered { mark, kills, unknown } => {
            if unknown > 0 {
                tracing::warn!(%worker, unknown, "a worker tells of containers that were accepted and are lost");
            }
            let (history, revision) = (mark.history.get(), mark.revision.0);
            let kill = kills.iter().map(Into::into).collect();
            Ok(Json(RegisterAnswer { history, revision, kill, keepalive_ms, raise_above: None }))
        }
        RegisterOutcome::Raise { above } => {
            let (kill, raise_above) = (Vec::new(), Some(above.0));
            Ok(Json(RegisterAnswer { history: 0, revision: 0, kill, keepalive_ms, raise_above }))
        }
        RegisterOutcome::Replaced => Err(replaced(&worker)),
        RegisterOutcome::KeyTaken { taken } => Err(key_taken(&worker, taken)),
    }
}

async fn register_in(room: &Room, registration: Registration) -> Result<RegisterOutcome, Refusal> {
    Ok(room.ports.workers.register(&room.cell, now(), registration).await?)
}

fn replaced(worker: &WorkerId) -> Refusal {
    let detail = format!("a later run of {worker} has registered, from the same data folder");
    Refusal::new(Kind::WorkerReplaced, detail).next("stowplan worker list")
}

fn key_taken(worker: &WorkerId, taken: u32) -> Refusal {
    let detail = format!(
        "another machine is registered as {worker} and was handed {taken} containers; a cloned machine needs a name of \
         its own; if the other is gone for good, remove it"
    );
    Refusal::new(Kind::WorkerKeyTaken, detail).next(format!("stowplan worker remove {worker} --lost"))
}

/// `POST /v1/workers/{id}/heartbeat`
pub(super) async fn heartbeat(
    State(room): State<Arc<Room>>,
    id: Id,
    Document(call): Document<HeartbeatCall>,
) -> Answer<HeartbeatAnswer> {
    let caller = call.caller.to_caller(id.read(WorkerId::new)?)?;
    let answers = room.ports.workers.heartbeat(&room.cell, vec![caller]).await?;
    let answer = answers.first().copied().ok_or_else(|| Refusal::new(Kind::Internal, "the store gave no answer"))?;
    Ok(Json(HeartbeatAnswer { verdict: answer.into() }))
}

/// `POST /v1/workers/{id}/take`
pub(super) async fn take(
    State(room): State<Arc<Room>>,
    id: Id,
    Document(call): Document<TakeCall>,
) -> Answer<TakeAnswer> {
    let caller = call.caller.to_caller(id.read(WorkerId::new)?)?;
    let after = call.after.as_ref().map(OrderMark::to_mark).transpose().map_err(|bad| bad.inside("after"))?;
    let limit = (call.limit as usize).clamp(1, ORDERS_MAX);
    let answer = wait_for_orders(&room, &caller, after, limit, Duration::from_millis(call.wait_ms)).await?;
    failpoints::pass(Point::Taken, answer.orders.len());
    Ok(Json(TakeAnswer {
        verdict: answer.call.into(),
        orders: answer.orders.iter().map(Order::from).collect(),
        upto: answer.upto.as_ref().map(OrderMark::from),
        revision: answer.mark.revision.0,
    }))
}

/// Registers interest, then takes, then waits: what comes in between is not missed.
async fn wait_for_orders(
    room: &Room,
    caller: &Caller,
    mut after: Option<model::OrderMark>,
    limit: usize,
    wait: Duration,
) -> Result<placements::TakeAnswer, Refusal> {
    let deadline = Instant::now() + wait.min(WAIT_MAX);
    let mut interest = room.orders.of(&caller.worker);
    loop {
        let taking = room.ports.placements.take(&room.cell, now(), caller.clone(), after.clone(), limit);
        let answer = taking.await?;
        let idle = answer.call == CallAnswer::Ok && answer.orders.is_empty();
        let Some(interest) = interest.as_mut().filter(|_| idle && Instant::now() < deadline && !room.is_closing())
        else {
            return Ok(answer);
        };
        tokio::select! {
            () = interest.woken() => after.clone_from(&answer.upto),
            () = tokio::time::sleep_until(deadline) => return Ok(answer),
            () = room.closed() => return Ok(answer),
        }
    }
}

/// `POST /v1/workers/{id}/report`
pub(super) async fn report(
    State(room): State<Arc<Room>>,
    id: Id,
    Document(call): Document<ReportCall>,
) -> Answer<ReportAnswer> {
    let caller = call.caller.to_caller(id.read(WorkerId::new)?)?;
    check_items(&room, "reports", call.reports.len())?;
    let reports = each("reports", &call.reports, Report::to_report)?;
    let answer = room.ports.placements.report(&room.cell, now(), caller, reports).await?;
    failpoints::pass(Point::Reported, answer.outcomes.len());
    let outcomes = answer.outcomes.into_iter().map(ReportOutcome::from).collect();
    Ok(Json(ReportAnswer { verdict: answer.call.into(), outcomes, revision: answer.mark.revision.0 }))
}

/// Refuses a list that is longer than one step of the store takes.
pub(super) fn check_items(room: &Room, path: &str, count: usize) -> Result<(), BadField> {
    let most = room.ports.limits.call_items_max;
    if count > most {
        return Err(BadField::new(path, format!("{count} at once; at most {most} in one call")));
    }
    Ok(())
}
