//! What the server is, for those who look after it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::clock::now;
use super::health::STORE_WITHIN;
use super::room::Room;
use crate::api::about::{AboutDocument, StoreAnswer};
use crate::api::period::millis;

/// `GET /v1/about`
pub(super) async fn about(State(room): State<Arc<Room>>) -> Answer<AboutDocument> {
    let answer = ask_store(&room).await;
    Ok(Json(AboutDocument {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        up_ms: millis(room.began.elapsed()),
        cell: room.cell.to_string(),
        plans: room.view.plans(),
        planned_by: room.view.planned_by().map(|planner| planner.to_string()),
        trouble: room.view.trouble(),
        store: room.view.store(),
        answer,
        settings: room.settings.clone(),
        // Read last: what comes after it is the way back alone.
        now: now().into(),
    }))
}

async fn ask_store(room: &Room) -> StoreAnswer {
    let began = Instant::now();
    match timeout(STORE_WITHIN, room.ports.backlog.depth(&room.cell)).await {
        Ok(Ok(_)) => StoreAnswer::After(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)),
        Ok(Err(error)) => StoreAnswer::Failed(error.in_full()),
        Err(_) => StoreAnswer::Failed(format!("it does not answer within {} s", STORE_WITHIN.as_secs())),
    }
}
