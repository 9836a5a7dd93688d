//! A table of results: printed, kept as JSON, and shown in the report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Options;
use super::machine::Machine;
use super::table;

/// A table of results.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Table {
    /// Its file is `NAME.json`.
    pub(crate) name: String,
    pub(crate) title: String,
    /// What was done, on what sizes.
    pub(crate) about: String,
    /// How often each row was measured.
    pub(crate) runs: u32,
    pub(crate) machine: Machine,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Value>>,
    /// What a reader must know to judge the numbers, and which targets were met.
    pub(crate) notes: Vec<String>,
    pub(crate) plots: Vec<Plot>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Empty where there is none.
    pub(crate) unit: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Count(u64),
    Number(f64),
    Text(String),
    /// There is no such value.
    None,
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        if number.is_finite() { Self::Number(number) } else { Self::None }
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Curves over axes that grow by factors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) series: Vec<Series>,
}

/// One curve. Its points are above 0, ordered by x.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Where tables go, and how much is to be measured for them.
pub(crate) struct Output {
    options: Options,
    folder: PathBuf,
    machine: Machine,
}

impl Output {
    pub(crate) fn new(options: Options) -> anyhow::Result<Self> {
        let folder = options.out.clone().map_or_else(default_folder, Ok)?;
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to make {}; name another with --out", folder.display()))?;
        Ok(Self { options, folder, machine: Machine::here() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.options.quick
    }

    /// How often a row is measured, where nobody says otherwise `usual` times.
    pub(crate) fn runs(&self, usual: u32) -> u32 {
        self.options.runs.unwrap_or(if self.options.quick { 2 } else { usual })
    }

    /// A table without rows. A column is its name and its unit.
    pub(crate) fn table(&self, name: &str, title: &str, about: String, runs: u32, columns: &[(&str, &str)]) -> Table {
        let column = |&(name, unit): &(&str, &str)| Column { name: name.to_owned(), unit: unit.to_owned() };
        Table {
            name: name.to_owned(),
            title: title.to_owned(),
            about,
            runs,
            machine: self.machine.clone(),
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
            plots: Vec::new(),
        }
    }

    /// Prints a table and keeps it.
    pub(crate) fn put(&self, table: &Table) -> anyhow::Result<()> {
        println!("{}", table::text(table));
        self.keep(table)
    }

    /// Keeps a table, whole or as far as it has come: a long measurement that is broken off has not been for nothing.
    pub(crate) fn keep(&self, table: &Table) -> anyhow::Result<()> {
        let path = self.folder.join(format!("{}.json", table.name));
        fs::write(&path, serde_json::to_vec_pretty(table)?)
            .with_context(|| format!("failed to write {}; name another folder with --out", path.display()))
    }
}

/// `bench` in the target folder in which this program was built: `target/PROFILE/deps/PROGRAM`.
fn default_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("this program lies in no target folder; name one with --out")?;
    Ok(target.join("bench"))
}
