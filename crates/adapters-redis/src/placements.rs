//! Placements: committed, lost, taken, reported on.

use std::time::Duration;

use async_trait::async_trait;
use domain::container::State;
use domain::id::{CellName, ContainerId, Revision, WorkerId, Workspace};
use domain::model::placements::{
    Commit, CommitAnswer, Decision, DecisionKind, Loss, LossOutcome, Outcome, RemovalOutcome, ReportAnswer,
    ReportOutcome, TakeAnswer,
};
use domain::model::{CALL_ITEMS_MAX, Mandate, Order, OrderMark, Report, StartOrder};
use domain::quota::{Limit, OverQuota, QuotaLimits, QuotaResource};
use domain::resources::Free;
use domain::time::Timestamp;
use domain::wait::Why;
use domain::worker::Caller;
use ports::{OrdersWaiting, PlacementRepository, PortError, PortResult};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::connection::Role;
use crate::records::{self, Bytes, Maybe};
use crate::store::{Fenced, Store, admitted, mark};
use crate::together::{self, Shareable, Together, latest};
use crate::told::{BookingTold, CallAnswered, CallerTold, ReportTold, SpecTold};
use crate::{POLL, RedisPorts};

#[derive(Serialize)]
struct CommitTold<'a> {
    now: u64,
    mandate: Fenced<'a>,
    decisions: Vec<DecisionTold<'a>>,
    workers: Vec<NewWorkerTold<'a>>,
    removals: Vec<&'a str>,
    limits: Vec<(&'a str, i64, i64, i64, i64)>,
}

/// A decision: container, attempt, and what becomes of it.
#[derive(Serialize)]
#[serde(untagged)]
enum DecisionTold<'a> {
    /// Worker, incarnation, cpu, memory, milli of each device, devices.
    Place(&'a str, u64, &'static str, &'a str, u64, u64, u64, u32, &'a [u32]),
    /// Lot, and why if that is news.
    Park(&'a str, u64, &'static str, String, Option<String>),
    /// Rank, revision, position, why, and whether the row is known to be undecodable.
    Corrupt(&'a str, u64, &'static str, i64, u64, u32, String, bool),
}

#[derive(Serialize)]
struct NewWorkerTold<'a> {
    id: &'a str,
    boot_within: (u64, u32),
    cpu: u64,
    memory: u64,
    gpus: u32,
    spec: String,
}

#[derive(Deserialize)]
struct Committed<'a> {
    #[serde(borrow)]
    refusal: &'a str,
    outcomes: Vec<Decided>,
    removals: Vec<u32>,
    before: u64,
    after: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decided {
    AlreadyDone,
    NotPending,
    Settling,
    WorkerGone,
    WorkerClosed,
    /// Resource (counted from 1), limit, used, needs.
    OverQuota((usize, u64, u64, u64)),
    /// Cpu, memory, milli of each device.
    NoRoom((u64, u64, Vec<u32>)),
    Done,
}

fn at_most(limit: Limit) -> i64 {
    match limit {
        Limit::Unlimited => -1,
        // No usage comes as far as what has more than 53 bits.
        Limit::AtMost(most) => i64::try_from(most.min(domain::id::INTEGER_MAX)).unwrap_or(i64::MAX),
    }
}

fn limits<'a>((workspace, limits): (&'a Workspace, &QuotaLimits)) -> (&'a str, i64, i64, i64, i64) {
    let QuotaLimits { cpu_milli, memory_mib, gpu_milli, containers } = *limits;
    (workspace.as_str(), at_most(cpu_milli), at_most(memory_mib), at_most(gpu_milli), at_most(containers))
}

