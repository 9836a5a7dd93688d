//! What a server says of itself.

use std::collections::BTreeMap;

use deadpool_redis::redis::Value;
use domain::id::CellName;

use super::refusal;
use crate::connection::Connections;
use crate::error::Failure;

/// The settings that INFO does not tell. One question each: before Redis 7, CONFIG GET takes one name.
const SETTINGS: [&str; 6] = [
    "appendfsync",
    "save",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "maxmemory-policy",
    "cluster-require-full-coverage",
];

/// What a server says of itself, or why it does not.
#[derive(Debug, Default)]
pub(super) struct About {
    info: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
    pub(super) info_refused: Option<String>,
    pub(super) config_refused: Option<String>,
}

impl About {
    pub(super) async fn ask(connections: &Connections, cell: &CellName) -> Result<Self, Failure> {
        let mut about = Self::default();
        match connections.command(cell, &["INFO"]).await {
            Ok(reply) => about.read_info(&text(&reply)),
            Err(failure) => about.info_refused = Some(refusal(failure)?),
        }
        for name in SETTINGS {
            match connections.command(cell, &["CONFIG", "GET", name]).await {
                Ok(reply) => about.settings.extend(pairs(reply)),
                Err(failure) => {
                    about.config_refused = Some(refusal(failure)?);
                    break;
                }
            }
        }
        Ok(about)
    }

    pub(super) fn read_info(&mut self, text: &str) {
        let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        self.info = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }

    #[cfg(test)]
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn info(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}

fn pairs(reply: Value) -> Vec<(String, String)> {
    match reply {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (text(name), text(value))).collect(),
        Value::Array(items) => items.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Int(number) => number.to_string(),
        _ => String::new(),
    }
}
