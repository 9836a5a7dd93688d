//! What Stowplan takes, measured: `cargo xtask bench [MEASUREMENT]`.
//!
//! A measurement is a file with a function `measure`, which is given [`Output`] and puts its tables there, and a line in
//! each of the places that name [`Measurement`]. `result` is the one type of a table, `report` makes the page of all,
//! `server` and `cell` are what is measured on.

mod before_after;
mod cell;
mod counts;
pub(crate) mod floors;
mod latency;
mod life;
mod limit;
mod live;
pub(crate) mod machine;
mod old_flow;
mod played;
mod plot;
mod program;
mod report;
pub(crate) mod result;
pub(crate) mod samples;
mod scale;
mod server;
mod stages;
pub(crate) mod table;
mod turn;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use result::Output;

/// Measures; without a name, everything.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    #[command(flatten)]
    options: Options,
    /// Said by `cargo bench` to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// How much is measured, and where it is kept.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each row is measured; by default as often as each measurement says
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Few runs of the smallest sizes: shows that all works, and measures little
    #[arg(long, global = true)]
    quick: bool,
    /// Where the tables and the report are kept; by default bench in the target folder
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Subcommand)]
enum Measurement {
    /// 100 requests at once: one at a time under locks, against batches
    BeforeAfter,
    /// Submit, read, plan, commit, take and report, each by itself on every store, beside what Redis can write
    Stages,
    /// Submit to handed over, of requests that come by the clock
    Latency,
    /// Containers from submit to end, by the server and agents as processes
    Life,
    /// A million requests that wait: memory, and the time of a batch beside them
    Scale,
    /// Checks ratios against those that were recorded; fails if one is too low
    Floors(floors::Options),
}

impl Measurement {
    /// What is measured when none is named, in this order.
    const ALL: &[Self] = &[Self::BeforeAfter, Self::Stages, Self::Latency, Self::Life, Self::Scale];

    async fn measure(&self, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::BeforeAfter => before_after::measure(output).await,
            Self::Stages => stages::measure(output).await,
            Self::Latency => latency::measure(output).await,
            Self::Life => life::measure(output).await,
            Self::Scale => scale::measure(output).await,
            Self::Floors(options) => floors::run(options, output.is_quick()).await,
        }
    }
}

/// Measures what the arguments name, and makes the report of all that has been.
pub(crate) fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> anyhow::Result<()> {
    let args = Args::parse_from(arguments);
    let output = Output::new(args.options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let chosen = args.measurement.as_ref().map_or(Measurement::ALL, std::slice::from_ref);
    for measurement in chosen {
        runtime.block_on(measurement.measure(&output))?;
    }
    if !matches!(args.measurement, Some(Measurement::Floors(_))) {
        println!("report: {}", report::write(output.folder())?.display());
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    run(std::env::args_os())
}
