//! The keys of a cell. All carry the cell's hash tag, so that a cell lives on one node of a cluster.

use domain::id::CellName;

/// The keys of one cell, in the order in which every script is given them.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    names: Vec<String>,
}

/// What follows the cell's hash tag, in the order in which `lua/cell.lua` reads `KEYS`.
pub(crate) const TABLES: [&str; 16] = [
    "cell",
    "containers",
    "bodies",
    "outputs",
    "workers",
    "beats",
    "lots",
    "usage",
    "ready",
    "parked",
    "owned",
    "phases",
    "workspaces",
    "ended",
    "changes",
    "fleet",
];

impl Keys {
    /// The keys of `cell`.
    pub(crate) fn of(cell: &CellName) -> Self {
        Self { names: TABLES.iter().map(|table| format!("stowplan:{{{cell}}}:{table}")).collect() }
    }

    /// The names, in the order of [`TABLES`].
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The channel on which a step says whom it concerns.
    pub(crate) fn events(cell: &CellName) -> String {
        format!("stowplan:{{{cell}}}:events")
    }
}
