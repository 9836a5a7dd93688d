//! `stowplan logs`: the last that a container wrote.

use std::time::Duration;

use clap::Args;

use super::connect::{Client, ConnectArgs};
use super::run::say_dropped;
use super::status::checked_id;
use super::talk::{Ended, print, print_to_stderr, say};
use crate::api::container::LogsDocument;

/// Print the last that a container wrote, each stream where it belongs
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The container
    id: String,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl LogsArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// Prints standard output to standard output, and standard error to standard error.
pub(crate) async fn run(args: &LogsArgs) -> Ended {
    let id = checked_id(&args.id)?;
    let client = Client::new(&args.connect)?;
    let logs: Result<LogsDocument, _> = client.get(&format!("/v1/containers/{id}/logs"), &[], Duration::ZERO).await;
    let logs = logs.map_err(|error| client.failure(error))?;
    if let Some(note) = &logs.note {
        say(&format!("stowplan: {id}: {note}"));
    }
    if let Some(output) = &logs.output {
        for (name, tail) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            say_dropped(name, tail);
        }
        print(&output.stdout.text)?;
        print_to_stderr(&output.stderr.text)?;
    }
    Ok(0)
}
