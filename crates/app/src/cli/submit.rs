//! `stowplan submit`: requests go in line, and what the first plan says of them is printed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::connect::{Client, ConnectArgs};
use super::follow::{Until, hand_in, read, standing, until_ended};
use super::request::{RequestArgs, make_id};
use super::status::Format;
use super::talk::{Ended, Failure, REFUSED, Voice, print, print_json, printable, say};
use crate::api::container::{ContainerDocument, SubmitAnswer, SubmitDocument};
use crate::api::field::BadField;
use crate::api::json::{OneOrList, read_one_or_list};
use crate::api::request::RequestDocument;

/// How long the first decision is waited for.
const DECIDED_WITHIN: Duration = Duration::from_secs(1);
/// Of how many requests the decision is waited for.
const DECISIONS_MAX: usize = 20;
/// How many requests go in one call.
const CALL_MAX: usize = 1_000;
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Hand in a command, or a file of requests, and say what becomes of it
#[derive(Debug, Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// A JSON file with a request or a list of them, as POST /v1/containers takes them; - reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Wait until all have ended; the exit code is 1 unless all succeeded
    #[arg(long)]
    wait: bool,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl SubmitArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// Hands in what the options or the file ask.
pub(crate) async fn run(args: &SubmitArgs) -> Ended {
    let outcomes = match &args.file {
        None => {
            let request = args.request.to_document(&args.command)?;
            let client = Client::new(&args.connect)?;
            vec![hand_in(&client, request, !args.request.names_id()).await?]
        }
        Some(_) if !args.command.is_empty() || args.request != RequestArgs::default() => {
            let error = "--file is given together with a command or its options; the file says them all";
            return Err(Failure::usage(error).next("stowplan submit --cpu 1 -- true"));
        }
        Some(file) => {
            let requests = read_requests(file)?;
            hand_in_all(&Client::new(&args.connect)?, &requests).await?
        }
    };
    let client = Client::new(&args.connect)?;
    let containers =
        if args.wait { wait_for(&client, &outcomes).await? } else { decisions(&client, &outcomes).await? };
    show(args, &outcomes, &containers)?;
    let refused = outcomes.iter().any(|outcome| !outcome.is_in());
    let failed = args.wait && containers.iter().any(|container| container.state != "succeeded");
    Ok(if refused { REFUSED } else { u8::from(failed) })
}

fn read_requests(file: &Path) -> Result<Vec<RequestDocument>, Failure> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let refuse = |why: String| Failure::usage(format!("{name}: {why}")).next("stowplan submit --help");
    let mut bytes = Vec::new();
    let source: Box<dyn io::Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| refuse(error.to_string()))?)
    };
    source.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    let (mut requests, is_list) =
        match read_one_or_list::<RequestDocument>(&bytes).map_err(|bad| refuse(bad.to_string()))? {
            OneOrList::One(one) => (vec![*one], false),
            OneOrList::List(list) => (list, true),
        };
    if requests.is_empty() {
        return Err(refuse("it holds no request".to_owned()));
    }
    let mut ids = BTreeSet::new();
    for (index, request) in requests.iter_mut().enumerate() {
        let inside = |bad: BadField| refuse((if is_list { bad.at(index) } else { bad }).to_string());
        if request.id.is_none() {
            request.id = Some(make_id(&request.command)?);
        }
        let submission = request.to_submission().map_err(inside)?;
        if !ids.insert(submission.id.clone()) {
            return Err(inside(BadField::of("id", submission.id.as_str(), "is there already; choose another")));
        }
    }
    Ok(requests)
}

async fn hand_in_all(client: &Client, requests: &[RequestDocument]) -> Result<Vec<SubmitDocument>, Failure> {
    let mut outcomes = Vec::with_capacity(requests.len());
    for part in requests.chunks(CALL_MAX) {
        let answer: SubmitAnswer = client.post("/v1/containers", &part).await.map_err(|error| client.failure(error))?;
        outcomes.extend(answer.outcomes);
    }
    Ok(outcomes)
}

/// What the first plan says of the first requests.
async fn decisions(client: &Client, outcomes: &[SubmitDocument]) -> Result<Vec<ContainerDocument>, Failure> {
    let deadline = Instant::now() + DECIDED_WITHIN;
    let mut containers = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.is_in()).take(DECISIONS_MAX) {
        let left = deadline.saturating_duration_since(Instant::now());
        let container = read(client, &outcome.id, Until::Decided, left).await;
        containers.push(container.map_err(|error| client.failure(error))?);
    }
    Ok(containers)
}

async fn wait_for(client: &Client, outcomes: &[SubmitDocument]) -> Result<Vec<ContainerDocument>, Failure> {
    let mut containers = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.is_in()) {
        containers.push(until_ended(client, &outcome.id, |_| {}).await?);
    }
    Ok(containers)
}

fn show(args: &SubmitArgs, outcomes: &[SubmitDocument], containers: &[ContainerDocument]) -> Result<(), Failure> {
    let voice = Voice::of(&args.connect);
    match (args.format, args.file.is_some()) {
        (Format::Json, true) => print_json(&SubmitAnswer { outcomes: outcomes.to_vec() })?,
        (Format::Json, false) => containers.iter().try_for_each(print_json)?,
        (Format::Text, _) => {
            let mut lines: Vec<String> = containers.iter().map(standing).collect();
            let accepted = outcomes.iter().filter(|outcome| outcome.is_in()).skip(containers.len());
            lines.extend(accepted.map(|outcome| format!("{} {}", outcome.id, outcome.outcome)));
            for line in lines {
                print(&(printable(&line) + "\n"))?;
            }
        }
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_in()) {
        say(&format!("error: {} was refused: {}", outcome.id, outcome.detail.as_deref().unwrap_or(&outcome.outcome)));
    }
    if let Some(already) = outcomes.iter().find(|outcome| outcome.outcome == "already") {
        say(&format!("{} was handed in before; nothing was added", already.id));
    }
    let waiting = containers.iter().find(|container| container.reason.is_some());
    if let Some(container) = waiting {
        voice.next(&format!("stowplan explain {}", container.id));
    }
    Ok(())
}
