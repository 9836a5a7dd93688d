//! Contracts and clauses are pairs: each bullet under `# Contract` on a port has a test of that name, and back.

use std::collections::BTreeMap;

use super::Finding;
use super::source::Source;

/// A clause's name and where it stands: the file's place in the list, and the line.
type Names<'a> = BTreeMap<String, (&'a Source, usize)>;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let (bullets, clauses) = (bullets(sources), clauses(sources));
    let untested = bullets.iter().filter(|(name, _)| !clauses.contains_key(*name)).map(|(name, (source, line))| {
        let mend = format!("write `pub async fn {name}` in crates/ports/src/conformance/");
        source.finding(*line, format!("the contract's clause {name} has no test"), mend)
    });
    let unpromised = clauses.iter().filter(|(name, _)| !bullets.contains_key(*name)).map(|(name, (source, line))| {
        let mend = format!("add \"- `{name}`\" under `# Contract` on the method it tests");
        source.finding(*line, format!("no contract promises the clause {name}"), mend)
    });
    untested.chain(unpromised).collect()
}

/// How many clauses stand on both sides.
pub(super) fn pairs(sources: &[Source]) -> usize {
    let clauses = clauses(sources);
    bullets(sources).keys().filter(|name| clauses.contains_key(*name)).count()
}

/// The bullets of every contract in the ports: "- `clause_name`", alone or with a sentence behind it.
fn bullets(sources: &[Source]) -> Names<'_> {
    let ports = sources.iter().filter(|source| source.is_of("ports") && !is_kit(source));
    ports
        .flat_map(|source| bullets_of(&source.text).into_iter().map(move |(name, line)| (name, (source, line))))
        .collect()
}

/// The kit's clauses: see `clause_of`.
fn clauses(sources: &[Source]) -> Names<'_> {
    let kit = sources.iter().filter(|source| is_clause_file(source));
    let lines =
        kit.flat_map(|source| source.text.lines().enumerate().map(move |(line, text)| (source, line + 1, text)));
    lines.filter_map(|(source, line, text)| Some((clause_of(text)?, (source, line)))).collect()
}

fn is_kit(source: &Source) -> bool {
    source.path.starts_with("crates/ports/src/conformance")
}

/// `conformance.rs` itself holds the harness; its folder holds the clauses.
fn is_clause_file(source: &Source) -> bool {
    source.is_of("ports") && source.path.starts_with("crates/ports/src/conformance/")
}

fn bullets_of(text: &str) -> Vec<(String, usize)> {
    let mut bullets = Vec::new();
    let mut in_contract = false;
    for (line, text) in text.lines().enumerate() {
        let Some(doc) = text.trim_start().strip_prefix("///").or_else(|| text.trim_start().strip_prefix("//!")) else {
            in_contract = false;
            continue;
        };
        let doc = doc.trim();
        if doc.starts_with('#') {
            in_contract = doc.trim_start_matches('#').trim() == "Contract";
        }
        let name = doc.strip_prefix("- `").and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
        if let Some(name) = name.filter(|name| in_contract && is_snake_case(name)) {
            bullets.push((name.to_owned(), line + 1));
        }
    }
    bullets
}

/// The name of the clause that a line of the kit starts: every public async function there is one.
fn clause_of(line: &str) -> Option<String> {
    let name = line.trim_start().strip_prefix("pub async fn ")?.split(['(', '<']).next()?;
    is_snake_case(name).then(|| name.to_owned())
}

fn is_snake_case(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: &str = "
        /// Places a whole batch.
        ///
        /// # Contract
        /// - `commit_repeated_changes_nothing`
        /// - `one_refusal_hurts_no_other`: not even by order.
        ///
        /// # Errors
        /// - `not_a_clause`
        fn commit();
        /// - `not_a_clause_either`
        fn next();
    ";

    fn found(kit: &str) -> Vec<String> {
        let sources = [
            Source::new("crates/ports/src/placements.rs", PORT.to_owned()).unwrap(),
            Source::new("crates/ports/src/conformance/placements.rs", kit.to_owned()).unwrap(),
        ];
        check(&sources).into_iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn pairs_pass() {
        let kit = "pub async fn commit_repeated_changes_nothing(h: &H) {}\npub async fn one_refusal_hurts_no_other<H: Harness>(h: &H) {}\nfn room() {}";
        assert!(found(kit).is_empty());
    }

    #[test]
    fn a_bullet_without_a_test_and_a_test_without_a_bullet_are_found() {
        let kit = "pub async fn commit_repeated_changes_nothing(h: &H) {}\npub async fn commit_is_fast(h: &H) {}";
        assert_eq!(
            found(kit),
            [
                "6 the contract's clause one_refusal_hurts_no_other has no test",
                "2 no contract promises the clause commit_is_fast"
            ]
        );
    }
}
