//! Why a request waits.

use std::collections::BTreeMap;

use domain::placement::sentence;
use domain::request::Ask;
use domain::wait::{Largest, LargestOwner, RuleCounts, Why};
use serde::{Deserialize, Serialize};

/// Why a request waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonDocument {
    /// In one word: `ready` (in line), `no_workers`, `no_room`, `can_never_fit`, `quota`, `behind`, `corrupt`,
    /// `fits` (by now), or `unknown` to the server that answers.
    pub word: String,
    /// In words.
    pub text: String,
    /// Whether nothing that can happen by itself would make room.
    #[serde(default)]
    pub can_never_fit: bool,
    /// How many workers fail each rule, each counted under the first that it fails.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, u64>,
    /// The largest there is, if nothing can ever hold the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<LargestDocument>,
    /// If a quota is in the way, what is left under it of the resource that is short: `cpu_milli`, `memory_mib`,
    /// `gpu_milli` or `containers`. 0 if more is used than a limit that was lowered allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub free: BTreeMap<String, u64>,
}

/// What comes closest to a request that nothing can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargestDocument {
    /// The worker, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The pool whose template it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Its cpu.
    pub cpu_milli: u64,
    /// Its memory.
    pub memory_mib: u64,
    /// Its GPU devices.
    pub gpu_count: u32,
    /// The rule that even it fails.
    pub fails: String,
}

impl ReasonDocument {
    /// Why a request that asks `ask` waits.
    pub fn of(why: &Why, ask: &Ask) -> Self {
        let (word, text) = (why.word().to_owned(), sentence(why, ask));
        let plain = Self { word, text, can_never_fit: why.can_never_fit(), ..Self::default() };
        match why {
            Why::NoFit { rules, never } => {
                Self { rules: rules_document(rules), largest: never.as_ref().map(LargestDocument::of), ..plain }
            }
            Why::Quota(over) => {
                Self { free: BTreeMap::from([(over.resource.as_str().to_owned(), over.free())]), ..plain }
            }
            _ => plain,
        }
    }

    /// Its row cannot be read, so that nobody knows what it asks or where it is.
    pub fn corrupt(problem: &str) -> Self {
        let text = format!("its record cannot be read, and it is left where it is: {problem}");
        Self { word: "corrupt".to_owned(), text, can_never_fit: true, ..Self::default() }
    }

    /// It is in line, and no plan has looked at it yet.
    pub fn ready() -> Self {
        Self { word: "ready".to_owned(), text: "in line".to_owned(), ..Self::default() }
    }

    /// It would be placed if a plan looked at it now.
    pub fn fits() -> Self {
        Self { word: "fits".to_owned(), text: "fits now; the next plan takes it".to_owned(), ..Self::default() }
    }

    /// A plan found no place for it, and this server does not know why.
    pub fn unknown() -> Self {
        let text = "found no place when it was last looked at; this server cannot say why";
        Self { word: "unknown".to_owned(), text: text.to_owned(), ..Self::default() }
    }
}

impl LargestDocument {
    fn of(largest: &Largest) -> Self {
        let (worker, pool) = match &largest.who {
            LargestOwner::Worker(id) => (Some(id.to_string()), None),
            LargestOwner::Pool(name) => (None, Some(name.to_string())),
        };
        Self {
            worker,
            pool,
            cpu_milli: largest.size.cpu_milli,
            memory_mib: largest.size.memory_mib,
            gpu_count: largest.size.gpu_count,
            fails: largest.fails.as_str().to_owned(),
        }
    }
}

/// Counts by the words of the rules.
pub(crate) fn rules_document(rules: &RuleCounts) -> BTreeMap<String, u64> {
    rules.iter().map(|(rule, count)| (rule.as_str().to_owned(), *count)).collect()
}
