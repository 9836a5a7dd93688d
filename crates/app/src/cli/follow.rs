//! One container, from its submit to its end, over a server that may be away for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connect::{CallError, Client};
use super::request::make_id;
use super::talk::{Failure, say};
use crate::api::container::{ContainerDocument, LogsDocument, SubmitDocument};
use crate::api::problem::Kind;
use crate::api::request::RequestDocument;

/// How long a server may be away before who follows a container gives up.
const AWAY_MAX: Duration = Duration::from_mins(10);
/// How long a server that is away is left alone.
const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// How long a submit that got no answer is repeated.
const SUBMIT_WITHIN: Duration = Duration::from_secs(5);
/// How often an id that we made and that is taken already is made anew.
const IDS_MAX: u32 = 5;
/// How long one call waits for an end.
const WAIT: Duration = Duration::from_secs(2);

/// What to wait for.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// A plan has looked at it.
    Decided,
    /// It is over.
    Ended,
}

/// Hands a request in. One whose id was `made` here, and is taken, is given another.
pub(crate) async fn hand_in(
    client: &Client,
    mut request: RequestDocument,
    made: bool,
) -> Result<SubmitDocument, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (answer, repeated) = submit(client, &request).await;
        let taken = match &answer {
            // A repeat may have found what the call before it left.
            Ok(document) => document.outcome == "already" && !repeated,
            Err(CallError::Refused(problem)) => problem.is(Kind::Conflict),
            Err(_) => false,
        };
        if !(made && taken && tries < IDS_MAX) {
            return answer.map_err(|error| client.failure(error));
        }
        request.id = Some(make_id(&request.command)?);
    }
}

/// Submits, and repeats a call whose outcome is unknown: the id makes it harmless. Answers whether it was repeated.
async fn submit(client: &Client, request: &RequestDocument) -> (Result<SubmitDocument, CallError>, bool) {
    let began = Instant::now();
    let mut repeated = false;
    loop {
        let answer = client.post("/v1/containers", request).await;
        // A server that was never there needs no patience.
        let again = matches!(&answer, Err(CallError::Unavailable(_)))
            || matches!(&answer, Err(CallError::Unreachable(_)) if repeated);
        if !again || began.elapsed() >= SUBMIT_WITHIN {
            return (answer, repeated);
        }
        repeated = true;
        sleep(AWAY_PAUSE).await;
    }
}

/// Reads a container, having waited for it at most so long.
pub(crate) async fn read(
    client: &Client,
    id: &str,
    until: Until,
    wait: Duration,
) -> Result<ContainerDocument, CallError> {
    let until = match until {
        Until::Decided => "decided",
        Until::Ended => "ended",
    };
    let query = [("wait", wait.as_millis().to_string()), ("until", until.to_owned())];
    client.get(&format!("/v1/containers/{id}"), &query, wait).await
}

/// Waits for a container's end, however often the server goes away and comes back, and tells `told` what it reads.
pub(crate) async fn until_ended(
    client: &Client,
    id: &str,
    mut told: impl FnMut(&ContainerDocument),
) -> Result<ContainerDocument, Failure> {
    patiently(client, async || {
        loop {
            let container = read(client, id, Until::Ended, WAIT).await?;
            told(&container);
            if container.is_ended() {
                return Ok(container);
            }
        }
    })
    .await
}

/// What a container wrote.
pub(crate) async fn logs(client: &Client, id: &str) -> Result<LogsDocument, Failure> {
    patiently(client, async || client.get(&format!("/v1/containers/{id}/logs"), &[], Duration::ZERO).await).await
}

/// Asks again and again while the server is away.
async fn patiently<T>(client: &Client, mut ask: impl AsyncFnMut() -> Result<T, CallError>) -> Result<T, Failure> {
    let mut away: Option<Instant> = None;
    loop {
        let asked = Instant::now();
        match ask().await {
            Err(error @ (CallError::Unreachable(_) | CallError::Unavailable(_))) => {
                // A call that lasted did reach the server before it went away.
                if asked.elapsed() >= WAIT {
                    away = None;
                }
                if away.is_none() {
                    say(&format!("stowplan: the server at {} is away; waiting for it", client.url()));
                }
                if away.get_or_insert_with(Instant::now).elapsed() >= AWAY_MAX {
                    return Err(client.failure(error));
                }
                sleep(AWAY_PAUSE).await;
            }
            answer => return answer.map_err(|error| client.failure(error)),
        }
    }
}

/// Where a container stands, in a line.
pub(crate) fn standing(container: &ContainerDocument) -> String {
    let (id, state) = (&container.id, &container.state);
    match (&container.reason, &container.worker, &container.last_end) {
        (Some(reason), ..) => format!("{id} waits: {}", reason.text),
        (None, _, Some(end)) if container.is_ended() && state != "succeeded" => format!("{id} {state}: {}", end.text),
        (None, Some(worker), _) => format!("{id} {state} on {worker}"),
        _ => format!("{id} {state}"),
    }
}
