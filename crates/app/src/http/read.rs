//! What callers hand in: bodies, queries and names, each refused with a problem that says what is wrong.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use domain::id::BadName;
use domain::quantity::parse_whole;
use serde::de::DeserializeOwned;

use super::answer::Refusal;
use crate::api::field::{self, BadField};
use crate::api::json::{in_our_words, read};
use crate::api::problem::Kind;

/// A JSON body.
pub(super) struct Document<T>(pub(super) T);

/// A JSON body that may be left out.
pub(super) struct MaybeDocument<T>(pub(super) T);

/// The bytes of a body.
pub(super) struct Body(pub(super) Bytes);

/// What stands behind the question mark.
pub(super) struct Params<T>(pub(super) T);

/// How many rows a page may hold: as many as are asked for, and no more than `most`.
pub(super) fn page_size(asked: Option<&String>, default: usize, most: usize) -> Result<usize, BadField> {
    let Some(asked) = asked else { return Ok(default) };
    match parse_whole(asked).map_err(|bad| BadField::quantity("limit", &bad))? {
        0 => Err(BadField::of("limit", asked, "is nothing; ask for 1 or more")),
        size => Ok(usize::try_from(size).unwrap_or(most).min(most)),
    }
}

/// The `{id}` of the path.
pub(super) struct Id(String);

impl Id {
    /// The name that it is.
    pub(super) fn read<T>(&self, read: fn(&str) -> Result<T, BadName>) -> Result<T, BadField> {
        field::name("id", &self.0, read)
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        Bytes::from_request(request, state).await.map(Self).map_err(|error| unread(&error))
    }
}

fn unread(error: &BytesRejection) -> Refusal {
    if error.status().as_u16() == Kind::TooLarge.status() {
        return Refusal::new(Kind::TooLarge, "the body is larger than this server takes; send it in parts");
    }
    Refusal::new(Kind::NotJson, error.body_text())
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Document<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Body(bytes) = Body::from_request(request, state).await?;
        Ok(Self(read(&bytes)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeDocument<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Body(bytes) = Body::from_request(request, state).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { Ok(Self(read(&bytes)?)) }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = Query::try_from_uri(&parts.uri).map_err(|error| {
            let text = error.body_text();
            let (path, problem) = text
                .rsplit_once("query string: ")
                .map_or(("", text.as_str()), |(_, rest)| rest.split_once(": ").unwrap_or(("", rest)));
            in_our_words(path, problem)
        })?;
        Ok(Self(query.0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(id) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::new(Kind::NotFound, error.body_text()))?;
        Ok(Self(id))
    }
}
