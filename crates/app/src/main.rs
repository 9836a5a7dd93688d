//! The `stowplan` binary.

use std::process::ExitCode;

use app::cli::plan::{self, PlanArgs};
use app::serve::{self, ServeArgs};
use clap::Parser;

/// A batch scheduler for containers.
#[derive(Debug, Parser)]
#[command(name = "stowplan")]
enum Stowplan {
    /// Plan a document: who goes where, who waits and why, what the fleet would have to grow by
    Plan(PlanArgs),
    /// Run a server
    Serve(ServeArgs),
}

fn main() -> ExitCode {
    match Stowplan::parse() {
        Stowplan::Plan(args) => plan::run(&args),
        Stowplan::Serve(args) => {
            let runtime = tokio::runtime::Runtime::new().expect("runtime");
            if let Err(error) = runtime.block_on(serve::run(args)) { eprintln!("error: {error:#}"); return ExitCode::FAILURE; }
            ExitCode::SUCCESS
        }
    }
}
