//! The one place that knows which stores there are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapters_redis::RedisConfig;
use anyhow::{Context as _, bail};
use domain::retry::Backoff;
use ports::around::{Retried, WAITS};
use ports::rows::{MemoryStore, RowPorts, RowStore};
use ports::{PortError, PortResult, Ports};

use crate::api::about::{CautionDocument, StoreDocument};
use crate::config::{Config, StoreAddress, StoreKind};
use crate::embedded::EmbeddedStore;

/// Between two tries of a call for somebody who waits for the answer.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(100) };
/// How often such a call is repeated at most: about as often as fits into [`PATIENCE_MAX`].
const REPEATS: u32 = 6;
/// How much longer it may take for being repeated: a lost reply or a reconnect, not an outage.
const PATIENCE_MAX: Duration = Duration::from_millis(500);
/// It is at most this part of the keepalive, a quarter of what is between two beats of an agent.
const PATIENCE_IN_KEEPALIVE: u32 = 20;

/// Opens the store that the configuration names.
pub fn open(config: &Config) -> anyhow::Result<Ports> {
    Ok(match &config.store {
        StoreKind::Embedded => {
            let store = EmbeddedStore::open(&config.data);
            RowPorts::over(store.with_context(|| format!("failed to open the store in {}", config.data.display()))?)
        }
        StoreKind::Memory => RowPorts::over(MemoryStore::new()?),
        StoreKind::At(address) => {
            Served::at(address)?.open().with_context(|| format!("failed to open the store at {address}"))?
        }
    })
}

/// The same ports for those who call over HTTP: they ask a store that is away for a moment again. Who follows the cell
/// in a wait begins anew by itself, for what it counted from may be gone with the store.
pub fn patient(ports: &Ports, keepalive: Duration) -> anyhow::Result<Ports> {
    let within = PATIENCE_MAX.min(keepalive / PATIENCE_IN_KEEPALIVE);
    let seed = getrandom::u64()?;
    Ok(Retried { backoff: BACKOFF, repeats: REPEATS, within, once: WAITS, seed }.over(ports))
}

/// A store at an address, by the scheme of the address.
enum Served {
    Redis(RedisConfig),
}

impl Served {
    /// Reads the address. Asks nobody there yet.
    fn at(address: &StoreAddress) -> anyhow::Result<Self> {
        let scheme = address.as_given().split("://").next().unwrap_or_default();
        Ok(match scheme {
            "redis" | "rediss" | "valkey" | "valkeys" => Self::Redis(RedisConfig::parse(address.as_given())?),
            other => bail!("{other} is no store that this program knows; use {SCHEMES}"),
        })
    }

    fn open(self) -> PortResult<Ports> {
        match self {
            Self::Redis(config) => adapters_redis::open(config),
        }
    }
}

/// Whether a store could be opened at an address, as far as its text goes.
pub fn check(address: &StoreAddress) -> anyhow::Result<()> {
    Served::at(address).map(drop)
}

const SCHEMES: &str = "redis://HOST:PORT, rediss://HOST:PORT, or several of a cluster, separated by commas";

/// What there is to say of the store that the configuration names before it was asked.
pub fn describe(config: &Config) -> StoreDocument {
    let kind = match &config.store {
        StoreKind::Embedded => "embedded".to_owned(),
        StoreKind::Memory => "memory".to_owned(),
        StoreKind::At(address) => address.to_string(),
    };
    let caution = |what: &str, fix: &str| CautionDocument { what: what.to_owned(), fix: fix.to_owned() };
    let cautions = match &config.store {
        StoreKind::Memory => vec![caution(
            "nothing is written to disk: every request and placement is gone when the server ends",
            "serve with --store embedded, or on a Redis",
        )],
        _ => Vec::new(),
    };
    let examined = !matches!(config.store, StoreKind::At(_));
    StoreDocument { kind, examined, facts: BTreeMap::new(), cautions }
}

/// Asks the store what it is: what it may lose, and what changes that. [`PortError::Unsupported`] if it cannot be trusted
/// with a cell.
pub async fn examine(config: &Config) -> PortResult<StoreDocument> {
    let described = describe(config);
    let StoreKind::At(address) = &config.store else { return Ok(described) };
    match Served::at(address).map_err(|bad| PortError::Unsupported(bad.to_string()))? {
        Served::Redis(redis) => {
            let checks = adapters_redis::check(redis, &config.cell).await?;
            let facts = checks.facts.into_iter().map(|(name, value)| (name.to_owned(), value));
            let warnings = checks.warnings.into_iter();
            let cautions = warnings.map(|warning| CautionDocument { what: warning.what, fix: warning.fix });
            Ok(StoreDocument { examined: true, facts: facts.collect(), cautions: cautions.collect(), ..described })
        }
    }
}

/// Opens the store in a folder, which no server may have open, to read its rows.
pub fn open_stopped(folder: &Path) -> anyhow::Result<Arc<dyn RowStore>> {
    let store = EmbeddedStore::open_existing(folder);
    Ok(Arc::new(store.with_context(|| format!("failed to open the store in {}", folder.display()))?))
}
