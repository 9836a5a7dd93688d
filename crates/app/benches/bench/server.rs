//! The servers that are measured, and what they count.

use std::collections::BTreeMap;

use adapters_redis::RedisConfig;
use adapters_redis::testing::{Appendonly, Options, Server};
use ports::Ports;

/// A redis-server of our own; `appendonly` says when its writes reach the disk.
pub(crate) fn start(appendonly: Appendonly) -> Server {
    Options::new().appendonly(appendonly).start()
}

/// The ports of a store at an address.
pub(crate) fn open(url: &str) -> anyhow::Result<Ports> {
    Ok(adapters_redis::open(RedisConfig::parse(url)?)?)
}

/// How often a server has run each command, by its own count: that of a script counts beside the script.
pub(crate) struct CommandCounts(BTreeMap<String, u64>);

impl CommandCounts {
    pub(crate) fn of(server: &Server) -> Self {
        let text = server.command(&["INFO", "commandstats"]).text();
        let count = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        Self(text.lines().filter_map(count).collect())
    }

    /// How often these commands were run since.
    pub(crate) fn since(&self, before: &Self, commands: &[&str]) -> u64 {
        let sum = |counts: &Self| commands.iter().filter_map(|command| counts.0.get(*command)).sum::<u64>();
        sum(self) - sum(before)
    }
}
