//! What ended within the last hour and is acknowledged.

use std::collections::{BTreeMap, VecDeque};

use crate::api::calls::{Event, PlacementName, Report};

/// How long an acknowledged end is remembered.
pub(super) const REMEMBERED_MS: u64 = 60 * 60 * 1000;
/// The most acknowledged ends that are remembered.
const REMEMBERED_MAX: usize = 100_000;
/// The most of them that a new history is told: the newest.
const RETOLD_MAX: usize = 10_000;

/// The acknowledged ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    ends: BTreeMap<PlacementName, Event>,
    by_age: VecDeque<(u64, PlacementName)>,
}

impl Memory {
    pub(super) fn contains(&self, placement: &PlacementName) -> bool {
        self.ends.contains_key(placement)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn add(&mut self, now_ms: u64, placement: PlacementName, event: Event) {
        if self.ends.insert(placement.clone(), event).is_none() {
            self.by_age.push_back((now_ms, placement));
        }
    }

    pub(super) fn end_of(&self, placement: &PlacementName) -> Option<Report> {
        let event = self.ends.get(placement)?.clone();
        Some(Report { placement: placement.clone(), event, output: None })
    }

    /// What a new history is told, without output, oldest first.
    pub(super) fn retold(&self) -> Vec<Report> {
        let skipped = self.by_age.len().saturating_sub(RETOLD_MAX);
        self.by_age.iter().skip(skipped).filter_map(|(_, placement)| self.end_of(placement)).collect()
    }

    /// One placement whose hour is over, or that is too many.
    pub(super) fn pop_old(&mut self, now_ms: u64) -> Option<PlacementName> {
        let (at_ms, _) = self.by_age.front()?;
        let old = at_ms.saturating_add(REMEMBERED_MS) <= now_ms || self.by_age.len() > REMEMBERED_MAX;
        let (_, placement) = old.then(|| self.by_age.pop_front()).flatten()?;
        self.ends.remove(&placement);
        Some(placement)
    }
}
