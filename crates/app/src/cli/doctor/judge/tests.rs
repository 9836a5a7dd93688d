use serde_json::json;

use super::*;
use crate::api::about::AboutDocument;
use crate::api::about::{CautionDocument, SettingsDocument, StoreAnswer, StoreDocument};
use crate::api::doctor::INDICATORS;
use crate::api::pools::PoolStatus;
use crate::api::worker::WorkerDocument;
use crate::cli::doctor::metrics::Metrics;
use crate::cli::doctor::readings::Clock;
use crate::config::{ThresholdFlags, settle_thresholds};
use State::{Bad, Healthy, Note, Warning};

fn about() -> AboutDocument {
    AboutDocument {
        version: "0".to_owned(),
        now: domain::time::Timestamp(0).into(),
        up_ms: 100_000,
        cell: "main".to_owned(),
        plans: true,
        planned_by: None,
        trouble: None,
        store: StoreDocument { kind: "embedded".to_owned(), examined: true, ..StoreDocument::default() },
        answer: StoreAnswer::After(1),
        settings: SettingsDocument {
            token: false,
            batch_window_ms: 50,
            max_batch_size: 100,
            fleet_cache_ms: 500,
            flush: "idle".to_owned(),
            keepalive_ms: 120_000,
            grace_ms: 15_000,
            quotas: true,
        },
    }
}

/// A server of which nothing is known but that it is well, and these lines of metrics at its two readings.
fn readings(before: &str, after: &str) -> Readings {
    let metrics = |text: &str| Metrics::read(&text.replace("; ", "\n")).unwrap();
    Readings {
        before: metrics(before),
        after: metrics(after),
        over: Duration::from_secs(2),
        about: about(),
        answers: vec![StoreAnswer::After(400)],
        clock: Clock::default(),
        workers: Some(vec![worker("w1", "available", 100)]),
        pools: Some(Vec::new()),
    }
}

fn worker(id: &str, status: &str, silent_ms: u64) -> WorkerDocument {
    let (status, silent_ms) = (Some(status.to_owned()), Some(silent_ms));
    WorkerDocument { id: id.to_owned(), status, silent_ms, ..WorkerDocument::default() }
}

fn pool(failures: u32, trouble: Option<&str>) -> PoolStatus {
    let document = json!({"name": "burst", "grows": true, "min": 0, "max": 9, "warm": 0, "ready": 1, "pending": 0, "idle": 0,
        "others": 0, "leaving": 0, "failed": 0, "wanted": 0, "rests_ms": 5000, "failures": failures, "decision": "", "trouble": trouble,
        "worker": {}});
    serde_json::from_value(document).unwrap()
}

fn findings(readings: &Readings) -> Vec<Finding> {
    judge(readings, &default_thresholds())
}

fn default_thresholds() -> Thresholds {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.toml");
    std::fs::write(&file, "").unwrap();
    settle_thresholds(Some(file), &ThresholdFlags::default()).unwrap()
}

/// The worst of the findings of an indicator; every warning of it says what to do.
fn found(readings: &Readings, indicator: &str) -> Finding {
    let findings = findings(readings);
    for finding in &findings {
        let has_fix = finding.fix.is_some() && finding.next.is_some();
        assert_eq!(has_fix, finding.state >= Warning, "{finding:?}");
    }
    let all = findings.into_iter().filter(|finding| finding.indicator == indicator);
    all.max_by_key(|finding| finding.state).unwrap_or_else(|| panic!("no {indicator}"))
}

fn check(indicator: &str, before: &str, after: &str, state: State, words: &str) {
    let finding = found(&readings(before, after), indicator);
    assert_eq!(finding.state, state, "{after}: {finding:?}");
    assert!(finding.figure.contains(words), "{finding:?} does not say {words}");
}

#[test]
fn a_server_that_is_well_is_healthy_in_every_indicator() {
    let findings = findings(&readings("", ""));
    let mut indicators: Vec<&str> = findings.iter().map(|finding| finding.indicator.as_str()).collect();
    indicators.dedup();
    assert_eq!(indicators, INDICATORS);
    let worst = worst(&findings);
    assert_eq!(worst, Healthy, "{findings:?}");
    assert!(findings.iter().all(|finding| finding.state == Healthy
        || finding.figure.contains("yet")
        || finding.figure.contains("not enough")));
}

