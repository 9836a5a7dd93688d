//! Answers and refusals as responses.

use std::any::Any;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use ports::{PortError, StoreFull};

use crate::api::field::BadField;
use crate::api::json::BadDocument;
use crate::api::problem::{Kind, PROBLEM_MEDIA_TYPE, Problem};

/// What a handler answers.
pub(super) type Answer<T> = Result<Json<T>, Refusal>;

/// A problem on its way out.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Box<Problem>);

impl Refusal {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Problem::new(kind, detail).into()
    }

    /// Whether it is of this kind.
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.0.is(kind)
    }

    /// What went wrong.
    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The same, and a command that helps.
    pub(super) fn next(self, command: impl Into<String>) -> Self {
        Self(Box::new(self.0.next(command)))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<BadField> for Refusal {
    fn from(bad: BadField) -> Self {
        Problem::from(bad).into()
    }
}

impl From<BadDocument> for Refusal {
    fn from(bad: BadDocument) -> Self {
        Problem::from(bad).into()
    }
}

impl From<PortError> for Refusal {
    /// The cause goes to the log, for it may name what is no caller's business; but that the store is full is said.
    fn from(error: PortError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "a store call failed");
        let kind = match &error {
            PortError::Unavailable(source) if source.is::<StoreFull>() => {
                return Self::new(Kind::Unavailable, source.to_string());
            }
            PortError::Unavailable(_) | PortError::StaleTerm | PortError::Rewound => Kind::Unavailable,
            PortError::Corrupt { .. } => return Self::new(Kind::Corrupt, error.to_string()).next("stowplan audit"),
            PortError::Unsupported(_) => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn no_such_page(uri: Uri) -> Refusal {
    Refusal::new(Kind::NotFound, format!("there is nothing at {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(Kind::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of an unknown kind"), "a handler panicked");
    Refusal::new(Kind::Internal, "the server failed to answer; its log says why").into_response()
}
