//! The way to the server: where it is, and calls to it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::talk::{Failure, REFUSED, UNREACHABLE};
use crate::api::address::{self, DEFAULT_SERVER, SERVER_VARIABLE};
use crate::api::problem::{Kind, Problem, in_full};
use crate::api::token::Token;

/// The file that says where the server is, in this folder or one above.
const ADDRESS_FILE: &str = ".stowplan/address";
/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take, beside what the server was asked to wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Answers of a server, or of who stands before it, that another call may not get.
const BUSY: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// Which server.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConnectArgs {
    /// The server's address [default: `STOWPLAN_SERVER`, .stowplan/address here or above, <http://127.0.0.1:7070>]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A file that holds the server's token [default: `STOWPLAN_TOKEN` is the token]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// A server, as a command calls it.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    /// Nobody said where it is.
    is_assumed: bool,
    token: Option<Token>,
}

/// Why a call was not answered as it should be.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nobody is there: the call was not made.
    Unreachable(String),
    /// The call was made, and its answer did not come: what became of it is unknown.
    Unanswered(String),
    /// The server cannot serve now; it may have said how long it wants to be left alone.
    Unavailable(Problem, Option<Duration>),
    /// The server refuses.
    Refused(Problem),
    /// What answered is no Stowplan server.
    Strange(String),
}

impl Client {
    /// The server that the options, the environment or a file name.
    pub(crate) fn new(args: &ConnectArgs) -> Result<Self, Failure> {
        let token = Token::find(args.token_file.as_deref()).map_err(|bad| Failure::usage(in_full(&bad)))?;
        let found = find_server(args)?;
        let (is_assumed, url) = (found.is_none(), found.unwrap_or_else(|| DEFAULT_SERVER.to_owned()));
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).connect_timeout(CONNECT_WITHIN).build();
        let http = http.map_err(|error| Failure::new(1, format!("failed to start: {}", in_full(&error))))?;
        Ok(Self { http, url, is_assumed, token })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads a document.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        wait: Duration,
    ) -> Result<T, CallError> {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let question = if query.is_empty() { "" } else { "?" };
        let path = format!("{path}{question}{}", query.join("&"));
        call(self.request(Method::GET, &path).timeout(ANSWER_WITHIN + wait)).await
    }

    /// Reads a text.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String, CallError> {
        let bytes = answered(self.request(Method::GET, path).timeout(ANSWER_WITHIN)).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Hands in a document.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        call(self.request(Method::POST, path).timeout(ANSWER_WITHIN).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.as_secret()),
            None => request,
        }
    }

    /// What a command that cannot go on says.
    pub(crate) fn failure(&self, error: CallError) -> Failure {
        let words = self.words(&error);
        match error {
            CallError::Unreachable(_) | CallError::Unanswered(_) | CallError::Strange(_) => {
                Failure::new(UNREACHABLE, words).next("stowplan serve")
            }
            CallError::Unavailable(problem, _) => {
                Failure { next: problem.next, ..Failure::new(UNREACHABLE, words) }.or_next("stowplan doctor")
            }
            CallError::Refused(problem) => Failure { next: problem.next, ..Failure::new(REFUSED, words) },
        }
    }

    /// Why a call was not answered as it should be, in words.
    pub(crate) fn words(&self, error: &CallError) -> String {
        let url = &self.url;
        match error {
            CallError::Unreachable(why) if self.is_assumed => {
                format!("cannot reach the server at {url}: {why}; if it listens elsewhere, say where with --server")
            }
            CallError::Unreachable(why) | CallError::Unanswered(why) => {
                format!("cannot reach the server at {url}: {why}")
            }
            CallError::Unavailable(problem, _) => format!("the server at {url} cannot serve now: {}", problem.detail),
            CallError::Refused(problem) => problem.detail.clone(),
            CallError::Strange(why) => {
                format!("what answers at {url} is no Stowplan server of this version: {why}")
            }
        }
    }
}

impl CallError {
    /// Whether the same call may be answered later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unanswered(_) | Self::Unavailable(..))
    }
}

async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, CallError> {
    let bytes = answered(request).await?;
    serde_json::from_slice(&bytes).map_err(|error| CallError::Strange(error.to_string()))
}

