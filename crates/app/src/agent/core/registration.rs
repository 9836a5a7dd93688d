//! Registering: all that is held and all that ended, in pages.

use std::collections::{BTreeSet, VecDeque};

use super::table::{OUTPUT_BYTES_MAX, REPORTS_MAX, output_bytes};
use super::{Action, CALL_TIMEOUT_MS_MAX, Call, Core, Lane, Link, Notice, RegisterAnswer, RegisterCall};
use crate::api::calls::{Hold, PlacementName, Report, ReportOutcome};

/// The most names of held placements in one page.
const HOLDS_MAX: usize = 1_000;

#[derive(Debug, Clone, Default)]
struct Page {
    holds: Vec<Hold>,
    ends: Vec<Report>,
}

/// A registration under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Registration {
    waiting: VecDeque<Page>,
    /// The ends of the page under way.
    telling: Vec<Report>,
    /// What the pages so far said has ended.
    told: BTreeSet<PlacementName>,
    /// What the pages so far were answered.
    kill: Vec<PlacementName>,
    /// Whether it says that the machine can run containers.
    ready: bool,
    /// Whether the acknowledged ends of the last hour may have to follow: if the history is a new one.
    may_retell: bool,
}

impl Core {
    /// Raises the incarnation and begins to say all that is held, and all that ended.
    pub(super) fn register(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.away();
        self.table.drop_unstarted();
        self.after = None;
        self.incarnation += 1;
        out.push(Action::RaiseIncarnation(self.incarnation));
        let registration = Registration {
            waiting: pages(&self.table.holds(), self.table.ends()),
            telling: Vec::new(),
            told: BTreeSet::new(),
            kill: Vec::new(),
            ready: self.ready,
            may_retell: !self.table.memory().is_empty(),
        };
        self.send_page(now_ms, registration, out);
    }

    fn send_page(&mut self, now_ms: u64, mut registration: Registration, out: &mut Vec<Action>) {
        let page = registration.waiting.pop_front().unwrap_or_default();
        registration.telling.clone_from(&page.ends);
        registration.told.extend(page.ends.iter().map(|end| end.placement.clone()));
        let call = RegisterCall {
            worker: self.identity.worker.clone(),
            key: self.identity.key.clone(),
            incarnation: self.incarnation,
            ready: registration.ready,
            holds: page.holds,
            ends: page.ends,
            more: !registration.waiting.is_empty() || registration.may_retell,
        };
        self.link = Link::Registering(registration);
        self.send(now_ms, Lane::Register, CALL_TIMEOUT_MS_MAX, out, |_| Call::Register(Box::new(call)));
    }

    /// A page was accepted.
    pub(super) fn registered(&mut self, now_ms: u64, sent_ms: u64, answer: RegisterAnswer, out: &mut Vec<Action>) {
        let Link::Registering(registration) = &mut self.link else { return };
        if let Some(above) = answer.raise_above {
            // Another worker had this name: begin again above it.
            self.incarnation = self.incarnation.max(above);
            return self.away();
        }
        let mut registration = std::mem::take(registration);
        self.keepalive_ms = answer.keepalive_ms;
        registration.kill.extend(answer.kill);
        for report in std::mem::take(&mut registration.telling) {
            self.table.reported(now_ms, report, ReportOutcome::Accepted, out);
        }
        let is_new = self.history != Some(answer.history);
        if registration.waiting.is_empty() && registration.may_retell {
            registration.may_retell = false;
            let mut retold = if is_new { self.table.memory().retold() } else { Vec::new() };
            // What this registration has said is acknowledged by now, and would be counted once more.
            retold.retain(|end| !registration.told.contains(&end.placement));
            registration.waiting = pages(&[], retold);
        }
        if !registration.waiting.is_empty() {
            return self.send_page(now_ms, registration, out);
        }
        if is_new {
            self.history = Some(answer.history);
            self.revision = 0;
            self.table.untell();
        }
        self.saw(answer.revision);
        // What may not run is told to end before the lease is extended: a shim that has not begun yet would begin.
        self.complete(now_ms, &registration, out);
        self.accepted(sent_ms, out);
        self.lanes.next(Lane::Beat, sent_ms + self.keepalive_ms / 5);
    }

    fn complete(&mut self, now_ms: u64, registration: &Registration, out: &mut Vec<Action>) {
        let complete = registration.kill.is_empty();
        self.link = Link::Up { complete, ready: registration.ready };
        for placement in &registration.kill {
            self.table.kill(now_ms, placement, out);
        }
        if complete {
            self.lanes.next(Lane::Register, now_ms);
            out.push(Action::Say(Notice::Registered { incarnation: self.incarnation }));
        } else {
            self.lanes.retry(Lane::Register, now_ms, 0);
        }
    }
}

/// At least one page, each within the bounds of a call.
fn pages(holds: &[Hold], ends: Vec<Report>) -> VecDeque<Page> {
    let mut pages: VecDeque<_> =
        holds.chunks(HOLDS_MAX).map(|holds| Page { holds: holds.to_vec(), ends: Vec::new() }).collect();
    if pages.is_empty() {
        pages.push_back(Page::default());
    }
    let mut bytes = 0;
    for end in ends {
        bytes += output_bytes(&end);
        let page = pages.back_mut().filter(|page| page.ends.len() < REPORTS_MAX);
        if let Some(page) = page.filter(|page| page.ends.is_empty() || bytes <= OUTPUT_BYTES_MAX) {
            page.ends.push(end);
        } else {
            bytes = output_bytes(&end);
            pages.push_back(Page { holds: Vec::new(), ends: vec![end] });
        }
    }
    pages
}
