//! The reference and the file, given the same steps: one after the other there, queued together here.

use domain::model::Mandate;
use ports::random::call::Op;
use ports::random::script::Seen;

use super::disk::Disk;
use super::side::{Reference, Side};
use super::{cell, open};

/// Both stores, and how they are opened again.
pub(super) struct Pair {
    pub(super) reference: Reference,
    pub(super) disk: Disk,
    pub(super) left: Side,
    pub(super) right: Side,
    pub(super) mandate: Option<Mandate>,
}

impl Pair {
    pub(super) async fn new() -> Self {
        let (reference, disk) = (Reference::new(), Disk::default());
        let left = Side::over(reference.clone()).await;
        let right = Side::over(open(&disk)).await;
        Self { reference, disk, left, right, mandate: None }
    }

    /// What the next step is made from.
    pub(super) async fn see(&self) -> Seen {
        Seen::of(self.left.ports(), &cell(), self.mandate.clone()).await
    }

    /// What the reference makes of a step.
    pub(super) async fn expect(&mut self, op: &Op) -> String {
        self.left.run(op.clone(), &self.left, &mut self.mandate).await
    }

    /// What the file answers to steps that the reference has made, queued together.
    pub(super) async fn answers(&self, ops: impl Iterator<Item = Op>) -> Vec<String> {
        let mut running = Vec::new();
        for op in ops {
            let (left, right) = (self.left.clone(), self.right.clone());
            running.push(tokio::spawn(async move { right.run(op, &left, &mut None).await }));
        }
        let mut answers = Vec::new();
        for task in running {
            answers.push(task.await.expect("no panic"));
        }
        answers
    }

    /// Closes both and opens them: all rows are there, all numbers are gone.
    pub(super) async fn reopened(self, boot: u64) -> Self {
        let Self { reference, disk, left, right, mandate } = self;
        let history = right.history;
        drop((left, right));
        let reference = reference.reopened_at(reference.changes(), boot);
        let left = Side::over(reference.clone()).await;
        let right = Side::over(open(&disk)).await;
        assert_eq!(right.history, history, "the history is a row");
        Self { reference, disk, left, right, mandate }
    }
}
