//! What is wrong with a document, by field: its path, the value, and the way out.

use std::borrow::Cow;
use std::fmt;

use domain::id::BadName;
use domain::quantity::BadQuantity;
use domain::request::BadRequest;

use crate::api::period::BadPeriod;

/// The most characters of a value, or of a path, that a sentence repeats.
const CHARS_MAX: usize = 100;

/// A field that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// Its path in the document, such as `requests[3].cpu`; empty for the document itself.
    pub path: String,
    /// What was written, if it is known by itself.
    pub value: Option<String>,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.problem),
            path => write!(f, "{}: {}", shortened(path), self.problem),
        }
    }
}

impl std::error::Error for BadField {}

impl BadField {
    /// A field of which no more is known than the problem.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), value: None, problem: problem.into() }
    }

    /// A field and the value that is wrong with it; the problem follows the value in the sentence.
    pub fn of(path: impl Into<String>, value: &str, problem: &str) -> Self {
        Self { path: path.into(), value: Some(value.to_owned()), problem: format!("{:?} {problem}", shortened(value)) }
    }

    /// A field that must be given and is not.
    pub fn missing(path: impl Into<String>, advice: &str) -> Self {
        Self::new(path, format!("is missing; {advice}"))
    }

    /// A word that is not one of `words`.
    pub fn unknown(path: impl Into<String>, value: &str, words: &[&str]) -> Self {
        Self::of(path, value, &format!("is not known; {}", crate::api::nearest::advice(value, words)))
    }

    /// A name that is none.
    pub fn name(path: impl Into<String>, value: &str, bad: &BadName) -> Self {
        Self { path: path.into(), value: Some(value.to_owned()), problem: format!("{:?}: {bad}", shortened(value)) }
    }

    /// An amount that is none.
    pub fn quantity(path: impl Into<String>, bad: &BadQuantity) -> Self {
        Self { path: path.into(), value: Some(bad.text.clone()), problem: bad.to_string() }
    }

    /// A span of time that is none.
    pub fn period(path: impl Into<String>, bad: &BadPeriod) -> Self {
        Self { path: path.into(), value: Some(bad.text.clone()), problem: bad.to_string() }
    }

    /// The same field, seen from the document that holds this one at `outer`.
    #[must_use]
    pub fn inside(self, outer: &str) -> Self {
        let path = match self.path.as_str() {
            "" => outer.to_owned(),
            path if path.starts_with('[') => format!("{outer}{path}"),
            path => format!("{outer}.{path}"),
        };
        Self { path, ..self }
    }

    /// The same field, seen from the list that holds its document at `index`.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.inside(&format!("[{index}]"))
    }
}

impl From<BadRequest> for BadField {
    fn from(bad: BadRequest) -> Self {
        // What is wrong with the whole is no field of its own.
        Self::new(if bad.field == "request" { "" } else { bad.field }, bad.problem)
    }
}

/// The beginning of a text that is too long for a sentence.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Reads a name.
pub(crate) fn name<T>(path: &str, text: &str, read: fn(&str) -> Result<T, BadName>) -> Result<T, BadField> {
    read(text).map_err(|bad| BadField::name(path, text, &bad))
}

/// Reads a name that may be absent.
pub(crate) fn some_name<T>(
    path: &str,
    text: Option<&String>,
    read: fn(&str) -> Result<T, BadName>,
) -> Result<Option<T>, BadField> {
    text.map(|text| name(path, text, read)).transpose()
}
