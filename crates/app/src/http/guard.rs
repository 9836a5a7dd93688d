//! Who may call, and for how long.
//!
//! Without a token the server listens on a loopback address only, and there any web page that the user visits could
//! still reach it. So such a server answers only under a loopback name, takes no call that a page of elsewhere made,
//! and takes bodies only as JSON, for which a browser would have to ask first.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::answer::Refusal;
use super::room::{Room, WAIT_MAX};
use crate::api::problem::Kind;
use crate::api::token::TOKEN_VARIABLE;

/// The longest that any call may take: what it may wait, and some time to work.
const CALL_MAX: Duration = Duration::from_secs(WAIT_MAX.as_secs() + 30);

/// What answers without a token: whether the server is there.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Refuses who may not call.
pub(super) async fn check(State(room): State<Arc<Room>>, request: Request, next: Next) -> Response {
    let checked = match &room.token {
        Some(_) if OPEN_PATHS.contains(&request.uri().path()) => Ok(()),
        Some(token) => match request.headers().get(AUTHORIZATION) {
            Some(header) if token.is_carried_by(header.as_bytes()) => Ok(()),
            Some(_) => Err(unauthorized("the token is not the server's".to_owned())),
            None => Err(unauthorized(format!("no token was given; set {TOKEN_VARIABLE}, or name its file"))),
        },
        None => check_is_local(request.headers()),
    };
    match checked.and_then(|()| check_is_json(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn unauthorized(detail: String) -> Refusal {
    Refusal::new(Kind::Unauthorized, detail).next("stowplan status --help")
}

/// Ends a call that takes too long.
pub(super) async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(CALL_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::new(Kind::Timeout, format!("no answer within {} s", CALL_MAX.as_secs())).into_response(),
    }
}

fn check_is_local(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(origin) = text(headers, &ORIGIN) {
        return Err(Refusal::new(
            Kind::Forbidden,
            format!("a web page of {origin} may not call a server without token"),
        ));
    }
    match text(headers, &HOST) {
        Some(host) if !is_loopback(host) => {
            let detail = format!("{host} is not a loopback name, and this server has no token");
            Err(Refusal::new(Kind::Forbidden, detail))
        }
        _ => Ok(()),
    }
}

fn check_is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = text(headers, &CONTENT_LENGTH);
    let has_body = headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0");
    if !has_body {
        return Ok(());
    }
    let media_type = text(headers, &CONTENT_TYPE).and_then(|media_type| media_type.split(';').next()).map(str::trim);
    match media_type {
        Some(media_type) if media_type.eq_ignore_ascii_case("application/json") => Ok(()),
        Some(other) => Err(Refusal::new(Kind::NotAnnounced, format!("content-type: {other}; send application/json"))),
        None => Err(Refusal::new(Kind::NotAnnounced, "no content-type; send application/json")),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Whether a `Host` header, with or without a port, names this machine to itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for host in ["localhost", "localhost:7070", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:7070"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:7070", "10.0.0.1:7070", "[2001:db8::1]", "", "::"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
