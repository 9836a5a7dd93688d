//! One of two stores that are given the same steps, and what it answers, with its own words left out.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::container::PlacementId;
use domain::id::{Boot, CellName, History, Mark, Revision};
use domain::model::placements::Loss;
use domain::model::workers::{Held, Registration, RemoveHow, SeenSilent};
use domain::model::{CellRow, Change, Mandate, MemoryRows, Report};
use domain::worker::Caller;
use ports::random::call::Op;
use ports::random::read_all;
use ports::rows::{ReadStep, RowPorts, RowStore, WriteStep};
use ports::{Limits, PortError, PortResult, Ports};

use super::{cell, ranges, read};

/// The reference: rows in memory that can be closed and opened, and put back to where they were.
#[derive(Clone)]
pub(super) struct Reference(Arc<Mutex<Book>>);

/// Rows, and all that was ever written to them.
struct Book {
    rows: MemoryRows<PortError>,
    written: Vec<Change>,
}

impl Reference {
    pub(super) fn new() -> Self {
        Self::of(Vec::new(), 0x000a_bcde)
    }

    fn of(written: Vec<Change>, boot: u64) -> Self {
        let boot = Boot::from_random(boot);
        let mut rows = MemoryRows::new(CellRow::new(History::from_random(0x0001_2345)), boot);
        rows.apply(written.clone());
        Self(Arc::new(Mutex::new(Book { rows: rows.reopened(boot), written })))
    }

    /// How many changes were made.
    pub(super) fn changes(&self) -> usize {
        self.0.lock().expect("nobody panics").written.len()
    }

    /// Another one, as after it was closed when so many changes were made, and opened.
    pub(super) fn reopened_at(&self, changes: usize, boot: u64) -> Self {
        Self::of(self.0.lock().expect("nobody panics").written[..changes].to_vec(), boot)
    }
}

#[async_trait]
impl RowStore for Reference {
    async fn write(&self, _: &CellName, mut step: WriteStep) -> PortResult<()> {
        let mut book = self.0.lock().expect("nobody panics");
        let changes = step(&book.rows)?;
        book.written.extend(changes.iter().cloned());
        book.rows.apply(changes);
        Ok(())
    }

    async fn read(&self, _: &CellName, mut step: ReadStep) -> PortResult<()> {
        step(&self.0.lock().expect("nobody panics").rows)
    }

    fn limits(&self) -> Limits {
        Limits { exclusive: true, ..Limits::default() }
    }
}

/// A store at work.
#[derive(Clone)]
pub(super) struct Side {
    store: Arc<dyn RowStore>,
    ports: Ports,
    pub(super) history: History,
    pub(super) boot: Boot,
}

impl Side {
    pub(super) async fn over(store: impl RowStore) -> Self {
        let store: Arc<dyn RowStore> = Arc::new(store);
        let ports = RowPorts::over(Arc::clone(&store));
        let beats = ports.workers.beats(&cell()).await.expect("readable");
        Self { store, ports, history: beats.history, boot: beats.boot }
    }

    /// Makes a call that was written with the words of `other`.
    pub(super) async fn run(&self, op: Op, other: &Self, mandate: &mut Option<Mandate>) -> String {
        let op = Words { from: other, to: self }.op(op);
        self.show(&op.call(&self.ports, &cell(), mandate).await)
    }

    /// All that can be read, in pages of `limit` that begin after `since` where a read allows it.
    pub(super) async fn read_all(&self, since: Option<Revision>, limit: usize) -> String {
        let ranges = read(&*self.store, |rows| ranges(rows)).await.expect("readable");
        self.show(&(read_all(&self.ports, &cell(), since, limit).await + &ranges))
    }

    /// What it is called through.
    pub(super) fn ports(&self) -> &Ports {
        &self.ports
    }

    fn show(&self, text: &str) -> String {
        let text = text.replace(&format!("{:?}", self.history), "History(here)");
        text.replace(&format!("{:?}", self.boot), "Boot(here)")
    }
}

/// Puts the words of one store in the place of another's.
struct Words<'a> {
    from: &'a Side,
    to: &'a Side,
}

impl Words<'_> {
    fn op(&self, op: Op) -> Op {
        match op {
            Op::Renew(mandate) => Op::Renew(self.mandate(mandate)),
            Op::Resign(mandate) => Op::Resign(self.mandate(mandate)),
            Op::Commit(mandate, now, commit) => Op::Commit(self.mandate(mandate), now, commit),
            Op::Lose(mandate, now, losses, limit) => {
                let losses = losses.into_iter().map(|loss| self.loss(loss)).collect();
                Op::Lose(self.mandate(mandate), now, losses, limit)
            }
            Op::Register(now, registration) => Op::Register(now, self.registration(registration)),
            Op::Heartbeat(callers) => Op::Heartbeat(callers.into_iter().map(|caller| self.caller(caller)).collect()),
            Op::Take(now, caller, after, limit) => Op::Take(now, self.caller(caller), after, limit),
            Op::Report(now, caller, reports) => Op::Report(now, self.caller(caller), self.reports(reports)),
            Op::Remove(now, items, limit) => {
                let items = items.into_iter().map(|(worker, how)| (worker, self.removal(how))).collect();
                Op::Remove(now, items, limit)
            }
            op => op,
        }
    }

    fn history(&self, history: History) -> History {
        if history == self.from.history { self.to.history } else { history }
    }

    fn mark(&self, mark: Mark) -> Mark {
        Mark { history: self.history(mark.history), ..mark }
    }

    fn mandate(&self, mandate: Mandate) -> Mandate {
        Mandate { mark: self.mark(mandate.mark), ..mandate }
    }

    fn loss(&self, loss: Loss) -> Loss {
        match loss {
            Loss::Silent { worker, incarnation, number, boot } if boot == self.from.boot => {
                Loss::Silent { worker, incarnation, number, boot: self.to.boot }
            }
            Loss::Settled { witness } => Loss::Settled { witness: witness.map(|mark| self.mark(mark)) },
            loss => loss,
        }
    }

    fn removal(&self, how: RemoveHow) -> RemoveHow {
        match how {
            RemoveHow::Lost { incarnation, seen } => {
                let here = |boot| if boot == self.from.boot { self.to.boot } else { boot };
                let seen = seen.map(|seen| SeenSilent { boot: here(seen.boot), ..seen });
                RemoveHow::Lost { incarnation, seen }
            }
            RemoveHow::IfEmpty => how,
        }
    }

    fn caller(&self, caller: Caller) -> Caller {
        Caller { mark: self.mark(caller.mark), ..caller }
    }

    fn placement(&self, placement: PlacementId) -> PlacementId {
        PlacementId { history: self.history(placement.history), ..placement }
    }

    fn reports(&self, reports: Vec<Report>) -> Vec<Report> {
        let one = |report: Report| Report { placement: self.placement(report.placement), ..report };
        reports.into_iter().map(one).collect()
    }

    fn registration(&self, call: Registration) -> Registration {
        let holds =
            call.holds.into_iter().map(|held| Held { placement: self.placement(held.placement), ..held }).collect();
        Registration { holds, ends: self.reports(call.ends), ..call }
    }
}
