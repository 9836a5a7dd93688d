//! Who makes the workers of a pool: agents on this machine, a program of the operator's, or nobody.

mod check;
mod command;
mod process;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{self, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use domain::id::CellName;
use ports::WorkerProvider;

pub use self::check::{check, check_flags, missing_programs};
use self::command::CommandProvider;
use self::process::ProcessProvider;
use crate::api::token::Token;
use crate::config::{Config, PoolConfig, ProviderConfig};

/// The running program, even if its file was replaced since: the agents that a server starts are of its own version.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What all pools of a server share.
#[derive(Debug, Clone)]
pub struct Context {
    /// The cell that their workers are for.
    pub cell: CellName,
    /// Where that cell is kept, so that it is told from another of its name.
    pub store: String,
    /// Where workers find the server, if their pool does not say.
    pub server: String,
    /// What the server's machine remembers of the workers that it runs itself.
    pub folder: PathBuf,
    /// The program whose agents those are.
    pub program: PathBuf,
    /// What agents must show.
    pub token: Option<Token>,
}

impl Context {
    /// What a server of `config` that listens at `address` has.
    pub fn of(config: &Config, address: SocketAddr) -> anyhow::Result<Self> {
        let folder = path::absolute(config.data.join("pools").join(config.cell.as_str()))
            .context("failed to find the folder of the pools")?;
        Ok(Self {
            cell: config.cell.clone(),
            store: config.store.to_string(),
            server: format!("http://{}", reachable(address)),
            folder,
            program: PathBuf::from(OWN_PROGRAM),
            token: config.token.clone(),
        })
    }
}

/// Who listens on every address of a machine is found at its loopback address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whoever makes the workers of `pool`; nobody if it is fixed.
pub fn open(pool: &PoolConfig, context: &Context) -> anyhow::Result<Option<Arc<dyn WorkerProvider>>> {
    Ok(match &pool.provider {
        ProviderConfig::Process { agent_args } => {
            let opened = ProcessProvider::open(pool, agent_args, context);
            let name = &pool.settings.template.name;
            Some(Arc::new(opened.with_context(|| format!("failed to open the folder of pool {name}"))?))
        }
        ProviderConfig::Command { command } => Some(Arc::new(CommandProvider::new(pool, command, context))),
        ProviderConfig::Fixed => None,
    })
}
