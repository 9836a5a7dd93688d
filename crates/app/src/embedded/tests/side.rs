//! One of two stores that are given the same steps, and what it answers, with its own words left out.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::container::{Phase, PlacementId};
use domain::id::{Boot, CellName, ContainerId, History, Mark, Revision, WorkerId, Workspace};
use domain::model::containers::ExportPage;
use domain::model::placements::Loss;
use domain::model::workers::{Held, Look, LookPage, Registration, RemoveHow, SeenSilent};
use domain::model::{CellRow, Change, Filter, Mandate, MemoryRows, Report};
use domain::worker::Caller;
use ports::rows::{ReadStep, RowPorts, RowStore, WriteStep};
use ports::{Limits, PortError, PortResult, Ports};

use super::script::{Op, Seen, all_containers};
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

    /// Makes a step that was written with the words of `other`.
    pub(super) async fn run(&self, op: Op, other: &Self) -> String {
        let words = Words { from: other, to: self };
        let (cell, ports) = (cell(), &self.ports);
        match op {
            Op::Submit(now, items) => self.show(ports.backlog.submit(&cell, now, items).await),
            Op::Acquire(planner, expected) => self.show(ports.leadership.acquire(&cell, &planner, expected).await),
            Op::Renew(mandate) => self.show(ports.leadership.renew(&words.mandate(mandate)).await),
            Op::Resign(mandate) => self.show(ports.leadership.resign(&words.mandate(mandate)).await),
            Op::Commit(mandate, now, commit) => {
                self.show(ports.placements.commit(&words.mandate(mandate), now, commit).await)
            }
            Op::Lose(mandate, now, losses, limit) => {
                let losses = losses.into_iter().map(|loss| words.loss(loss)).collect();
                self.show(ports.placements.lose(&words.mandate(mandate), now, losses, limit).await)
            }
            Op::Register(now, registration) => {
                self.show(ports.workers.register(&cell, now, words.registration(registration)).await)
            }
            Op::Heartbeat(callers) => {
                let callers = callers.into_iter().map(|caller| words.caller(caller)).collect();
                self.show(ports.workers.heartbeat(&cell, callers).await)
            }
            Op::Take(now, caller, after, limit) => {
                self.show(ports.placements.take(&cell, now, words.caller(caller), after, limit).await)
            }
            Op::Report(now, caller, reports) => {
                let reports = words.reports(reports);
                self.show(ports.placements.report(&cell, now, words.caller(caller), reports).await)
            }
            Op::SetStatus(now, items) => self.show(ports.workers.set_status(&cell, now, items).await),
            Op::Remove(now, items, limit) => {
                let items = items.into_iter().map(|(worker, how)| (worker, words.removal(how))).collect();
                self.show(ports.workers.remove(&cell, now, items, limit).await)
            }
            Op::Stop(now, ids) => self.show(ports.containers.stop(&cell, now, ids).await),
            Op::Forget(now, keep, limit) => self.show(ports.containers.forget(&cell, now, keep, limit).await),
        }
    }

    /// All that can be read, in pages of `limit` that begin after `since` where a read allows it.
    pub(super) async fn read_all(&self, since: Option<Revision>, limit: usize) -> String {
        let (cell, ports) = (cell(), &self.ports);
        let depth = ports.backlog.depth(&cell).await;
        let look = ports.workers.look(&cell, None, 100).await.expect("readable");
        let lots = match &look {
            Look::Page(page) => page.lots.iter().map(|lot| (lot.key.clone(), limit)).collect(),
            Look::Whole => Vec::new(),
        };
        let line = ports.backlog.next(&cell, None, limit, lots).await;
        let later = ports.workers.look(&cell, since, limit).await;
        let beats = ports.workers.beats(&cell).await;
        let found = ports.containers.get(&cell, all_containers()).await;
        let mut text = self.show((depth, look, line, later, beats, found));
        for filter in filters() {
            text += &self.list(filter, limit).await;
        }
        text += &self.export(since, limit).await;
        text + &self.show(read(&*self.store, |rows| ranges(rows)).await.expect("readable"))
    }

    async fn list(&self, filter: Filter, limit: usize) -> String {
        let (mut text, mut after): (String, Option<ContainerId>) = (String::new(), None);
        loop {
            let page = self.ports.containers.list(&cell(), filter.clone(), after, limit).await.expect("readable");
            text += &self.show(&page);
            after = page.after;
            if after.is_none() {
                return text;
            }
        }
    }

    async fn export(&self, since: Option<Revision>, limit: usize) -> String {
        let (mut text, mut since) = (String::new(), since);
        loop {
            let page: ExportPage = self.ports.containers.export(&cell(), since, limit).await.expect("readable");
            text += &self.show(&page);
            since = Some(page.upto.revision);
            if !page.more {
                return text;
            }
        }
    }

    /// What the next step is made from.
    pub(super) async fn see(&self, mandate: Option<Mandate>) -> Seen {
        let found = self.ports.containers.get(&cell(), all_containers()).await.expect("readable");
        let beats = self.ports.workers.beats(&cell()).await.expect("readable");
        let workers = match self.ports.workers.look(&cell(), None, 100).await.expect("readable") {
            Look::Page(LookPage { workers, .. }) => workers,
            Look::Whole => Vec::new(),
        };
        Seen {
            containers: found.into_iter().flatten().map(|found| found.row).collect(),
            workers,
            history: self.history,
            boot: self.boot,
            numbers: beats.numbers.into_iter().map(|(worker, _, number)| (worker, number)).collect(),
            mandate,
        }
    }

    /// What it is called through.
    pub(super) fn ports(&self) -> &Ports {
        &self.ports
    }

    fn show(&self, answer: impl Debug) -> String {
        let text = format!("{answer:?}\n");
        let text = text.replace(&format!("{:?}", self.history), "History(here)");
        text.replace(&format!("{:?}", self.boot), "Boot(here)")
    }
}

fn filters() -> Vec<Filter> {
    let workspace = |text| Filter::Workspace(Workspace::new(text).expect("a name"));
    let worker = |text| Filter::Worker(WorkerId::new(text).expect("a name"));
    let named = [Filter::All, workspace("red"), workspace("none"), worker("w0"), worker("w1"), worker("w2")];
    named.into_iter().chain(Phase::ALL.map(Filter::Phase)).collect()
}

/// Puts the words of one store in the place of another's.
struct Words<'a> {
    from: &'a Side,
    to: &'a Side,
}

impl Words<'_> {
    fn history(&self, history: History) -> History {
        if history == self.from.history { self.to.history } else { history }
    }

    fn mandate(&self, mandate: Mandate) -> Mandate {
        let mark = Mark { history: self.history(mandate.mark.history), ..mandate.mark };
        Mandate { mark, ..mandate }
    }

    fn loss(&self, loss: Loss) -> Loss {
        match loss {
            Loss::Silent { worker, incarnation, number, boot } if boot == self.from.boot => {
                Loss::Silent { worker, incarnation, number, boot: self.to.boot }
            }
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
        Caller { mark: Mark { history: self.history(caller.mark.history), ..caller.mark }, ..caller }
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
