//! The `stowplan` binary.

use std::ffi::OsString;
use std::process::ExitCode;

use app::agent::shim::ShimArgs;
use app::agent::{self, AgentArgs};
use app::cli;
use app::providers;
use app::serve::{self, ServeArgs};
use app::wiring;
use clap::Parser;

/// A batch scheduler for containers
#[derive(Debug, Parser)]
#[command(name = "stowplan", version)]
enum Stowplan {
    /// Run a server
    Serve(Box<ServeArgs>),
    /// Offer this machine, or a part of it, to a server
    Agent(Box<AgentArgs>),
    /// Stand over one container; started by an agent
    #[command(hide = true)]
    Shim(ShimArgs),
    #[command(flatten)]
    Command(cli::Command),
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Err(code) = cli::check_text(&args) {
        return code;
    }
    match Stowplan::try_parse_from(&args) {
        // A shim is one small process over one container: no runtime of ours.
        Ok(Stowplan::Shim(args)) => agent::shim::run(&args),
        Ok(Stowplan::Agent(args)) => in_runtime("agent", agent::run(*args)),
        Ok(Stowplan::Serve(args)) => in_runtime("serve", async { serve::run(*args).await.map(|()| ExitCode::SUCCESS) }),
        Ok(Stowplan::Command(command)) => cli::run(&command, wiring::open_stopped, providers::check),
        Err(error) => cli::refuse(&error, &args),
    }
}

#[tokio::main]
async fn in_runtime(name: &str, command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    command.await.unwrap_or_else(|error| cli::give_up(name, &error))
}
