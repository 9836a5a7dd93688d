//! `stowplan explain`: why a container is where it is.

use std::time::Duration;

use clap::Args;

use super::connect::{Client, ConnectArgs};
use super::status::{Format, checked_id};
use super::table::table;
use super::talk::{Ended, print, print_json, printable};
use crate::api::explain::ExplainDocument;

/// Say why a container is where it is
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The container
    id: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl ExplainArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// Says it in a sentence, and counts every worker once.
pub(crate) async fn run(args: &ExplainArgs) -> Ended {
    let id = checked_id(&args.id)?;
    let client = Client::new(&args.connect)?;
    let explained: Result<ExplainDocument, _> =
        client.get(&format!("/v1/containers/{id}/explain"), &[], Duration::ZERO).await;
    let explained = explained.map_err(|error| client.failure(error))?;
    match args.format {
        Format::Json => print_json(&explained)?,
        Format::Text => print(&in_words(&explained))?,
    }
    Ok(0)
}

fn in_words(explained: &ExplainDocument) -> String {
    let waits = if explained.state == "pending" { "waits: " } else { "" };
    let sentence = printable(&format!("{} {waits}{}", explained.id, explained.text));
    let Some(fleet) = &explained.fleet else { return sentence + "\n" };
    let fits = (fleet.fits > 0).then(|| ["(fits)".to_owned(), fleet.fits.to_string()]);
    let rules = fleet.rules.iter().map(|(rule, count)| [rule.clone(), count.to_string()]);
    let total = [format!("of {} in all", fleet.workers), String::new()];
    let rows = fits.into_iter().chain(rules).chain([total]);
    format!("{sentence}\n\n{}", table(["FAILS FIRST", "WORKERS"], rows))
}
