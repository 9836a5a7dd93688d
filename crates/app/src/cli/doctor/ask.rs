//! What is asked of the server.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, sleep_until};

use super::metrics::Metrics;
use super::readings::{Clock, Readings};
use crate::api::about::{AboutDocument, StoreAnswer};
use crate::api::period::millis;
use crate::api::pools::PoolList;
use crate::cli::connect::{CallError, Client};
use crate::cli::talk::Failure;
use crate::cli::worker;

/// How often the server is asked how its store answers, and how far apart at most.
const ASKED: u32 = 5;
const APART: Duration = Duration::from_millis(100);

/// Reads the server, waits, and reads it again.
pub(super) async fn readings(client: &Client, over: Duration) -> Result<Readings, Failure> {
    let before = metrics(client).await?;
    let began = Instant::now();
    let (mut about, mut clock) = ask(client).await?;
    let mut answers = vec![about.answer.clone()];
    for _ in 1..ASKED {
        // A store that is away keeps everybody waiting.
        if matches!(about.answer, StoreAnswer::Failed(_)) {
            break;
        }
        sleep(APART.min(over / ASKED)).await;
        let next;
        (about, next) = ask(client).await?;
        answers.push(about.answer.clone());
        // The shorter the way, the less wrong the clock.
        clock = if next.within_ms < clock.within_ms { next } else { clock };
    }
    sleep_until(began + over).await;
    let after = metrics(client).await?;
    let over = began.elapsed();
    let pools = told(client.get::<PoolList>("/v1/pools", &[], Duration::ZERO).await, client)?;
    let workers = told(worker::all(client).await, client)?;
    Ok(Readings { before, after, over, about, answers, clock, workers, pools: pools.map(|list| list.pools) })
}

async fn metrics(client: &Client) -> Result<Metrics, Failure> {
    let text = client.get_text("/metrics").await.map_err(|error| client.failure(error))?;
    let strange = |line| client.failure(CallError::Strange(format!("its metrics have the line {line:?}")));
    Metrics::read(&text).map_err(strange)
}

/// What the server says of itself, and its clock against ours in the middle of the call.
async fn ask(client: &Client) -> Result<(AboutDocument, Clock), Failure> {
    let began = Instant::now();
    let about: Result<AboutDocument, _> = client.get("/v1/about", &[], Duration::ZERO).await;
    let about = about.map_err(|error| client.failure(error))?;
    let took = began.elapsed();
    let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let here_ms = millis(here.saturating_sub(took / 2)).cast_signed();
    let clock = Clock { ahead_ms: about.now.ms.cast_signed() - here_ms, within_ms: millis(took / 2) };
    Ok((about, clock))
}

/// What was answered; none if the server cannot tell now.
fn told<T>(answer: Result<T, CallError>, client: &Client) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CallError::Unavailable(..)) => Ok(None),
        Err(error) => Err(client.failure(error)),
    }
}
