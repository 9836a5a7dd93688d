//! One container, from its submit to its end, over a server that may be away for a while.

use std::time::Duration;

use domain::retry::Backoff;
use serde::Serialize;
use serde::de::DeserializeOwned;
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
/// How long one of the calls of a long file is.
const CALL_WITHIN: Duration = Duration::from_mins(2);
/// How long lies between a call and its repeat.
const PAUSE: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(5) };
/// The longest pause that a server is granted.
const ASKED_MAX: Duration = Duration::from_secs(30);
/// After how many calls that failed it is said that there are more.
const TOLD_AFTER: u32 = 2;
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

/// How long a call that hands requests in is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Whether a server is known to be there.
    met: bool,
    /// With one that was never there: its address may be wrong.
    unmet_within: Duration,
    /// With one that was, and comes back.
    met_within: Duration,
}

impl Patience {
    /// For one request: who typed it waits, and nothing is half done.
    const ONE: Self = Self { met: false, unmet_within: Duration::ZERO, met_within: SUBMIT_WITHIN };
    /// For one call after the other.
    pub(crate) const MANY: Self = Self { met: false, unmet_within: SUBMIT_WITHIN, met_within: CALL_WITHIN };

    /// Whether a server was there: what it was handed it may have taken.
    pub(crate) fn is_met(&self) -> bool {
        self.met
    }

    fn is_over(&self, lasted: Duration) -> bool {
        lasted >= if self.met { self.met_within } else { self.unmet_within }
    }
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
        let mut patience = Patience::ONE;
        let (answer, repeated) = submit(client, &request, &mut patience).await;
        let taken = match &answer {
            // A repeat may have found what the call before it left.
            Ok::<SubmitDocument, _>(document) => document.outcome == "already" && !repeated,
            Err(CallError::Refused(problem)) => problem.is(Kind::Conflict),
            Err(_) => false,
        };
        if !(made && taken && tries < IDS_MAX) {
            return answer.map_err(|error| unknown(&request, &patience, error.may_pass(), client.failure(error)));
        }
        request.id = Some(make_id(&request.command)?);
    }
}

/// The same failure; if the request may be in all the same, that is said, with its id.
fn unknown(request: &RequestDocument, patience: &Patience, may_be_in: bool, failure: Failure) -> Failure {
    let Some(id) = request.id.as_ref().filter(|_| may_be_in && patience.is_met()) else { return failure };
    let error = format!("{}; {id} may be in, and handing in the same with --id {id} is safe", failure.error);
    Failure { error, ..failure }
}

/// Hands in what has ids, which make it harmless to repeat a call whose outcome is unknown. Answers whether one was.
pub(crate) async fn submit<T: DeserializeOwned>(
    client: &Client,
    requests: &impl Serialize,
    patience: &mut Patience,
) -> (Result<T, CallError>, bool) {
    let (began, seed) = (Instant::now(), getrandom::u64().unwrap_or_default());
    let mut tries = 0;
    loop {
        let answer = client.post("/v1/containers", requests).await;
        tries += 1;
        patience.met |= !matches!(answer, Err(CallError::Unreachable(_)));
        let error = match answer {
            Err(error) if error.may_pass() && !patience.is_over(began.elapsed()) => error,
            answer => return (answer, tries > 1),
        };
        if tries == TOLD_AFTER {
            say(&format!("stowplan: {}; trying again", client.words(&error)));
        }
        let asked = match error {
            CallError::Unavailable(_, Some(asked)) => asked.min(ASKED_MAX),
            _ => Duration::ZERO,
        };
        sleep(PAUSE.delay(tries, seed).max(asked)).await;
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
            Err(error) if error.may_pass() => {
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
