//! `cargo xtask verify`: the whole gate. It is read-only; CI calls it, and then the floors of `bench`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, printed, root, succeed};
use crate::say::say;
use crate::tools::{self, Need};
use crate::{test, tidy};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also check the dependencies against the advisory database, which has to be fetched
    #[arg(long)]
    advisories: bool,
}

/// One step of the gate, and what to type when it fails.
struct Step {
    name: &'static str,
    run: fn(&Options) -> Result<()>,
    next: &'static str,
}

/// Cheap before dear, so that most failures show in the first seconds.
const STEPS: &[Step] = &[
    Step { name: "fmt", run: |_| fmt(), next: "cargo xtask fix" },
    Step { name: "clippy", run: |_| clippy(), next: "cargo xtask fix, then mend by hand what is left" },
    Step { name: "docs", run: |_| docs(), next: "cargo doc --no-deps --workspace" },
    Step { name: "deny", run: deny, next: "cargo deny check bans licenses sources" },
    Step { name: "tidy", run: |_| tidy::tidy(), next: "mend each line above, then cargo xtask tidy" },
    Step { name: "bare ports", run: |_| bare_ports(), next: "cargo check -p ports --no-default-features" },
    Step { name: "test", run: |_| test::test(), next: "cargo test -p CRATE NAME" },
];

pub(crate) fn verify(options: &Options) -> Result<()> {
    tools::ensure(Need::Verify)?;
    let before = tracked_files()?;
    let mut times = Vec::new();
    for step in STEPS {
        say(&format!("verify: {}", step.name));
        let begun = Instant::now();
        let outcome = (step.run)(options);
        let took = begun.elapsed();
        if let Err(error) = outcome {
            bail!("verify: {} failed after {}: {error:#}\nnext: {}", step.name, seconds(took), step.next);
        }
        say(&format!("verify: {} passed in {}", step.name, seconds(took)));
        times.push((step.name, took));
    }
    if tracked_files()? != before {
        bail!("verify: a file changed meanwhile, by a step or by you\nnext: git status");
    }
    say(&summary(&times));
    Ok(())
}

fn fmt() -> Result<()> {
    succeed(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    succeed(&mut cargo(&arguments))
}

fn docs() -> Result<()> {
    let mut command = cargo(&["doc", "--locked", "--no-deps", "--workspace"]);
    succeed(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny(options: &Options) -> Result<()> {
    let mut command = cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]);
    if options.advisories {
        command.arg("advisories");
    }
    succeed(&mut command)
}

/// The ports without a feature are what a backend's author depends on.
fn bare_ports() -> Result<()> {
    succeed(&mut cargo(&["check", "--locked", "-p", "ports", "--no-default-features"]))
}

/// What git sees of the work tree: which files differ from the last commit, and how.
fn tracked_files() -> Result<String> {
    let git = |arguments: &[&str]| printed(std::process::Command::new("git").args(arguments).current_dir(root()));
    let status = git(&["status", "--porcelain"]).context("failed to see what is changed")?;
    Ok(status + &git(&["diff", "--no-ext-diff", "HEAD"])?)
}

fn summary(times: &[(&str, Duration)]) -> String {
    let total = times.iter().map(|(_, took)| *took).sum();
    let steps: Vec<String> = times.iter().map(|(name, took)| format!("{name} {}", seconds(*took))).collect();
    format!("verify: passed in {} ({})", seconds(total), steps.join(", "))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