/// A decision as scripts read it; `is_undecodable` says of a container that is to be parked so whether it is.
fn decision(decision: &Decision, is_undecodable: bool) -> PortResult<DecisionTold<'_>> {
    let (id, attempt) = (decision.container.as_str(), decision.attempt.0);
    Ok(match &decision.kind {
        DecisionKind::Place { worker, incarnation, booking } => {
            let BookingTold { cpu, memory, milli, devices } = BookingTold::of(booking);
            DecisionTold::Place(id, attempt, "place", worker.as_str(), incarnation.0, cpu, memory, milli, devices)
        }
        DecisionKind::Park { lot, why } => {
            // Who only stands behind others knows nothing of why they wait.
            let news = (!matches!(why, Why::Behind(_))).then(|| records::text(why)).transpose()?;
            DecisionTold::Park(id, attempt, "park", records::lot_name(lot), news)
        }
        DecisionKind::ParkCorrupt { key, detail } => {
            let why = records::text(&Why::Corrupt(detail.clone()))?;
            let (rank, revision) = (key.rank, key.revision.0);
            DecisionTold::Corrupt(id, attempt, "corrupt", rank, revision, key.position, why, is_undecodable)
        }
    })
}

fn outcome(decided: Decided) -> PortResult<Outcome> {
    const RESOURCES: [QuotaResource; 4] =
        [QuotaResource::Cpu, QuotaResource::Memory, QuotaResource::Gpus, QuotaResource::Containers];
    Ok(match decided {
        Decided::AlreadyDone => Outcome::AlreadyDone,
        Decided::NotPending => Outcome::NotPending,
        Decided::Settling => Outcome::Settling,
        Decided::WorkerGone => Outcome::WorkerGone,
        Decided::WorkerClosed => Outcome::WorkerClosed,
        Decided::OverQuota((resource, limit, used, needs)) => {
            let resource = RESOURCES.get(resource.wrapping_sub(1)).copied();
            let resource = resource.ok_or_else(|| PortError::corrupt("an outcome", "it names no resource"))?;
            Outcome::OverQuota(OverQuota { resource, limit, used, needs })
        }
        Decided::NoRoom((cpu_milli, memory_mib, gpu_milli)) => {
            Outcome::NoRoom(Free { cpu_milli, memory_mib, gpu_milli })
        }
        Decided::Done => Outcome::Done,
    })
}

#[derive(Serialize)]
struct LoseTold<'a> {
    now: u64,
    mandate: Fenced<'a>,
    limit: usize,
    losses: Vec<LossTold<'a>>,
}

#[derive(Default, Serialize)]
struct LossTold<'a> {
    kind: &'static str,
    worker: Option<&'a str>,
    incarnation: Option<u64>,
    number: Option<u64>,
    boot: Option<u64>,
    /// History and revision.
    witness: Option<(u64, u64)>,
}

fn loss(loss: &Loss) -> LossTold<'_> {
    match loss {
        Loss::Silent { worker, incarnation, number, boot } => LossTold {
            kind: "silent",
            worker: Some(worker.as_str()),
            incarnation: Some(incarnation.0),
            number: Some(number.0),
            boot: Some(boot.get()),
            witness: None,
        },
        Loss::Rest { worker } => LossTold { kind: "rest", worker: Some(worker.as_str()), ..LossTold::default() },
        Loss::DrainDue { worker } => {
            LossTold { kind: "drain_due", worker: Some(worker.as_str()), ..LossTold::default() }
        }
        Loss::Settled { witness } => {
            let witness = witness.map(|mark| (mark.history.get(), mark.revision.0));
            LossTold { kind: "settled", witness, ..LossTold::default() }
        }
    }
}

#[derive(Deserialize)]
struct Lost<'a> {
    #[serde(borrow)]
    refusal: &'a str,
    outcomes: Vec<(LossWord, u32)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LossWord {
    Done,
    More,
    Refused,
}

/// A call of take.
pub(crate) struct Take {
    now: Timestamp,
    caller: Caller,
    after: Option<OrderMark>,
    limit: usize,
}

#[derive(Serialize)]
struct TakesTold<'a> {
    now: u64,
    calls: Vec<TakeTold<'a>>,
}

#[derive(Serialize)]
struct TakeTold<'a> {
    caller: CallerTold<'a>,
    after: Option<(u64, &'a str)>,
    limit: usize,
}

#[derive(Deserialize)]
struct Taken<'a> {
    call: CallAnswered,
    #[serde(borrow)]
    orders: Vec<OrderRead<'a>>,
    #[serde(borrow)]
    upto: Maybe<(u64, &'a str)>,
    mark: (u64, u64),
}

impl Shareable for Take {
    type Answer = TakeAnswer;

    /// The script ends before it hands out too much.
    fn weight(&self) -> usize {
        1
    }

