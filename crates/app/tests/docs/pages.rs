//! Links, paths, and blocks of commands.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use crate::{Page, files, has_extension, pages, root};

/// Where a link of a page leads, from the repository's root; none if it leads out of it.
fn resolve(page: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().filter(|target| !target.is_empty())?;
    let mut parts = Vec::new();
    for part in Path::new(page).parent()?.join(target).components() {
        match part {
            Component::ParentDir => drop(parts.pop()?),
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    Some(parts.join("/"))
}

#[test]
fn every_link_leads_to_a_file() {
    for page in pages() {
        for target in page.links() {
            let found = resolve(&page.path, target).is_some_and(|path| root().join(path).exists());
            assert!(found || target.starts_with('#'), "{} links to {target}, which is not there", page.path);
        }
    }
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let pages = pages();
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let mut ahead: Vec<String> = reached.iter().cloned().collect();
    while let Some(path) = ahead.pop() {
        // A link to a folder leads to its README.
        let page = pages.iter().find(|page| page.path == path || page.path == format!("{path}/README.md"));
        let Some(page) = page else { continue };
        reached.insert(page.path.clone());
        let targets = page.links().into_iter().filter_map(|target| resolve(&page.path, target));
        ahead.extend(targets.filter(|target| reached.insert(target.clone())));
    }
    let lost: Vec<&str> = pages.iter().map(|page| page.path.as_str()).filter(|path| !reached.contains(*path)).collect();
    assert!(lost.is_empty(), "no page links to {lost:?}");
}

#[test]
fn every_path_that_is_named_exists() {
    let folders = ["crates/", "docs/", "xtask/", ".ci/", ".github/"];
    for page in pages() {
        for word in page.words() {
            let is_path = folders.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '{', '*']);
            assert!(!is_path || root().join(word).exists(), "{} names {word}, which is not there", page.path);
        }
    }
}

#[test]
fn every_block_of_commands_begins_with_one() {
    for page in pages() {
        let blocks = page.text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks {
            assert!(block.starts_with("$ "), "{} has a block without a command:\n{block}", page.path);
        }
    }
}

#[test]
fn every_block_of_rust_is_compiled() {
    let paths = files(&root(), "crates", true);
    let sources: Vec<_> =
        paths.iter().filter(|path| has_extension(path, "rs")).map(|path| Page::read(path).text).collect();
    for page in pages() {
        let blocks = page.text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks {
            let found = sources.iter().any(|source| source.contains(block));
            assert!(found, "{} shows what stands in no source file:\n{block}", page.path);
        }
    }
}
