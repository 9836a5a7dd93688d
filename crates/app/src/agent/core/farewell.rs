//! How an agent leaves, and what it tells the operator.

use super::table::Table;
use super::{Action, CALL_TIMEOUT_MS_MAX, Call, Cause, Core, Lane, Link, StopRequest};

/// A leaving agent that reaches no server for this long leaves without it.
const CUT_OFF_MS: u64 = 2_000;
/// A leaving agent leaves without the server's consent after this long.
const LEAVE_MS_MAX: u64 = 30_000;
/// From TERM to KILL, when the agent leaves without the server.
const LEAVE_KILL_AFTER_MS: u64 = 5_000;

/// Why the agent exits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// It was asked to leave, is empty, and was removed.
    Left,
    /// It was asked to leave, reached no server, and has ended what it ran.
    CutOff,
    /// The worker was removed; what it ran was ended.
    Removed,
    /// Another run with the same key has registered; what runs is left to that one.
    Replaced,
    /// The server says that this worker cannot be, and why.
    Rejected(String),
}

/// What the agent tells the operator: each kind once, until a call is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It is registered.
    Registered {
        /// Which run.
        incarnation: u64,
    },
    /// It is refused for now, and goes on trying.
    Conflict(String),
    /// A call was called wrong; it goes on trying.
    Rejected(String),
    /// Its token is not accepted; it goes on trying.
    Unauthorized(String),
    /// It reaches no server; it goes on trying.
    Unreachable(String),
}

/// An agent that was asked to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    since_ms: u64,
    /// Whether the server knows.
    drained: bool,
}

impl Leaving {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { since_ms: now_ms, drained: false }
    }

    /// A drain may be asked for at any time; the removal once all is over and acknowledged.
    pub(super) fn may_ask(self, table: &Table) -> bool {
        !self.drained || table.is_empty()
    }
}

impl Core {
    /// Asks to be drained; then, with nothing left and every end acknowledged, to be removed.
    pub(super) fn leave(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let drained = self.leaving.is_some_and(|leaving| leaving.drained);
        let call = if drained { Call::Remove } else { Call::Drain };
        self.send(now_ms, Lane::Leave, CALL_TIMEOUT_MS_MAX, out, |_| call);
    }

    /// A drain or a removal was done.
    pub(super) fn left(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.lanes.next(Lane::Leave, now_ms);
        match &mut self.leaving {
            Some(leaving) if !leaving.drained => leaving.drained = true,
            _ => self.exit(Farewell::Left, out),
        }
    }

    /// A leaving agent does not wait for ever for a server that may have gone before it.
    pub(super) fn leave_alone_if_cut_off(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let Some(leaving) = self.leaving else { return };
        let cut_off = self.unreachable_since_ms.is_some_and(|since_ms| now_ms >= since_ms + CUT_OFF_MS);
        let too_long = now_ms >= leaving.since_ms + LEAVE_MS_MAX;
        if (cut_off || too_long) && !matches!(self.link, Link::Closing(_) | Link::Closed) {
            let request = StopRequest { cause: Cause::Drain, kill_after_ms: Some(LEAVE_KILL_AFTER_MS) };
            self.close(Farewell::CutOff, request, out);
        }
    }

    /// Calls no more, ends what is held, and exits when nothing is left alive.
    pub(super) fn close(&mut self, farewell: Farewell, request: StopRequest, out: &mut Vec<Action>) {
        self.table.stop_all(request, out);
        self.lanes.clear();
        self.link = Link::Closing(farewell);
    }

    pub(super) fn exit(&mut self, farewell: Farewell, out: &mut Vec<Action>) {
        self.lanes.clear();
        self.link = Link::Closed;
        out.push(Action::Exit(farewell));
    }
}