    fn queue(store: &Store) -> &Together<Self> {
        &store.takes
    }

    async fn ask(store: &Store, cell: &CellName, calls: &[&Self]) -> PortResult<Vec<Self::Answer>> {
        let told = calls.iter().map(|take| TakeTold {
            caller: CallerTold::of(&take.caller),
            after: take.after.as_ref().map(|mark| (mark.revision.0, mark.container.as_str())),
            limit: take.limit,
        });
        let asked = TakesTold { now: latest(calls.iter().map(|call| call.now)), calls: told.collect() };
        let answer = store.run(Role::Workers, cell, &store.scripts.take, &asked).await?;
        answer.read::<Vec<Taken>>()?.into_iter().map(taken).collect()
    }
}

fn taken(taken: Taken) -> PortResult<TakeAnswer> {
    let upto = taken.upto.0.map(|(revision, id)| {
        let container = ContainerId::new(id).map_err(|bad| PortError::corrupt("an order", bad))?;
        Ok(OrderMark { revision: Revision(revision), container })
    });
    Ok(TakeAnswer {
        call: taken.call.into(),
        orders: taken.orders.into_iter().map(order).collect::<PortResult<_>>()?,
        upto: upto.transpose()?,
        mark: mark(taken.mark),
    })
}

/// A container, its row, and the body of what is to be started; empty if there is none.
#[derive(Deserialize)]
struct OrderRead<'a>(&'a str, #[serde(borrow)] Bytes<'a>, #[serde(borrow)] Bytes<'a>);

fn order(OrderRead(id, row, body): OrderRead) -> PortResult<Order> {
    let row = records::container(id, row.0)?;
    let broken = || PortError::corrupt(format!("container {id}"), "it is ordered, and has no place");
    let placement = row.placement_id().ok_or_else(broken)?;
    match (&row.state, row.state.placement()) {
        (State::Stopping(_, cause), _) => Ok(Order::Stop { placement, cause: *cause }),
        (_, Some(place)) => {
            let body = Some(body.0).filter(|body| !body.is_empty()).map(|body| records::body(id, body)).transpose()?;
            Ok(Order::Start(Box::new(StartOrder {
                placement,
                booking: place.booking.clone(),
                runtime: row.ask.runtime.clone(),
                if_silent: row.if_silent,
                submitted: row.submitted,
                body: Arc::new(body.unwrap_or_default()),
            })))
        }
        _ => Err(broken()),
    }
}

/// A call of report.
pub(crate) struct Reports {
    now: Timestamp,
    caller: Caller,
    told: Vec<Report>,
}

#[derive(Serialize)]
struct CallsTold<'a> {
    now: u64,
    calls: Vec<ReportsTold<'a>>,
}

#[derive(Serialize)]
struct ReportsTold<'a> {
    caller: CallerTold<'a>,
    reports: Vec<ReportTold<'a>>,
}

