//! Workers, and the pools that make them.

use std::time::Duration;

use super::{Readings, number, said, since_in_words, some, waits};
use crate::api::doctor::{Finding, State};
use crate::api::pools::PoolStatus;
use crate::api::worker::WorkerDocument;

/// More than this part of what was asked for with room free is often.
const OFTEN: f64 = 0.1;
/// How many names a sentence holds.
const NAMES_MAX: usize = 5;

/// Workers are to be added only when the fleet is full. Those of a pool's `min` and `warm` are asked for whatever is free.
pub(super) fn worker_additions(readings: &Readings) -> Finding {
    const NAME: &str = "worker_additions";
    const ASKED: &str = "stowplan_worker_additions_total";
    const WITH_ROOM: &str = "stowplan_worker_additions_with_room_total";
    let counters = [
        (ASKED, &[][..]),
        (ASKED, &[("reason", "demand")][..]),
        (WITH_ROOM, &[("reason", "demand")][..]),
        (WITH_ROOM, &[("reason", "min")][..]),
        (WITH_ROOM, &[("reason", "warm")][..]),
    ];
    let ([asked, for_demand, with_room, for_min, for_warm], since) = readings.counted(counters, 1.0);
    let kept = for_min + for_warm;
    let when = since_in_words(since);
    let all = some(asked, "worker");
    let (state, figure) = match asked {
        0.0 => (State::Healthy, format!("no worker was asked for {when}")),
        _ if with_room > 0.0 => {
            let state = if with_room > OFTEN * for_demand { State::Warning } else { State::Note };
            (state, format!("{} of {all} asked for {when} while others of the pool stood empty", number(with_room)))
        }
        _ if kept > 0.0 => {
            let kept = number(kept);
            (State::Note, format!("{kept} of {all} asked for {when} beside empty ones, as min and warm of pools say"))
        }
        _ => (State::Healthy, format!("{all} asked for {when}, none while others of the pool stood empty")),
    };
    let fix = "what waits may not use the workers that come: compare the labels, runtime and GPUs of the pool's template with \
               what its workers register, and explain a request that waits";
    Finding::new(NAME, state, figure)
        .value(with_room, "workers")
        .since(since.word())
        .threshold("healthy at 0, warning above 10% of those asked for")
        .fix(fix, "stowplan pool list")
}

/// A finding for each pool that is in trouble.
pub(super) fn pools(readings: &Readings) -> Vec<Finding> {
    const NAME: &str = "pools";
    let Some(pools) = &readings.pools else {
        return vec![Finding::new(NAME, State::Note, "the server could not tell its pools")];
    };
    let troubles: Vec<Finding> = pools.iter().filter_map(trouble).collect();
    if !troubles.is_empty() {
        return troubles;
    }
    let ready: u64 = pools.iter().map(|pool| pool.ready).sum();
    let figure = if pools.is_empty() {
        "none is configured: the fleet is what registers".to_owned()
    } else {
        format!("pools: {}; workers ready: {ready}", pools.len())
    };
    vec![Finding::new(NAME, State::Healthy, figure)]
}

fn trouble(pool: &PoolStatus) -> Option<Finding> {
    if pool.failures == 0 && pool.trouble.is_none() {
        return None;
    }
    let why = pool.trouble.as_deref().unwrap_or("it does not say why");
    let figure = match pool.rests_ms.filter(|_| pool.failures > 0).map(Duration::from_millis) {
        None if pool.failures == 0 => format!("pool {}: {why}", pool.name),
        rests => {
            let failures = some(pool.failures.into(), "failure");
            let again = rests.map(|rests| format!(", asks again in {}", said(rests))).unwrap_or_default();
            format!("pool {} had {failures} in a row{again}: {why}", pool.name)
        }
    };
    let fix =
        format!("see to the provider of pool {}: it asks more seldom with each failure, and by itself", pool.name);
    let finding = Finding::new("pools", State::Warning, figure).value(f64::from(pool.failures), "failures");
    Some(finding.fix(fix, "stowplan pool list"))
}

/// Workers that are silent or given up.
pub(super) fn workers(readings: &Readings) -> Vec<Finding> {
    const NAME: &str = "workers";
    const LIST: &str = "stowplan worker list";
    let Some(workers) = &readings.workers else {
        return vec![Finding::new(NAME, State::Note, "the server could not tell its workers")];
    };
    let keepalive = Duration::from_millis(readings.about.settings.keepalive_ms);
    let is = |worker: &&WorkerDocument, status: &str| worker.status.as_deref() == Some(status);
    let lost: Vec<_> = workers.iter().filter(|worker| is(worker, "lost")).collect();
    let is_silent = |worker: &&WorkerDocument| {
        !is(worker, "lost") && worker.silent_ms.is_some_and(|silent| Duration::from_millis(silent) >= keepalive / 2)
    };
    let silent: Vec<_> = workers.iter().filter(is_silent).collect();
    let mut findings = Vec::new();
    if !silent.is_empty() {
        let figure = format!("{} silent for more than half of the keepalive, {}", names(&silent), said(keepalive));
        let fix = "see whether their machines and agents live: after keepalive and grace their work is given away";
        findings.push(Finding::new(NAME, State::Warning, figure).value(count(silent.len()), "workers").fix(fix, LIST));
    }
    if !lost.is_empty() {
        let figure = format!("{} given up for being silent", names(&lost));
        let fix = "start their agents again, or remove them with stowplan worker remove ID: their work went elsewhere";
        findings.push(Finding::new(NAME, State::Warning, figure).value(count(lost.len()), "workers").fix(fix, LIST));
    }
    let available = workers.iter().filter(|worker| is(worker, "available")).count();
    let waiting = ["ready", "parked"].map(|state| readings.now("stowplan_backlog", &[("state", state)]));
    let waiting = waiting[0] + waiting[1];
    // Only who plans knows of pools.
    let may_come = readings.pools.as_ref().is_none_or(|pools| pools.iter().any(|pool| pool.grows && pool.max > 0));
    if available == 0 && waiting > 0.0 && !may_come {
        let figure = format!("none takes work, and {} for one", waits(waiting));
        let fix = "start agents, or uncordon those that are closed";
        findings.push(Finding::new(NAME, State::Bad, figure).value(0.0, "workers").fix(fix, LIST));
    }
    if findings.is_empty() {
        let figure = format!("{available} of {} take work, none is silent", workers.len());
        findings.push(Finding::new(NAME, State::Healthy, figure).value(count(available), "workers"));
    }
    findings
}

fn names(workers: &[&WorkerDocument]) -> String {
    let first: Vec<_> = workers.iter().take(NAMES_MAX).map(|worker| worker.id.as_str()).collect();
    let more = workers.len() - first.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if workers.len() == 1 { "is" } else { "are" };
    format!("{}{more} {verb}", first.join(", "))
}

#[expect(clippy::cast_precision_loss, reason = "fleets are small")]
fn count(workers: usize) -> f64 {
    workers as f64
}
