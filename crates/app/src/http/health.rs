//! Whether the server is there, whether it can do its work, and what it counts.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::room::Room;
use crate::api::problem::Kind;

/// How long the store may take to answer and still be called there.
pub(super) const STORE_WITHIN: Duration = Duration::from_secs(2);
/// What the metrics are written in.
const METRICS_MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "healthy": true }))
}

/// `GET /readyz`: the store answers, and somebody plans.
pub(super) async fn readyz(State(room): State<Arc<Room>>) -> Answer<Value> {
    let unready = |why: String| Err(Refusal::new(Kind::Unavailable, why));
    if room.is_closing() {
        return unready("the server is closing".to_owned());
    }
    match tokio::time::timeout(STORE_WITHIN, room.ports.backlog.depth(&room.cell)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return unready(error.in_full()),
        Err(_) => return unready(format!("the store does not answer within {} s", STORE_WITHIN.as_secs())),
    }
    let cautions = room.view.store().cautions.into_iter();
    let cautions: Vec<_> = cautions.map(|caution| format!("{}; {}", caution.what, caution.fix)).collect();
    room.view.trouble().map_or_else(|| Ok(Json(json!({ "ready": true, "cautions": cautions }))), unready)
}

/// `GET /metrics`
pub(super) async fn metrics(State(room): State<Arc<Room>>) -> Response {
    // A store that does not answer takes its own numbers out of the page, not the page.
    let depth = tokio::time::timeout(STORE_WITHIN, room.ports.backlog.depth(&room.cell)).await;
    let depth = depth.ok().and_then(Result::ok);
    ([(CONTENT_TYPE, METRICS_MEDIA_TYPE)], (room.metrics)(depth.as_ref())).into_response()
}
