//! A clause that is written but not listed would never run, and one that no flaw breaks may be unable to fail.

use std::collections::BTreeSet;
use std::path::Path;

/// The text of a source file or of all files in a folder, by its path from the crate.
fn text(path: &str) -> String {
    text_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

fn text_of(path: &Path) -> String {
    if path.is_file() {
        return std::fs::read_to_string(path).expect("a source file is text");
    }
    let entries = std::fs::read_dir(path).expect("a folder of sources");
    entries.map(|entry| text_of(&entry.expect("an entry").path())).collect()
}

fn clauses() -> BTreeSet<String> {
    let text = text("src/conformance");
    let names = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split(['(', '<']).next());
    let clauses: BTreeSet<_> = names.map(str::to_owned).collect();
    assert!(clauses.len() > 100, "{}", clauses.len());
    clauses
}

#[test]
fn every_clause_is_listed_once() {
    let listed = text("src/conformance/list.rs");
    for clause in clauses() {
        assert_eq!(listed.lines().filter(|line| line.trim() == clause).count(), 1, "{clause}");
    }
}

#[test]
fn every_clause_is_broken_by_a_flaw() {
    let broken = text("tests/kit/flaws");
    let broken: BTreeSet<_> = broken.split_whitespace().collect();
    let never: Vec<_> = clauses().into_iter().filter(|clause| !broken.contains(clause.as_str())).collect();
    assert_eq!(never, [] as [&str; 0], "no flaw breaks these");
}
