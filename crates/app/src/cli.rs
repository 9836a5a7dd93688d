//! The commands, one file each. They speak HTTP, in the documents of [`crate::api`]; data goes to standard output, talk
//! to standard error, and every failure ends with a command that helps.

mod audit;
mod config;
mod connect;
mod doctor;
mod explain;
mod follow;
mod logs;
pub mod plan;
mod pool;
mod request;
mod run;
mod status;
mod stop;
mod submit;
mod table;
mod talk;
mod usage;
mod worker;

use std::process::ExitCode;

use clap::Subcommand;

use crate::audit::OpenStore;
use config::CheckPools;
use connect::ConnectArgs;
use talk::{Ended, Failure, Voice};
pub use usage::{check_text, give_up, refuse};

/// What a command line can ask of a server, or without one.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in the fleet, print what it wrote, exit with its code
    Run(Box<run::RunArgs>),
    /// Hand in a command, or a file of requests, and say what becomes of it
    Submit(Box<submit::SubmitArgs>),
    /// Show containers, or one of them
    Status(status::StatusArgs),
    /// Print the last that a container wrote
    Logs(logs::LogsArgs),
    /// Stop containers
    Stop(stop::StopArgs),
    /// Say why a container is where it is
    Explain(explain::ExplainArgs),
    /// List workers, or say whether they take work
    Worker(worker::WorkerArgs),
    /// List pools
    Pool(pool::PoolArgs),
    /// Plan a document: who goes where, who waits and why, what the fleet would have to grow by
    Plan(plan::PlanArgs),
    /// Say how a server does, indicator by indicator, and what to do
    Doctor(Box<doctor::DoctorArgs>),
    /// Check that what is booked is what the containers own
    Audit(audit::AuditArgs),
    /// Show or check the configuration that a server started here would use
    Config(Box<config::ConfigCommandArgs>),
}

/// Does what the command line asks; `open` opens a store that no server has open.
pub fn run(command: &Command, open: OpenStore, check_pools: CheckPools) -> ExitCode {
    let alone = ConnectArgs::default();
    let (name, connect, ended) = match command {
        Command::Run(args) => ("run", args.connect(), in_runtime(run::run(args))),
        Command::Submit(args) => ("submit", args.connect(), in_runtime(submit::run(args))),
        Command::Status(args) => ("status", args.connect(), in_runtime(status::run(args))),
        Command::Logs(args) => ("logs", args.connect(), in_runtime(logs::run(args))),
        Command::Stop(args) => ("stop", args.connect(), in_runtime(stop::run(args))),
        Command::Explain(args) => ("explain", args.connect(), in_runtime(explain::run(args))),
        Command::Worker(args) => ("worker", args.connect(), in_runtime(worker::run(args))),
        Command::Pool(args) => ("pool", args.connect(), in_runtime(pool::run(args))),
        Command::Plan(args) => return plan::run(args),
        Command::Doctor(args) => ("doctor", args.connect(), in_runtime(doctor::run(args))),
        Command::Audit(args) => ("audit", args.connect(), in_runtime(audit::run(args, open))),
        Command::Config(args) => ("config", &alone, config::run(args, check_pools)),
    };
    ExitCode::from(ended.unwrap_or_else(|failure| {
        // What `run` says must not be taken for words of the command that it ran.
        let prefix = if name == "run" { "stowplan: " } else { "" };
        Voice::of(connect).fail(&failure.or_next(usage::example_of(name)), prefix)
    }))
}

/// A command is one conversation: one thread is enough.
fn in_runtime(command: impl Future<Output = Ended>) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(1, format!("failed to start: {error}")))?;
    runtime.block_on(command)
}
