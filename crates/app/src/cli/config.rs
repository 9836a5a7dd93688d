//! `stowplan config`: what a server here would be told, and by whom.

use clap::{Args, Subcommand};
use serde_json::json;

use super::status::Format;
use super::table::table;
use super::talk::{Ended, Failure, print, print_json};
use crate::api::field::BadField;
use crate::config::{ConfigArgs, PoolConfig, Settled, settle};

/// Refuses pools whose workers could not be had from here.
pub(super) type CheckPools = fn(&[PoolConfig]) -> Result<(), BadField>;

/// Show or check the configuration that a server started here would use
#[derive(Debug, Args)]
pub struct ConfigCommandArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every value and where it came from
    Show(ShowArgs),
    /// Say whether it can be used
    Check(ConfigArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Shows or checks; neither asks a server.
pub(crate) fn run(args: &ConfigCommandArgs, check_pools: CheckPools) -> Ended {
    match &args.command {
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Check(args) => {
            let config = settled(args)?.config;
            check_pools(&config.pools).map_err(refused)?;
            print("the configuration can be used\n")?;
            Ok(0)
        }
    }
}

fn settled(args: &ConfigArgs) -> Result<Settled, Failure> {
    settle(args).map_err(refused)
}

fn refused(bad: BadField) -> Failure {
    Failure::usage(bad).next("stowplan serve --help")
}

fn show(args: &ShowArgs) -> Ended {
    let settled = settled(&args.config)?;
    // The token itself is nobody's to see.
    let token = if settled.config.token.is_some() { "(set, not shown)" } else { "(none)" };
    let values = settled.origins.iter().map(|value| (&*value.setting, &*value.value, &*value.origin));
    let values = values.chain([("token", token, "-")]);
    match args.format {
        Format::Json => {
            let read = |value: &str| serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            let rows = values
                .map(|(setting, value, origin)| json!({ "setting": setting, "value": read(value), "origin": origin }));
            print_json(&rows.collect::<Vec<_>>())?;
        }
        Format::Text => {
            let rows = values.map(|(setting, value, origin)| [setting, value, origin].map(str::to_owned));
            print(&table(["SETTING", "VALUE", "FROM"], rows))?;
        }
    }
    Ok(0)
}