#[test]
fn small_batches_are_bad_only_while_others_wait() {
    const WAIT: &str = "stowplan_backlog{state=\"ready\"} 10; ";
    let sizes = |sum: u32| format!("stowplan_batch_size_sum {sum}; stowplan_batch_size_count 10");
    for (sum, state) in [(99, Bad), (100, Note), (499, Note), (500, Healthy), (1000, Healthy)] {
        check("batch_size", WAIT, &format!("{WAIT}{}", sizes(sum)), state, "wait");
        check("batch_size", "", &sizes(sum), Healthy, "nothing waits");
        check("batch_size", "", &format!("{WAIT}{}", sizes(sum)), Healthy, "nothing waits");
    }
    check("batch_size", WAIT, WAIT, Bad, "no batch was planned in 2 s while 10 requests wait");
    check("batch_size", &WAIT.replace("10", "9"), &WAIT.replace("10", "9"), Healthy, "nothing waits");
    // Small ones of before the backlog say nothing of it.
    let early = format!("{WAIT}stowplan_batch_size_sum 5; stowplan_batch_size_count 5");
    check(
        "batch_size",
        &early,
        &format!("{WAIT}stowplan_batch_size_sum 105; stowplan_batch_size_count 6"),
        Healthy,
        "100 requests",
    );
    let fix = found(&readings(WAIT, &format!("{WAIT}{}", sizes(50))), "batch_size").fix.unwrap();
    assert!(fix.contains("longer time"), "100 is no small most: {fix}");
    let mut small = readings(WAIT, &format!("{WAIT}{}", sizes(50)));
    small.about.settings.max_batch_size = 5;
    let fix = found(&small, "batch_size").fix.unwrap();
    assert!(fix.contains("no more than 5") && fix.contains("max_batch_size"), "{fix}");
}

#[test]
fn a_cache_is_judged_by_batches_that_it_could_serve() {
    let cache = |hits: u32, misses: u32| {
        format!("stowplan_fleet_cache_hits_total {hits}; stowplan_fleet_cache_misses_total {misses}")
    };
    for (hits, state) in [(951, Healthy), (950, Note), (800, Note), (799, Warning), (0, Warning)] {
        check("cache_hit_rate", "", &cache(hits, 1000 - hits), state, "of 1000 batches in 2 s");
    }
    check("cache_hit_rate", "", &cache(0, 4), Note, "not enough to say");
    check("cache_hit_rate", "", &cache(0, 5), Warning, "in 2 s");
    // Since the start 100 s ago: 50 batches are 2 s apart, 100 are 1 s apart.
    check("cache_hit_rate", &cache(0, 50), &cache(0, 50), Note, "apart");
    check("cache_hit_rate", &cache(0, 100), &cache(0, 100), Warning, "since the start");
    let full = format!("{}; stowplan_unplaced{{reason=\"no_room\"}} 7", cache(0, 100));
    check("cache_hit_rate", "", &full, Note, "7 requests have no room");
    let fix = |fleet_cache_ms: u64| {
        let mut readings = readings("", &cache(0, 100));
        readings.about.settings.fleet_cache_ms = fleet_cache_ms;
        found(&readings, "cache_hit_rate").fix.unwrap()
    };
    assert!(fix(1).contains("fleet_cache is 1 ms: raise it"), "{}", fix(1));
    assert!(fix(1000).contains("outcomes"), "{}", fix(1000));
}

#[test]
fn commits_are_judged_by_their_mean_at_the_seeds_edges() {
    for (sum, state) in [("0.0999", Healthy), ("0.1", Note), ("0.5", Note), ("0.5001", Warning)] {
        let after = format!("stowplan_commit_seconds_sum {sum}; stowplan_commit_seconds_count 10");
        check("commit_wait", "", &after, state, "of 10 commits in 2 s");
        check("commit_wait", &after, &after, state, "of 10 commits since the start");
    }
    check("commit_wait", "", "", Note, "no batch was committed yet");
}

