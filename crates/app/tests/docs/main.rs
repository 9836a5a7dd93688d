//! The documents against the code: what they name exists, and what exists is documented.

mod metrics;
mod names;
mod pages;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders deep").to_owned()
}

/// One document.
pub(crate) struct Page {
    /// From the repository's root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// The part under a heading of the second level.
    pub(crate) fn section(&self, heading: &str) -> &str {
        let begin = format!("\n## {heading}\n");
        let (_, rest) = self.text.split_once(&begin).unwrap_or_else(|| panic!("{} has no {begin:?}", self.path));
        rest.split("\n## ").next().unwrap_or(rest)
    }

    /// What stands in backticks within a line, blocks of code apart.
    pub(crate) fn words(&self) -> Vec<&str> {
        words(&self.text)
    }

    /// The targets of links, without those that lead out of the repository.
    pub(crate) fn links(&self) -> Vec<&str> {
        let ends = self.text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        ends.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
    }
}

/// See [`Page::words`].
pub(crate) fn words(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(str::lines).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The rows of all tables of a text, each as its cells.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect()).collect()
}

/// All documents.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths: Vec<String> = files(&root(), "", false);
    paths.extend(files(&root(), "docs", true));
    paths.iter().filter(|path| has_extension(path, "md")).map(|path| Page::read(path)).collect()
}

pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == extension)
}

/// The files of a folder, by their path from `root`.
pub(crate) fn files(root: &Path, folder: &str, deep: bool) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let entry = entry.expect("a folder can be read to its end");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if !entry.path().is_dir() {
            files.push(path);
        } else if deep {
            files.extend(self::files(root, &path, true));
        }
    }
    files.sort();
    files
}
