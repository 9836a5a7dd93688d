//! What `stowplan audit` found, for programs.

use domain::audit::Finding;
use serde::{Deserialize, Serialize};

/// What an audit found in one reading of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDocument {
    /// Whether nothing is corrupt; there may be notices.
    pub clean: bool,
    /// The revision up to which the cell was read.
    pub revision: u64,
    /// How many workers there are.
    pub workers: usize,
    /// How many containers own room.
    pub owners: usize,
    /// What was found, corruptions first.
    pub findings: Vec<FindingDocument>,
}

/// One thing that an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingDocument {
    /// `corruption`: no sequence of steps leads there. `notice`: legal, and worth a word.
    pub severity: String,
    /// Which kind, in a word.
    pub kind: String,
    /// What it is about, such as `worker w1`.
    pub subject: String,
    /// Of what there is too much or too little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// What is written down, or may be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// What follows from the containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
    /// The whole sentence.
    pub text: String,
}

impl From<&Finding> for FindingDocument {
    fn from(finding: &Finding) -> Self {
        let facts = finding.facts();
        Self {
            severity: if finding.is_corruption() { "corruption" } else { "notice" }.to_owned(),
            kind: facts.kind.to_owned(),
            subject: facts.subject,
            amount: facts.amount.map(|amount| amount.to_string()),
            written: facts.numbers.map(|(written, _)| written),
            follows: facts.numbers.map(|(_, follows)| follows),
            text: finding.to_string(),
        }
    }
}
