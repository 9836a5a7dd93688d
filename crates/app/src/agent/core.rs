//! What an agent decides: a pure state machine. Events come in with the time, actions go out.
//!
//! Nothing here does I/O, reads a clock or throws dice, so that it can be explored together with `domain::model`.
//! Times are milliseconds of the boot clock. The rules, each with a test of its name:
//!
//! - The incarnation is raised, durably, before every registration; every call raises the number.
//! - A registration carries all that is held and all ends not yet acknowledged. Answers to earlier calls, and orders
//!   not yet begun, are dropped before it, the latter as ends `not_started`.
//! - Only an accepted call moves the deadline: to its sending + keepalive.
//! - A machine that boots registers as not ready, and once more when it is.
//! - What was answered `kill` makes the registration incomplete: no orders until it is gone and the agent has
//!   registered again without it.
//! - What was handed out is remembered for an hour after its end: a late order starts nothing twice.
//! - An order is started or reported, never dropped; a second attempt waits for the end of the first.

mod farewell;
mod lanes;
mod memory;
mod registration;
mod table;
#[cfg(test)]
mod tests;

use self::farewell::Leaving;
pub use self::farewell::{Farewell, Notice};
pub use self::lanes::{Lane, Ticket};
use self::lanes::{Lanes, RETRY_SLOW_MS};
use self::registration::Registration;
use self::table::Table;
use super::executor::{Cause, Happening, StopRequest};
use crate::api::calls::{
    Caller, HeartbeatCall, Hold, Order, OrderMark, PlacementName, RegisterAnswer, RegisterCall, Report, ReportAnswer,
    ReportCall, StartOrder, TakeAnswer, TakeCall, Verdict,
};
use crate::api::worker::WorkerDocument;

/// How many orders one take asks for.
pub const TAKE_LIMIT: u32 = 128;
/// The longest that a take waits for its first order.
pub const TAKE_WAIT_MS_MAX: u64 = 10_000;
/// The longest that a call may take to be answered, besides what it asks to wait.
pub const CALL_TIMEOUT_MS_MAX: u64 = 10_000;
/// The shortest time that a call is given to be answered.
const CALL_TIMEOUT_MS_MIN: u64 = 500;
/// A take that was answered empty is not repeated sooner than this after its sending.
const EMPTY_TAKE_PAUSE_MS: u64 = 10;

/// What happens to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A container started or ended.
    Happened(Happening),
    /// A call was answered, or failed. Exactly one for each [`Action::Send`].
    Answered(Ticket, Answer),
    /// The machine has booted: it can run containers now.
    Ready,
    /// Whoever started the agent wants it to empty itself, leave the cell, and exit.
    Leave,
}

/// What an agent does. Actions are performed in order, each before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write the incarnation down, so that not even a power failure forgets it.
    RaiseIncarnation(u64),
    /// Call the server; not waited for.
    Send {
        /// To be given back with the answer.
        ticket: Ticket,
        /// What to say.
        call: Call,
        /// When to give up waiting for an answer.
        timeout_ms: u64,
    },
    /// Let the shims know until when their containers may live.
    ExtendLease {
        /// Until when.
        deadline_ms: u64,
        /// How long before that the last accepted call was sent.
        keepalive_ms: u64,
    },
    /// Start a container.
    Start(Box<StartOrder>),
    /// End a container.
    Stop(PlacementName, StopRequest),
    /// The end is acknowledged: keep this much of it for an hour, nothing else.
    Settle(Report),
    /// The hour is over.
    Forget(PlacementName),
    /// Tell the operator.
    Say(Notice),
    /// Exit. Nothing follows.
    Exit(Farewell),
}

