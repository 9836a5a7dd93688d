//! `stowplan stop`: containers are ended.

use clap::Args;
use serde_json::json;

use super::connect::{CallError, Client, ConnectArgs};
use super::status::checked_id;
use super::talk::{Ended, Voice, print};
use crate::api::container::StopDocument;

/// Stop containers
#[derive(Debug, Args)]
pub struct StopArgs {
    /// The containers
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl StopArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        &self.connect
    }
}

/// Stops each of them; one that is not there hinders no other.
pub(crate) async fn run(args: &StopArgs) -> Ended {
    let ids = args.ids.iter().map(|id| checked_id(id)).collect::<Result<Vec<_>, _>>()?;
    let client = Client::new(&args.connect)?;
    let mut code = 0;
    for id in ids {
        let stopped: Result<StopDocument, _> = client.post(&format!("/v1/containers/{id}/stop"), &json!({})).await;
        match stopped {
            Ok(stopped) if stopped.outcome == "ended" => print(&format!("{id} had ended before: {}\n", stopped.state))?,
            Ok(stopped) => print(&format!("{id} {}\n", stopped.state))?,
            Err(error @ CallError::Refused(_)) => {
                code = Voice::of(&args.connect).fail(&client.failure(error), "");
            }
            Err(error) => return Err(client.failure(error)),
        }
    }
    Ok(code)
}
