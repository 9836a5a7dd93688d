//! The repository's text files, the Rust ones with what they mention.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::mention::{Mentions, mentions};
use crate::cargo::printed;

/// One text file.
pub(super) struct Source {
    /// From the repository's root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// Of a Rust file only: the names in its code outside tests.
    pub(super) mentions: Mentions,
    /// Whether all of it is test code.
    pub(super) is_test: bool,
}

/// Every file that git has or would take, Cargo.lock apart.
pub(super) fn load(root: &Path) -> Result<Vec<Source>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = printed(Command::new("git").args(arguments).current_dir(root)).context("failed to list the files")?;
    let mut sources = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty() && *path != "Cargo.lock") {
        // A file may be deleted and not yet committed, or no text.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            sources.push(Source::new(path, text)?);
        }
    }
    mark_test_modules(&mut sources);
    Ok(sources)
}

impl Source {
    pub(super) fn new(path: &str, text: String) -> Result<Self> {
        let mut found = Mentions::default();
        if is_rust(path) {
            let read = mentions(&text, &module(path));
            found = read.with_context(|| format!("failed to read {path} as Rust"))?;
        }
        Ok(Self { path: path.to_owned(), text, mentions: found, is_test: is_test(path) })
    }

    /// The name of the crate whose library or program this Rust file is part of.
    pub(super) fn is_of(&self, krate: &str) -> bool {
        is_rust(&self.path) && self.path.starts_with(&format!("crates/{krate}/src/"))
    }

    /// Where it stands in its crate: `crate::scheduler::cycle` for `src/scheduler/cycle.rs`.
    pub(super) fn module(&self) -> Vec<String> {
        module(&self.path)
    }
}

/// A whole file is test code when its parent declares it under `#[cfg(test)]`, and so is all below it.
fn mark_test_modules(sources: &mut [Source]) {
    let key = |path: &str, module: Vec<String>| (path.split("/src/").next().unwrap_or_default().to_owned(), module);
    let tests: BTreeSet<(String, Vec<String>)> = sources
        .iter()
        .flat_map(|source| source.mentions.test_modules.iter().map(|module| key(&source.path, module.clone())))
        .collect();
    for source in sources {
        let module = source.module();
        let above = (1..=module.len()).map(|length| key(&source.path, module[..length].to_vec()));
        source.is_test |= above.into_iter().any(|module| tests.contains(&module));
    }
}

pub(super) fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || ["/tests/", "/benches/", "/examples/"].iter().any(|folder| path.contains(folder))
}

fn module(path: &str) -> Vec<String> {
    let inside = path.rsplit("/src/").next().unwrap_or(path);
    let mut module = vec!["crate".to_owned()];
    module.extend(inside.trim_end_matches(".rs").split('/').map(String::from));
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_knows_its_module() {
        assert_eq!(module("crates/app/src/lib.rs"), ["crate"]);
        assert_eq!(module("crates/app/src/scheduler.rs"), ["crate", "scheduler"]);
        assert_eq!(module("crates/app/src/scheduler/cycle.rs"), ["crate", "scheduler", "cycle"]);
        assert_eq!(module("crates/app/src/http/mod.rs"), ["crate", "http"]);
    }

    #[test]
    fn files_declared_for_tests_are_tests_with_all_below_them() {
        let source = |path: &str, text: &str| Source::new(path, text.to_owned()).unwrap();
        let mut sources = [
            source("crates/app/src/http.rs", "#[cfg(test)]\nmod fakes;\nmod pages;"),
            source("crates/app/src/http/fakes.rs", ""),
            source("crates/app/src/http/fakes/clock.rs", ""),
            source("crates/app/src/http/pages.rs", ""),
            source("crates/ports/src/http/fakes.rs", ""),
            source("crates/app/src/http/tests.rs", ""),
        ];
        mark_test_modules(&mut sources);
        assert_eq!(sources.map(|source| source.is_test), [false, true, true, false, false, true]);
    }
}
