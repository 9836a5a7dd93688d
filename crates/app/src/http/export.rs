//! All that a cell holds, in pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::id::Revision;
use serde::Deserialize;

use super::answer::Answer;
use super::read::{Params, page_size};
use super::room::Room;
use crate::api::export::ExportDocument;

/// How many rows a page holds if nothing is said, and at most.
const PAGE: usize = 1_000;
const PAGE_MAX: usize = 5_000;

/// What [`export`] is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExportParams {
    since: Option<u64>,
    limit: Option<String>,
}

/// `GET /v1/export`
pub(super) async fn export(
    State(room): State<Arc<Room>>,
    Params(params): Params<ExportParams>,
) -> Answer<ExportDocument> {
    let limit = page_size(params.limit.as_ref(), PAGE, PAGE_MAX)?;
    let page = room.ports.containers.export(&room.cell, params.since.map(Revision), limit).await?;
    Ok(Json(ExportDocument::of(&page, room.view.policy().quotas.as_ref())))
}
