//! A crate's own clippy.toml replaces the root's, so it has to repeat it.

use super::Finding;
use super::source::Source;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(root) = sources.iter().find(|source| source.path == "clippy.toml") else {
        return Vec::new();
    };
    let others = sources.iter().filter(|source| source.path.ends_with("/clippy.toml"));
    others.flat_map(|other| missing(root, other)).collect()
}

fn missing(root: &Source, other: &Source) -> Vec<Finding> {
    let settings = root.text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let missing = settings.filter(|setting| !other.text.lines().any(|line| line == *setting));
    missing.map(|setting| other.finding(1, format!("the root's `{setting}` is missing here"), "repeat it")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_repeated_is_found() {
        let root = Source::new("clippy.toml", "# Why.\n\na = 1\nb = 2\n".to_owned()).unwrap();
        let crates = Source::new("crates/domain/clippy.toml", "b = 2\nc = 3\n".to_owned()).unwrap();
        let findings = check(&[root, crates]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.contains("a = 1"));
    }
}
