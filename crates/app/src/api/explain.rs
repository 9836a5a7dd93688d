//! Why a container is where it is.

use std::collections::BTreeMap;

use domain::id::WorkerId;
use domain::placement::{Explanation, Verdict};
use domain::request::Ask;
use serde::{Deserialize, Serialize};

use super::reason::{ReasonDocument, rules_document};

/// How many workers on which a request fits are named.
const FITS_NAMED_MAX: usize = 20;

/// `GET /v1/containers/{id}/explain`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainDocument {
    /// The container.
    pub id: String,
    /// Its state; `unknown` if its record cannot be read.
    pub state: String,
    /// Where it stands, in a sentence.
    pub text: String,
    /// What it would meet now, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetDocument>,
    /// Why it waits, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonDocument>,
}

/// Every worker, counted once: it fits on so many, and each of the others fails a rule first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetDocument {
    /// How many workers there are.
    pub workers: u64,
    /// On how many it fits.
    pub fits: u64,
    /// The first of these by id.
    pub fits_first: Vec<String>,
    /// The first of those that boot and could hold it, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub booting_first: Vec<String>,
    /// How many of the others fail each rule, each under the first that it fails.
    pub rules: BTreeMap<String, u64>,
}

impl FleetDocument {
    /// What `explanation` counted.
    pub fn of(explanation: &Explanation) -> Self {
        let fits = explanation.fits.len() as u64;
        let first = |ids: &[WorkerId]| ids.iter().take(FITS_NAMED_MAX).map(ToString::to_string).collect();
        let (fits_first, booting_first) = (first(&explanation.fits), first(&explanation.booting));
        let workers = fits + explanation.rules.values().sum::<u64>();
        Self { workers, fits, fits_first, booting_first, rules: rules_document(&explanation.rules) }
    }
}

/// Why a request waits, as a plan of it alone finds; none if it would be placed.
pub fn reason_now(explanation: &Explanation, ask: &Ask) -> Option<ReasonDocument> {
    match &explanation.verdict {
        Verdict::Place { .. } => None,
        Verdict::Wait { why, .. } => {
            Some(ReasonDocument { text: explanation.sentence(ask), ..ReasonDocument::of(why, ask) })
        }
    }
}
