//! Work: whether anybody plans it, what waits, and what was lost.

use super::{Readings, Since, number, said, seconds, since_in_words, some, waits};
use crate::api::doctor::{Finding, State};
use crate::config::Thresholds;

const PENDING: &str = "stowplan status --state pending";

/// Whether batches can be committed.
pub(super) fn planner(readings: &Readings) -> Finding {
    const NAME: &str = "planner";
    const AGAIN: &str = "stowplan doctor --over 10s";
    let about = &readings.about;
    match (about.plans, &about.trouble, &about.planned_by) {
        (true, None, _) => Finding::new(NAME, State::Healthy, format!("this server plans cell {}", about.cell)),
        (true, Some(trouble), _) => Finding::new(NAME, State::Bad, format!("no batch can be committed: {trouble}"))
            .fix("see to the store: the planner goes on by itself once a commit goes through", AGAIN),
        (false, _, Some(planner)) => {
            let figure =
                format!("{planner} plans cell {}, this server stands by; ask that one for the rest", about.cell);
            Finding::new(NAME, State::Note, figure)
        }
        (false, trouble, None) => {
            let why = trouble.as_deref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            Finding::new(NAME, State::Bad, format!("nobody is known to plan cell {}{why}", about.cell))
                .fix("see to the store; a cell whose planner died is taken over after 10 s", AGAIN)
        }
    }
}

/// Whether the store lost writes, and nothing is placed before workers have said what they run.
pub(super) fn settling(readings: &Readings) -> Finding {
    const NAME: &str = "settling";
    if readings.now("stowplan_settling", &[]) == 0.0 {
        return Finding::new(NAME, State::Healthy, "no: work is placed");
    }
    let fix = "have all workers call, and remove those that are gone for good: with all of them there, or after keepalive and \
               grace, it ends by itself";
    Finding::new(NAME, State::Bad, "the store lost writes: nothing is placed until workers have said what they run")
        .fix(fix, "stowplan worker list")
}

/// How long the first in line waits.
pub(super) fn backlog_age(readings: &Readings, thresholds: &Thresholds) -> Finding {
    let count = |state: &str| readings.now("stowplan_backlog", &[("state", state)]);
    let (ready, parked) = (count("ready"), count("parked"));
    let waited = if ready > 0.0 { readings.now("stowplan_backlog_oldest_seconds", &[]) } else { 0.0 };
    let oldest = seconds(waited);
    let (warning, bad) = (thresholds.backlog_warning, thresholds.backlog_bad);
    let state = match oldest {
        _ if oldest > bad => State::Bad,
        _ if oldest > warning => State::Warning,
        _ => State::Healthy,
    };
    let first = if ready > 0.0 { format!(", the first for {}", said(oldest)) } else { String::new() };
    let figure = format!("{} in line{first}; {parked} for room or quota", waits(ready), parked = number(parked));
    let fix = "the planner does not keep up: see planner, commit_wait and batch_size";
    Finding::new("backlog_age", state, figure)
        .value(waited, "seconds")
        .threshold(format!("warning above {}, bad above {}", said(warning), said(bad)))
        .fix(fix, "stowplan doctor --over 10s")
}

/// Requests that nothing that happens by itself makes room for.
pub(super) fn never_fit(readings: &Readings) -> Finding {
    let count = readings.now("stowplan_unplaced", &[("reason", "can_never_fit")]);
    let state = if count > 0.0 { State::Warning } else { State::Healthy };
    let figure = format!("{} for what no worker and no pool could hold", waits(count));
    let fix = "stop them, or add a worker or a pool as large as they ask: each says why it waits";
    Finding::new("never_fit", state, figure).value(count, "requests").threshold("healthy at 0").fix(fix, PENDING)
}

/// Requests whose rows cannot be read.
pub(super) fn corrupt(readings: &Readings) -> Finding {
    let count = readings.now("stowplan_unplaced", &[("reason", "corrupt")]);
    let state = if count > 0.0 { State::Bad } else { State::Healthy };
    let figure = format!("{} parked because of a row that cannot be read", some(count, "request"));
    let fix = "submit them again under other ids; the audit and the server's log name them";
    Finding::new("corrupt", state, figure).value(count, "requests").threshold("healthy at 0").fix(fix, "stowplan audit")
}

/// Containers that went back because their worker was given up.
pub(super) fn lost_placements(readings: &Readings) -> Finding {
    const NAME: &str = "lost_placements";
    let ([count], since) = readings.counted([("stowplan_lost_placements_total", &[][..])], 1.0);
    let state = match since {
        _ if count < 1.0 => State::Healthy,
        Since::Period(_) => State::Warning,
        // All of it went elsewhere long ago.
        Since::Start(_) => State::Note,
    };
    let went = some(count, "container");
    let figure = format!("{went} went back to the line {}, for a worker was given up", since_in_words(since));
    let fix = "see to the workers that fell silent: what ran there runs again elsewhere as its next attempt";
    Finding::new(NAME, state, figure)
        .value(count, "containers")
        .since(since.word())
        .threshold("healthy at 0, warning if some in the period")
        .fix(fix, "stowplan worker list")
}

/// Containers that were accepted and are gone.
pub(super) fn lost_requests(readings: &Readings) -> Finding {
    let count = readings.now("stowplan_lost_requests_total", &[]);
    let state = if count > 0.0 { State::Bad } else { State::Healthy };
    let figure = format!("{} accepted and gone, by what workers told this server", some(count, "container"));
    let fix = "submit them again: the store lost writes, and the server's log names the workers that told of them; it counts from \
               the server's start";
    Finding::new("lost_requests", state, figure)
        .value(count, "containers")
        .since("start")
        .threshold("healthy at 0")
        .fix(fix, "stowplan status")
}
