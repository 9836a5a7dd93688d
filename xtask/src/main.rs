//! The project's own commands: `cargo xtask run | test | bench | verify | fix | tidy | torture | new-backend`.
//!
//! This crate starts things and looks at source text. It uses none of our crates; what measures lives in their benches.

mod bench;
mod burst;
mod cargo;
mod fix;
mod new_backend;
mod run;
mod say;
mod test;
mod tidy;
mod tools;
mod torture;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::say::say;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start a server with 20 local agents; with --burst, measure a burst of containers on them
    Run(run::Options),
    /// Run every test, and install what the tests need
    Test,
    /// Measure, in an optimised build, and make a report; --help lists the measurements
    Bench(bench::Options),
    /// The whole gate, read-only: what CI runs
    Verify(verify::Options),
    /// The mutating twin of verify: format, apply clippy's fixes, renew expectations
    Fix,
    /// Check what no compiler checks: crate edges, rooms, contracts, lengths, leftovers
    Tidy,
    /// Make the crate of a new store: its steps to be written, the conformance kit over them, an arm in the wiring
    NewBackend(new_backend::Options),
    /// Run the campaigns that look for rare faults, at length; with --seed, one that failed again
    Torture(torture::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(without_separator(std::env::args().collect()));
    let outcome = match &arguments.command {
        Command::Run(options) => run::run(options),
        Command::Test => test::test().map(|()| ExitCode::SUCCESS),
        Command::Bench(options) => bench::bench(options).map(|()| ExitCode::SUCCESS),
        Command::Verify(options) => verify::verify(options).map(|()| ExitCode::SUCCESS),
        Command::Fix => fix::fix().map(|()| ExitCode::SUCCESS),
        Command::NewBackend(options) => new_backend::new_backend(options).map(|()| ExitCode::SUCCESS),
        Command::Torture(options) => torture::torture(options).map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::tidy().map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// `cargo xtask run -- --burst 100` means the same as `cargo xtask run --burst 100`: whoever is used to `cargo run --`
/// types the separator, and no command here has anything to put behind it.
fn without_separator(mut arguments: Vec<String>) -> Vec<String> {
    if arguments.get(2).is_some_and(|argument| argument == "--") {
        arguments.remove(2);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst_of(line: &str) -> Option<u32> {
        let words = line.split(' ').map(String::from).collect();
        match Arguments::parse_from(without_separator(words)).command {
            Command::Run(options) => options.burst,
            _ => panic!("{line} is a run"),
        }
    }

    #[test]
    fn a_separator_changes_nothing() {
        assert_eq!(burst_of("xtask run -- --burst 100"), Some(100));
        assert_eq!(burst_of("xtask run --burst 100"), Some(100));
        assert_eq!(burst_of("xtask run --"), None);
    }
}