/// The bytes of an answer that is no refusal.
async fn answered(request: RequestBuilder) -> Result<Vec<u8>, CallError> {
    let response = request.send().await.map_err(|error| {
        let why = innermost(&error);
        if error.is_connect() { CallError::Unreachable(why) } else { CallError::Unanswered(why) }
    })?;
    let (status, pause) = (response.status(), asked_pause(response.headers()));
    let bytes = response.bytes().await.map_err(|error| CallError::Unanswered(innermost(&error)))?;
    if status.is_success() {
        return Ok(bytes.into());
    }
    let is_busy = BUSY.contains(&status);
    let problem: Problem = match serde_json::from_slice(&bytes) {
        Ok(problem) => problem,
        // Who stands before the server has words of its own.
        Err(_) if is_busy => Problem::new(Kind::Unavailable, format!("it answers {status}")),
        Err(_) => return Err(CallError::Strange(format!("it answers {status}"))),
    };
    let is_unavailable = [Kind::Unavailable, Kind::Timeout, Kind::Internal].iter().any(|kind| problem.is(*kind));
    Err(if is_busy || is_unavailable { CallError::Unavailable(problem, pause) } else { CallError::Refused(problem) })
}

/// How long the server wants to be left alone. A date is not read: clocks differ.
fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The server that somebody named.
fn find_server(args: &ConnectArgs) -> Result<Option<String>, Failure> {
    if let Some(server) = &args.server {
        return read_address(server, "--server").map(Some);
    }
    match std::env::var_os(SERVER_VARIABLE) {
        Some(server) if !server.is_empty() => {
            return read_address(&server.to_string_lossy(), SERVER_VARIABLE).map(Some);
        }
        _ => {}
    }
    let here = std::env::current_dir().unwrap_or_default();
    find_above(&here).map(|(file, address)| read_address(address.trim(), &file.display().to_string())).transpose()
}

/// The nearest file that says where the server is.
fn find_above(folder: &Path) -> Option<(PathBuf, String)> {
    folder.ancestors().map(|folder| folder.join(ADDRESS_FILE)).find_map(|file| {
        let address = std::fs::read_to_string(&file).ok()?;
        Some((file, address))
    })
}

/// An address, and who gave it.
fn read_address(text: &str, origin: &str) -> Result<String, Failure> {
    let bad = |problem: String| Failure::usage(format!("{origin}: {text:?} {problem}"));
    address::read_address(text).map_err(|problem| bad(problem).next("stowplan status --help"))
}

/// A value as it stands in a query.
fn escaped(value: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    value.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The last cause alone: the others only say that a request was sent.
fn innermost(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_address_file_wins() {
        let top = tempfile::tempdir().unwrap();
        let below = top.path().join("a/b");
        std::fs::create_dir_all(below.join(".stowplan")).unwrap();
        std::fs::create_dir_all(top.path().join(".stowplan")).unwrap();
        std::fs::write(top.path().join(ADDRESS_FILE), "http://127.0.0.1:1\n").unwrap();
        assert_eq!(find_above(&below).unwrap().1, "http://127.0.0.1:1\n");
        std::fs::write(below.join(ADDRESS_FILE), "127.0.0.1:2").unwrap();
        assert_eq!(find_above(&below).unwrap().1, "127.0.0.1:2");
    }

    #[test]
    fn who_named_no_server_is_told_how() {
        let named = ConnectArgs { server: Some("127.0.0.1:1".to_owned()), token_file: None };
        let named = Client::new(&named).unwrap();
        let assumed = Client { is_assumed: true, ..Client::new(&ConnectArgs::default()).unwrap() };
        let words = |client: &Client| client.words(&CallError::Unreachable("refused".to_owned()));
        assert_eq!(words(&named), "cannot reach the server at http://127.0.0.1:1: refused");
        assert!(words(&assumed).ends_with(": refused; if it listens elsewhere, say where with --server"));
    }

    #[test]
    fn a_query_holds_any_value() {
        assert_eq!(escaped("a b&c=é"), "a%20b%26c%3D%C3%A9");
    }
}
