//! The workers of the cell, as the store has them: kept from one call to the next, which reads what changed since.

use std::collections::BTreeMap;

use domain::id::{CellName, Mark, WorkerId};
use domain::model::FleetName;
use domain::model::workers::{Look, LookPage};
use domain::worker::WorkerRow;
use ports::{PortResult, WorkerRepository};
use tokio::sync::Mutex;

/// How many rows one look reads at least, how many looks make one reading, and how often a reader who was overtaken
/// begins anew.
const LOOK_ROWS: usize = 5_000;
const LOOKS_MAX: usize = 1_000;
const ANEW_MAX: usize = 3;

pub(super) type Workers = BTreeMap<WorkerId, WorkerRow>;

/// What was read of the fleet. Readers wait for each other.
#[derive(Default)]
pub(super) struct Fleet(Mutex<Seen>);

/// The workers at a mark; those of its first pages, while it is read.
#[derive(Default)]
struct Seen {
    workers: Workers,
    upto: Option<Mark>,
}

impl Fleet {
    /// Reads all workers as they are now, so that who cordons one sees it cordoned; the planner's view may be older.
    /// Nothing if they change faster than they can be read.
    pub(super) async fn read<T>(
        &self,
        store: &dyn WorkerRepository,
        cell: &CellName,
        read: impl FnOnce(&Workers) -> T + Send,
    ) -> PortResult<Option<T>> {
        let mut seen = self.0.lock().await;
        let mut anew = 0;
        for _ in 0..LOOKS_MAX {
            match store.look(cell, seen.upto.map(|upto| upto.revision), LOOK_ROWS).await? {
                Look::Page(page) if seen.is_continued_by(&page) => {
                    let more = page.more;
                    seen.apply(page);
                    if !more {
                        return Ok(Some(read(&seen.workers)));
                    }
                }
                _ if anew == ANEW_MAX => return Ok(None),
                _ => {
                    *seen = Seen::default();
                    anew += 1;
                }
            }
        }
        Ok(None)
    }
}

impl Seen {
    /// What was read of another history may be gone.
    fn is_continued_by(&self, page: &LookPage) -> bool {
        self.upto.is_none_or(|upto| upto.history == page.upto.history)
    }

    fn apply(&mut self, page: LookPage) {
        for name in page.gone {
            if let FleetName::Worker(id) = name {
                self.workers.remove(&id);
            }
        }
        self.workers.extend(page.workers.into_iter().map(|row| (row.id.clone(), row)));
        self.upto = Some(page.upto);
    }
}

#[cfg(test)]
mod tests;
