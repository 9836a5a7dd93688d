//! What a server says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// `GET /v1/about`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutDocument {
    /// Which Stowplan it is.
    pub version: String,
    /// Its wall clock.
    pub now: Moment,
    /// How long it has been up.
    pub up_ms: u64,
    /// The cell that it serves.
    pub cell: String,
    /// Whether it plans the cell.
    pub plans: bool,
    /// Who plans the cell, as far as it knows, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_by: Option<String>,
    /// Why it can commit no batch now; none if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Where the cell is kept.
    pub store: StoreDocument,
    /// How the store answered a read, just now.
    pub answer: StoreAnswer,
    /// The settings that are in force.
    pub settings: SettingsDocument,
}

/// Where a cell is kept, and what an operator should know of that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreDocument {
    /// `embedded`, `memory`, or the address of a server, without its password.
    pub kind: String,
    /// Whether it has said yet what it is; one in this process needs not.
    pub examined: bool,
    /// What it is, in names and values.
    pub facts: BTreeMap<String, String>,
    /// What it may lose, or does not tell.
    pub cautions: Vec<CautionDocument>,
}

/// Something that an operator should know, and may want to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CautionDocument {
    /// What it is, in a sentence without its full stop.
    pub what: String,
    /// What changes it.
    pub fix: String,
}

/// How a store answered one read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreAnswer {
    /// It did, after so many microseconds.
    After(u64),
    /// It did not, and why.
    Failed(String),
}

/// The settings that are in force, as far as they shape how batches go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsDocument {
    /// Whether callers must show a token.
    pub token: bool,
    /// How long a batch gathers, with `flush` `window`.
    pub batch_window_ms: u64,
    /// How many requests a batch holds at most.
    pub max_batch_size: usize,
    /// How old a look at the fleet may be and still serve.
    pub fleet_cache_ms: u64,
    /// `idle` or `window`.
    pub flush: String,
    /// How long a worker may be silent before what it runs is ended by itself.
    pub keepalive_ms: u64,
    /// How long after that its work is given away.
    pub grace_ms: u64,
    /// Whether any quota was given: by default, and for a workspace.
    pub quotas: bool,
}
