//! Readings in, findings out: nothing is asked here, and no clock is read.

mod batches;
mod fleet;
mod settings;
mod store;
mod work;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::readings::{Readings, Since};
use crate::api::doctor::{Finding, State};
use crate::config::Thresholds;

/// Judges every indicator: those of batches first, then what they stand on.
pub(crate) fn judge(readings: &Readings, thresholds: &Thresholds) -> Vec<Finding> {
    let mut findings = vec![work::planner(readings)];
    // Those of a server that does not plan stand still.
    if readings.about.plans {
        findings.extend([
            work::settling(readings),
            batches::batch_size(readings, thresholds),
            batches::cache_hit_rate(readings, thresholds),
            batches::commit_wait(readings, thresholds),
            batches::scheduling_time(readings, thresholds),
            fleet::worker_additions(readings),
        ]);
        findings.extend(fleet::pools(readings));
        findings.extend([work::never_fit(readings), work::corrupt(readings), work::lost_placements(readings)]);
    }
    findings.extend([work::backlog_age(readings, thresholds), work::lost_requests(readings)]);
    findings.extend(fleet::workers(readings));
    findings.extend([store::store(readings), store::latency(readings, thresholds)]);
    findings.extend(store::safety(readings));
    findings.push(store::clock(readings, thresholds));
    findings.extend(settings::settings(readings, thresholds));
    findings
}

/// The worst of them; notes are healthy.
pub(crate) fn worst(findings: &[Finding]) -> State {
    let states = findings.iter().map(|finding| finding.state);
    states.filter(|state| *state > State::Note).max().unwrap_or(State::Healthy)
}

/// Below `healthy` it is healthy, above `warning` a warning, and between them neither.
fn of_time(value: Duration, healthy: Duration, warning: Duration) -> State {
    if value < healthy {
        State::Healthy
    } else if value <= warning {
        State::Note
    } else {
        State::Warning
    }
}

fn bounds(healthy: Duration, warning: Duration) -> String {
    format!("healthy below {}, warning above {}", said(healthy), said(warning))
}

/// A span as a figure says it: to three digits, in the unit that suits it.
fn said(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let (value, unit) = match seconds {
        _ if seconds < 0.001 => (seconds * 1e6, "us"),
        _ if seconds < 1.0 => (seconds * 1e3, "ms"),
        _ if seconds < 120.0 => (seconds, "s"),
        _ => (seconds / 60.0, "min"),
    };
    let digits = usize::from(value < 100.0);
    let text = format!("{value:.digits$}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// A span of so many seconds, as metrics hold them.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

/// A number, or a mean of such.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// A number of things.
fn some(value: f64, thing: &str) -> String {
    let number = number(value);
    let plural = match thing {
        _ if number == "1" => "",
        "batch" => "es",
        _ => "s",
    };
    format!("{number} {thing}{plural}")
}

/// So many requests wait.
fn waits(count: f64) -> String {
    let requests = some(count, "request");
    format!("{requests} {}", if requests.ends_with('s') { "wait" } else { "waits" })
}

fn since_in_words(since: Since) -> String {
    match since {
        Since::Period(lasted) => format!("in {}", said(lasted)),
        Since::Start(lasted) => format!("since the start {} ago", said(lasted)),
    }
}
