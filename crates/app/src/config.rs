//! What a server is told: defaults, a file, `STOWPLAN_*` variables and flags, the later over the earlier.

mod doctor;
mod pools;
mod read;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use domain::batch::BatchPolicy;
use domain::fleet::Policy;
use domain::id::CellName;
use domain::model::containers::Keep;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::api::policy::PolicyDocument;
use crate::api::quantity::Quantity;
use crate::api::quota::QuotaDocument;
use crate::api::token::Token;

use doctor::DoctorSection;
pub use doctor::{THRESHOLDS, ThresholdFlags, Thresholds, settle_thresholds};
use pools::PoolSection;
pub use pools::{PoolConfig, ProviderConfig};
#[cfg(test)]
pub(crate) use read::settle_file;
pub use read::{Origin, Settled, settle};

/// The file that is read if it is there and no other is named.
pub const CONFIG_FILE: &str = "stowplan.toml";

/// Where the configuration comes from, as flags.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Reads this file instead of stowplan.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident: $value:literal,)*) => {
        /// Settings that a flag may set. Each is read by the same code as in the file.
        #[derive(Debug, Clone, Default, Args, Serialize)]
        struct Flags {$(
            $(#[$doc])*
            #[arg(long, value_name = $value)]
            #[serde(skip_serializing_if = "Option::is_none")]
            $name: Option<String>,
        )*}

        /// The settings that a flag or a variable may set.
        pub const SETTINGS: &[&str] = &[$(stringify!($name)),*];
    };
}

flags! {
    /// The address that the server listens on; any but loopback needs a token
    listen: "ADDRESS:PORT",
    /// The folder of the embedded store
    data: "DIR",
    /// Where the cell is kept: embedded, memory (gone with the process), or the address of a server, redis://HOST:PORT
    store: "STORE",
    /// The cell that is planned
    cell: "NAME",
    /// A file that holds the token; `STOWPLAN_TOKEN` holds it otherwise
    token_file: "FILE",
    /// balanced, low-latency or throughput: sets the next three
    preset: "PRESET",
    /// How long a batch gathers, with flush = window
    batch_window: "TIME",
    /// How many requests a batch holds at most
    max_batch_size: "N",
    /// How old a look at the fleet may be and still serve
    fleet_cache: "TIME",
    /// idle (a batch closes when no commit is in flight) or window
    flush: "WHEN",
    /// best-fit or spread
    strategy: "STRATEGY",
    /// Memory booked on top of what is asked, in hundredths of it
    memory_overhead_percent: "N",
    /// never or allowed: whether requests without GPUs may use workers with GPUs
    cpu_on_gpu_workers: "WHEN",
    /// How long a worker may be silent before what it runs is ended by itself
    keepalive: "TIME",
    /// How long after that its work is given away
    grace: "TIME",
    /// How long an ended container is remembered, and its id recognised
    keep_ended: "TIME",
    /// How many ended containers are remembered at most
    keep_ended_max: "N",
    /// How log lines are written: text or json
    log: "FORMAT",
    /// error, warn, info, debug or trace
    log_level: "LEVEL",
}

/// The configuration as it is written. Every field has a default; unknown ones are errors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    listen: String,
    data: String,
    store: String,
    cell: String,
    token_file: Option<String>,
    preset: String,
    batch_window: Option<String>,
    max_batch_size: Option<Quantity>,
    fleet_cache: Option<String>,
    flush: String,
    strategy: String,
    memory_overhead_percent: Option<Quantity>,
    cpu_on_gpu_workers: String,
    failover: BTreeMap<String, Vec<String>>,
    quota: QuotaSection,
    pools: BTreeMap<String, PoolSection>,
    doctor: DoctorSection,
    keepalive: String,
    grace: String,
    keep_ended: String,
    keep_ended_max: Option<Quantity>,
    log: String,
    log_level: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuotaSection {
    default: QuotaDocument,
    workspaces: BTreeMap<String, QuotaDocument>,
}

/// Where the cell is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// In a file of this process's own.
    #[default]
    Embedded,
    /// In memory.
    Memory,
    /// In a server, at this address.
    At(StoreAddress),
}

/// What tells the cells of one store from those of another on the same machine: how the store is called, with neither
/// passwords nor what is set behind a `?`. Cells in memory are their process's own.
impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Memory => write!(f, "memory of process {}", std::process::id()),
            Self::At(address) => f.write_str(address.to_string().split('?').next().unwrap_or_default()),
        }
    }
}

/// The address of a server that keeps cells. A password in it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAddress(String);

impl StoreAddress {
    /// The address as it was given.
    pub fn as_given(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&read::without_secrets(&self.0))
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// The configuration as it is used.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address that the server listens on.
    pub listen: SocketAddr,
    /// The folder of the embedded store.
    pub data: PathBuf,
    /// Where the cell is kept.
    pub store: StoreKind,
    /// The cell that is planned.
    pub cell: CellName,
    /// What callers must show; none on loopback only.
    pub token: Option<Token>,
    /// How requests are gathered.
    pub batch: BatchPolicy,
    /// How they are placed, quotas included.
    pub policy: Policy,
    /// The pools, by name.
    pub pools: Vec<PoolConfig>,
    /// How long a worker may be silent.
    pub keepalive: Duration,
    /// How long after that its work is given away.
    pub grace: Duration,
    /// How long ended containers are remembered.
    pub keep: Keep,
    /// How log lines are written.
    pub log: LogFormat,
    /// Which log lines are written.
    pub log_level: tracing::Level,
}

impl Document {
    fn policy(&self) -> PolicyDocument {
        PolicyDocument {
            strategy: Some(self.strategy.clone()),
            memory_overhead_percent: 0,
            cpu_on_gpu_workers: Some(self.cpu_on_gpu_workers.clone()),
            failover: self.failover.clone(),
        }
    }
}
