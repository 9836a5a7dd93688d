//! `stowplan status`: what there is, or one container.

use std::time::Duration;

use clap::{Args, ValueEnum};
use domain::container::Phase;
use domain::id::{ContainerId, WorkerId, Workspace};

use super::connect::{Client, ConnectArgs};
use super::table::{or_dash, table};
use super::talk::{Ended, Failure, Voice, print, print_json, say};
use crate::api::container::{ContainerDocument, ContainerList};
use crate::api::field::{BadField, some_name};
use crate::api::moment::Moment;

/// How many containers are listed if nothing is said.
const LIMIT: usize = 200;
/// How many one call asks for.
const PAGE_MAX: usize = 1_000;

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: the documents of the HTTP surface.
    Json,
}

/// Show containers, or one of them
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The container; all if absent
    #[arg(conflicts_with_all = ["state", "workspace", "worker", "limit", "after"])]
    id: Option<String>,
    /// Only those in this state: pending, placed, starting, running, stopping, succeeded, failed, stopped
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only those of this workspace
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<String>,
    /// Only those that this worker owns
    #[arg(long, value_name = "ID")]
    worker: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = LIMIT)]
    limit: usize,
    /// Begin behind this container
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl StatusArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// Shows one, or lists what the filters leave.
pub(crate) async fn run(args: &StatusArgs) -> Ended {
    let client = Client::new(&args.connect)?;
    match &args.id {
        Some(id) => show(args, &client, id).await,
        None => list(args, &client).await,
    }
}

async fn show(args: &StatusArgs, client: &Client, id: &str) -> Ended {
    let id = checked_id(id)?;
    let container: Result<ContainerDocument, _> =
        client.get(&format!("/v1/containers/{id}"), &[], Duration::ZERO).await;
    let container = container.map_err(|error| client.failure(error))?;
    match args.format {
        Format::Json => print_json(&container)?,
        Format::Text => print(&details(&container))?,
    }
    Ok(0)
}

/// Refuses what cannot be a container's name before it stands in a path.
pub(crate) fn checked_id(id: &str) -> Result<&str, Failure> {
    match ContainerId::new(id) {
        Ok(_) => Ok(id),
        Err(bad) => Err(Failure::usage(format!("{id:?} names no container: {bad}")).next("stowplan status")),
    }
}

/// Refuses what no server could list, by the flag that says it.
fn check_filters(args: &StatusArgs) -> Result<(), BadField> {
    if let Some(state) = &args.state {
        let known = Phase::ALL.map(Phase::as_str);
        known.contains(&state.as_str()).then_some(()).ok_or_else(|| BadField::unknown("--state", state, &known))?;
    }
    some_name("--workspace", args.workspace.as_ref(), Workspace::new)?;
    some_name("--worker", args.worker.as_ref(), WorkerId::new)?;
    some_name("--after", args.after.as_ref(), ContainerId::new)?;
    if args.limit == 0 {
        return Err(BadField::of("--limit", "0", "is nothing; ask for 1 or more"));
    }
    Ok(())
}

async fn list(args: &StatusArgs, client: &Client) -> Ended {
    check_filters(args).map_err(Failure::usage)?;
    let (mut containers, mut after) = (Vec::new(), args.after.clone());
    loop {
        let missing = args.limit - containers.len();
        let mut query = vec![("limit", missing.clamp(1, PAGE_MAX).to_string())];
        let filters = [("state", &args.state), ("workspace", &args.workspace), ("worker", &args.worker)];
        query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        query.extend(after.take().map(|after| ("after", after)));
        let page: Result<ContainerList, _> = client.get("/v1/containers", &query, Duration::ZERO).await;
        let page = page.map_err(|error| client.failure(error))?;
        containers.extend(page.containers);
        after = page.next;
        if after.is_none() || containers.len() >= args.limit {
            break;
        }
    }
    match args.format {
        Format::Json => print_json(&containers)?,
        Format::Text if containers.is_empty() => say("there are no such containers"),
        Format::Text => {
            print(&table(["ID", "STATE", "ATTEMPT", "WORKER", "SUBMITTED", "WHY"], containers.iter().map(row)))?;
        }
    }
    if let Some(after) = after {
        let filters = [("state", &args.state), ("workspace", &args.workspace), ("worker", &args.worker)];
        let filters = filters.map(|(name, value)| value.as_ref().map(|value| format!(" --{name} {value}")));
        let filters: String = filters.into_iter().flatten().collect();
        say(&format!("there are more than these {}", containers.len()));
        Voice::of(&args.connect).next(&format!("stowplan status{filters} --after {after}"));
    }
    Ok(0)
}

fn row(container: &ContainerDocument) -> [String; 6] {
    [
        container.id.clone(),
        container.state.clone(),
        container.attempt.to_string(),
        or_dash(container.worker.as_deref()),
        container.submitted.at.clone(),
        why(container),
    ]
}

/// Why it waits, or how it was over if there is anything to say.
fn why(container: &ContainerDocument) -> String {
    match (&container.reason, &container.last_end) {
        (Some(reason), None) => reason.text.clone(),
        (Some(reason), Some(end)) => format!("{} (attempt {}: {})", reason.text, end.attempt, end.text),
        (None, Some(end)) if container.state != "succeeded" => end.text.clone(),
        _ => "-".to_owned(),
    }
}

fn details(container: &ContainerDocument) -> String {
    let moment = |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.at.clone());
    let request = &container.request;
    let exact = |cpu: &Option<_>| cpu.as_ref().map(|cpu: &crate::api::quantity::Quantity| cpu.as_str().to_owned());
    let rows = [
        ("id", Some(container.id.clone())),
        ("state", Some(container.state.clone())),
        ("why", Some(why(container)).filter(|why| why != "-")),
        ("exit code", container.exit_code.map(|code| code.to_string())),
        ("attempt", Some(container.attempt.to_string())),
        ("failures", Some(container.failures).filter(|failures| *failures > 0).map(|failures| failures.to_string())),
        ("worker", container.worker.clone()),
        ("gpu devices", Some(format!("{:?}", container.gpu_devices)).filter(|_| !container.gpu_devices.is_empty())),
        ("submitted", Some(container.submitted.at.clone())),
        ("placed", moment(&container.placed)),
        ("taken", moment(&container.taken)),
        ("running", moment(&container.running)),
        ("ended", moment(&container.ended)),
        ("workspace", request.workspace.clone()),
        ("cpu_milli", exact(&request.cpu_milli)),
        ("memory_mib", exact(&request.memory_mib)),
        ("command", Some(format!("{:?}", request.command)).filter(|_| !request.command.is_empty())),
    ];
    let lines = rows.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
    lines.fold(String::new(), |text, [name, value]| text + &format!("{name:<12} {}\n", super::talk::printable(&value)))
}
