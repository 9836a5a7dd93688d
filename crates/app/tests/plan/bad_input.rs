//! What is refused, with exit code 2, and what is said: where, what, and the way out.
//!
//! The cases stand in tables under `bad_input/`, each with what is said of it. A new one is a line without indentation;
//! `UPDATE_EXPECT=1 cargo test -p app --test plan` writes what is said.

use expect_test::{ExpectFile, expect_file};

use super::refusal;

/// Checks what is said of each case of a table once `document` has put it where it belongs.
fn check(table: &ExpectFile, document: impl Fn(&str) -> String) {
    let cases = table.data();
    let cases = cases.lines().filter(|line| !line.starts_with(' '));
    let said = |case: &str| {
        let said = refusal(&document(case));
        let said = said.strip_prefix("error: failed to read standard input: ").unwrap();
        format!("{case}\n    {}\n", said.trim_end().replace('\n', "\n    "))
    };
    table.assert_eq(&cases.map(said).collect::<Vec<_>>().concat());
}

/// A document whose second request has these fields too.
fn request(fields: &str) -> String {
    format!(r#"{{"requests": [{{"id": "first"}}, {{"id": "a", {fields}}}]}}"#)
}

/// A document whose second worker, of 1 cpu and 1Gi, has these fields too.
fn worker(fields: &str) -> String {
    let first = r#"{"id": "first", "cpu": 1, "memory": "1Gi"}"#;
    format!(r#"{{"workers": [{first}, {{"id": "w", {fields}}}]}}"#)
}

#[test]
fn what_is_no_document() {
    check(&expect_file!["bad_input/syntax.txt"], str::to_owned);
}

#[test]
fn nothing_at_all() {
    for document in ["", " \n", "\u{feff}"] {
        let said = refusal(document);
        assert_eq!(said, "error: failed to read standard input: it is empty\nnext: stowplan plan --help\n");
    }
}

#[test]
fn documents_within_documents() {
    check(&expect_file!["bad_input/shapes.txt"], str::to_owned);
}

#[test]
fn names_that_stand_twice_or_not_at_all() {
    check(&expect_file!["bad_input/names.txt"], |field| format!("{{{field}}}"));
}

#[test]
fn policies() {
    check(&expect_file!["bad_input/policy.txt"], |fields| format!(r#"{{"policy": {{{fields}}}}}"#));
}

#[test]
fn pools_and_quotas() {
    check(&expect_file!["bad_input/pools_and_quotas.txt"], |field| format!("{{{field}}}"));
}

#[test]
fn workers() {
    check(&expect_file!["bad_input/workers.txt"], worker);
}

#[test]
fn amounts() {
    check(&expect_file!["bad_input/amounts.txt"], request);
}

#[test]
fn requests() {
    check(&expect_file!["bad_input/requests.txt"], request);
}

#[test]
fn gpus_and_what_only_a_worker_reads() {
    check(&expect_file!["bad_input/gpus_and_body.txt"], request);
}

#[test]
fn too_much_of_a_request() {
    let labels: Vec<String> = (0..33).map(|n| format!(r#""l{n}": "v""#)).collect();
    let said = refusal(&request(&format!(r#""labels": {{{}}}"#, labels.join(", "))));
    assert!(said.ends_with(": requests[1].labels: 33 labels, at most 32 are allowed\n"), "{said}");
    let said = refusal(&request(&format!(r#""affinity": "{}""#, "k".repeat(3_000))));
    assert!(said.ends_with(": requests[1]: 3024 bytes of names and labels, at most 2048\n"), "{said}");
}

#[test]
fn what_is_long_is_repeated_in_part() {
    let (long, end) = ("x".repeat(100_000), "x...");
    for document in [
        format!(r#"{{"{long}": 1}}"#),
        request(&format!(r#""{long}": 1"#)),
        request(&format!(r#""pool": "{long}""#)),
        request(&format!(r#""preemptible": "{long}""#)),
        request(&format!(r#""cpu": "1{long}""#)),
        format!(r#"{{"policy": {{"strategy": "{long}"}}}}"#),
        format!(r#"{{"quotas": {{"{long}": {{}}}}}}"#),
    ] {
        let said = refusal(&document);
        assert!(said.len() < 600 && said.contains(end), "{said:.600}");
    }
}
