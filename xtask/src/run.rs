//! `cargo xtask run`: a server and its agents on this machine, each a process of its own, until Ctrl-C.

mod fleet;
mod folder;
mod http;
mod interrupt;
mod leftover;
mod port;
mod process;
mod redis;
mod restarts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::burst::Burst;
use crate::cargo::{cargo, root, succeed, target_directory};
use crate::say::{answer, say};
use crate::tools;

use fleet::FleetStore;
pub(crate) use fleet::{Fleet, Wait};
use folder::Folder;
pub(crate) use interrupt::Interrupts;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder of everything that this run keeps [default: .stowplan; with --burst .stowplan-burst, emptied first]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port to listen on [default: 7070 or the next free one]
    #[arg(long)]
    port: Option<u16>,
    /// How many agents to start
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    agents: u16,
    /// Build with optimisation, which takes longer
    #[arg(long)]
    release: bool,
    /// Where the server keeps its rows
    #[arg(long, value_enum)]
    store: Option<Store>,
    /// Measure a burst of N containers on a fleet of its own, then stop
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) burst: Option<u32>,
    /// Start this program instead of building `stowplan`
    #[arg(long, value_name = "FILE", hide = true)]
    program: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Store {
    Embedded,
    Memory,
    /// In a redis-server that this run starts
    Redis,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let folder = Folder::open(&options.folder())?;
    if options.burst.is_some() {
        folder.must_be_ours()?;
    }
    if matches!(options.store, Some(Store::Redis)) {
        tools::ensure(tools::Need::Redis)?;
    }
    let Some(_lock) = folder.lock()? else {
        return options.find_it_running(&folder);
    };
    leftover::wait(&folder)?;
    folder.forget_address()?;
    if options.burst.is_some() {
        folder.empty()?;
    }
    folder.install(&options.build()?)?;
    let burst = options.burst.map(Burst::build).transpose()?;
    let interrupts = Interrupts::listen()?;
    let port = port::choose(options.port, options.first_port())?;
    let mut fleet = Fleet::new(folder, port, options.fleet_store()?);
    let outcome = fleet.start(options.agents, &interrupts).and_then(|wait| match (wait, burst) {
        (Wait::Interrupted, Some(_)) => Ok(ExitCode::FAILURE),
        (Wait::Interrupted, None) => Ok(ExitCode::SUCCESS),
        (_, Some(burst)) => burst.measure(&mut fleet, &interrupts),
        (_, None) => stand_until_interrupted(&mut fleet, &interrupts),
    });
    fleet.stop(&interrupts);
    outcome
}

fn stand_until_interrupted(fleet: &mut Fleet, interrupts: &Interrupts) -> Result<ExitCode> {
    answer(&fleet.greeting());
    fleet.wait_for(interrupts, None, |_| false)?;
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn folder(&self) -> PathBuf {
        match (&self.data, self.burst) {
            (Some(folder), _) => folder.clone(),
            (None, Some(_)) => root().join(".stowplan-burst"),
            (None, None) => root().join(".stowplan"),
        }
    }

    /// A burst keeps out of the way of the server that a developer has open.
    fn first_port(&self) -> u16 {
        if self.burst.is_some() { 7170 } else { 7070 }
    }

    /// Whoever wants a fleet finds it there, so a second run is no failure; a burst would have measured nothing.
    fn find_it_running(&self, folder: &Folder) -> Result<ExitCode> {
        let shown = folder.shown();
        let where_it_is = match folder.address() {
            Some(address) => format!("already running in {shown}: {address}"),
            None => format!("already starting in {shown}; its address will be in {shown}/address"),
        };
        if self.burst.is_some() {
            bail!("{where_it_is}\nnext: wait until it ends, or cargo xtask run --burst N --data ANOTHER_FOLDER");
        }
        answer(&where_it_is);
        Ok(ExitCode::SUCCESS)
    }

    /// Where the server is told to keep its rows; nothing is said of what nobody chose.
    fn fleet_store(&self) -> Result<FleetStore> {
        Ok(match self.store {
            None => FleetStore::Unsaid,
            Some(Store::Embedded) => FleetStore::Named("embedded"),
            Some(Store::Memory) => FleetStore::Named("memory"),
            Some(Store::Redis) => FleetStore::Redis(port::choose(None, redis::FIRST_PORT)?),
        })
    }

    /// Builds `stowplan`, cargo's progress in sight, and returns where it is.
    fn build(&self) -> Result<PathBuf> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        let release = self.release || self.burst.is_some();
        say(if release { "building stowplan, optimised" } else { "building stowplan" });
        let mut command = cargo(&["build", "--package", "app", "--bin", "stowplan"]);
        command.args(release.then_some("--release"));
        succeed(&mut command).context("failed to build stowplan")?;
        Ok(target_directory()?.join(if release { "release" } else { "debug" }).join("stowplan"))
    }
}

/// A path as the user would type it here: relative where that is shorter.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
