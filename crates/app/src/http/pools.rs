//! Pools: what they have, what they want, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::answer::{Answer, Refusal};
use super::room::Room;
use crate::api::pools::PoolList;
use crate::api::problem::Kind;

/// `GET /v1/pools`: only the planner of the cell knows.
pub(super) async fn list(State(room): State<Arc<Room>>) -> Answer<PoolList> {
    let Some(pools) = room.view.pools() else {
        let why = room.view.trouble().unwrap_or_else(|| "the fleet has not been looked at yet".to_owned());
        return Err(Refusal::new(Kind::Unavailable, format!("this server does not know the pools: {why}")));
    };
    Ok(Json(PoolList { pools }))
}
