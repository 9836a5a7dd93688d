//! `stowplan audit`: whether what is booked is what the containers own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use domain::id::ContainerId;

use super::connect::{CallError, Client, ConnectArgs};
use super::status::Format;
use super::talk::{Ended, Failure, REFUSED, UNREACHABLE, print, print_json, printable};
use crate::api::audit::AuditDocument;
use crate::api::container::ContainerDocument;
use crate::api::problem::{Kind, in_full};
use crate::audit::{OpenStore, Reading, Verdict, confirmed, of_store};
use crate::config::{ConfigArgs, settle};

/// Something is corrupt.
const CORRUPT: u8 = 1;
/// How many rows one page holds.
const PAGE: usize = 5_000;
/// How many pages one reading may take.
const PAGES_MAX: usize = 10_000;

/// Check that what is booked is what the containers own
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Read the embedded store in this folder instead of asking a server; no server may have it open
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["server", "token_file"])]
    store: Option<PathBuf>,
    /// With --store: the file that names cell and quotas [default: stowplan.toml]
    #[arg(long, value_name = "FILE", requires = "store")]
    config: Option<PathBuf>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl AuditArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// Reads a server's cell, or a stopped store, and says what is wrong with it.
pub(crate) async fn run(args: &AuditArgs, open: OpenStore) -> Ended {
    let verdict = match &args.store {
        Some(folder) => stopped(folder, args.config.clone(), open).await?,
        None => live(&Client::new(&args.connect)?).await?,
    };
    let document = verdict.to_document();
    match args.format {
        Format::Json => print_json(&document)?,
        Format::Text => print(&text(&document))?,
    }
    Ok(if document.clean { 0 } else { CORRUPT })
}

async fn stopped(folder: &Path, config: Option<PathBuf>, open: OpenStore) -> Result<Verdict, Failure> {
    let mut args = ConfigArgs::default();
    args.config = config;
    let config = settle(&args).map_err(|bad| Failure::usage(bad).next("stowplan config check"))?.config;
    let store = open(folder).map_err(|error| Failure::new(REFUSED, format!("{error:#}")))?;
    let verdict = of_store(&*store, &config.cell, config.policy.quotas.as_ref()).await;
    verdict.map_err(|error| Failure::new(REFUSED, in_full(&error)))
}

/// What is not clean is read on, without the containers that are no more, and at last anew.
async fn live(client: &Client) -> Result<Verdict, Failure> {
    let (mut reading, mut verdicts) = (Reading::default(), Vec::new());
    for last in [false, false, true] {
        if last {
            reading = Reading::default();
        }
        read_on(client, &mut reading).await?;
        let verdict = reading.verdict();
        if verdict.is_clean() {
            return Ok(verdict);
        }
        for id in reading.doubtful(&verdict) {
            if !is_there(client, &id).await? {
                reading.forget(&id);
            }
        }
        verdicts.push(verdict);
    }
    confirmed(verdicts).ok_or_else(too_fast)
}

/// Reads pages until there are no more.
async fn read_on(client: &Client, reading: &mut Reading) -> Result<(), Failure> {
    for _ in 0..PAGES_MAX {
        let limit = Some(("limit", PAGE.to_string()));
        let since = reading.since().map(|since| ("since", since.to_string()));
        let query: Vec<_> = limit.into_iter().chain(since).collect();
        let page = client.get("/v1/export", &query, Duration::ZERO).await;
        let page = page.map_err(|error| client.failure(error))?;
        reading.take(&page).map_err(|bad| client.failure(CallError::Strange(bad.to_string())))?;
        if reading.is_whole() {
            return Ok(());
        }
    }
    Err(too_fast())
}

async fn is_there(client: &Client, id: &ContainerId) -> Result<bool, Failure> {
    match client.get::<ContainerDocument>(&format!("/v1/containers/{id}"), &[], Duration::ZERO).await {
        Ok(_) => Ok(true),
        Err(CallError::Refused(problem)) if problem.is(Kind::NotFound) => Ok(false),
        Err(error) => Err(client.failure(error)),
    }
}

fn too_fast() -> Failure {
    Failure::new(UNREACHABLE, "the cell changes faster than it can be read: no two readings agree on what is wrong")
}

fn text(document: &AuditDocument) -> String {
    let found = &document.findings;
    let corrupt = found.iter().filter(|finding| finding.severity == "corruption").count();
    let verdict = if document.clean { "clean".to_owned() } else { format!("corruptions: {corrupt}") };
    let lines = found.iter().fold(String::new(), |lines, finding| lines + &printable(&finding.text) + "\n");
    format!(
        "{lines}{verdict}; {} workers, {} containers that own room, revision {}\n",
        document.workers, document.owners, document.revision
    )
}
