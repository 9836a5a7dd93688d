//! `stowplan submit`: requests go in line, and what the first plan says of them is printed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use domain::id::ContainerId;
use tokio::time::Instant;

use super::connect::{Client, ConnectArgs};
use super::follow::{Patience, Until, hand_in, read, standing, submit, until_ended};
use super::request::{RequestArgs, id_in_batch, make_batch};
use super::run::Signals;
use super::status::Format;
use super::talk::{Ended, Failure, REFUSED, Voice, print, print_json, printable, quoted, say};
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
/// How long a call may be; servers take 64 MiB.
const CALL_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The longest name of a batch: the ids that are made of it are longer.
const BATCH_BYTES_MAX: usize = 50;
/// The outcome of a request that was there.
const ALREADY: &str = "already";
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
    /// Names those of the file's requests that have no id, by their place: handing in the same file under the same name
    /// again adds only what is missing [default: a new name each time, so that all are added again]
    #[arg(long, value_name = "NAME")]
    batch: Option<String>,
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
    match &args.file {
        None if args.batch.is_some() => {
            let error = "--batch is given without --file; it names the requests of a file";
            Err(Failure::usage(error).next("stowplan submit --id a -- true"))
        }
        None => run_one(args).await,
        Some(_) if !args.command.is_empty() || args.request != RequestArgs::default() => {
            let error = "--file is given together with a command or its options; the file says them all";
            Err(Failure::usage(error).next("stowplan submit --cpu 1 -- true"))
        }
        Some(file) => run_file(args, file).await,
    }
}

async fn run_one(args: &SubmitArgs) -> Ended {
    let request = args.request.to_document(&args.command)?;
    let client = Client::new(&args.connect)?;
    let outcome = hand_in(&client, request, !args.request.names_id()).await?;
    let before = usize::from(outcome.outcome == ALREADY);
    let id = outcome.id.clone();
    tell(args, &client, &[outcome], before).await.map_err(|failure| Failure {
        error: format!("{id} was handed in, but {}", failure.error),
        next: Some(format!("stowplan status {id}")),
        ..failure
    })
}

async fn run_file(args: &SubmitArgs, file: &Path) -> Ended {
    let mut going_in = GoingIn::read(file, args.batch.as_deref())?;
    let client = Client::new(&args.connect)?;
    let mut signals = Signals::new()?;
    let ended = tokio::select! {
        ended = going_in.finish(args, &client) => ended,
        code = signals.next() => Err(Failure::new(code, "interrupted")),
    };
    ended.map_err(|failure| going_in.go_on_after(failure, file, args))
}

/// The requests of a file, and how many of them are handed in.
struct GoingIn {
    requests: Vec<RequestDocument>,
    /// What the ids that were made have in common; none if the file names all.
    batch: Option<String>,
    outcomes: Vec<SubmitDocument>,
    /// How many were there before.
    before: usize,
    /// Whether the server may have taken any.
    begun: bool,
}

impl GoingIn {
    fn read(file: &Path, batch: Option<&str>) -> Result<Self, Failure> {
        let is_drawn = batch.is_none();
        let batch = batch.map_or_else(make_batch, to_batch)?;
        let (requests, made) = read_requests(file, &batch)?;
        if made && is_drawn && requests.len() > CALL_MAX {
            let count = requests.len();
            say(&format!(
                "stowplan: handing in {count} requests as batch {batch}; --batch {batch} goes on if it is cut short"
            ));
        }
        Ok(Self { requests, batch: made.then_some(batch), outcomes: Vec::new(), before: 0, begun: false })
    }

    async fn finish(&mut self, args: &SubmitArgs, client: &Client) -> Ended {
        self.hand_in(client).await?;
        tell(args, client, &self.outcomes, self.before).await
    }

    async fn hand_in(&mut self, client: &Client) -> Result<(), Failure> {
        let mut patience = Patience::MANY;
        for part in parts(&self.requests, CALL_BYTES_MAX) {
            let is_first = !std::mem::replace(&mut self.begun, true);
            let (answer, repeated) = submit::<SubmitAnswer>(client, &part, &mut patience).await;
            let outcomes = answer.map_err(|error| {
                let is_sure = !patience.is_met() || !(repeated || error.may_pass());
                self.begun = !(is_first && is_sure);
                client.failure(error)
            })?;
            let outcomes = outcomes.outcomes;
            // A repeat finds what the call before it left.
            if !repeated {
                self.before += outcomes.iter().filter(|outcome| outcome.outcome == ALREADY).count();
            }
            self.outcomes.extend(outcomes);
        }
        Ok(())
    }

