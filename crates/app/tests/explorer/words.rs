//! What happens, in words.

use std::fmt;

use app::agent::core::{Action, Answer, Call};
use app::api::calls::{Order, PlacementName, Report};
use domain::model::placements::{Decision, DecisionKind, Loss};
use domain::model::workers::RemoveHow;

use crate::planner::PlannerCall;
use crate::world::{Due, UserCall};

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act { machine, action } => write!(f, "machine {machine} {}", act(action)),
            Self::Call { machine, ticket, call, .. } => {
                write!(f, "machine {machine} {} (call {})", said(call), ticket.number)
            }
            Self::Answer { machine, ticket, answer, .. } => {
                write!(f, "machine {machine} is answered {} (call {})", answered(answer), ticket.number)
            }
            Self::Exec { machine, placement } => {
                write!(f, "machine {machine}: the process of {} begins", name(placement))
            }
            Self::Die { machine, placement, .. } => {
                write!(f, "machine {machine}: the process of {} dies of what it was told", name(placement))
            }
            Self::Poll(planner) => write!(f, "planner {} reads the beats", planner + 1),
            Self::Plan { planner, call } => write!(f, "planner {} {}", planner + 1, planned(call)),
            Self::User(UserCall::Stop(container)) => write!(f, "somebody stops {container}"),
            Self::User(UserCall::Drain(worker)) => write!(f, "somebody drains {worker}"),
            Self::User(UserCall::Remove(worker, how)) => match how {
                RemoveHow::Lost { incarnation, seen: Some(seen) } => write!(
                    f,
                    "an operator says that run {incarnation} of {worker} is gone, silent since call {}",
                    seen.number
                ),
                RemoveHow::Lost { incarnation, seen: None } => {
                    write!(f, "an operator says that run {incarnation} of {worker} is gone, which is given up")
                }
                RemoveHow::IfEmpty => write!(f, "an operator removes {worker}"),
            },
        }
    }
}

impl Due {
    /// What happens all the time, and is told only if something goes wrong with it.
    pub(crate) fn is_dull(&self) -> bool {
        match self {
            Self::Call { call, .. } => matches!(**call, Call::Heartbeat(_) | Call::Take(_)),
            Self::Act { action, .. } => !matches!(action, Action::Stop(..) | Action::Exit(_)),
            Self::Poll(_) => true,
            _ => false,
        }
    }
}

pub(crate) fn name(placement: &PlacementName) -> String {
    format!("{} attempt {}", placement.container, placement.attempt)
}

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn reported(report: &Report) -> String {
    format!("{} {:?}", name(&report.placement), report.event)
}

fn said(call: &Call) -> String {
    match call {
        Call::Register(call) => format!(
            "registers as run {}, holding {}, with the ends {}",
            call.incarnation,
            list(call.holds.iter().map(|hold| name(&hold.placement))),
            list(call.ends.iter().map(reported))
        ),
        Call::Heartbeat(_) => "beats".to_owned(),
        Call::Take(_) => "asks for orders".to_owned(),
        Call::Report(call) => format!("reports {}", list(call.reports.iter().map(reported))),
        Call::Drain | Call::Remove | Call::Open => format!("asks: {call:?}"),
    }
}

fn answered(answer: &Answer) -> String {
    let order = |order: &Order| match order {
        Order::Start(order) => format!("start {}", name(&order.placement)),
        Order::Stop { placement, .. } => format!("stop {}", name(placement)),
    };
    match answer {
        Answer::Take(answer) => format!("{:?}: {}", answer.verdict, list(answer.orders.iter().map(order))),
        answer => format!("{answer:?}"),
    }
}

fn act(action: &Action) -> String {
    match action {
        Action::Start(order) => format!("writes down the intent to start {}", name(&order.placement)),
        Action::Stop(placement, request) => format!("ends {}: {:?}", name(placement), request.cause),
        Action::Settle(end) => format!("is done with {}", name(&end.placement)),
        action => format!("does {action:?}"),
    }
}

fn planned(call: &PlannerCall) -> String {
    let decided = |decision: &Decision| match &decision.kind {
        DecisionKind::Place { worker, incarnation, .. } => {
            format!("{} on run {incarnation} of {worker}", decision.container)
        }
        kind => format!("{} {kind:?}", decision.container),
    };
    let lost = |loss: &Loss| match loss {
        Loss::Silent { worker, incarnation, number, .. } => {
            format!("run {incarnation} of {worker}, silent since call {number}")
        }
        loss => format!("{loss:?}"),
    };
    match call {
        PlannerCall::Commit(commit) => format!("places {}", list(commit.decisions.iter().map(decided))),
        PlannerCall::Lose(losses) => format!("gives up {}", list(losses.iter().map(lost))),
    }
}
