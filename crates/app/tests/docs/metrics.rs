//! The reference of metrics is what `/metrics` serves.

use std::collections::{BTreeMap, BTreeSet};

use app::observe::Metrics;
use app::scheduler::BatchReport;
use domain::fleet::Fleet;
use domain::id::Revision;
use domain::model::backlog::Depth;
use domain::request::OrderKey;
use domain::time::Timestamp;
use domain::wait::{LotKey, LotRow, Why};

use crate::{Page, pages, rows, words};

/// A metric, as the reference has to describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    meaning: String,
}

/// Where metrics are registered.
const SOURCE: &str = include_str!("../../src/observe/metrics.rs");

/// What `/metrics` serves once each metric with labels has a value: without one, it is not served at all.
fn served() -> String {
    let metrics = Metrics::default();
    metrics.count_call("next");
    metrics.count_batch(&BatchReport { outcomes: BTreeMap::from([("done", 1)]), ..BatchReport::default() });
    let (key, first, changed) = (LotKey::Corrupt, OrderKey::default(), Revision(0));
    let lot = LotRow { key: key.clone(), ask: None, count: 1, first, why: Why::NoWorkers, changed };
    let mut fleet = Fleet::default();
    fleet.lots.insert(key, lot);
    metrics.see_fleet(&fleet);
    metrics.render(Some(&Depth::default()), Timestamp(0))
}

/// Every metric that is served, by the name that its samples have.
fn served_metrics() -> BTreeMap<String, Metric> {
    let text = served();
    let mut metrics = BTreeMap::new();
    for family in text.split("# HELP ").skip(1) {
        let mut lines = family.lines();
        let (name, help) = lines.next().and_then(|line| line.split_once(' ')).expect("a name and a meaning");
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned();
        let samples: Vec<&str> = lines.collect();
        let labels = samples.iter().filter_map(|sample| sample.split_once('{')?.1.split_once('}')).map(|(set, _)| set);
        let labels =
            labels.flat_map(|set| set.split(',')).filter_map(|label| label.split_once('=')).map(|(name, _)| name);
        let labels = labels.filter(|name| *name != "le").map(String::from).collect();
        let suffix = if kind == "counter" { "_total" } else { "" };
        let metric = Metric { kind, labels, meaning: help.trim_end_matches('.').to_owned() };
        metrics.insert(format!("{name}{suffix}"), metric);
    }
    metrics
}

/// Every metric that the source registers: its name and its meaning.
fn registered() -> BTreeMap<String, String> {
    let calls = SOURCE.split("registry.register(").skip(1);
    let strings = calls.map(|call| call.split('"').skip(1).step_by(2).take(2).collect::<Vec<_>>());
    strings.map(|strings| (format!("stowplan_{}", strings[0]), strings[1].to_owned())).collect()
}

fn documented() -> BTreeMap<String, Metric> {
    let reference = Page::read("docs/reference/metrics.md");
    let table = rows(&reference.text);
    let metrics = table.iter().filter(|row| row.len() == 5 && row[0].starts_with("`stowplan_"));
    let metric = |row: &Vec<&str>| Metric {
        kind: row[1].to_owned(),
        labels: words(row[3]).into_iter().map(String::from).collect(),
        meaning: row[4].to_owned(),
    };
    metrics.map(|row| (row[0].trim_matches('`').to_owned(), metric(row))).collect()
}

#[test]
fn the_reference_describes_every_metric_that_is_served() {
    let documented = documented();
    for (name, metric) in served_metrics() {
        assert_eq!(documented.get(&name), Some(&metric), "docs/reference/metrics.md does not describe {name} so");
    }
}

#[test]
fn the_reference_describes_what_is_registered_and_nothing_else() {
    let documented: BTreeMap<String, String> = documented()
        .into_iter()
        .map(|(name, metric)| {
            let registered_as = if metric.kind == "counter" { name.trim_end_matches("_total") } else { &name };
            (registered_as.to_owned(), metric.meaning)
        })
        .collect();
    assert_eq!(documented, registered());
}

#[test]
fn every_metric_that_the_documents_name_exists() {
    let metrics = documented();
    for page in pages() {
        for rest in page.text.split("stowplan_").skip(1) {
            let end = rest.find(|char: char| !char.is_ascii_lowercase() && char != '_').unwrap_or(rest.len());
            let name = format!("stowplan_{}", &rest[..end]);
            let samples = ["_sum", "_count", "_bucket"].iter().filter_map(|suffix| name.strip_suffix(suffix));
            let is_sample =
                samples.into_iter().any(|family| metrics.get(family).is_some_and(|it| it.kind == "histogram"));
            // "stowplan_" alone is what all names begin with.
            let exists = is_sample || name == "stowplan_" || metrics.contains_key(&name);
            assert!(exists, "{} names {name}, which is not there", page.path);
        }
    }
}

#[test]
fn the_seed_has_a_metric_for_each_of_its_own() {
    let seed = Page::read("docs/seed.md");
    let table = rows(seed.section("Monitoring"));
    let own: Vec<_> = table.iter().filter(|row| row[0].starts_with("Record")).collect();
    assert_eq!(own.len(), 6);
    for row in own {
        assert!(words(row[1]).iter().any(|word| word.starts_with("stowplan_")), "{row:?} names no metric");
    }
}
