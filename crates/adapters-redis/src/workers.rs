//! Workers and their life.

use async_trait::async_trait;
use domain::id::{CallNumber, CellName, History, Incarnation, Revision, WorkerId, Workspace};
use domain::model::workers::{
    Beats, Look, LookPage, RegisterOutcome, Registration, RemoveHow, RemoveOutcome, StatusChange, StatusOutcome,
};
use domain::model::{CALL_ITEMS_MAX, FleetName, Rewind};
use domain::time::Timestamp;
use domain::worker::{CallAnswer, Caller};
use ports::{PortError, PortResult, Source, WorkerRepository};
use serde::{Deserialize, Serialize};

use crate::RedisPorts;
use crate::connection::Role;
use crate::records::{self, Alike, Bytes, Maybe};
use crate::store::{boot_of, mark};
use crate::told::{BookingTold, CallAnswered, CallerTold, ReportTold, SpecTold};

#[derive(Serialize)]
struct Register<'a> {
    now: u64,
    worker: &'a str,
    incarnation: u64,
    key: &'a str,
    cpu: u64,
    memory: u64,
    gpus: u32,
    spec: String,
    ready: bool,
    holds: Vec<HeldTold<'a>>,
    ends: Vec<ReportTold<'a>>,
    more: bool,
}

#[derive(Serialize)]
struct HeldTold<'a> {
    id: &'a str,
    attempt: u64,
    history: u64,
    cpu: u64,
    memory: u64,
    milli: u32,
    devices: &'a [u32],
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RegisterWord {
    /// History, revision, which of the held are to be killed (counted from 1), how many are not known.
    Registered((u64, u64, Vec<usize>, u32)),
    Replaced,
    KeyTaken(u32),
    Raise(u64),
}

#[derive(Serialize)]
struct Heartbeat<'a> {
    callers: Vec<CallerTold<'a>>,
}

#[derive(Serialize)]
struct SetStatus<'a> {
    now: u64,
    changes: Vec<StatusTold<'a>>,
}

#[derive(Serialize)]
struct StatusTold<'a> {
    worker: &'a str,
    to: &'static str,
    within: Option<(u64, u32)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusSet {
    Done,
    Already,
    NoSuchWorker,
}

#[derive(Serialize)]
struct Remove<'a> {
    now: u64,
    limit: usize,
    removals: Vec<RemovalTold<'a>>,
}

#[derive(Serialize)]
struct RemovalTold<'a> {
    worker: &'a str,
    is_lost: bool,
    incarnation: Option<u64>,
    number: Option<u64>,
    boot: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Removed {
    Done,
    NoSuchWorker,
    Owns(u32),
    Registered,
    Lives,
    More(u32),
}