/// A call of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Register, or a page of it.
    Register(Box<RegisterCall>),
    /// Prove life.
    Heartbeat(HeartbeatCall),
    /// Ask for orders.
    Take(TakeCall),
    /// Say what happened.
    Report(ReportCall),
    /// Ask to be drained.
    Drain,
    /// Ask to be removed, being empty.
    Remove,
    /// Ask to take work again, after a drain that an earlier agent asked for and did not finish.
    Open,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a registration.
    Registered(RegisterAnswer),
    /// To a heartbeat.
    Heartbeat(Verdict),
    /// To a take.
    Take(TakeAnswer),
    /// To a report.
    Report(ReportAnswer),
    /// To a drain or a removal: done.
    Done,
    /// The server says no for now (409): another key owns taken work; the worker is not empty yet.
    Conflict(String),
    /// The server says that the call itself is wrong (400, 422): repeating it helps nothing.
    Rejected(String),
    /// The server does not know our token (401, 403).
    Unauthorized(String),
    /// No answer, or one that says nothing of the call: its outcome is unknown.
    Unreachable(String),
}

/// Who the agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What it registers as.
    pub worker: WorkerDocument,
    /// The key of its data folder.
    pub key: String,
}

/// What the data folder remembers of earlier agents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The last incarnation.
    pub incarnation: u64,
    /// The deadline of this boot, if there was one.
    pub deadline_ms: u64,
    /// What may still run.
    pub held: Vec<Hold>,
    /// What ended and is perhaps not yet acknowledged.
    pub ends: Vec<Report>,
    /// What ended within the last hour and is acknowledged, with when, oldest first.
    pub settled: Vec<(u64, Report)>,
}

/// How the agent stands with the server.
#[derive(Debug, Clone)]
enum Link {
    /// Not registered, or told to register again.
    Away,
    Registering(Registration),
    /// Registered; `complete` unless it was answered `kill`, and `ready` if it said so.
    Up {
        complete: bool,
        ready: bool,
    },
    /// Calls no more; exits once nothing is left alive.
    Closing(Farewell),
    Closed,
}

/// The state machine.
#[derive(Debug, Clone)]
pub struct Core {
    identity: Identity,
    ready: bool,
    incarnation: u64,
    link: Link,
    lanes: Lanes,
    table: Table,
    history: Option<u64>,
    /// The greatest revision that was answered in this history.
    revision: u64,
    keepalive_ms: u64,
    deadline_ms: u64,
    after: Option<OrderMark>,
    reporting: Vec<Report>,
    unreachable_since_ms: Option<u64>,
    leaving: Option<Leaving>,
    said: Option<Notice>,
}

impl Core {
    /// An agent at its start.
    pub fn new(identity: Identity, past: Past) -> Self {
        Self {
            identity,
            ready: true,
            incarnation: past.incarnation,
            link: Link::Away,
            lanes: Lanes::default(),
            history: None,
            revision: 0,
            keepalive_ms: 0,
            deadline_ms: past.deadline_ms,
            after: None,
            reporting: Vec::new(),
            unreachable_since_ms: None,
            leaving: None,
            said: None,
            table: Table::new(past.held, past.ends, past.settled),
        }
    }

    /// Says, before anything else happens, that the machine boots: it registers as not ready until [`Event::Ready`].
    pub fn boot(&mut self) {
        self.ready = false;
    }

