//! `stowplan worker`: workers are listed, closed, drained, removed.

use std::time::Duration;

use clap::{Args, Subcommand};
use domain::id::WorkerId;
use domain::quantity::{format_cpu, format_memory};
use serde::Serialize;
use serde_json::json;

use super::connect::{CallError, Client, ConnectArgs};
use super::status::Format;
use super::table::{or_dash, table};
use super::talk::{Ended, Failure, Voice, print, print_json, say};
use crate::api::about::AboutDocument;
use crate::api::period::{parse_period, spoken};
use crate::api::quantity::Quantity;
use crate::api::worker::{DrainCall, RemoveCall, SILENCE_PART, WorkerDocument, WorkerList, WorkerOutcome};

/// How many workers one page holds, and how many pages a server may have.
const PAGE: usize = 5_000;
const PAGES_MAX: usize = 100;

/// List workers, or say whether they take work
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(subcommand)]
    command: WorkerCommand,
}

#[derive(Debug, Subcommand)]
enum WorkerCommand {
    /// List all workers
    List(ListArgs),
    /// Give a worker no new work; what runs goes on
    Cordon(OneArgs),
    /// Give it work again
    Uncordon(OneArgs),
    /// Give it no new work, and let what runs finish within a time
    Drain(DrainArgs),
    /// Remove a worker that owns nothing, or that is gone for good
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The worker
    id: String,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Args)]
struct DrainArgs {
    #[command(flatten)]
    one: OneArgs,
    /// How long what runs may go on
    #[arg(long, value_name = "TIME", default_value = "10m")]
    within: String,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    #[command(flatten)]
    one: OneArgs,
    /// It is gone for good: what it owns runs elsewhere. Refused while it may be alive
    #[arg(long)]
    lost: bool,
}

impl WorkerArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        match &self.command {
            WorkerCommand::List(args) => &args.connect,
            WorkerCommand::Cordon(args) | WorkerCommand::Uncordon(args) => &args.connect,
            WorkerCommand::Drain(args) => &args.one.connect,
            WorkerCommand::Remove(args) => &args.one.connect,
        }
    }
}

/// Does what the word after `worker` says.
pub(crate) async fn run(args: &WorkerArgs) -> Ended {
    match &args.command {
        WorkerCommand::List(args) => list(args).await,
        WorkerCommand::Cordon(one) => change(one, "cordon", &json!({}), "cordoned").await,
        WorkerCommand::Uncordon(one) => change(one, "uncordon", &json!({}), "open").await,
        WorkerCommand::Drain(args) => drain(args).await,
        WorkerCommand::Remove(args) => remove(args).await,
    }
}

async fn list(args: &ListArgs) -> Ended {
    let client = Client::new(&args.connect)?;
    let workers = all(&client).await.map_err(|error| client.failure(error))?;
    match args.format {
        Format::Json => print_json(&workers)?,
        Format::Text if workers.is_empty() => {
            say("there are no workers");
            Voice::of(&args.connect).next("stowplan agent --help");
        }
        Format::Text => {
            let about: AboutDocument =
                client.get("/v1/about", &[], Duration::ZERO).await.map_err(|error| client.failure(error))?;
            let worth_a_word = Duration::from_millis(about.settings.keepalive_ms) / SILENCE_PART;
            let header = ["WORKER", "STATUS", "POOL", "CPU FREE", "MEMORY FREE", "GPUS", "CONTAINERS", "NOTE"];
            print(&table(header, workers.iter().map(|worker| row(worker, worth_a_word))))?;
        }
    }
    Ok(0)
}

/// All workers of the server.
pub(crate) async fn all(client: &Client) -> Result<Vec<WorkerDocument>, CallError> {
    let (mut workers, mut after) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(after.take().map(|after| ("after", after)));
        let page: WorkerList = client.get("/v1/workers", &query, Duration::ZERO).await?;
        workers.extend(page.workers);
        after = page.next;
        if after.is_none() {
            return Ok(workers);
        }
    }
    Err(CallError::Strange(format!("it has more than {PAGES_MAX} pages of {PAGE} workers")))
}

