//! What `domain` never contains, so that the same rows and the same `now` give the same answer everywhere.

use super::Finding;
use super::mention::{Follow, Mention};
use super::source::Source;

/// A word and what to do instead.
const WORDS: &[(&str, &str)] = &[
    ("async", "decide here, wait in app"),
    ("await", "decide here, wait in app"),
    ("Instant", "take `now` as a parameter"),
    ("SystemTime", "take `now` as a parameter"),
    ("HashMap", "its order is random; use BTreeMap"),
    ("HashSet", "its order is random; use BTreeSet"),
    ("RandomState", "its seed is random; write the hash out"),
    ("DefaultHasher", "its result may change; write the hash out"),
];

const CRATES: &[(&str, &str)] = &[
    ("serde", "encode in ports::wire or in app's api"),
    ("serde_json", "encode in ports::wire or in app's api"),
    ("tracing", "return the reason, log in app"),
    ("log", "return the reason, log in app"),
    ("tokio", "decide here, wait in app"),
    ("rand", "take what is random as a parameter"),
    ("getrandom", "take what is random as a parameter"),
];

const MACROS: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let sources = sources.iter().filter(|source| source.is_of("domain") && !source.is_test);
    sources.flat_map(|source| source.mentions.all.iter().filter_map(|mention| judge(source, mention))).collect()
}

fn judge(source: &Source, mention: &Mention) -> Option<Finding> {
    let word = WORDS.iter().find(|(word, _)| mention.path.iter().any(|segment| segment == word));
    let krate = CRATES.iter().find(|(name, _)| mention.path.len() > 1 && mention.path[0] == *name);
    if let Some((name, mend)) = word.or(krate) {
        return Some(source.finding(mention.line, format!("domain never contains {name}"), *mend));
    }
    let prints = mention.follow == Follow::Macro && MACROS.contains(&mention.last());
    prints.then(|| source.finding(mention.line, "domain never prints", "return the reason, print it in app"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&[Source::new(path, text.to_owned()).unwrap()]).len()
    }

    #[test]
    fn each_word_is_found() {
        for text in [
            "async fn f() {}",
            "use std::time::Instant;",
            "use std::{collections::HashMap, fmt};",
            "fn f() { let s = std::collections::HashSet::new(); }",
            "#[derive(serde::Serialize)] struct S;",
            "fn f() { tracing::info!(\"x\") }",
            "fn f() { println!(\"x\") }",
            "fn f() { vec![std::time::SystemTime::now()]; }",
        ] {
            assert_eq!(found("crates/domain/src/ledger.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn comments_names_and_tests_are_free() {
        let text = "//! No HashMap, no async.\nfn log(rand: u32) { let log = rand; }\n#[cfg(test)] mod tests { use std::time::Instant; }";
        assert_eq!(found("crates/domain/src/ledger.rs", text), 0);
        assert_eq!(found("crates/app/src/main.rs", "async fn f() {}"), 0);
    }
}
