//! The `stowplan` binary.

use std::process::ExitCode;

use app::agent::shim::ShimArgs;
use app::agent::{self, AgentArgs};
use clap::Parser;

/// A batch scheduler for containers.
#[derive(Debug, Parser)]
#[command(name = "stowplan")]
enum Stowplan {
    /// Offer this machine, or a part of it, to a server.
    Agent(Box<AgentArgs>),
    /// Stand over one container; started by an agent.
    #[command(hide = true)]
    Shim(ShimArgs),
}

fn main() -> ExitCode {
    match Stowplan::parse() {
        Stowplan::Shim(args) => agent::shim::run(&args),
        Stowplan::Agent(args) => run_agent(*args),
    }
}

#[tokio::main]
async fn run_agent(args: AgentArgs) -> ExitCode {
    agent::run(args).await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
