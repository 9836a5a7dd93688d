//! `stowplan logs`: the last that a container wrote.

use std::io;
use std::time::Duration;

use clap::Args;

use super::connect::{Client, ConnectArgs};
use super::status::checked_id;
use super::talk::{Ended, print, print_to_stderr, say};
use crate::api::calls::OutputDocument;
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

/// Prints what is kept of it.
pub(crate) async fn run(args: &LogsArgs) -> Ended {
    let id = checked_id(&args.id)?;
    let client = Client::new(&args.connect)?;
    let logs: Result<LogsDocument, _> = client.get(&format!("/v1/containers/{id}/logs"), &[], Duration::ZERO).await;
    let logs = logs.map_err(|error| client.failure(error))?;
    if let Some(note) = &logs.note {
        say(&format!("stowplan: {id}: {note}"));
    }
    if let Some(output) = &logs.output {
        print_output(output)?;
    }
    Ok(0)
}

/// Prints what a container wrote, each stream where it belongs, and first says what of it is not kept.
pub(crate) fn print_output(output: &OutputDocument) -> io::Result<()> {
    for (name, tail) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if tail.dropped_bytes > 0 {
            say(&format!("stowplan: {} bytes of {name} before this were dropped", tail.dropped_bytes));
        }
    }
    print(&output.stdout.text)?;
    print_to_stderr(&output.stderr.text)
}