#[derive(Serialize)]
struct LookAsked {
    since: Option<u64>,
    limit: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Looked<'a> {
    Whole,
    #[serde(borrow)]
    Page(Page<'a>),
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    workers: Vec<(&'a str, Bytes<'a>)>,
    #[serde(borrow)]
    lots: Vec<(&'a str, Bytes<'a>)>,
    #[serde(borrow)]
    usage: Vec<(&'a str, Bytes<'a>)>,
    /// Kind, name, revision.
    #[serde(borrow)]
    gone: Vec<(&'a str, &'a str, u64)>,
    upto: (u64, u64),
    more: bool,
    rewind: Maybe<(u64, u64, u64)>,
    settling: bool,
    unregistered: u64,
}

#[derive(Serialize)]
struct Nothing {}

fn fleet_name(kind: &str, name: &str) -> Result<FleetName, Source> {
    Ok(match kind {
        "1" => FleetName::Worker(WorkerId::new(name)?),
        "2" => FleetName::Lot(records::lot_key(name)?),
        "3" => FleetName::Usage(Workspace::new(name)?),
        _ => return Err(format!("{kind:?} is no kind of row").into()),
    })
}

/// The page of a look. Rows of one revision come in the order of their names, which is not that of the store's text.
fn look_page(read: &Page) -> PortResult<LookPage> {
    let mut specs = Alike::default();
    let workers = read.workers.iter().filter_map(|(id, row)| records::worker(&mut specs, id, row.0).ok());
    let mut workers: Vec<_> = workers.collect();
    workers.sort_by(|a, b| (a.changed, &a.id).cmp(&(b.changed, &b.id)));
    let mut lots: Vec<_> = read.lots.iter().filter_map(|(name, row)| records::lot(name, row.0).ok()).collect();
    lots.sort_by(|a, b| (a.changed, &a.key).cmp(&(b.changed, &b.key)));
    let gone = read.gone.iter().map(|(kind, name, revision)| Ok((*revision, fleet_name(kind, name)?)));
    let gone: Result<Vec<_>, Source> = gone.collect();
    let mut gone = gone.map_err(|bad| PortError::corrupt("a removal", bad))?;
    gone.sort();
    let usage = read.usage.iter().filter_map(|(workspace, row)| records::usage(workspace, row.0).ok());
    Ok(LookPage {
        workers,
        gone: gone.into_iter().map(|(_, name)| name).collect(),
        usage: usage.map(|row| (row.workspace, row.usage)).collect(),
        lots,
        upto: mark(read.upto),
        more: read.more,
        rewind: read.rewind.0.map(|(history, revision, reached)| Rewind {
            survived: mark((history, revision)),
            reached: Revision(reached),
        }),
        settling: read.settling,
        unregistered: read.unregistered,
    })
}

/// A beat as it is kept: incarnation, number, and whether the worker is up.
fn beat(id: &str, kept: &str) -> Option<(WorkerId, Incarnation, CallNumber)> {
    let mut words = kept.split(' ');
    let (incarnation, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some("up")).then_some((WorkerId::new(id).ok()?, Incarnation(incarnation), CallNumber(number)))
}

#[async_trait]
impl WorkerRepository for RedisPorts {
    async fn register(
        &self,
        cell: &CellName,
        now: Timestamp,
        registration: Registration,
    ) -> PortResult<RegisterOutcome> {
        let spec = SpecTold::of(&registration.spec)?;
        let holds = registration.holds.iter().map(|held| {
            let BookingTold { cpu, memory, milli, devices } = BookingTold::of(&held.booking);
            let placement = &held.placement;
            HeldTold {
                id: placement.container.as_str(),
                attempt: placement.attempt.0,
                history: placement.history.get(),
                cpu,
                memory,
                milli,
                devices,
            }
        });
        let register = Register {
            now: now.0,
            worker: registration.worker.as_str(),
            incarnation: registration.incarnation.0,
            key: registration.key.as_str(),
            cpu: spec.cpu,
            memory: spec.memory,
            gpus: spec.gpus,
            spec: spec.spec,
            ready: registration.ready,
            holds: holds.collect(),
            ends: registration.ends.iter().map(ReportTold::of).collect::<PortResult<_>>()?,
            more: registration.more,
        };
        let answer = self.store.run(Role::Workers, cell, &self.store.scripts.register, &register).await?;
        Ok(match answer.read()? {
            RegisterWord::Registered((history, revision, kills, unknown)) => RegisterOutcome::Registered {
                mark: mark((history, revision)),
                kills: kills
                    .into_iter()
                    .filter_map(|at| Some(registration.holds.get(at.checked_sub(1)?)?.placement.clone()))
                    .collect(),
                unknown,
            },
            RegisterWord::Replaced => RegisterOutcome::Replaced,
            RegisterWord::KeyTaken(taken) => RegisterOutcome::KeyTaken { taken },
            RegisterWord::Raise(above) => RegisterOutcome::Raise { above: Incarnation(above) },
        })
    }

