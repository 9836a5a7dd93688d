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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::WRITING;

    /// The rows of the table in the reference, each as its columns.
    fn documented() -> Vec<Vec<String>> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/redis-layout.md");
        let text = std::fs::read_to_string(page).expect("a page of the reference");
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| row.trim_matches('|').split('|').map(|column| column.trim().to_owned()).collect()).collect()
    }

    /// The words of a text that stand in backticks.
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    #[test]
    fn the_reference_names_every_table_in_order() {
        let documented = documented();
        let tables: Vec<_> = documented.iter().flat_map(|columns| words(&columns[0])).collect();
        assert_eq!(tables, TABLES);
    }

    #[test]
    fn the_reference_names_scripts_that_write() {
        for columns in documented() {
            let writers = columns.last().expect("a row has columns");
            for part in writers.split(';') {
                // "as `containers`" is what writes another table.
                let known = if part.trim_start().starts_with("as ") { &TABLES[..] } else { WRITING };
                for word in words(part) {
                    assert!(known.contains(&word), "{} is said to be written by {word}", columns[0]);
                }
            }
        }
    }
}