fn row(worker: &WorkerDocument, worth_a_word: Duration) -> [String; 8] {
    let free = worker.free.clone().unwrap_or_default();
    let whole = |amount: Option<&Quantity>| amount.and_then(|amount| amount.whole("").ok()).unwrap_or(0);
    let of = |write: fn(u64) -> String, free: Option<&Quantity>, total: Option<&Quantity>| {
        format!("{} of {}", write(whole(free)), write(whole(total)))
    };
    let gpus = worker.gpu_type.as_ref().map(|kind| format!("{} x {kind}", whole(worker.gpu_count.as_ref())));
    [
        worker.id.clone(),
        or_dash(worker.status.as_deref()),
        or_dash(worker.pool.as_deref()),
        of(format_cpu, free.cpu_milli.as_ref(), worker.cpu_milli.as_ref()),
        of(format_memory, free.memory_mib.as_ref(), worker.memory_mib.as_ref()),
        or_dash(gpus.as_deref()),
        worker.containers.unwrap_or(0).to_string(),
        note(worker, worth_a_word),
    ]
}

fn note(worker: &WorkerDocument, worth_a_word: Duration) -> String {
    let silent = worker.silent_ms.map(Duration::from_millis).filter(|silent| *silent >= worth_a_word);
    let silent = silent.map(|silent| format!("silent for {}", spoken(silent)));
    let over = worker.over_committed.then(|| "owns more than it has".to_owned());
    let notes: Vec<String> = over.into_iter().chain(silent).collect();
    if notes.is_empty() { "-".to_owned() } else { notes.join(", ") }
}

fn checked(id: &str) -> Result<&str, Failure> {
    match WorkerId::new(id) {
        Ok(_) => Ok(id),
        Err(bad) => Err(Failure::usage(format!("{id:?} names no worker: {bad}")).next("stowplan worker list")),
    }
}

async fn change(one: &OneArgs, verb: &str, body: &impl Serialize, became: &str) -> Ended {
    let id = checked(&one.id)?;
    let client = Client::new(&one.connect)?;
    let outcome: Result<WorkerOutcome, _> = client.post(&format!("/v1/workers/{id}/{verb}"), body).await;
    let outcome = outcome.map_err(|error| client.failure(error))?;
    let already = if outcome.outcome == "already" { " already" } else { "" };
    print(&format!("{id} is {became}{already}\n"))?;
    Ok(0)
}

async fn drain(args: &DrainArgs) -> Ended {
    parse_period(&args.within)
        .map_err(|bad| Failure::usage(format!("--within: {bad}")).next("stowplan worker drain --help"))?;
    let call = DrainCall { within: Some(args.within.clone()), within_ms: None };
    let became = format!("draining; what runs may finish within {}", args.within);
    change(&args.one, "drain", &call, &became).await
}

async fn remove(args: &RemoveArgs) -> Ended {
    if !args.lost {
        return change(&args.one, "remove", &RemoveCall::default(), "removed").await;
    }
    let id = checked(&args.one.id)?;
    let client = Client::new(&args.one.connect)?;
    let worker: Result<WorkerDocument, _> = client.get(&format!("/v1/workers/{id}"), &[], Duration::ZERO).await;
    let incarnation = worker.map_err(|error| client.failure(error))?.incarnation;
    change(&args.one, "remove", &RemoveCall { lost: true, incarnation }, "removed; what it owned runs elsewhere").await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_always_has_more_is_not_taken_at_its_word() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Some(format!("http://{}", listener.local_addr().unwrap()));
        let more = async || Json(json!({ "workers": [], "next": "w1" }));
        tokio::spawn(axum::serve(listener, Router::new().route("/v1/workers", get(more))).into_future());
        let client = Client::new(&ConnectArgs { server, token_file: None }).unwrap_or_else(|_| panic!("no client"));
        assert!(matches!(all(&client).await, Err(CallError::Strange(_))));
    }
}