#[test]
fn scheduling_is_judged_by_most_of_those_that_had_room() {
    let placed = |two: u32, three: u32, rest: u32| {
        let bucket = |le: &str, count: u32| format!("stowplan_in_line_seconds_bucket{{le=\"{le}\"}} {count}; ");
        let (b, c) = (two + three, two + three + rest);
        let buckets =
            bucket("1.0", 0) + &bucket("2.0", two) + &bucket("3.0", b) + &bucket("300.0", c) + &bucket("+Inf", c);
        format!("{buckets}stowplan_in_line_seconds_count {c}; stowplan_in_line_seconds_sum 1")
    };
    for (after, state) in
        [(placed(100, 0, 0), Healthy), (placed(95, 5, 0), Note), (placed(0, 95, 5), Note), (placed(0, 94, 6), Warning)]
    {
        check("scheduling_time", "", &after, state, "95% of 100 requests placed within");
    }
    check("scheduling_time", "", "", Note, "nothing was placed yet");
    let slow = format!("{}; stowplan_commit_seconds_sum 1; stowplan_commit_seconds_count 1", placed(0, 0, 100));
    let fix = |after: &str, most: usize| {
        let mut readings = readings("", after);
        readings.about.settings.max_batch_size = most;
        found(&readings, "scheduling_time").fix.unwrap()
    };
    assert!(fix(&slow, 100).contains("slow store"));
    assert!(fix(&placed(0, 0, 100), 5).contains("raise max_batch_size"));
    assert!(fix(&placed(0, 0, 100), 100).contains("worker pool size"));
}

#[test]
fn workers_added_beside_empty_ones_are_a_warning_if_it_is_often_and_nobody_wanted_it() {
    let asked = |asked: u32, reason: &str, with_room: u32| {
        format!(
            "stowplan_worker_additions_total{{pool=\"p\",reason=\"{reason}\"}} {asked}; \
             stowplan_worker_additions_with_room_total{{pool=\"p\",reason=\"{reason}\"}} {with_room}"
        )
    };
    check("worker_additions", "", "", Healthy, "no worker was asked for");
    check("worker_additions", "", &asked(10, "demand", 0), Healthy, "10 workers asked for in 2 s");
    check("worker_additions", "", &asked(10, "demand", 1), Note, "1 of 10");
    check("worker_additions", "", &asked(10, "demand", 2), Warning, "2 of 10");
    check("worker_additions", &asked(10, "demand", 2), &asked(10, "demand", 2), Warning, "since the start");
    check("worker_additions", &asked(10, "demand", 2), &asked(11, "demand", 2), Healthy, "1 worker asked for in 2 s");
    check("worker_additions", "", &asked(10, "warm", 10), Note, "min and warm");
    check("worker_additions", "", &asked(10, "min", 10), Note, "min and warm");
}

#[test]
fn what_waits_and_what_was_lost_is_told() {
    let ready =
        |seconds: &str| format!("stowplan_backlog{{state=\"ready\"}} 1; stowplan_backlog_oldest_seconds {seconds}");
    for (seconds, state) in [("10", Healthy), ("10.01", Warning), ("60", Warning), ("60.01", Bad)] {
        check("backlog_age", "", &ready(seconds), state, "1 request waits in line");
    }
    check("backlog_age", "", "stowplan_backlog_oldest_seconds 99", Healthy, "0 requests wait in line");
    check("never_fit", "", "stowplan_unplaced{reason=\"can_never_fit\"} 2", Warning, "2 requests wait");
    check("corrupt", "", "stowplan_unplaced{reason=\"corrupt\"} 1", Bad, "1 request");
    check("settling", "", "stowplan_settling 1", Bad, "lost writes");
    check("lost_requests", "stowplan_lost_requests_total 1", "stowplan_lost_requests_total 1", Bad, "1 container");
    check(
        "lost_placements",
        "stowplan_lost_placements_total 3",
        "stowplan_lost_placements_total 3",
        Note,
        "since the start",
    );
    check(
        "lost_placements",
        "stowplan_lost_placements_total 3",
        "stowplan_lost_placements_total 4",
        Warning,
        "1 container",
    );
}

/// What becomes of a server that is well but for one thing.
fn but(change: impl FnOnce(&mut Readings), indicator: &str, state: State, words: &str) {
    let mut readings = readings("", "");
    change(&mut readings);
    let finding = found(&readings, indicator);
    assert_eq!(finding.state, state, "{finding:?}");
    assert!(finding.figure.contains(words), "{finding:?} does not say {words}");
}

