//! What a machine or a hurried hand left behind: paths of one machine, unfinished work, lints silenced without a word.

use proc_macro2::{TokenStream, TokenTree};

use super::Finding;
use super::mention::Attribute;
use super::source::{Source, is_rust};

/// Put together here, so that this file does not find itself.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, text) in source.text.lines().enumerate() {
            findings.extend(judge(source, line + 1, text));
        }
        if is_rust(&source.path) {
            findings.extend(silenced(source));
        }
    }
    findings
}

fn judge(source: &Source, line: usize, text: &str) -> Option<Finding> {
    if let Some(path) = MACHINE.iter().find(|path| stands_alone(text, path)) {
        let what = format!("{path} is a path of one machine");
        return Some(source.finding(line, what, "take it from a setting or from the repository's root"));
    }
    let word = UNFINISHED.iter().find(|word| stands_alone(text, word))?;
    Some(source.finding(line, format!("{word} is left over"), "finish it or take it out"))
}

/// Whether the word is there as a word, not as a part of a longer one.
fn stands_alone(text: &str, word: &str) -> bool {
    let joins = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let ends_open = word.ends_with(['/', '!']);
    text.match_indices(word).any(|(at, _)| {
        let after = text[at + word.len()..].chars().next();
        !joins(text[..at].chars().next_back()) && (ends_open || !joins(after))
    })
}

/// `#[allow(..)]` without a reason.
fn silenced(source: &Source) -> Vec<Finding> {
    let mut lines = Vec::new();
    if let Ok(tokens) = source.text.parse() {
        allows(tokens, &mut lines);
    }
    let mend = "mend what it hides, or write #[expect(.., reason = \"..\")]";
    lines.into_iter().map(|line| source.finding(line, "a lint is allowed without a reason", mend)).collect()
}

fn allows(tokens: TokenStream, lines: &mut Vec<usize>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        if let Some(attribute) = Attribute::at(&trees, at) {
            let text = attribute.group.stream().to_string();
            if text.starts_with("allow") && !text.contains("reason") {
                lines.push(tree.span().start().line);
            }
        }
        if let TokenTree::Group(group) = tree {
            allows(group.stream(), lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a text in which `-` stands for nothing, so that this file does not find itself.
    fn found(path: &str, text: &str) -> usize {
        check(&[Source::new(path, text.replace('-', "")).unwrap()]).len()
    }

    #[test]
    fn paths_of_a_machine_are_found_in_every_file() {
        assert_eq!(found("README.md", "see /wo-rk/main for more"), 1);
        assert_eq!(found(".ci/run", "cd /ro-ot/project"), 1);
        assert_eq!(found("README.md", "see docs/wo-rk/main and the ro-ot/ of it"), 0);
    }

    #[test]
    fn unfinished_work_is_found() {
        for text in ["// TO-DO: later", "// FIX-ME", "// XX-X", "fn f() { to-do!() }", "fn f() { unimple-mented!() }"] {
            assert_eq!(found("crates/app/src/main.rs", text), 1, "{text}");
        }
        assert_eq!(found("crates/app/src/main.rs", "// a TO-DOs, XX-XX, fn to-do()"), 0);
    }

    #[test]
    fn a_silenced_lint_needs_a_reason() {
        assert_eq!(found("crates/app/src/main.rs", "#[allow(dead_code)] fn f() {}"), 1);
        assert_eq!(found("crates/app/src/main.rs", "#![allow(dead_code)]"), 1);
        assert_eq!(found("crates/app/src/main.rs", "macro_rules! m { () => { #[allow(x)] fn f() {} } }"), 1);
        assert_eq!(found("crates/app/src/main.rs", "#[allow(dead_code, reason = \"why\")] fn f() {}"), 0);
        assert_eq!(found("crates/app/src/main.rs", "#[expect(dead_code, reason = \"why\")] fn f() {}"), 0);
    }
}
