//! `cargo xtask bench`: measures what Stowplan takes. What measures is a bench of `app`; this starts it.

use anyhow::Result;

use crate::cargo::{cargo, succeed};
use crate::tools::{self, Need};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// What the measuring program is told; --help lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

pub(crate) fn bench(options: &Options) -> Result<()> {
    tools::ensure(Need::Redis)?;
    succeed(cargo(&["bench", "--package", "app", "--bench", "bench", "--"]).args(&options.arguments))
}
