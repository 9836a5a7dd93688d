//! docs/reference/plan.md is true.

use std::path::Path;

use super::{answer, refusal};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/plan.md");
    std::fs::read_to_string(path).unwrap()
}

/// The blocks of this language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let block = |rest: &str| rest.split("```").next().unwrap().to_owned();
    page.split(&fence).skip(1).map(block).collect()
}

#[test]
fn the_example_is_answered_as_the_page_says() {
    let page = page();
    let [document, answered] = blocks(&page, "json").try_into().unwrap();
    assert_eq!(answer(&document, "json"), answered);
    let [table] = blocks(&page, "text").try_into().unwrap();
    assert_eq!(answer(&document, "text"), table);
}

#[test]
fn every_field_that_is_read_is_in_its_table() {
    let cases = [
        ("The document", r#"{"?": 0}"#),
        ("`policy`", r#"{"policy": {"?": 0}}"#),
        ("`pools`", r#"{"pools": [{"?": 0}]}"#),
        ("`quotas`", r#"{"quotas": {"team": {"?": 0}}}"#),
        ("`quotas`", r#"{"quotas": {"team": {"used": {"?": 0}}}}"#),
        ("`workers`", r#"{"workers": [{"?": 0}]}"#),
        ("`workers`", r#"{"workers": [{"free": {"?": 0}}]}"#),
        ("`requests`", r#"{"requests": [{"?": 0}]}"#),
        ("`requests`", r#"{"requests": [{"gpu": {"?": 0}}]}"#),
    ];
    let page = page();
    for (heading, document) in cases {
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
        let said = refusal(document);
        let fields = said.trim_end().split_once("it may be ").unwrap().1;
        for field in fields.split(", ") {
            assert!(section.contains(&format!("`{field}`")), "{field} is missing under {heading}");
        }
    }
}
