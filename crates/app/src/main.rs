//! The `stowplan` binary.

use std::process::ExitCode;

use app::cli::plan::{self, PlanArgs};
use clap::Parser;

/// A batch scheduler for containers.
#[derive(Debug, Parser)]
#[command(name = "stowplan")]
enum Stowplan {
    /// Plan a document: who goes where, who waits and why, what the fleet would have to grow by
    Plan(PlanArgs),
}

fn main() -> ExitCode {
    match Stowplan::parse() {
        Stowplan::Plan(args) => plan::run(&args),
    }
}
