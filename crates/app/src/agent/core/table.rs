//! The containers that the agent was handed, from the order to the acknowledged end.

use std::collections::BTreeMap;

use super::memory::Memory;
use super::{Action, Cause, StopRequest};
use crate::api::calls::{Event, Hold, Owns, PlacementName, Report, ReportOutcome, StartOrder, StopCause};

/// The most reports in one call, or in one page of a registration.
pub(super) const REPORTS_MAX: usize = 256;
/// The most bytes of output in one call, or in one page of a registration, unless one report alone has more.
pub(super) const OUTPUT_BYTES_MAX: usize = 512 * 1024;

#[derive(Debug, Clone)]
enum Phase {
    /// Not begun: another attempt of the same container is not over yet.
    Waiting(Box<StartOrder>),
    /// Begun; it counts as held from here on, since its intent is on disk.
    Starting,
    Running {
        told: bool,
    },
    /// Over, and not yet acknowledged.
    Ended(Report),
}

#[derive(Debug, Clone)]
struct Row {
    phase: Phase,
    owns: Owns,
    /// The strongest request to end it that was passed on.
    asked: Option<Cause>,
}

impl Row {
    fn new(phase: Phase, owns: Owns) -> Self {
        Self { phase, owns, asked: None }
    }

    fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running { .. })
    }

    /// What the server has not been told of it.
    fn news(&self, placement: &PlacementName) -> Option<Report> {
        match &self.phase {
            Phase::Running { told: false } if self.asked != Some(Cause::Kill) => {
                Some(Report { placement: placement.clone(), event: Event::Running, output: None })
            }
            Phase::Ended(end) => Some(end.clone()),
            _ => None,
        }
    }
}

/// All of them, and what is remembered of those that are over.
#[derive(Debug, Clone)]
pub(super) struct Table {
    rows: BTreeMap<PlacementName, Row>,
    memory: Memory,
}

impl Table {
    pub(super) fn new(held: Vec<Hold>, ends: Vec<Report>, settled: Vec<(u64, Report)>) -> Self {
        let held = held.into_iter().map(|held| (held.placement, Row::new(Phase::Starting, held.owns)));
        let ends = ends.into_iter().map(|end| (end.placement.clone(), Row::new(Phase::Ended(end), Owns::default())));
        let rows = held.chain(ends).collect();
        let mut memory = Memory::default();
        for (at_ms, end) in settled {
            memory.add(at_ms, end.placement, end.event);
        }
        Self { rows, memory }
    }

    /// A start order. What was handed out before, under way or over, is not started again.
    pub(super) fn start(&mut self, order: StartOrder, in_time: bool, out: &mut Vec<Action>) {
        let placement = order.placement.clone();
        if self.rows.contains_key(&placement) || self.memory.contains(&placement) {
            return;
        }
        let owns = order.owns.clone();
        let phase = if !in_time {
            Phase::Ended(end(&placement, Event::NotStarted))
        } else if self.is_container_live(&placement.container) {
            Phase::Waiting(Box::new(order))
        } else {
            out.push(Action::Start(Box::new(order)));
            Phase::Starting
        };
        self.rows.insert(placement, Row::new(phase, owns));
    }

    /// A stop order. Never started, it is reported ended all the same; over, it keeps its own end.
    pub(super) fn stop(&mut self, placement: &PlacementName, cause: StopCause, out: &mut Vec<Action>) {
        let (cause, event) = match cause {
            StopCause::Stop => (Cause::Stop, Event::StopOrder),
            StopCause::Drain => (Cause::Drain, Event::DrainOrder),
        };
        let never_started = end(placement, event);
        match self.rows.get_mut(placement) {
            Some(row) if row.is_live() => ask(row, placement, cause, None, out),
            Some(Row { phase: Phase::Ended(_), .. }) => {}
            Some(row) => row.phase = Phase::Ended(never_started),
            None => {
                // Nobody stops what he knows to be over: he has not heard of its end.
                let end = self.memory.end_of(placement).unwrap_or(never_started);
                self.rows.insert(placement.clone(), Row::new(Phase::Ended(end), Owns::default()));
            }
        }
    }

    /// What the worker may not run: it is killed, and nobody wants to hear how it ended.
    pub(super) fn kill(&mut self, now_ms: u64, placement: &PlacementName, out: &mut Vec<Action>) {
        let Some(row) = self.rows.get_mut(placement) else { return };
        match &row.phase {
            Phase::Starting | Phase::Running { .. } => ask(row, placement, Cause::Kill, None, out),
            Phase::Waiting(_) => self.settle(now_ms, end(placement, Event::NotStarted), out),
            Phase::Ended(report) => {
                let report = report.clone();
                self.settle(now_ms, report, out);
            }
        }
    }

    /// Asks all that lives to end.
    pub(super) fn stop_all(&mut self, request: StopRequest, out: &mut Vec<Action>) {
        for (placement, row) in self.rows.iter_mut().filter(|(_, row)| row.is_live()) {
            ask(row, placement, request.cause, request.kill_after_ms, out);
        }
        self.drop_unstarted();
    }

    pub(super) fn started(&mut self, placement: &PlacementName) {
        if let Some(row) = self.rows.get_mut(placement)
            && matches!(row.phase, Phase::Starting)
        {
            row.phase = Phase::Running { told: false };
        }
    }

