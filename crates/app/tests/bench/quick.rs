//! A measurement from its arguments to its files.

use std::fs;

use serde_json::Value;

/// Measures into a folder of its own; answers the table, and the page of the report.
fn measured(name: &str) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    crate::bench::run(["bench", name, "--quick", "--out", out]).unwrap();
    let table = fs::read(folder.path().join(format!("{name}.json"))).unwrap();
    (serde_json::from_slice(&table).unwrap(), fs::read_to_string(folder.path().join("report.html")).unwrap())
}

/// A value of the row whose first column says `first`.
fn number(table: &Value, first: &str, column: &str) -> f64 {
    let columns = table["columns"].as_array().unwrap();
    let place = columns.iter().position(|named| named["name"] == column).unwrap();
    let row = table["rows"].as_array().unwrap().iter().find(|row| row[0] == first).unwrap();
    row[place].as_f64().unwrap_or_else(|| panic!("{column} of {first} is {}", row[place]))
}

#[test]
fn before_and_after_add_up() {
    let (table, page) = measured("before-after");
    let (old, ours) = ("one at a time", "batches");
    // The measurement itself fails unless workers and queues of the old flow hold what was placed, each container once.
    let (locks, out_of_tries) = (number(&table, old, "locks taken"), number(&table, old, "not placed"));
    assert!(locks > 0.0, "who is placed holds a lock");
    assert_eq!(number(&table, old, "workers asked") > 0.0, out_of_tries > 0.0);
    assert!(number(&table, old, "store calls") >= 400.0, "four calls or more a request");
    for column in ["locks taken", "workers asked", "not placed", "lock waits"] {
        let most = number(&table, ours, column);
        assert!(most < 0.5, "{column}: {most}");
    }
    for flow in [old, ours] {
        let used = number(&table, flow, "workers used");
        assert!((used - 20.0).abs() < 0.5, "100 exactly fill 20, and {flow} used {used}");
        assert!(number(&table, flow, "time p50") > 0.0);
    }
    assert!(page.contains("Before and after") && page.contains("one at a time"));
}

#[test]
fn each_stage_is_measured_on_each_store() {
    let (table, page) = measured("stages");
    for store in ["redis, AOF off", "redis, everysec", "redis, always", "embedded, durable"] {
        for stage in ["submit", "next+look", "plan", "commit", "take+report"] {
            let took = number(&table, store, &format!("{stage} p50"));
            assert!(took > 0.0, "{stage} on {store}: {took}");
        }
    }
    assert!(page.contains("Stages against the limit"));
}

#[test]
fn whole_lives_are_lived_on_each_store() {
    // The measurement itself fails unless all containers ended well.
    let (table, page) = measured("life");
    assert_eq!(table["rows"].as_array().unwrap().len(), 4);
    for work in ["nothing", "sleep 0.1 s"] {
        assert!(number(&table, work, "whole life") > 0.0);
        assert!(number(&table, work, "a take") > 1.0 && number(&table, work, "a report") > 1.0);
        assert!(number(&table, work, "server computes") > 0.0, "the kernel counts what a process computes");
    }
    assert!(page.contains("Whole life"));
}
