//! `cargo xtask bench`: measures what Stowplan takes. What measures is a bench of `app`; this starts it.

use anyhow::Result;

use crate::cargo::{cargo, succeed};
use crate::tools::{self, Need};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Checks ratios against those that were recorded, as CI does; with --record, records them
    #[arg(long)]
    floors: bool,
    /// What the measuring program is told; --help lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

pub(crate) fn bench(options: &Options) -> Result<()> {
    tools::ensure(Need::Redis)?;
    let measurement = options.floors.then_some("floors");
    let mut command = cargo(&["bench", "--package", "app", "--bench", "bench", "--"]);
    succeed(command.args(measurement).args(&options.arguments))
}