    /// Takes in what happened at `now_ms`, and answers what to do.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        if matches!(self.link, Link::Closed) {
            return out;
        }
        match event {
            Event::Tick => {}
            Event::Happened(Happening::Started(placement)) => self.table.started(&placement),
            Event::Happened(Happening::Ended(report)) => self.table.ended(now_ms, report, &mut out),
            Event::Answered(ticket, answer) => {
                // An answer under way when the agent last registered finds its lane empty, and is dropped here.
                if let Some(sent_ms) = self.lanes.land(ticket) {
                    self.answered(now_ms, sent_ms, ticket.lane, answer, &mut out);
                }
            }
            Event::Ready => self.ready = true,
            Event::Leave => self.leaving = self.leaving.take().or(Some(Leaving::new(now_ms))),
        }
        self.table.forget_old(now_ms, &mut out);
        self.proceed(now_ms, &mut out);
        out
    }

    /// When the next [`Event::Tick`] is due, at the latest.
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.wanted().into_iter().filter_map(|lane| self.lanes.due_at(lane)).min()
    }

    /// Until when the containers may live.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    fn answered(&mut self, now_ms: u64, sent_ms: u64, lane: Lane, answer: Answer, out: &mut Vec<Action>) {
        if !matches!(answer, Answer::Unreachable(_) | Answer::Unauthorized(_)) {
            self.unreachable_since_ms = None;
        }
        match answer {
            Answer::Registered(answer) => self.registered(now_ms, sent_ms, answer, out),
            Answer::Heartbeat(verdict) => {
                if self.is_accepted(sent_ms, verdict, out) {
                    self.lanes.next(Lane::Beat, sent_ms + self.keepalive_ms / 5);
                }
            }
            Answer::Take(answer) => {
                if self.is_accepted(sent_ms, answer.verdict, out) {
                    self.saw(answer.revision);
                    self.taken(now_ms, sent_ms, answer, out);
                }
            }
            Answer::Report(answer) => {
                if self.is_accepted(sent_ms, answer.verdict, out) {
                    self.saw(answer.revision);
                    let reports = std::mem::take(&mut self.reporting);
                    self.lanes.next(Lane::Report, now_ms);
                    for (report, outcome) in reports.into_iter().zip(answer.outcomes) {
                        self.table.reported(now_ms, report, outcome, out);
                    }
                }
            }
            Answer::Done => self.left(now_ms, out),
            Answer::Conflict(detail) => self.failed(now_ms, lane, Notice::Conflict(detail), out),
            Answer::Rejected(detail) => self.failed(now_ms, lane, Notice::Rejected(detail), out),
            Answer::Unauthorized(detail) => self.failed(now_ms, lane, Notice::Unauthorized(detail), out),
            Answer::Unreachable(detail) => self.failed(now_ms, lane, Notice::Unreachable(detail), out),
        }
    }

    /// Whether a call was accepted. Only then does the deadline move, counted from its sending.
    fn is_accepted(&mut self, sent_ms: u64, verdict: Verdict, out: &mut Vec<Action>) -> bool {
        match verdict {
            Verdict::Ok => self.accepted(sent_ms, out),
            Verdict::Register => self.away(),
            Verdict::Refused => self.exit(Farewell::Replaced, out),
            Verdict::Removed => {
                let farewell = if self.leaving.is_some() { Farewell::Left } else { Farewell::Removed };
                self.close(farewell, StopRequest { cause: Cause::Kill, kill_after_ms: None }, out);
            }
        }
        verdict == Verdict::Ok
    }

    fn accepted(&mut self, sent_ms: u64, out: &mut Vec<Action>) {
        let deadline_ms = sent_ms + self.keepalive_ms;
        if deadline_ms > self.deadline_ms {
            self.deadline_ms = deadline_ms;
            out.push(Action::ExtendLease { deadline_ms, keepalive_ms: self.keepalive_ms });
        }
        self.said = None;
    }

    /// The store has come as far as this.
    fn saw(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    /// Told to register again: what is under way is no longer waited for.
    fn away(&mut self) {
        self.link = Link::Away;
        self.lanes.clear();
    }

    fn taken(&mut self, now_ms: u64, sent_ms: u64, answer: TakeAnswer, out: &mut Vec<Action>) {
        let pause_ms = if answer.orders.is_empty() { EMPTY_TAKE_PAUSE_MS } else { 0 };
        self.lanes.next(Lane::Take, sent_ms + pause_ms);
        self.after = answer.upto.or(self.after.take());
        for order in answer.orders {
            match order {
                // A take answered after its own deadline starts nothing: the work may be elsewhere by now.
                Order::Start(order) => self.table.start(*order, now_ms < self.deadline_ms, out),
                Order::Stop { placement, cause } => self.table.stop(&placement, cause, out),
            }
        }
    }

    fn failed(&mut self, now_ms: u64, lane: Lane, notice: Notice, out: &mut Vec<Action>) {
        let slow = matches!(notice, Notice::Unauthorized(_));
        self.lanes.retry(lane, now_ms, if slow { RETRY_SLOW_MS } else { 0 });
        if lane == Lane::Register {
            self.link = Link::Away;
        }
        match &notice {
            Notice::Rejected(detail) if lane == Lane::Register => {
                return self.exit(Farewell::Rejected(detail.clone()), out);
            }
            Notice::Conflict(_) if lane == Lane::Leave => return, // not empty yet: asked again
            Notice::Unreachable(_) | Notice::Unauthorized(_) => {
                self.unreachable_since_ms.get_or_insert(now_ms);
            }
            _ => {}
        }
        let same_kind = |said: &Notice| std::mem::discriminant(said) == std::mem::discriminant(&notice);
        if !self.said.as_ref().is_some_and(same_kind) {
            self.said = Some(notice.clone());
            out.push(Action::Say(notice));
        }
    }

    /// The calls that there is a reason for, be they due or not.
    fn wanted(&self) -> Vec<Lane> {
        let Link::Up { complete, ready } = self.link else {
            return if matches!(self.link, Link::Away) { vec![Lane::Register] } else { Vec::new() };
        };
        let wishes = [
            (Lane::Register, (!complete || ready != self.ready) && !self.table.is_killing()),
            (Lane::Beat, true),
            (Lane::Report, self.table.has_news()),
            (Lane::Take, complete),
            (Lane::Leave, complete && self.leaving.is_some_and(|leaving| leaving.may_ask(&self.table))),
        ];
        wishes.into_iter().filter(|(_, wanted)| *wanted).map(|(lane, _)| lane).collect()
    }

    /// Does what is due.
    fn proceed(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.leave_alone_if_cut_off(now_ms, out);
        if let Link::Closing(farewell) = &self.link
            && !self.table.is_live()
        {
            return self.exit(farewell.clone(), out);
        }
        for lane in self.wanted() {
            if self.lanes.is_due(lane, now_ms) {
                match lane {
                    Lane::Register => return self.register(now_ms, out),
                    Lane::Beat => self.beat(now_ms, out),
                    Lane::Report => self.report(now_ms, out),
                    Lane::Take => self.take(now_ms, out),
                    Lane::Leave => self.leave(now_ms, out),
                }
            }
        }
    }

    fn beat(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.send(now_ms, Lane::Beat, self.call_timeout_ms(), out, |caller| Call::Heartbeat(HeartbeatCall { caller }));
    }

    fn report(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let reports = self.table.news();
        self.reporting.clone_from(&reports);
        let call = |caller| Call::Report(ReportCall { caller, reports });
        self.send(now_ms, Lane::Report, self.call_timeout_ms(), out, call);
    }

    fn take(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let wait_ms = (self.keepalive_ms / 4).min(TAKE_WAIT_MS_MAX);
        let after = self.after.clone();
        let call = |caller| Call::Take(TakeCall { caller, after, limit: TAKE_LIMIT, wait_ms });
        self.send(now_ms, Lane::Take, wait_ms + self.call_timeout_ms(), out, call);
    }

    /// Short enough for the next call to go before the deadline.
    fn call_timeout_ms(&self) -> u64 {
        (self.keepalive_ms / 5).clamp(CALL_TIMEOUT_MS_MIN, CALL_TIMEOUT_MS_MAX)
    }

    fn send(
        &mut self,
        now_ms: u64,
        lane: Lane,
        timeout_ms: u64,
        out: &mut Vec<Action>,
        call: impl FnOnce(Caller) -> Call,
    ) {
        let ticket = self.lanes.launch(lane, now_ms);
        let (history, revision) = (self.history.unwrap_or_default(), self.revision);
        let call = call(Caller { incarnation: self.incarnation, number: ticket.number, history, revision });
        out.push(Action::Send { ticket, call, timeout_ms });
    }
}
