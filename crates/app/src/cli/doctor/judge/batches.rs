//! The seed's own: batch sizes, the cache, the wait for commits, and the time that scheduling takes.

use std::time::Duration;

use super::{Readings, bounds, number, of_time, said, seconds, since_in_words, some};
use crate::api::doctor::{Finding, State};
use crate::config::Thresholds;

/// So many batches, commits or placements say something of a period; fewer leave it to all since the start.
const ENOUGH: f64 = 5.0;
/// No cache need last longer: batches that come more seldom read the fleet anew, each for one call.
const CACHE_USEFUL: Duration = Duration::from_secs(1);
/// If no batch is planned for so long while others wait, something stands still.
const STANDSTILL: Duration = Duration::from_secs(2);

/// Small batches are a fault only while others wait: a planner with nothing else to do takes what is there.
pub(super) fn batch_size(readings: &Readings, thresholds: &Thresholds) -> Finding {
    const NAME: &str = "batch_size";
    let waiting = readings.in_line();
    let is_backlog = waiting >= to_f64(thresholds.batch_small);
    // With a backlog, what happened before it says nothing.
    let (sizes, since) = readings.measured("stowplan_batch_size", if is_backlog { 0.0 } else { ENOUGH });
    let threshold =
        format!("while others wait: healthy from {}, bad below {}", thresholds.batch_healthy, thresholds.batch_small);
    let when = since_in_words(since);
    let finding = match sizes.mean() {
        None if is_backlog => {
            // One batch may take longer than a short period.
            let state = if since.lasted() < STANDSTILL { State::Note } else { State::Bad };
            let figure = format!("no batch was planned {when} while {} wait", some(waiting, "request"));
            let fix = "commits take longer than this, or none goes through: see commit_wait and planner";
            Finding::new(NAME, state, figure).fix(fix, AGAIN)
        }
        None => Finding::new(NAME, State::Healthy, "no batch was planned yet, and nothing waits"),
        Some(mean) if is_backlog => {
            let state = match mean {
                _ if mean < to_f64(thresholds.batch_small) => State::Bad,
                _ if mean < to_f64(thresholds.batch_healthy) => State::Note,
                _ => State::Healthy,
            };
            let figure = format!("{} a batch {when} while {} wait", some(mean, "request"), number(waiting));
            let (fix, next) = larger_batches(readings, thresholds);
            Finding::new(NAME, state, figure).value(mean, "requests").fix(fix, next)
        }
        Some(mean) => {
            let figure =
                format!("{} a batch {when}; nothing waits, so each takes what has come", some(mean, "request"));
            Finding::new(NAME, State::Healthy, figure).value(mean, "requests")
        }
    };
    finding.since(since.word()).threshold(threshold)
}

/// Where settings are seen.
const CONFIG: &str = "stowplan config show";
/// Reads on.
const AGAIN: &str = "stowplan doctor --over 10s";

fn has_small_batches(readings: &Readings, thresholds: &Thresholds) -> bool {
    (readings.about.settings.max_batch_size as u64) < thresholds.batch_healthy
}

/// What makes batches larger, and a command.
fn larger_batches(readings: &Readings, thresholds: &Thresholds) -> (String, &'static str) {
    let most = readings.about.settings.max_batch_size;
    if has_small_batches(readings, thresholds) {
        (
            format!("a batch may hold no more than {most}: raise max_batch_size; it is 100 with --preset balanced"),
            CONFIG,
        )
    } else {
        (format!("a batch could hold {most}: read over a longer time, and set flush to window if this lasts"), AGAIN)
    }
}

