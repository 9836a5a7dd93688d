//! `cargo xtask run --burst N`: the fleet under a burst. What measures is a bench of `app`; this starts it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cargo::{cargo, succeed};
use crate::run::{Fleet, Interrupts, Wait};
use crate::say::say;

pub(crate) struct Burst {
    containers: u32,
}

impl Burst {
    /// Builds the measuring program; to be done before the fleet starts, since a build takes every core.
    pub(crate) fn build(containers: u32) -> Result<Self> {
        say("building the measuring program");
        succeed(bench().arg("--no-run")).context("failed to build the measuring program")?;
        Ok(Self { containers })
    }

    /// Measures and passes on what the measuring program says and how it exits.
    pub(crate) fn measure(&self, fleet: &mut Fleet, interrupts: &Interrupts) -> Result<ExitCode> {
        if !fleet.all_ready() {
            bail!("a burst wants the whole fleet\n{}", fleet.greeting());
        }
        say(&format!("measuring a burst of {} containers", self.containers));
        let mut command = bench();
        command.args(["--", "--server", &fleet.address(), "--containers", &self.containers.to_string()]);
        let mut child = command.process_group(0).spawn().context("failed to start the measuring program")?;
        let mut status = None;
        let waited = fleet.wait_for(interrupts, None, |_| {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        if !matches!(waited, Ok(Wait::Done)) {
            kill(&mut child);
            return waited.map(|_| ExitCode::FAILURE);
        }
        let code = status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

fn bench() -> Command {
    cargo(&["bench", "--package", "app", "--bench", "burst"])
}

/// Kills cargo and the program that it started.
fn kill(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // An error says that it has ended already.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}