    /// The same failure, with what is done, and the command that does the rest and nothing twice.
    fn go_on_after(&self, failure: Failure, file: &Path, args: &SubmitArgs) -> Failure {
        if !self.begun {
            return failure;
        }
        let option = self.batch.as_ref().map(|batch| format!(" --batch {batch}")).unwrap_or_default();
        let (all, done) = (self.requests.len(), self.outcomes.iter().filter(|outcome| outcome.is_in()).count());
        let error = format!("{}; {done} of {all} requests are known to be handed in", failure.error);
        let error = format!("{error}, and handing in the same{option} adds only what is missing");
        let wait = if args.wait { " --wait" } else { "" };
        let format = if args.format == Format::Json { " --format json" } else { "" };
        let file = quoted(&file.display().to_string());
        Failure { error, ..failure }.next(format!("stowplan submit --file {file}{option}{wait}{format}"))
    }
}

/// The requests of each call: so many, and so long, as a server takes at once.
fn parts(requests: &[RequestDocument], bytes_max: usize) -> impl Iterator<Item = &[RequestDocument]> {
    let mut rest = requests;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |request: &&RequestDocument| {
            bytes += serde_json::to_vec(request).map_or(0, |written| written.len());
            bytes <= bytes_max
        };
        // One that is too long by itself is the server's to refuse.
        let count = rest.iter().take(CALL_MAX).take_while(fits).count().max(1);
        let (part, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(part)
    })
}

fn to_batch(text: &str) -> Result<String, Failure> {
    let refuse = |problem: String| Failure::usage(format!("--batch: {text:?}{problem}")).next("stowplan submit --help");
    if text.len() > BATCH_BYTES_MAX {
        return Err(refuse(format!(" is longer than {BATCH_BYTES_MAX} bytes; the ids made of it are longer")));
    }
    ContainerId::new(text).map(|_| text.to_owned()).map_err(|bad| refuse(format!(": {bad}")))
}

/// The requests of a file, and whether any was given its id.
fn read_requests(file: &Path, batch: &str) -> Result<(Vec<RequestDocument>, bool), Failure> {
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
    let mut made = false;
    let mut ids = BTreeSet::new();
    for (index, request) in requests.iter_mut().enumerate() {
        let inside = |bad: BadField| refuse((if is_list { bad.at(index) } else { bad }).to_string());
        if request.id.is_none() {
            request.id = Some(id_in_batch(&request.command, batch, index));
            made = true;
        }
        let submission = request.to_submission().map_err(inside)?;
        if !ids.insert(submission.id.clone()) {
            return Err(inside(BadField::of("id", submission.id.as_str(), "is there already; choose another")));
        }
    }
    Ok((requests, made))
}

/// Says what becomes of what was handed in.
async fn tell(args: &SubmitArgs, client: &Client, outcomes: &[SubmitDocument], before: usize) -> Ended {
    let containers = if args.wait { wait_for(client, outcomes).await? } else { decisions(client, outcomes).await? };
    show(args, outcomes, &containers, before)?;
    let refused = outcomes.iter().any(|outcome| !outcome.is_in());
    let failed = args.wait && containers.iter().any(|container| container.state != "succeeded");
    Ok(if refused { REFUSED } else { u8::from(failed) })
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

fn show(
    args: &SubmitArgs,
    outcomes: &[SubmitDocument],
    containers: &[ContainerDocument],
    before: usize,
) -> Result<(), Failure> {
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
    match (before, outcomes.iter().find(|outcome| outcome.outcome == ALREADY)) {
        (0, _) | (_, None) => {}
        (1, Some(already)) => say(&format!("{} was handed in before; nothing was added", already.id)),
        _ => say(&format!("{before} of {} were handed in before; nothing was added for them", outcomes.len())),
    }
    let waiting = containers.iter().find(|container| container.reason.is_some());
    if let Some(container) = waiting {
        voice.next(&format!("stowplan explain {}", container.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_as_long_as_a_server_takes() {
        let lengths = |requests: &[RequestDocument], bytes_max| -> Vec<usize> {
            parts(requests, bytes_max).map(<[RequestDocument]>::len).collect()
        };
        let of = |word: &str| RequestDocument { command: vec![word.to_owned()], ..RequestDocument::default() };
        let short = of("true");
        let bytes = serde_json::to_vec(&short).unwrap().len();
        assert_eq!(lengths(&[], 100), Vec::<usize>::new());
        assert_eq!(lengths(&vec![short.clone(); 2_001], CALL_BYTES_MAX), [1_000, 1_000, 1]);
        assert_eq!(lengths(&vec![short.clone(); 5], 2 * bytes), [2, 2, 1]);
        let long = of(&"x".repeat(1_000));
        assert_eq!(lengths(&[short.clone(), long.clone(), long, short], 2 * bytes), [1, 1, 1, 1]);
    }
}