/// A cache can only serve batches that follow each other soon enough, and that find room.
pub(super) fn cache_hit_rate(readings: &Readings, thresholds: &Thresholds) -> Finding {
    const NAME: &str = "cache_hit_rate";
    let counters = [("stowplan_fleet_cache_hits_total", &[][..]), ("stowplan_fleet_cache_misses_total", &[][..])];
    let ([hits, misses], since) = readings.counted(counters, ENOUGH);
    let batches = hits + misses;
    if batches < ENOUGH {
        let figure = format!("{} {}: not enough to say", some(batches, "batch"), since_in_words(since));
        return Finding::new(NAME, State::Note, figure).since(since.word());
    }
    let rate = hits / batches * 100.0;
    let lasts = Duration::from_millis(readings.about.settings.fleet_cache_ms);
    let apart = since.lasted().div_f64(batches);
    let (healthy, warning) = (to_f64(thresholds.cache_healthy), to_f64(thresholds.cache_warning));
    let has_low = rate < warning;
    let waits_for_room = readings.now("stowplan_unplaced", &[]);
    let (state, why) = match rate {
        _ if rate > healthy => (State::Healthy, String::new()),
        _ if !has_low => (State::Note, String::new()),
        _ if apart > lasts.max(CACHE_USEFUL) => {
            (State::Note, format!("; they are {} apart, longer than any cache need last", said(apart)))
        }
        _ if waits_for_room > 0.0 => {
            let why =
                format!("; {} have no room, and the fleet is read before any waits", some(waits_for_room, "request"));
            (State::Note, why)
        }
        _ => (State::Warning, String::new()),
    };
    let figure = format!("{}% of {} {}{why}", number(rate), some(batches, "batch"), since_in_words(since));
    let fix = if lasts < CACHE_USEFUL {
        format!("fleet_cache is {}: raise it to 1s; it costs no wrong placement, only a later look", said(lasts))
    } else {
        "others write to the cell between batches, or the store refuses decisions: compare stowplan_commit_outcomes_total"
            .to_owned()
    };
    let threshold = format!("healthy above {healthy}%, warning below {warning}%");
    Finding::new(NAME, state, figure).value(rate, "percent").since(since.word()).threshold(threshold).fix(fix, CONFIG)
}

/// The seed waited for locks; what a batch waits for here is its commit.
pub(super) fn commit_wait(readings: &Readings, thresholds: &Thresholds) -> Finding {
    const NAME: &str = "commit_wait";
    let (commits, since) = readings.measured("stowplan_commit_seconds", 1.0);
    let Some(mean) = commits.mean() else {
        return Finding::new(NAME, State::Note, "no batch was committed yet");
    };
    let (healthy, warning) = (thresholds.commit_healthy, thresholds.commit_warning);
    let took = seconds(mean);
    let figure = format!("{} on average, of {} {}", said(took), some(commits.count, "commit"), since_in_words(since));
    let fix = format!(
        "the store ({}) is slow to write: look at its load and its disk, and at the way to it; store_latency says how long a \
         read takes",
        readings.about.store.kind
    );
    Finding::new(NAME, of_time(took, healthy, warning), figure)
        .value(mean, "seconds")
        .since(since.word())
        .threshold(bounds(healthy, warning))
        .fix(fix, "stowplan doctor --over 10s")
}

/// From submit to placement of those that had room from the first: what waits for room says nothing of the scheduler.
pub(super) fn scheduling_time(readings: &Readings, thresholds: &Thresholds) -> Finding {
    const NAME: &str = "scheduling_time";
    let (placed, since) = readings.measured("stowplan_in_line_seconds", ENOUGH);
    let Some(most) = placed.quantile(0.95) else {
        return Finding::new(NAME, State::Note, "nothing was placed yet that had room from the first")
            .since(since.word());
    };
    let (healthy, warning) = (thresholds.scheduling_healthy, thresholds.scheduling_warning);
    let took = seconds(most);
    let figure =
        format!("95% of {} placed within {} {}", some(placed.count, "request"), said(took), since_in_words(since));
    let (fix, next) = faster(readings, thresholds, took);
    Finding::new(NAME, of_time(took, healthy, warning), figure)
        .value(most, "seconds")
        .since(since.word())
        .threshold(bounds(healthy, warning))
        .fix(fix, next)
}

/// What has requests placed sooner, and a command.
fn faster(readings: &Readings, thresholds: &Thresholds, took: Duration) -> (String, &'static str) {
    let settings = &readings.about.settings;
    let window = Duration::from_millis(settings.batch_window_ms);
    let (commits, _) = readings.measured("stowplan_commit_seconds", 1.0);
    match commits.mean() {
        _ if settings.flush == "window" && window >= took / 2 => {
            let fix = format!("each batch gathers for batch_window, {}: lower it, or set flush to idle", said(window));
            (fix, CONFIG)
        }
        Some(mean) if seconds(mean) > thresholds.commit_warning => {
            let fix = "each batch waits for a slow store: see commit_wait; a larger max_batch_size needs fewer commits";
            (fix.to_owned(), AGAIN)
        }
        _ if has_small_batches(readings, thresholds) => larger_batches(readings, thresholds),
        _ => {
            let fix =
                "more comes than this planner places: check the worker pool size and the load of the server's machine";
            (fix.to_owned(), "stowplan worker list")
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "thresholds are small")]
fn to_f64(threshold: u64) -> f64 {
    threshold as f64
}

/// How many requests a batch held, if there were enough to say.
pub(super) fn mean_size(readings: &Readings) -> Option<f64> {
    let (sizes, _) = readings.measured("stowplan_batch_size", ENOUGH);
    sizes.mean().filter(|_| sizes.count >= ENOUGH)
}
