//! A clause that is written but not listed would never run.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_clause_is_listed_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let read = |path: &Path| std::fs::read_to_string(path).expect("a source file is text");
    let listed = read(&folder.join("list.rs"));
    let listed: Vec<_> = listed.lines().map(str::trim).collect();
    let mut clauses = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).expect("the folder of the clauses") {
        let text = read(&entry.expect("an entry").path());
        let names = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split(['(', '<']).next());
        clauses.extend(names.map(str::to_owned));
    }
    assert!(clauses.len() > 100, "{}", clauses.len());
    for clause in clauses {
        assert_eq!(listed.iter().filter(|line| **line == clause).count(), 1, "{clause}");
    }
}
