//! The `stowplan` binary.

use std::process::ExitCode;

use app::agent::shim::ShimArgs;
use app::agent::{self, AgentArgs};
use app::cli::plan::{self, PlanArgs};
use app::serve::{self, ServeArgs};
use clap::Parser;

/// A batch scheduler for containers.
#[derive(Debug, Parser)]
#[command(name = "stowplan")]
enum Stowplan {
    /// Offer this machine, or a part of it, to a server.
    Agent(Box<AgentArgs>),
    /// Plan a document: who goes where, who waits and why, what the fleet would have to grow by
    Plan(PlanArgs),
    /// Run a server
    Serve(ServeArgs),
    /// Stand over one container; started by an agent.
    #[command(hide = true)]
    Shim(ShimArgs),
}

fn main() -> ExitCode {
    match Stowplan::parse() {
        // A shim is one small process over one container: no runtime of ours.
        Stowplan::Shim(args) => agent::shim::run(&args),
        Stowplan::Agent(args) => in_runtime(agent::run(*args)),
        Stowplan::Plan(args) => plan::run(&args),
        Stowplan::Serve(args) => in_runtime(async { serve::run(args).await.map(|()| ExitCode::SUCCESS) }),
    }
}

#[tokio::main]
async fn in_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    command.await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
