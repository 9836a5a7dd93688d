//! `stowplan pool`: what pools have, what they want, and why.

use std::time::Duration;

use clap::{Args, Subcommand};
use domain::quantity::{format_cpu, format_memory};

use super::connect::{Client, ConnectArgs};
use super::status::Format;
use super::table::table;
use super::talk::{Ended, Voice, print, print_json, say};
use crate::api::period::spoken;
use crate::api::pools::{PoolList, PoolStatus};
use crate::api::quantity::Quantity;

/// List pools
#[derive(Debug, Args)]
pub struct PoolArgs {
    #[command(subcommand)]
    command: PoolCommand,
}

#[derive(Debug, Subcommand)]
enum PoolCommand {
    /// List all pools: what they have, what they want, and why
    List(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl PoolArgs {
    pub(crate) fn connect(&self) -> &ConnectArgs {
        let PoolCommand::List(args) = &self.command;
        &args.connect
    }
}

pub(crate) async fn run(args: &PoolArgs) -> Ended {
    let PoolCommand::List(args) = &args.command;
    let client = Client::new(&args.connect)?;
    let list: Result<PoolList, _> = client.get("/v1/pools", &[], Duration::ZERO).await;
    let PoolList { pools } = list.map_err(|error| client.failure(error))?;
    match args.format {
        Format::Json => print_json(&pools)?,
        Format::Text if pools.is_empty() => {
            say("the server's configuration has no pools");
            Voice::of(&args.connect).next("stowplan config show");
        }
        Format::Text => {
            let header =
                ["POOL", "WORKER", "READY", "PENDING", "IDLE", "LEAVING", "FAILED", "WANTED", "MIN-MAX", "WHY"];
            print(&table(header, pools.iter().map(row)))?;
        }
    }
    Ok(0)
}

fn row(pool: &PoolStatus) -> [String; 10] {
    let whole = |amount: Option<&Quantity>| amount.and_then(|amount| amount.whole("").ok()).unwrap_or(0);
    let (cpu, memory) = (whole(pool.worker.cpu_milli.as_ref()), whole(pool.worker.memory_mib.as_ref()));
    [
        pool.name.clone(),
        format!("{} cpu, {}", format_cpu(cpu), format_memory(memory)),
        pool.ready.to_string(),
        pool.pending.to_string(),
        pool.idle.to_string(),
        pool.leaving.to_string(),
        pool.failed.to_string(),
        pool.wanted.to_string(),
        format!("{}-{}", pool.min, pool.max),
        why(pool),
    ]
}

fn why(pool: &PoolStatus) -> String {
    let rests = pool.rests_ms.map(|ms| format!("rests for {}", spoken(Duration::from_millis(ms))));
    let words = [Some(pool.decision.clone()), pool.trouble.clone(), rests];
    words.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
