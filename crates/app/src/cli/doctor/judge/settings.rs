//! Settings that work against what the server is used for.

use std::time::Duration;

use super::batches::mean_size;
use super::{Readings, number, said};
use crate::api::about::SettingsDocument;
use crate::api::doctor::{Finding, State};
use crate::config::Thresholds;

const NAME: &str = "settings";
/// Below it a busy machine loses workers that are well.
const KEEPALIVE_LOW: Duration = Duration::from_secs(5);
/// Below it a worker's work is given away before what it ran is surely ended.
const GRACE_LOW: Duration = Duration::from_secs(1);
/// A look that is older misses workers that came and room that others freed.
const FLEET_CACHE_HIGH: Duration = Duration::from_secs(10);

/// A finding for each, or one that says what is in force.
pub(super) fn settings(readings: &Readings, thresholds: &Thresholds) -> Vec<Finding> {
    let settings = &readings.about.settings;
    let smells = [
        flush(readings, thresholds),
        batch(settings, thresholds),
        cache(settings),
        keepalive(settings),
        grace(settings),
    ];
    let mut findings: Vec<Finding> = smells.into_iter().flatten().collect();
    if findings.is_empty() {
        let figure = format!(
            "batches of at most {}, flush {}, fleet_cache {}, keepalive {}, {}",
            settings.max_batch_size,
            settings.flush,
            said(Duration::from_millis(settings.fleet_cache_ms)),
            said(Duration::from_millis(settings.keepalive_ms)),
            if settings.token { "with a token" } else { "no token, loopback only" }
        );
        findings.push(Finding::new(NAME, State::Healthy, figure));
    }
    if !settings.quotas {
        let figure = "no quota is given: any workspace may use the whole fleet, up to the default";
        findings.push(Finding::new(NAME, State::Note, figure));
    }
    findings
}

fn smell(figure: String, fix: &str) -> Finding {
    Finding::new(NAME, State::Warning, figure).fix(fix, "stowplan config show")
}

/// Under low load each request waits the whole window for nobody.
fn flush(readings: &Readings, thresholds: &Thresholds) -> Option<Finding> {
    let settings = &readings.about.settings;
    let mean = mean_size(readings)?;
    #[expect(clippy::cast_precision_loss, reason = "a threshold is small")]
    let is_low = mean < thresholds.batch_small as f64 && readings.in_line() < thresholds.batch_small as f64;
    (settings.flush == "window" && settings.batch_window_ms > 0 && is_low).then(|| {
        let window = said(Duration::from_millis(settings.batch_window_ms));
        smell(
            format!(
                "flush = window has each of these batches of {} wait {window} for more that do not come",
                number(mean)
            ),
            "set flush to idle: batches then gather while a commit is in flight, and a lone request does not wait",
        )
    })
}

fn batch(settings: &SettingsDocument, thresholds: &Thresholds) -> Option<Finding> {
    ((settings.max_batch_size as u64) < thresholds.batch_small).then(|| {
        smell(
            format!(
                "max_batch_size is {}: under load this places little more than one request at a time",
                settings.max_batch_size
            ),
            "raise max_batch_size; it is 100 with --preset balanced",
        )
    })
}

fn cache(settings: &SettingsDocument) -> Option<Finding> {
    let lasts = Duration::from_millis(settings.fleet_cache_ms);
    if lasts.is_zero() {
        let fix = "set fleet_cache to 500ms, as --preset balanced does";
        return Some(smell("fleet_cache is 0: every batch reads the fleet".to_owned(), fix));
    }
    (lasts > FLEET_CACHE_HIGH).then(|| {
        let figure =
            format!("fleet_cache is {}: room that others free, and workers that come, are seen that late", said(lasts));
        smell(figure, "lower fleet_cache; 1s is plenty")
    })
}

fn keepalive(settings: &SettingsDocument) -> Option<Finding> {
    let keepalive = Duration::from_millis(settings.keepalive_ms);
    (keepalive < KEEPALIVE_LOW).then(|| {
        let figure = format!("keepalive is {}: a busy machine or network loses workers that are well", said(keepalive));
        smell(figure, "raise keepalive; it is 120s by default")
    })
}

fn grace(settings: &SettingsDocument) -> Option<Finding> {
    let grace = Duration::from_millis(settings.grace_ms);
    (grace < GRACE_LOW).then(|| {
        let figure =
            format!("grace is {}: work is given away before what a silent worker ran is surely ended", said(grace));
        smell(figure, "raise grace; it is 15s by default")
    })
}
