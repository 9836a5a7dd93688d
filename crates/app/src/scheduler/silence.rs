//! Who is silent: the planner counts on its own clock, from the answer in which it first saw a worker's number.
//!
//! Nothing here reads a clock: time is handed in, so that the explorer drives this very count.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::id::{Boot, CallNumber, History, Incarnation, WorkerId};
use domain::model::placements::Loss;
use domain::model::workers::{Beats, SeenSilent};
use tokio::time::Instant;

use super::view::Silent;

/// A poll later than this begins every count anew: we do not know what happened in between.
const GAP_MAX: Duration = Duration::from_secs(4);
/// With fewer silent workers than this, each is given up however few there are.
const BRAKE_WORKERS: usize = 5;
/// How often a worker beats within its keepalive.
const BEATS_IN_KEEPALIVE: u32 = 5;

/// Who has been silent since when, counted on our own clock from the answer in which a number was first seen.
#[derive(Debug, Clone, Default)]
pub struct Silence {
    store: Option<(Boot, History)>,
    polled_at: Option<Instant>,
    heard: BTreeMap<WorkerId, Heard>,
}

/// So many of so many workers are silent at once that none is given up.
#[derive(Debug, PartialEq, Eq)]
pub struct Brake {
    /// Silent, or about to be.
    pub silent: usize,
    /// All that are up.
    pub workers: usize,
}

/// The last that was heard of a worker.
#[derive(Debug, Clone)]
struct Heard {
    incarnation: Incarnation,
    number: CallNumber,
    since: Instant,
}

impl Silence {
    /// Takes in an answer. A gap between polls, another boot or history begins every count anew.
    pub fn hear(&mut self, beats: &Beats, now: Instant) {
        let store = Some((beats.boot, beats.history));
        let gap = self.polled_at.is_none_or(|at| now.duration_since(at) > GAP_MAX);
        if self.store != store || gap {
            self.heard.clear();
        }
        (self.store, self.polled_at) = (store, Some(now));
        let mut heard = BTreeMap::new();
        for (worker, incarnation, number) in &beats.numbers {
            let same =
                self.heard.remove(worker).filter(|last| (last.incarnation, last.number) == (*incarnation, *number));
            let since = same.map_or(now, |last| last.since);
            heard.insert(worker.clone(), Heard { incarnation: *incarnation, number: *number, since });
        }
        self.heard = heard;
    }

    /// How long each worker has been silent.
    pub fn durations(&self) -> BTreeMap<WorkerId, Silent> {
        let (Some(polled_at), Some((boot, _))) = (self.polled_at, self.store) else {
            return BTreeMap::new();
        };
        let silent = |heard: &Heard| Silent {
            run: heard.incarnation,
            lasted: polled_at - heard.since,
            seen: SeenSilent { number: heard.number, boot },
        };
        self.heard.iter().map(|(worker, heard)| (worker.clone(), silent(heard))).collect()
    }

    /// Whom to give up after more than `keepalive` and `grace`; nobody if too many are silent at once. Workers that were cut
    /// off together were heard of last at different times, a beat apart: whoever will be due within a beat counts as silent
    /// with those who are.
    pub fn given_up(&self, keepalive: Duration, grace: Duration) -> Result<Vec<Loss>, Brake> {
        let patience = keepalive + grace;
        let due = self.longer_than(patience);
        let silent = self.longer_than(patience.saturating_sub(keepalive / BEATS_IN_KEEPALIVE)).len();
        let workers = self.heard.len();
        let braked = silent >= BRAKE_WORKERS && silent * 4 > workers;
        if braked && !due.is_empty() { Err(Brake { silent, workers }) } else { Ok(due) }
    }

    /// Who was silent for longer than this.
    fn longer_than(&self, patience: Duration) -> Vec<Loss> {
        let (Some((boot, _)), Some(polled_at)) = (self.store, self.polled_at) else {
            return Vec::new();
        };
        let silent = self.heard.iter().filter(|(_, heard)| polled_at - heard.since > patience);
        let loss = |(worker, heard): (&WorkerId, &Heard)| Loss::Silent {
            worker: worker.clone(),
            incarnation: heard.incarnation,
            number: heard.number,
            boot,
        };
        silent.map(loss).collect()
    }
}
