//! What everything stands on: the store, and clocks.

use std::time::Duration;

use super::{Readings, bounds, of_time, said};
use crate::api::about::StoreAnswer;
use crate::api::doctor::{Finding, State};
use crate::config::Thresholds;

const CONFIG: &str = "stowplan config show";

/// Whether it answers, and what it is.
pub(super) fn store(readings: &Readings) -> Finding {
    const NAME: &str = "store";
    let store = &readings.about.store;
    if let Some(StoreAnswer::Failed(why)) = readings.answers.last() {
        let fix =
            "start the store, or correct the server's setting store; the server goes on by itself once it answers";
        return Finding::new(NAME, State::Bad, format!("{} does not answer: {why}", store.kind)).fix(fix, CONFIG);
    }
    let facts = store.facts.iter().map(|(name, value)| format!("{name}: {value}"));
    let figure: Vec<_> = std::iter::once(store.kind.clone()).chain(facts).collect();
    Finding::new(NAME, State::Healthy, figure.join("; "))
}

/// How long a read takes, in the middle of a few.
pub(super) fn latency(readings: &Readings, thresholds: &Thresholds) -> Finding {
    const NAME: &str = "store_latency";
    let micros = |answer: &StoreAnswer| match answer {
        StoreAnswer::After(micros) => Some(Duration::from_micros(*micros)),
        StoreAnswer::Failed(_) => None,
    };
    let mut took: Vec<Duration> = readings.answers.iter().filter_map(micros).collect();
    took.sort_unstable();
    let Some(middle) = took.get(took.len() / 2).copied() else {
        return Finding::new(NAME, State::Note, "the store answers nothing");
    };
    let (healthy, warning) = (thresholds.store_healthy, thresholds.store_warning);
    let figure = format!("{} for a read, the middle of {}", said(middle), took.len());
    let fix = "look at the load of the store and at the network between it and the server: bring them closer together";
    Finding::new(NAME, of_time(middle, healthy, warning), figure)
        .value(middle.as_secs_f64(), "seconds")
        .since("period")
        .threshold(bounds(healthy, warning))
        .fix(fix, "stowplan doctor --over 10s")
}

/// A finding for each thing that it may lose.
pub(super) fn safety(readings: &Readings) -> Vec<Finding> {
    const NAME: &str = "store_safety";
    let store = &readings.about.store;
    if !store.examined {
        return vec![Finding::new(NAME, State::Note, "the store has not said yet what it is")];
    }
    if store.cautions.is_empty() {
        return vec![Finding::new(NAME, State::Healthy, "what is acknowledged is written to disk")];
    }
    let cautions = store.cautions.iter();
    cautions
        .map(|caution| Finding::new(NAME, State::Warning, caution.what.clone()).fix(caution.fix.clone(), CONFIG))
        .collect()
}

/// The server's clock against this machine's. It labels, orders and retains; nothing waits by it.
pub(super) fn clock(readings: &Readings, thresholds: &Thresholds) -> Finding {
    const NAME: &str = "clock";
    let clock = readings.clock;
    let apart = Duration::from_millis(clock.ahead_ms.unsigned_abs());
    let within = Duration::from_millis(clock.within_ms);
    let direction = if clock.ahead_ms < 0 { "behind" } else { "ahead of" };
    let figure = format!("the server's is {} {direction} this machine's, give or take {}", said(apart), said(within));
    let is_apart = apart.saturating_sub(within) > thresholds.clock_warning;
    let state = if is_apart { State::Warning } else { State::Healthy };
    let fix =
        "have both follow one time server: the server's clock orders requests and says when ended ones are forgotten";
    Finding::new(NAME, state, figure)
        .value(apart.as_secs_f64(), "seconds")
        .threshold(format!("warning above {}", said(thresholds.clock_warning)))
        .fix(fix, "stowplan doctor")
}