    /// A container is over; another attempt of it that waited for this is begun.
    pub(super) fn ended(&mut self, now_ms: u64, report: Report, out: &mut Vec<Action>) {
        let container = report.placement.container.clone();
        let Some(row) = self.rows.get_mut(&report.placement).filter(|row| row.is_live()) else { return };
        if row.asked == Some(Cause::Kill) {
            self.settle(now_ms, report, out);
        } else {
            row.phase = Phase::Ended(report);
        }
        if self.is_container_live(&container) {
            return;
        }
        let waiting = self.rows.iter_mut().find_map(|(placement, row)| {
            (placement.container == container && matches!(row.phase, Phase::Waiting(_))).then_some(row)
        });
        if let Some(row) = waiting
            && let Phase::Waiting(order) = std::mem::replace(&mut row.phase, Phase::Starting)
        {
            out.push(Action::Start(order));
        }
    }

    /// Orders not begun are ended: the next registration says so.
    pub(super) fn drop_unstarted(&mut self) {
        for (placement, row) in &mut self.rows {
            if matches!(row.phase, Phase::Waiting(_)) {
                row.phase = Phase::Ended(end(placement, Event::NotStarted));
            }
        }
    }

    /// What became of one report.
    pub(super) fn reported(&mut self, now_ms: u64, report: Report, outcome: ReportOutcome, out: &mut Vec<Action>) {
        match outcome {
            ReportOutcome::Kill => self.kill(now_ms, &report.placement, out),
            ReportOutcome::Accepted | ReportOutcome::Dropped if report.event.is_end() => {
                self.settle(now_ms, report, out);
            }
            ReportOutcome::Accepted | ReportOutcome::Dropped => {
                if let Some(Row { phase: Phase::Running { told }, .. }) = self.rows.get_mut(&report.placement) {
                    *told = true;
                }
            }
        }
    }

    /// An end is acknowledged, or nobody wants it: it is remembered, so that no late order starts it again.
    pub(super) fn settle(&mut self, now_ms: u64, report: Report, out: &mut Vec<Action>) {
        self.rows.remove(&report.placement);
        self.memory.add(now_ms, report.placement.clone(), report.event.clone());
        out.push(Action::Settle(Report { output: None, ..report }));
    }

    pub(super) fn forget_old(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        while let Some(placement) = self.memory.pop_old(now_ms) {
            out.push(Action::Forget(placement));
        }
    }

    /// A new history was told nothing yet.
    pub(super) fn untell(&mut self) {
        for row in self.rows.values_mut() {
            if let Phase::Running { told } = &mut row.phase {
                *told = false;
            }
        }
    }

    pub(super) fn holds(&self) -> Vec<Hold> {
        let live = self.rows.iter().filter(|(_, row)| row.is_live());
        live.map(|(placement, row)| Hold { placement: placement.clone(), owns: row.owns.clone() }).collect()
    }

    pub(super) fn ends(&self) -> Vec<Report> {
        let ends = self.rows.values().filter_map(|row| match &row.phase {
            Phase::Ended(end) => Some(end.clone()),
            _ => None,
        });
        ends.collect()
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn has_news(&self) -> bool {
        self.rows.iter().any(|(placement, row)| row.news(placement).is_some())
    }

    /// What the server has not been told, as much as one call carries.
    pub(super) fn news(&self) -> Vec<Report> {
        let mut bytes = 0;
        let news = self.rows.iter().filter_map(|(placement, row)| row.news(placement));
        let fits = |report: &Report| {
            bytes += output_bytes(report);
            bytes <= OUTPUT_BYTES_MAX || bytes == output_bytes(report)
        };
        news.take_while(fits).take(REPORTS_MAX).collect()
    }

    /// Whether a process may be alive.
    pub(super) fn is_live(&self) -> bool {
        self.rows.values().any(Row::is_live)
    }

    /// Whether something is alive that may not be.
    pub(super) fn is_killing(&self) -> bool {
        self.rows.values().any(|row| row.is_live() && row.asked == Some(Cause::Kill))
    }

    /// Whether all that was handed out is over and acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn is_container_live(&self, container: &str) -> bool {
        let first = PlacementName { container: container.to_owned(), attempt: 0, history: 0 };
        let attempts = self.rows.range(first..).take_while(|(placement, _)| placement.container == container);
        attempts.into_iter().any(|(_, row)| row.is_live())
    }
}

/// Passes a request on if it is stronger than what was asked before, or hurries it.
fn ask(row: &mut Row, placement: &PlacementName, cause: Cause, kill_after_ms: Option<u64>, out: &mut Vec<Action>) {
    if row.asked < Some(cause) || kill_after_ms.is_some() {
        let cause = row.asked.map_or(cause, |asked| asked.max(cause));
        row.asked = Some(cause);
        out.push(Action::Stop(placement.clone(), StopRequest { cause, kill_after_ms }));
    }
}

fn end(placement: &PlacementName, event: Event) -> Report {
    Report { placement: placement.clone(), event, output: None }
}

/// How many bytes of output a report carries.
pub(super) fn output_bytes(report: &Report) -> usize {
    report.output.as_ref().map_or(0, |output| output.stdout.text.len() + output.stderr.text.len())
}
