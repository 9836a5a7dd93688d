//! Refusals and failures as `application/problem+json` (RFC 9457).

use std::error::Error;

use serde::{Deserialize, Serialize};

use super::field::BadField;
use super::json::BadDocument;

/// The media type of a problem.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// An error, and all that caused it.
pub(crate) fn in_full(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", in_full(cause)))
}

/// What went wrong, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which kind of problem: see [`Kind`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, in words.
    pub detail: String,
    /// The field that is wrong, by its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A command that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// The kinds of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {$(
            $(#[$doc])*
            $name,
        )*}

        impl Kind {
            /// The last part of the problem's type.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Its HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

kinds! {
    /// The body is no JSON.
    NotJson = "not-json", 400, "the body is not JSON";
    /// A field is wrong.
    Invalid = "invalid", 422, "a field is wrong";
    /// No token, or a wrong one.
    Unauthorized = "unauthorized", 401, "a token is needed";
    /// A web page of elsewhere asked.
    Forbidden = "forbidden", 403, "refused";
    /// There is no such thing.
    NotFound = "not-found", 404, "not found";
    /// There is no such method here.
    MethodNotAllowed = "method-not-allowed", 405, "method not allowed";
    /// Another request has this id.
    Conflict = "conflict", 409, "it conflicts with what is there";
    /// A later run of this worker has registered.
    WorkerReplaced = "worker-replaced", 409, "a later run of this worker has registered";
    /// Another worker has this name, and owns what it was handed.
    WorkerKeyTaken = "worker-key-taken", 409, "another worker has this name";
    /// The worker still owns containers.
    WorkerOwns = "worker-owns", 409, "the worker owns containers";
    /// The worker lives, as far as this server can tell.
    WorkerLives = "worker-lives", 409, "the worker may be alive";
    /// The body is too large.
    TooLarge = "too-large", 413, "the body is too large";
    /// The body is not announced as JSON.
    NotAnnounced = "unsupported-media-type", 415, "send application/json";
    /// It took too long.
    Timeout = "timeout", 504, "it took too long";
    /// The store, or the planner, is away.
    Unavailable = "unavailable", 503, "not available now";
    /// What the store holds of this cannot be read.
    Corrupt = "corrupt", 500, "a record cannot be read";
    /// A fault of ours.
    Internal = "internal", 500, "a fault of the server";
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{}", kind.word()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            field: None,
            value: None,
            next: None,
        }
    }

    /// The same, and a command that helps.
    #[must_use]
    pub fn next(self, command: impl Into<String>) -> Self {
        Self { next: Some(command.into()), ..self }
    }

    /// Whether it is of this kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind.rsplit('/').next() == Some(kind.word())
    }
}

impl From<BadField> for Problem {
    fn from(bad: BadField) -> Self {
        let problem = Self::new(Kind::Invalid, bad.to_string());
        Self { field: Some(bad.path).filter(|path| !path.is_empty()), value: bad.value, ..problem }
    }
}

impl From<BadDocument> for Problem {
    fn from(bad: BadDocument) -> Self {
        match bad {
            BadDocument::Syntax(_) => Self::new(Kind::NotJson, bad.to_string()),
            BadDocument::Field(field) => field.into(),
        }
    }
}
