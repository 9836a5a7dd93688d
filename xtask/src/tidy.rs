//! `cargo xtask tidy`: what no compiler checks. One file a check; each finding says where, what, and how to mend it.

mod contracts;
mod domain;
mod edges;
mod leftovers;
mod lengths;
mod lints;
mod mention;
mod rooms;
mod source;

use std::fmt;

use anyhow::{Result, bail};

use crate::cargo::{metadata, root};
use crate::say::{answer, say};
use source::Source;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    what: String,
    mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, mend } = self;
        write!(f, "{file}:{line}: {what}: {mend}")
    }
}

pub(crate) fn tidy() -> Result<()> {
    let sources = source::load(&root())?;
    let clauses = contracts::pairs(&sources);
    let mut findings = edges::check(&metadata()?, &sources);
    findings.extend(domain::check(&sources));
    findings.extend(rooms::check(&sources));
    findings.extend(contracts::check(&sources));
    findings.extend(lengths::check(&sources, lengths::EXCEPTIONS)?);
    findings.extend(leftovers::check(&sources));
    findings.extend(lints::check(&sources));
    findings.sort();
    for finding in &findings {
        answer(&finding.to_string());
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files", findings.len(), sources.len());
    }
    say(&format!("tidy: {} files are tidy, {clauses} contract clauses have their test", sources.len()));
    Ok(())
}

impl Source {
    fn finding(&self, line: usize, what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { file: self.path.clone(), line, what: what.into(), mend: mend.into() }
    }
}
