//! The one thread that writes: it takes the steps that wait, runs one after the other in one transaction, syncs once,
//! and only then answers them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::id::{CellName, WorkerId};
use domain::model::Change;
use ports::rows::WriteStep;
use ports::{PortError, PortResult, Source};
use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::config::{GROUP_CHANGES_MAX, GROUP_JOBS_MAX};
use super::error::{NotDurable, Panicked, unavailable};
use super::numbers::Accepted;
use super::rows::CellRows;
use super::tables::{Tables, Writing};
use super::write::Write;
use crate::failpoints::{self, Point};

/// A step that waits for the writer.
pub(super) struct Job {
    pub(super) cell: CellName,
    pub(super) step: WriteStep,
    pub(super) answer: oneshot::Sender<PortResult<()>>,
}

/// The thread that writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    /// Whether the database failed: it serves nothing until it is opened again.
    failed: bool,
}

/// Steps that share one commit.
#[derive(Default)]
struct Group {
    /// Who waits, and what each is answered if the commit succeeds.
    answers: Vec<(oneshot::Sender<PortResult<()>>, PortResult<()>)>,
    numbers: Accepted,
    changes: usize,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>) -> Self {
        Self { shared, jobs, failed: false }
    }

    /// Serves until the store is dropped and the queue is empty.
    pub(super) fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut group = Group::default();
            let ran = catch_unwind(AssertUnwindSafe(|| self.run_group(first, &mut group)));
            let ran = ran.unwrap_or_else(|panic| Err(panicked(&*panic)));
            self.failed = ran.is_err();
            group.answer(ran);
        }
    }

    /// Runs `first`, and what else waits, in one transaction.
    fn run_group(&mut self, first: Job, group: &mut Group) -> Result<(), Source> {
        let mut next = Some(group.admit(first));
        if self.failed {
            self.shared.file.reopen()?;
        }
        let transaction = self.shared.file.begin_write()?;
        let mut tables = Tables::of_write(&transaction)?;
        while let Some((cell, step)) = next {
            self.run_step(&cell, step, &mut tables, group)?;
            let more = if group.is_full() { None } else { self.jobs.try_recv().ok() };
            next = more.map(|job| group.admit(job));
        }
        drop(tables);
        self.conclude(transaction, group)
    }

    /// Runs one step and makes its changes. A step that fails or panics makes none, and hurts no other.
    fn run_step(
        &self,
        cell: &CellName,
        mut step: WriteStep,
        tables: &mut Tables<Writing<'_>>,
        group: &mut Group,
    ) -> Result<(), Source> {
        let number = |worker: &WorkerId| {
            let accepted = group.numbers.look_up(cell, worker);
            Ok(accepted.unwrap_or_else(|| self.shared.numbers.hold().look_up(cell, worker)))
        };
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let changes = step(&CellRows::new(cell, tables, self.shared.boot, &number))?;
            changes.into_iter().map(Write::of).collect::<PortResult<Vec<_>>>()
        }));
        match ran.unwrap_or_else(|panic| Err(PortError::Unavailable(panicked(&*panic)))) {
            Ok(writes) => group.make(cell, &writes, tables)?,
            Err(error) => group.fail_last(error),
        }
        Ok(())
    }

    /// Commits what the group has written, if anything, and keeps its numbers if that succeeds.
    fn conclude(&self, transaction: WriteTransaction, group: &mut Group) -> Result<(), Source> {
        // Who reads numbers sees those and the rows of one moment: held over the commit, not only after it.
        let held = (!group.numbers.is_empty()).then(|| self.shared.numbers.hold());
        if group.changes > 0 {
            failpoints::pass(Point::Writing, failpoints::in_hand());
            transaction.commit()?;
            failpoints::pass(Point::Durable, failpoints::in_hand());
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
        } else {
            transaction.abort()?;
        }
        if let Some(mut held) = held {
            held.keep(std::mem::take(&mut group.numbers));
        }
        Ok(())
    }
}

impl Group {
    /// Takes a step in; it is answered with the others.
    fn admit(&mut self, job: Job) -> (CellName, WriteStep) {
        self.answers.push((job.answer, Ok(())));
        (job.cell, job.step)
    }

    fn is_full(&self) -> bool {
        self.answers.len() >= GROUP_JOBS_MAX || self.changes >= GROUP_CHANGES_MAX
    }

    fn make(&mut self, cell: &CellName, writes: &[Write], tables: &mut Tables<Writing<'_>>) -> Result<(), Source> {
        for write in writes {
            if let Change::Number(worker, number) = write.change() {
                self.numbers.accept(cell, worker, *number);
            } else {
                tables.make(cell.as_str(), write).map_err(unavailable)?;
                self.changes += 1;
            }
        }
        Ok(())
    }

    fn fail_last(&mut self, error: PortError) {
        if let Some((_, answer)) = self.answers.last_mut() {
            *answer = Err(error);
        }
    }

    /// Answers everybody. Who no longer listens will ask again.
    fn answer(self, ran: Result<(), Source>) {
        let failure = ran.err().map(NotDurable::because);
        for (waiting, answer) in self.answers {
            let answer = failure.clone().map_or(answer, |failure| Err(PortError::unavailable(failure)));
            let _ = waiting.send(answer);
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Source {
    Panicked::with(panic).into()
}
