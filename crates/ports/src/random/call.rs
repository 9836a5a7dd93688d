//! One call of any port, as a value.

use std::fmt::Debug;
use std::time::Duration;

use domain::id::{CellName, ContainerId, PlannerId, Revision, Stamp, Term, WorkerId};
use domain::model::containers::Keep;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, Loss};
use domain::model::workers::{Registration, RemoveHow, StatusChange};
use domain::model::{Filter, Mandate, OrderMark, Report};
use domain::request::{OrderKey, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use domain::worker::Caller;

use crate::Ports;

/// One call.
#[derive(Debug, Clone)]
pub enum Op {
    Submit(Timestamp, Vec<Submission>),
    Depth,
    Next(Option<OrderKey>, usize, Vec<(LotKey, usize)>),
    Reached(Revision),
    Acquire(PlannerId, Option<(Term, Stamp)>),
    Renew(Mandate),
    Resign(Mandate),
    Commit(Mandate, Timestamp, Commit),
    Lose(Mandate, Timestamp, Vec<Loss>, usize),
    Register(Timestamp, Registration),
    Beats,
    Heartbeat(Vec<Caller>),
    Take(Timestamp, Caller, Option<OrderMark>, usize),
    Report(Timestamp, Caller, Vec<Report>),
    Ordered(Revision),
    SetStatus(Timestamp, Vec<(WorkerId, StatusChange)>),
    Remove(Timestamp, Vec<(WorkerId, RemoveHow)>, usize),
    Look(Option<Revision>, usize),
    Get(Vec<ContainerId>),
    List(Filter, Option<ContainerId>, usize),
    Stop(Timestamp, Vec<ContainerId>),
    Forget(Timestamp, Keep, usize),
    Export(Option<Revision>, usize),
}

impl Op {
    /// Calls, and shows what is answered. Whoever acquires the cell has its `mandate` until it resigns.
    pub async fn call(self, ports: &Ports, cell: &CellName, mandate: &mut Option<Mandate>) -> String {
        match self {
            Self::Submit(now, items) => shown(ports.backlog.submit(cell, now, items).await),
            Self::Depth => shown(ports.backlog.depth(cell).await),
            Self::Next(after, limit, lots) => shown(ports.backlog.next(cell, after, limit, lots).await),
            Self::Reached(seen) => shown(ports.backlog.wait(cell, seen, Duration::ZERO).await),
            Self::Acquire(planner, expected) => {
                let answer = ports.leadership.acquire(cell, &planner, expected).await;
                if let Ok(AcquireOutcome::Acquired(given)) = &answer {
                    *mandate = Some(given.clone());
                }
                shown(answer)
            }
            Self::Renew(mandate) => shown(ports.leadership.renew(&mandate).await),
            Self::Resign(held) => {
                *mandate = None;
                shown(ports.leadership.resign(&held).await)
            }
            Self::Commit(mandate, now, commit) => shown(ports.placements.commit(&mandate, now, commit).await),
            Self::Lose(mandate, now, losses, limit) => shown(ports.placements.lose(&mandate, now, losses, limit).await),
            Self::Register(now, registration) => shown(ports.workers.register(cell, now, registration).await),
            Self::Beats => shown(ports.workers.beats(cell).await),
            Self::Heartbeat(callers) => shown(ports.workers.heartbeat(cell, callers).await),
            Self::Take(now, caller, after, limit) => {
                shown(ports.placements.take(cell, now, caller, after, limit).await)
            }
            Self::Report(now, caller, reports) => shown(ports.placements.report(cell, now, caller, reports).await),
            // Whom the orders are for may be said more or less exactly.
            Self::Ordered(seen) => {
                shown(ports.placements.wait(cell, seen, Duration::ZERO).await.map(|waiting| waiting.upto))
            }
            Self::SetStatus(now, items) => shown(ports.workers.set_status(cell, now, items).await),
            Self::Remove(now, items, limit) => shown(ports.workers.remove(cell, now, items, limit).await),
            Self::Look(since, limit) => shown(ports.workers.look(cell, since, limit).await),
            Self::Get(ids) => shown(ports.containers.get(cell, ids).await),
            Self::List(filter, after, limit) => shown(ports.containers.list(cell, filter, after, limit).await),
            Self::Stop(now, ids) => shown(ports.containers.stop(cell, now, ids).await),
            Self::Forget(now, keep, limit) => shown(ports.containers.forget(cell, now, keep, limit).await),
            Self::Export(since, limit) => shown(ports.containers.export(cell, since, limit).await),
        }
    }
}

pub(super) fn shown(answer: impl Debug) -> String {
    format!("{answer:?}\n")
}
