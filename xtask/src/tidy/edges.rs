//! The crate table: which of our crates may use which, and what a crate never depends on.

use serde_json::Value;

use super::Finding;
use super::source::Source;

/// Each of our crates and those of ours that it may use, in its tests too.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("ports", &["domain"]),
    ("adapters-redis", &["domain", "ports"]),
    ("app", &["adapters-redis", "domain", "ports"]),
    ("xtask", &[]),
];

/// A crate that depends on nothing else of others; its tests may.
const ONLY: &[(&str, &[&str])] = &[("domain", &["thiserror"])];

/// A crate and what it never depends on: clients of stores, and what makes xtask slow to build.
const NEVER: &[(&str, &[&str])] = &[
    ("ports", &["axum", "deadpool-redis", "redb", "redis", "reqwest", "tower-http"]),
    ("adapters-redis", &["axum", "redb", "reqwest"]),
    ("app", &["deadpool-redis", "redis"]),
    ("xtask", &["axum", "reqwest", "tokio"]),
];

pub(super) fn check(metadata: &Value, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let from = text(package, "name");
        let manifest = manifest_of(from);
        let mut find = |line, what, mend| {
            findings.push(Finding { file: manifest.clone(), line, what, mend });
        };
        if of(EDGES, from).is_none() {
            let mend = "add it in xtask/src/tidy/edges.rs".to_owned();
            find(1, format!("{from} is not in the crate table"), mend);
            continue;
        }
        let source = sources.iter().find(|source| source.path == manifest);
        for dependency in list(package, "dependencies") {
            let to = text(dependency, "name");
            if let Some((what, mend)) = judge(from, to, dependency["kind"] == "dev") {
                find(source.map_or(1, |source| line_of(&source.text, to)), what, mend);
            }
        }
    }
    findings
}

/// What is wrong with a dependency, and how to mend it.
fn judge(from: &str, to: &str, is_dev: bool) -> Option<(String, String)> {
    if of(EDGES, to).is_some() {
        let allowed = of(EDGES, from).unwrap_or_default();
        return (from != to && !allowed.contains(&to)).then(|| {
            let allowed = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
            (format!("{from} uses {to}"), format!("it may use {allowed}; move the code, or hand it in"))
        });
    }
    let what = format!("{from} depends on {to}");
    match (of(ONLY, from), of(NEVER, from)) {
        _ if is_dev => None,
        (Some(only), _) if !only.contains(&to) => {
            Some((what, format!("it may depend on {} alone; do this outside it", only.join(", "))))
        }
        (_, Some(never)) if never.contains(&to) => Some((what, "it never may; see xtask/src/tidy/edges.rs".to_owned())),
        _ => None,
    }
}

/// What a table says of a crate.
fn of(table: &[(&str, &'static [&'static str])], name: &str) -> Option<&'static [&'static str]> {
    table.iter().find(|(from, _)| *from == name).map(|(_, names)| *names)
}

fn manifest_of(name: &str) -> String {
    if name == "xtask" { "xtask/Cargo.toml".to_owned() } else { format!("crates/{name}/Cargo.toml") }
}

fn line_of(manifest: &str, dependency: &str) -> usize {
    manifest.lines().position(|line| line.starts_with(dependency)).map_or(1, |line| line + 1)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let metadata = json!({"packages": [{"name": from, "dependencies": [{"name": to, "kind": kind}]}]});
        check(&metadata, &[]).iter().map(|finding| finding.what.clone()).collect()
    }

    #[test]
    fn edges_of_the_table_pass() {
        assert!(found("app", "adapters-redis", None).is_empty());
        assert!(found("ports", "domain", None).is_empty());
        assert!(found("ports", "ports", Some("dev")).is_empty());
        assert!(found("domain", "thiserror", None).is_empty());
        assert!(found("domain", "proptest", Some("dev")).is_empty());
    }

    #[test]
    fn other_edges_are_found() {
        assert_eq!(found("domain", "ports", Some("dev")), ["domain uses ports"]);
        assert_eq!(found("ports", "app", None), ["ports uses app"]);
        assert_eq!(found("adapters-redis", "app", Some("build")), ["adapters-redis uses app"]);
        assert_eq!(found("xtask", "domain", None), ["xtask uses domain"]);
        assert_eq!(found("domain", "serde", None), ["domain depends on serde"]);
        assert_eq!(found("ports", "redb", None), ["ports depends on redb"]);
        assert_eq!(found("xtask", "tokio", None), ["xtask depends on tokio"]);
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        assert_eq!(found("adapters-sqlite", "ports", None), ["adapters-sqlite is not in the crate table"]);
    }

    #[test]
    fn a_finding_names_the_line_of_the_manifest() {
        let manifest = Source::new("crates/ports/Cargo.toml", "[dependencies]\nredb = \"4\"\n".to_owned()).unwrap();
        let metadata = json!({"packages": [{"name": "ports", "dependencies": [{"name": "redb", "kind": null}]}]});
        assert_eq!(check(&metadata, &[manifest])[0].line, 2);
    }
}
