//! The audit of a cell: what is booked is compared with what the containers own, summed anew by `domain::audit`.
//!
//! A [`Reading`] is put together from the pages that a live server exports; [`of_store`] reads a stopped store, its line,
//! lots, counts and indexes too.

mod live;
mod stopped;

use domain::audit::{Audit, Finding};

use crate::api::audit::{AuditDocument, FindingDocument};

pub use live::Reading;
pub use stopped::{OpenStore, of_store};

/// What one reading of a cell comes to.
#[derive(Debug, Clone)]
pub struct Verdict {
    revision: u64,
    workers: usize,
    owners: usize,
    /// Corruptions first.
    found: Vec<Finding>,
}

impl Verdict {
    fn new(revision: u64, audit: &Audit, mut found: Vec<Finding>) -> Self {
        let (workers, owners) = audit.counts();
        found.sort_by_key(|finding| !finding.is_corruption());
        Self { revision, workers, owners, found }
    }

    /// Whether nothing is corrupt; there may be notices.
    pub fn is_clean(&self) -> bool {
        !self.found.iter().any(Finding::is_corruption)
    }

    fn has_like(&self, finding: &Finding) -> bool {
        self.found.iter().any(|own| own.facts().is_like(&finding.facts()))
    }

    /// The verdict for programs.
    pub fn to_document(&self) -> AuditDocument {
        AuditDocument {
            clean: self.is_clean(),
            revision: self.revision,
            workers: self.workers,
            owners: self.owners,
            findings: self.found.iter().map(FindingDocument::from).collect(),
        }
    }
}

/// The last of several readings of one cell with what all of them found corrupt; none if they agree on nothing.
pub fn confirmed(mut readings: Vec<Verdict>) -> Option<Verdict> {
    let mut last = readings.pop()?;
    let is_sure = |found: &Finding| !found.is_corruption() || readings.iter().all(|earlier| earlier.has_like(found));
    last.found.retain(is_sure);
    (!last.is_clean()).then_some(last)
}

#[cfg(test)]
mod tests {
    use domain::audit::{Amount, Corruption};
    use domain::id::WorkerId;

    use super::*;

    fn reading(books: &[(&str, u64)]) -> Verdict {
        let corruption = |(worker, booked): &(&str, u64)| Corruption::Worker {
            worker: WorkerId::new(worker).unwrap(),
            amount: Amount::CpuMilli,
            booked: *booked,
            owned: 0,
        };
        Verdict::new(1, &Audit::default(), books.iter().map(corruption).map(Finding::from).collect())
    }

    #[test]
    fn only_what_every_reading_finds_is_said() {
        let sure = confirmed(vec![reading(&[("w1", 1), ("w2", 5)]), reading(&[("w3", 1), ("w2", 7)])]).unwrap();
        let found: Vec<_> = sure.found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["corrupt: worker w2 books 7 cpu_milli, its containers own 0"]);
        assert!(confirmed(vec![reading(&[("w1", 1)]), reading(&[("w2", 1)])]).is_none());
    }
}