#[test]
fn planner_workers_and_pools_are_told() {
    but(|it| it.about.trouble = Some("red".to_owned()), "planner", Bad, "red");
    but(|it| it.about.plans = false, "planner", Bad, "nobody is known");
    let stand_by = |it: &mut Readings| (it.about.plans, it.about.planned_by) = (false, Some("p2".to_owned()));
    but(stand_by, "planner", Note, "p2 plans");
    let workers = |all: Vec<WorkerDocument>| move |it: &mut Readings| it.workers = Some(all);
    but(workers(vec![worker("a", "available", 59_999)]), "workers", Healthy, "1 of 1");
    but(workers(vec![worker("a", "available", 60_000)]), "workers", Warning, "a is silent");
    but(workers(vec![worker("a", "lost", 500_000)]), "workers", Warning, "a is given up");
    but(workers(Vec::new()), "workers", Healthy, "0 of 0");
    let mut waiting = readings("", "stowplan_backlog{state=\"parked\"} 3");
    waiting.workers = Some(Vec::new());
    assert_eq!(found(&waiting, "workers").state, Bad);
    waiting.pools = Some(vec![pool(0, None)]);
    assert_eq!(found(&waiting, "workers").state, Healthy, "the pool makes some");
    but(|it| it.pools = Some(vec![pool(0, None)]), "pools", Healthy, "pools: 1");
    but(
        |it| it.pools = Some(vec![pool(3, Some("sold out"))]),
        "pools",
        Warning,
        "had 3 failures in a row, asks again in 5 s: sold out",
    );
}

#[test]
fn the_store_and_clocks_are_told() {
    for (micros, state) in [(9_999, Healthy), (10_000, Note), (50_000, Note), (50_001, Warning)] {
        let answers = vec![StoreAnswer::After(1), StoreAnswer::After(micros), StoreAnswer::After(9_000_000)];
        but(|it| it.answers = answers, "store_latency", state, "the middle of 3");
    }
    but(|it| it.answers = vec![StoreAnswer::Failed("refused".to_owned())], "store", Bad, "refused");
    let caution = CautionDocument { what: "loses all".to_owned(), fix: "write".to_owned() };
    but(|it| it.about.store.cautions = vec![caution], "store_safety", Warning, "loses all");
    but(|it| it.about.store.examined = false, "store_safety", Note, "not said yet");
    for (ahead_ms, within_ms, state) in
        [(1000, 0, Healthy), (1001, 0, Warning), (-1001, 0, Warning), (-1100, 100, Healthy)]
    {
        but(|it| it.clock = Clock { ahead_ms, within_ms }, "clock", state, "give or take");
    }
}

#[test]
fn settings_that_work_against_the_use_are_told() {
    type Change = fn(&mut SettingsDocument);
    let edges: [(Change, State, &str); 9] = [
        (|it| it.max_batch_size = 10, Healthy, "at most 10"),
        (|it| it.max_batch_size = 9, Warning, "max_batch_size is 9"),
        (|it| it.fleet_cache_ms = 0, Warning, "fleet_cache is 0"),
        (|it| it.fleet_cache_ms = 10_000, Healthy, "fleet_cache 10 s"),
        (|it| it.fleet_cache_ms = 10_001, Warning, "seen that late"),
        (|it| it.keepalive_ms = 5_000, Healthy, "keepalive 5 s"),
        (|it| it.keepalive_ms = 4_999, Warning, "loses workers"),
        (|it| it.grace_ms = 999, Warning, "grace is 999 ms"),
        (|it| it.quotas = false, Note, "no quota"),
    ];
    for (change, state, words) in edges {
        but(|it| change(&mut it.about.settings), "settings", state, words);
    }
    let mut low = readings("", "stowplan_batch_size_sum 5; stowplan_batch_size_count 5");
    low.about.settings.flush = "window".to_owned();
    assert_eq!(found(&low, "settings").state, Warning);
    let mut high = readings("", "stowplan_batch_size_sum 50; stowplan_batch_size_count 5");
    high.about.settings.flush = "window".to_owned();
    assert_eq!(found(&high, "settings").state, Healthy);
}

#[test]
fn a_server_that_stands_by_is_not_judged_by_batches_that_others_plan() {
    let mut readings = readings("", "stowplan_commit_seconds_sum 9; stowplan_commit_seconds_count 9");
    (readings.about.plans, readings.about.planned_by) = (false, Some("p2".to_owned()));
    assert!(findings(&readings).iter().all(|finding| finding.indicator != "commit_wait"));
}

#[test]
fn figures_have_three_digits_and_a_unit() {
    let table = [
        (0.000_4, "400 us"),
        (0.012_34, "12.3 ms"),
        (0.5, "500 ms"),
        (2.0, "2 s"),
        (100.4, "100 s"),
        (150.0, "2.5 min"),
    ];
    for (value, text) in table {
        assert_eq!(said(seconds(value)), text);
    }
}
