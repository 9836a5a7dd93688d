//! One turn of a cell by hand, stage by stage: the planner's own calls on the ports, and its own plan.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{bail, ensure};
use app::http::now;
use domain::fleet::{Fleet, Policy};
use domain::id::{PlannerId, Revision};
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, CommitAnswer, Decision, DecisionKind, Outcome};
use domain::model::workers::{Look, LookPage};
use domain::model::{FleetName, Mandate};
use domain::placement::{Candidate, Verdict, plan};
use domain::quota::QuotaLimits;
use domain::request::Submission;
use ports::PortResult;
use tokio::task::JoinSet;

use super::cell::{Cell, started};
use super::samples::millis;

/// How many rows of a look are read at once, as by the planner.
const LOOK_PAGE: usize = 1_000;
/// How many workers call at once.
const AT_ONCE: usize = 32;

/// A cell whose planner is called by hand.
pub(crate) struct Turns {
    pub(crate) cell: Arc<Cell>,
    mandate: Mandate,
    fleet: Fleet,
    upto: Option<Revision>,
}

/// How long the stages of a turn took, in milliseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) submit: f64,
    /// Next and look.
    pub(crate) read: f64,
    pub(crate) plan: f64,
    pub(crate) commit: f64,
    /// Take and report, by all workers that were given work.
    pub(crate) end: f64,
}

/// What was planned, and what of it is left to do.
pub(crate) struct Placed {
    pub(crate) times: Times,
    /// The indexes of the workers that were given work.
    pub(crate) workers: Vec<usize>,
}

impl Turns {
    pub(crate) async fn of(cell: Cell) -> anyhow::Result<Self> {
        let planner = PlannerId::new("planner-1")?;
        let mandate = match cell.ports.leadership.acquire(&cell.name, &planner, None).await? {
            AcquireOutcome::Acquired(mandate) => mandate,
            held @ AcquireOutcome::Held { .. } => bail!("the cell is new, and has a planner: {held:?}"),
        };
        let mut turns = Self { cell: Arc::new(cell), mandate, fleet: Fleet::default(), upto: None };
        turns.apply(turns.look().await?);
        ensure!(turns.fleet.workers().len() == turns.cell.workers.len(), "not all workers are seen");
        Ok(turns)
    }

    /// Hands requests in; how long that took.
    pub(crate) async fn submit(&self, requests: Vec<Submission>) -> anyhow::Result<f64> {
        let began = Instant::now();
        self.cell.submit(requests).await?;
        Ok(millis(began.elapsed()))
    }

    /// Reads a batch and the fleet, plans and commits. Everything must fit.
    pub(crate) async fn place(&mut self, batch: usize, policy: &Policy) -> anyhow::Result<Placed> {
        let began = Instant::now();
        let next = self.cell.ports.backlog.next(&self.cell.name, None, batch + 1, Vec::new());
        let (line, pages) = tokio::try_join!(next, self.look())?;
        self.apply(pages);
        let read = millis(began.elapsed());
        ensure!(line.ready.len() == batch, "{} of {batch} are in line", line.ready.len());
        let candidates: Vec<Candidate> = line.ready.into_iter().map(|waiting| waiting.candidate).collect();

        let began = Instant::now();
        let verdicts = plan(&self.fleet, &candidates, policy);
        let plan = millis(began.elapsed());

        let commit = commit_of(&candidates, verdicts, policy)?;
        let began = Instant::now();
        let answer = self.cell.ports.placements.commit(&self.mandate, now(), commit.clone()).await?;
        let committed = millis(began.elapsed());
        let workers = self.book(&candidates, &commit, &answer)?;
        let times = Times { read, plan, commit: committed, ..Times::default() };
        Ok(Placed { times, workers })
    }

    /// Has workers take what they were given and report that it ended; how long that took.
    pub(crate) async fn end(&self, workers: &[usize], batch: usize) -> anyhow::Result<f64> {
        let began = Instant::now();
        let mut ended = 0;
        for some in workers.chunks(AT_ONCE) {
            let mut ending = JoinSet::new();
            for worker in some.iter().copied() {
                let cell = Arc::clone(&self.cell);
                ending.spawn(async move {
                    let orders = cell.take(worker, None).await?.orders;
                    let placements: Vec<_> = started(orders).collect();
                    let count = placements.len();
                    cell.report_ended(worker, placements).await?;
                    anyhow::Ok(count)
                });
            }
            for count in ending.join_all().await {
                ended += count?;
            }
        }
        let took = millis(began.elapsed());
        ensure!(ended == batch, "{ended} of {batch} were taken");
        Ok(took)
    }

    /// All that changed since the last look, page by page.
    async fn look(&self) -> PortResult<Vec<LookPage>> {
        let (mut pages, mut since) = (Vec::new(), self.upto);
        loop {
            match self.cell.ports.workers.look(&self.cell.name, since, LOOK_PAGE).await? {
                Look::Whole => (pages, since) = (Vec::new(), None),
                Look::Page(page) => {
                    let more = page.more;
                    since = Some(page.upto.revision);
                    pages.push(page);
                    if !more {
                        return Ok(pages);
                    }
                }
            }
        }
    }

    fn apply(&mut self, pages: Vec<LookPage>) {
        for page in pages {
            self.upto = Some(page.upto.revision);
            for name in page.gone {
                match name {
                    FleetName::Worker(id) => self.fleet.remove(&id),
                    FleetName::Lot(key) => drop(self.fleet.lots.remove(&key)),
                    FleetName::Usage(workspace) => drop(self.fleet.usage.remove(&workspace)),
                }
            }
            for row in page.workers {
                self.fleet.put(row.to_worker());
            }
            self.fleet.usage.extend(page.usage);
        }
    }

    /// Books what was placed, as the planner does in its view; answers the workers that were given work.
    fn book(&mut self, candidates: &[Candidate], commit: &Commit, answer: &CommitAnswer) -> anyhow::Result<Vec<usize>> {
        let other = answer.outcomes.iter().find(|outcome| **outcome != Outcome::Done);
        ensure!(other.is_none(), "a placement was not committed: {other:?}");
        let (mut used, mut booked) = (Vec::new(), Vec::new());
        for (candidate, decision) in candidates.iter().zip(&commit.decisions) {
            if let DecisionKind::Place { worker, booking, .. } = &decision.kind {
                booked.push((worker, &*candidate.ask, booking));
                used.extend(self.cell.workers.binary_search_by(|known| known.id.cmp(worker)).ok());
            }
        }
        self.fleet.book_all(booked);
        if self.upto == Some(answer.before) {
            self.upto = Some(answer.after);
        }
        used.sort_unstable();
        used.dedup();
        Ok(used)
    }
}

fn commit_of(candidates: &[Candidate], verdicts: Vec<Verdict>, policy: &Policy) -> anyhow::Result<Commit> {
    let mut commit = Commit::default();
    for (candidate, verdict) in candidates.iter().zip(verdicts) {
        let Verdict::Place { worker, incarnation, booking } = verdict else {
            bail!("{} has no room: {verdict:?}", candidate.id);
        };
        let kind = DecisionKind::Place { worker, incarnation, booking };
        commit.decisions.push(Decision { container: candidate.id.clone(), attempt: candidate.attempt, kind });
        let limits =
            policy.quotas.as_ref().map_or(QuotaLimits::UNLIMITED, |quotas| *quotas.limits(&candidate.ask.workspace));
        commit.limits.insert(candidate.ask.workspace.clone(), limits);
    }
    Ok(commit)
}
