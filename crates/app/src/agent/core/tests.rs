//! The rules of an agent, each by its name. A played server answers; time is whatever the test says.

mod calls;
mod leaving;
mod orders;

use super::*;
use crate::api::calls::{Event as Occurrence, IfSilent, Owns, ReportOutcome, StopCause};

const KEEPALIVE_MS: u64 = 120_000;
const HISTORY: u64 = 7;

/// A core, the time, and what it last did.
struct Play {
    core: Core,
    now_ms: u64,
    done: Vec<Action>,
    /// The calls that were not yet answered.
    calls: Vec<(Ticket, Call)>,
}

impl Play {
    fn new(past: Past) -> Self {
        Self::of(Core::new(identity(), past))
    }

    fn booting() -> Self {
        let mut core = Core::new(identity(), Past::default());
        core.boot();
        Self::of(core)
    }

    fn of(core: Core) -> Self {
        let mut play = Self { core, now_ms: 1_000, done: Vec::new(), calls: Vec::new() };
        play.event(Event::Tick);
        play
    }

    /// Registered, complete, with a take under way.
    fn registered() -> Self {
        let mut play = Self::new(Past::default());
        play.answer_register(&[]);
        play
    }

    fn event(&mut self, event: Event) {
        self.done = self.core.handle(self.now_ms, event);
        for action in &self.done {
            if let Action::Send { ticket, call, .. } = action {
                self.calls.push((*ticket, call.clone()));
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.event(Event::Tick);
    }

    /// The oldest unanswered call of `lane`.
    fn call(&mut self, lane: Lane) -> (Ticket, Call) {
        let position = self.calls.iter().position(|(ticket, _)| ticket.lane == lane);
        let position = position.unwrap_or_else(|| panic!("no {lane:?} under way, only {:?}", self.calls));
        self.calls.remove(position)
    }

    fn is_calling(&self, lane: Lane) -> bool {
        self.calls.iter().any(|(ticket, _)| ticket.lane == lane)
    }

    fn register_call(&self) -> RegisterCall {
        let call = self.calls.iter().rev().find_map(|(_, call)| match call {
            Call::Register(call) => Some((**call).clone()),
            _ => None,
        });
        call.expect("registers")
    }

    fn report_call(&self) -> Vec<Report> {
        let call = self.calls.iter().rev().find_map(|(_, call)| match call {
            Call::Report(call) => Some(call.reports.clone()),
            _ => None,
        });
        call.expect("reports")
    }

    fn answer(&mut self, lane: Lane, answer: Answer) {
        let (ticket, _) = self.call(lane);
        self.event(Event::Answered(ticket, answer));
    }

    fn answer_register(&mut self, kill: &[PlacementName]) {
        self.answer_register_in(HISTORY, kill);
    }

    fn answer_register_in(&mut self, history: u64, kill: &[PlacementName]) {
        let answer =
            RegisterAnswer { history, revision: 0, kill: kill.to_vec(), keepalive_ms: KEEPALIVE_MS, raise_above: None };
        self.answer(Lane::Register, Answer::Registered(answer));
    }

    /// Also the second page, which is asked for when there is something that a new history would have to be told.
    fn answer_register_pages(&mut self) {
        while self.is_calling(Lane::Register) {
            self.answer_register(&[]);
        }
    }

    fn answer_take(&mut self, orders: Vec<Order>) {
        let upto = orders.last().map(|_| OrderMark { revision: self.now_ms, container: "c".to_owned() });
        self.answer(Lane::Take, Answer::Take(TakeAnswer { verdict: Verdict::Ok, orders, upto, revision: 0 }));
    }

    fn answer_report(&mut self, outcomes: &[ReportOutcome]) {
        let answer = ReportAnswer { verdict: Verdict::Ok, outcomes: outcomes.to_vec(), revision: 0 };
        self.answer(Lane::Report, Answer::Report(answer));
    }

    fn started(&mut self, placement: &PlacementName) {
        self.event(Event::Happened(Happening::Started(placement.clone())));
    }

    fn ended(&mut self, placement: &PlacementName, event: Occurrence) {
        self.event(Event::Happened(Happening::Ended(report(placement, event))));
    }

    /// Takes `placement`, starts it, and has that acknowledged.
    fn run(&mut self, placement: &PlacementName) {
        self.answer_take(vec![start(placement)]);
        self.started(placement);
        self.answer_report(&[ReportOutcome::Accepted]);
    }

    /// Whether the last event caused an action that `wanted` knows.
    fn did(&self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.done.iter().any(wanted)
    }

    fn did_start(&self, placement: &PlacementName) -> bool {
        self.did(|action| matches!(action, Action::Start(order) if order.placement == *placement))
    }

    fn did_stop(&self, placement: &PlacementName, cause: Cause) -> bool {
        self.did(|action| matches!(action, Action::Stop(name, request) if name == placement && request.cause == cause))
    }

    fn farewell(&self) -> Option<&Farewell> {
        self.done.iter().find_map(|action| match action {
            Action::Exit(farewell) => Some(farewell),
            _ => None,
        })
    }
}

fn identity() -> Identity {
    Identity { worker: WorkerDocument::default(), key: "k".to_owned() }
}

fn placement(container: &str, attempt: u64) -> PlacementName {
    PlacementName { container: container.to_owned(), attempt, history: HISTORY }
}

fn hold(placement: &PlacementName) -> Hold {
    Hold { placement: placement.clone(), owns: Owns::default() }
}

fn report(placement: &PlacementName, event: Occurrence) -> Report {
    Report { placement: placement.clone(), event, output: None }
}

fn start(placement: &PlacementName) -> Order {
    Order::Start(Box::new(StartOrder {
        placement: placement.clone(),
        command: vec!["true".to_owned()],
        env: std::collections::BTreeMap::new(),
        cwd: None,
        timeout_ms: None,
        kill_after_ms: None,
        if_silent: IfSilent::Stop,
        owns: Owns::default(),
        runtime: None,
    }))
}

fn stop(placement: &PlacementName, cause: StopCause) -> Order {
    Order::Stop { placement: placement.clone(), cause }
}