#[derive(Deserialize)]
struct Reported {
    call: CallAnswered,
    outcomes: Vec<ReportWord>,
    mark: (u64, u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReportWord {
    Accepted,
    Dropped,
    Kill,
}

impl Shareable for Reports {
    type Answer = ReportAnswer;

    fn weight(&self) -> usize {
        1 + self.told.len()
    }

    fn queue(store: &Store) -> &Together<Self> {
        &store.reports
    }

    async fn ask(store: &Store, cell: &CellName, calls: &[&Self]) -> PortResult<Vec<Self::Answer>> {
        let told = calls.iter().map(|call| {
            let reports = call.told.iter().take(CALL_ITEMS_MAX).map(ReportTold::of).collect::<PortResult<_>>()?;
            Ok(ReportsTold { caller: CallerTold::of(&call.caller), reports })
        });
        let now = latest(calls.iter().map(|call| call.now));
        let asked = CallsTold { now, calls: told.collect::<PortResult<_>>()? };
        let answer = store.run(Role::Workers, cell, &store.scripts.report, &asked).await?;
        Ok(answer.read::<Vec<Reported>>()?.into_iter().map(reported).collect())
    }
}

fn reported(reported: Reported) -> ReportAnswer {
    let outcome = |word| match word {
        ReportWord::Accepted => ReportOutcome::Accepted,
        ReportWord::Dropped => ReportOutcome::Dropped,
        ReportWord::Kill => ReportOutcome::Kill,
    };
    ReportAnswer {
        call: reported.call.into(),
        outcomes: reported.outcomes.into_iter().map(outcome).collect(),
        mark: mark(reported.mark),
    }
}

impl RedisPorts {
    /// Which of the containers that are to be parked as undecodable are so. Scripts know less of rows than we do.
    async fn undecodable(&self, cell: &CellName, decisions: &[Decision]) -> PortResult<Vec<ContainerId>> {
        let named = decisions.iter().filter(|decision| matches!(decision.kind, DecisionKind::ParkCorrupt { .. }));
        let ids: Vec<_> = named.map(|decision| decision.container.clone()).collect();
        if ids.is_empty() {
            return Ok(ids);
        }
        let rows = self.rows(Role::Planner, cell, &ids).await?;
        let is_bad = |(id, row): &(ContainerId, Vec<u8>)| records::container(id.as_str(), row).is_err();
        Ok(ids.into_iter().zip(rows).filter(is_bad).map(|(id, _)| id).collect())
    }
}

#[async_trait]
impl PlacementRepository for RedisPorts {
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer> {
        let decisions = &commit.decisions[..commit.decisions.len().min(CALL_ITEMS_MAX)];
        let undecodable = self.undecodable(&mandate.cell, decisions).await?;
        let told = decisions.iter().map(|one| decision(one, undecodable.contains(&one.container)));
        let workers = commit.workers.iter().take(CALL_ITEMS_MAX).map(|new| {
            let SpecTold { cpu, memory, gpus, spec } = SpecTold::of(&new.spec)?;
            Ok(NewWorkerTold {
                id: new.id.as_str(),
                boot_within: records::period(new.boot_within),
                cpu,
                memory,
                gpus,
                spec,
            })
        });
        let commit_told = CommitTold {
            now: now.0,
            mandate: Fenced::by(mandate),
            decisions: told.collect::<PortResult<_>>()?,
            workers: workers.collect::<PortResult<_>>()?,
            removals: commit.removals.iter().take(CALL_ITEMS_MAX).map(WorkerId::as_str).collect(),
            limits: commit.limits.iter().map(limits).collect(),
        };
        let answer = self.store.run(Role::Planner, &mandate.cell, &self.store.scripts.commit, &commit_told).await?;
        let committed: Committed = answer.read()?;
        admitted(committed.refusal)?;
        let removal = |owns| if owns == 0 { RemovalOutcome::Done } else { RemovalOutcome::Owns(owns) };
        Ok(CommitAnswer {
            outcomes: committed.outcomes.into_iter().map(outcome).collect::<PortResult<_>>()?,
            removals: committed.removals.into_iter().map(removal).collect(),
            before: Revision(committed.before),
            after: Revision(committed.after),
        })
    }

    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>> {
        let told = LoseTold {
            now: now.0,
            mandate: Fenced::by(mandate),
            limit: limit.clamp(1, CALL_ITEMS_MAX),
            losses: losses.iter().take(CALL_ITEMS_MAX).map(loss).collect(),
        };
        let answer = self.store.run(Role::Planner, &mandate.cell, &self.store.scripts.lose, &told).await?;
        let answered: Lost = answer.read()?;
        admitted(answered.refusal)?;
        let outcome = |(word, moved)| match word {
            LossWord::Done => LossOutcome::Done(moved),
            LossWord::More => LossOutcome::More(moved),
            LossWord::Refused => LossOutcome::Refused,
        };
        Ok(answered.outcomes.into_iter().map(outcome).collect())
    }

    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer> {
        let take = Take { now, caller, after, limit: limit.min(CALL_ITEMS_MAX) };
        together::ask(&self.store, cell, take).await
    }

    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer> {
        together::ask(&self.store, cell, Reports { now, caller, told: reports }).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting> {
        let signal = self.store.signal(cell);
        let read = || self.store.heights(Role::Workers, cell);
        let heights = signal.wait(at_most, POLL, read, |now| now.ordered > seen).await?;
        Ok(signal.orders_after(seen, &heights))
    }
}