    async fn beats(&self, cell: &CellName) -> PortResult<Beats> {
        let answer = self.store.run(Role::Planner, cell, &self.store.scripts.beats, &Nothing {}).await?;
        let (run, history, kept): (&str, u64, Vec<&str>) = answer.read()?;
        let mut numbers: Vec<_> = kept.chunks_exact(2).filter_map(|pair| beat(pair[0], pair[1])).collect();
        numbers.sort();
        Ok(Beats { boot: boot_of(run)?, history: History::from_random(history), numbers })
    }

    async fn heartbeat(&self, cell: &CellName, callers: Vec<Caller>) -> PortResult<Vec<CallAnswer>> {
        let heartbeat = Heartbeat { callers: callers.iter().map(CallerTold::of).collect() };
        let answer = self.store.run(Role::Workers, cell, &self.store.scripts.heartbeat, &heartbeat).await?;
        Ok(answer.read::<Vec<CallAnswered>>()?.into_iter().map(CallAnswer::from).collect())
    }

    async fn set_status(
        &self,
        cell: &CellName,
        now: Timestamp,
        changes: Vec<(WorkerId, StatusChange)>,
    ) -> PortResult<Vec<StatusOutcome>> {
        let told = changes.iter().take(CALL_ITEMS_MAX).map(|(worker, change)| {
            let (to, within) = match change {
                StatusChange::Open => ("no", None),
                StatusChange::Cordoned => ("cordoned", None),
                StatusChange::Draining { within } => ("draining", Some(records::period(*within))),
            };
            StatusTold { worker: worker.as_str(), to, within }
        });
        let set_status = SetStatus { now: now.0, changes: told.collect() };
        let answer = self.store.run(Role::Workers, cell, &self.store.scripts.set_status, &set_status).await?;
        let outcome = |set| match set {
            StatusSet::Done => StatusOutcome::Done,
            StatusSet::Already => StatusOutcome::Already,
            StatusSet::NoSuchWorker => StatusOutcome::NoSuchWorker,
        };
        Ok(answer.read::<Vec<StatusSet>>()?.into_iter().map(outcome).collect())
    }

    async fn remove(
        &self,
        cell: &CellName,
        now: Timestamp,
        removals: Vec<(WorkerId, RemoveHow)>,
        limit: usize,
    ) -> PortResult<Vec<RemoveOutcome>> {
        let told = removals.iter().take(CALL_ITEMS_MAX).map(|(worker, how)| {
            let (incarnation, seen) = match how {
                RemoveHow::IfEmpty => (None, None),
                RemoveHow::Lost { incarnation, seen } => (Some(incarnation.0), *seen),
            };
            RemovalTold {
                worker: worker.as_str(),
                is_lost: incarnation.is_some(),
                incarnation,
                number: seen.map(|seen| seen.number.0),
                boot: seen.map(|seen| seen.boot.get()),
            }
        });
        let remove = Remove { now: now.0, limit: limit.clamp(1, CALL_ITEMS_MAX), removals: told.collect() };
        let answer = self.store.run(Role::Workers, cell, &self.store.scripts.remove, &remove).await?;
        let outcome = |removed| match removed {
            Removed::Done => RemoveOutcome::Done,
            Removed::NoSuchWorker => RemoveOutcome::NoSuchWorker,
            Removed::Owns(containers) => RemoveOutcome::Owns(containers),
            Removed::Registered => RemoveOutcome::Registered,
            Removed::Lives => RemoveOutcome::Lives,
            Removed::More(moved) => RemoveOutcome::More(moved),
        };
        Ok(answer.read::<Vec<Removed>>()?.into_iter().map(outcome).collect())
    }

    async fn look(&self, cell: &CellName, since: Option<Revision>, limit: usize) -> PortResult<Look> {
        let asked = LookAsked { since: since.map(|since| since.0), limit: limit.clamp(1, CALL_ITEMS_MAX) };
        let answer = self.store.run(Role::Planner, cell, &self.store.scripts.look, &asked).await?;
        Ok(match answer.read()? {
            Looked::Whole => Look::Whole,
            Looked::Page(page) => Look::Page(look_page(&page)?),
        })
    }
}
