//! The agent's calls over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::core::{Answer, Call};
use crate::api::calls::HeartbeatAnswer;
use crate::api::problem::{Problem, in_full};
use crate::api::quantity::Quantity;
use crate::api::token::Token;
use crate::api::worker::{DrainCall, RemoveCall};

/// How long what runs may go on when a leaving agent asks to be drained.
const DRAIN_WITHIN_MS: u64 = 5_000;

/// Knows the servers of the cell, the worker's id, and the token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    servers: Arc<Servers>,
    worker: String,
    token: Option<Token>,
}

/// Servers of one cell, of which any will do. One is called until it does not answer, then the next.
struct Servers {
    workers_urls: Vec<String>,
    called: AtomicUsize,
}

impl Servers {
    /// The one that is called, and its number.
    fn called(&self) -> (usize, &str) {
        let called = self.called.load(Ordering::Relaxed);
        (called, self.workers_urls.get(called).map_or("", String::as_str))
    }

    /// The next is called from now on, unless another call has said the same before.
    fn pass_over(&self, called: usize) {
        let next = (called + 1) % self.workers_urls.len().max(1);
        let _ = self.called.compare_exchange(called, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Client {
    /// A client of the servers of a cell. No proxy of the environment comes in between.
    pub fn new(servers: &[String], worker: &str, token: Option<Token>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        let workers_url = |server: &String| format!("{}/v1/workers", server.trim_end_matches('/'));
        let workers_urls = servers.iter().map(workers_url).collect();
        let servers = Arc::new(Servers { workers_urls, called: AtomicUsize::new(0) });
        Ok(Self { http, servers, worker: worker.to_owned(), token })
    }

    /// Makes one call and always answers, within the time given.
    pub async fn call(&self, call: &Call, timeout_ms: u64) -> Answer {
        let (called, workers_url) = self.servers.called();
        let answer = self.ask(workers_url, call, Duration::from_millis(timeout_ms)).await;
        if matches!(answer, Answer::Unreachable(_)) {
            self.servers.pass_over(called);
        }
        answer
    }

    async fn ask(&self, workers_url: &str, call: &Call, timeout: Duration) -> Answer {
        let post = |path: &str| {
            let request = self.http.post(format!("{workers_url}{path}")).timeout(timeout);
            match &self.token {
                Some(token) => request.bearer_auth(token.as_secret()),
                None => request,
            }
        };
        let of_worker = |verb: &str| post(&format!("/{}/{verb}", self.worker));
        match call {
            Call::Register(call) => send(post("").json(call), Answer::Registered).await,
            Call::Heartbeat(call) => {
                send(of_worker("heartbeat").json(call), |answer: HeartbeatAnswer| Answer::Heartbeat(answer.verdict))
                    .await
            }
            Call::Take(call) => send(of_worker("take").json(call), Answer::Take).await,
            Call::Report(call) => send(of_worker("report").json(call), Answer::Report).await,
            Call::Drain => {
                settle(
                    of_worker("drain")
                        .json(&DrainCall { within: None, within_ms: Some(Quantity::integer(DRAIN_WITHIN_MS)) }),
                )
                .await
            }
            Call::Remove => settle(of_worker("remove").json(&RemoveCall::default())).await,
            Call::Open => settle(of_worker("uncordon").json(&serde_json::json!({}))).await,
        }
    }
}

/// A call whose answer is a document.
async fn send<T: DeserializeOwned>(request: RequestBuilder, answer: impl Fn(T) -> Answer) -> Answer {
    match request.send().await {
        Ok(response) if response.status().is_success() => match response.json().await {
            Ok(document) => answer(document),
            Err(error) => unreachable(&error),
        },
        Ok(response) => refusal(response).await,
        Err(error) => unreachable(&error),
    }
}

/// A call of which only the success matters. A worker that the server does not know has left already.
async fn settle(request: RequestBuilder) -> Answer {
    match request.send().await {
        Ok(response) if response.status().is_success() || response.status() == StatusCode::NOT_FOUND => Answer::Done,
        Ok(response) => refusal(response).await,
        Err(error) => unreachable(&error),
    }
}

/// With all causes: the outermost alone says little.
fn unreachable(error: &reqwest::Error) -> Answer {
    Answer::Unreachable(in_full(error))
}

async fn refusal(response: Response) -> Answer {
    let status = response.status();
    let detail = match response.json::<Problem>().await {
        Ok(Problem { detail, next: Some(next), .. }) => format!("{detail}\nnext: {next}"),
        Ok(problem) => problem.detail,
        Err(_) => status.to_string(),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Answer::Unauthorized(detail),
        StatusCode::CONFLICT => Answer::Conflict(detail),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Answer::Rejected(detail),
        _ => Answer::Unreachable(detail),
    }
}
