//! `[pools.NAME]`: fleets that grow, and who makes their workers.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::id::Runtime;
use domain::retry::Backoff;
use domain::worker::WorkerSpec;
use serde::{Deserialize, Serialize};

use super::read::{period, whole, word};
use crate::api::field::BadField;
use crate::api::json::some_object;
use crate::api::plan::PoolDocument;
use crate::api::quantity::Quantity;
use crate::api::worker::{EXECUTORS, WorkerDocument};
use crate::scheduler::PoolSettings;

/// How many pools there may be.
const POOLS_MAX: usize = 64;
/// The longest name of a pool.
const NAME_BYTES_MAX: usize = 80;
/// How many workers a pool may have.
const WORKERS_MAX: u64 = 100_000;
/// How many workers a pool may ask for at once: each call to a provider names them all.
const PER_CYCLE_MAX: u64 = 1_000;
/// The least that a provider is given to answer.
const CALL_WITHIN_MIN: Duration = Duration::from_millis(100);

/// A pool as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PoolSection {
    #[serde(deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
    worker: Option<WorkerDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_args: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    min: Option<Quantity>,
    warm: Option<Quantity>,
    per_cycle: Option<Quantity>,
    idle: String,
    cooldown: String,
    backoff: String,
    backoff_max: String,
    boot_within: String,
    call_within: String,
}

/// A pool: what the planner is told of it, and who makes its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// What the planner is told.
    pub settings: PoolSettings,
    /// Who makes its workers.
    pub provider: ProviderConfig,
    /// Where its workers find the server, or several with commas between; where this one listens if none is given.
    pub server: Option<String>,
}

/// Who makes the workers of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderConfig {
    /// The server: each worker is an agent on its machine.
    Process {
        /// What every agent is told besides what the template says.
        agent_args: Vec<String>,
    },
    /// A program of the operator's.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// Nobody: the pool has the workers that register in it.
    Fixed,
}

impl PoolSection {
    /// What a pool has that says no more than it must.
    pub(super) fn defaults() -> Self {
        let text = str::to_owned;
        Self {
            min: Some(Quantity::integer(0)),
            warm: Some(Quantity::integer(0)),
            per_cycle: Some(Quantity::integer(100)),
            idle: text("5m"),
            cooldown: text("1s"),
            backoff: text("5s"),
            backoff_max: text("5m"),
            boot_within: text("5m"),
            call_within: text("30s"),
            ..Self::default()
        }
    }

    fn to_config(&self, name: &str) -> Result<PoolConfig, BadField> {
        let settings = self.to_settings(name)?;
        let provider = self.to_provider(&settings.template.spec)?;
        let is_address = |server: &str| ["http://", "https://"].iter().any(|scheme| server.starts_with(scheme));
        if let Some(servers) = &self.server
            && !servers.split(',').all(is_address)
        {
            let problem = "is no address of a server; write it as http://HOST:7070, and several with commas";
            return Err(BadField::of("server", servers, problem));
        }
        Ok(PoolConfig { settings, provider, server: self.server.clone() })
    }

    fn to_settings(&self, name: &str) -> Result<PoolSettings, BadField> {
        if name.len() > NAME_BYTES_MAX {
            let problem = format!("is longer than {NAME_BYTES_MAX} bytes; its workers have longer names");
            return Err(BadField::of("", name, &problem));
        }
        let max = self.max.clone().ok_or_else(|| BadField::missing("max", "say how many workers it may have"))?;
        let document = PoolDocument { name: name.to_owned(), worker: self.template()?, max_workers: max };
        let template = document.to_template().map_err(|bad| match bad.path.as_str() {
            "name" => BadField { path: String::new(), ..bad },
            "max_workers" => BadField { path: "max".to_owned(), ..bad },
            _ => bad,
        })?;
        let max = at_most("max", template.workers_max, WORKERS_MAX)?;
        let workers_min = within_max("min", whole("min", self.min.as_ref(), 0)?, max)?;
        let warm = within_max("warm", whole("warm", self.warm.as_ref(), 0)?, max)?;
        let per_cycle_max = at_most("per_cycle", whole("per_cycle", self.per_cycle.as_ref(), 0)?, PER_CYCLE_MAX)?;
        if per_cycle_max == 0 {
            return Err(BadField::of("per_cycle", "0", "would never ask for a worker; for that, write max = 0"));
        }
        Ok(PoolSettings {
            template,
            workers_min,
            warm,
            idle: period("idle", &self.idle)?,
            per_cycle_max,
            cooldown: period("cooldown", &self.cooldown)?,
            backoff: self.to_backoff()?,
            boot_within: at_least("boot_within", &self.boot_within, Duration::from_secs(1), "1s")?,
            call_within: at_least("call_within", &self.call_within, CALL_WITHIN_MIN, "100ms")?,
        })
    }

    /// What each worker is; what the planner decides of one is not the template's to say.
    fn template(&self) -> Result<WorkerDocument, BadField> {
        let advice = "say what each worker is, as in { cpu = 4, memory = \"8Gi\" }";
        let worker = self.worker.clone().ok_or_else(|| BadField::missing("worker", advice))?;
        let decided = [
            ("id", !worker.id.is_empty()),
            ("status", worker.status.is_some()),
            ("free", worker.free.is_some()),
            ("used", worker.used.is_some()),
        ];
        match decided.iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(BadField::new(format!("worker.{field}"), "is no part of a template; leave it out")),
            None => Ok(worker),
        }
    }

    fn to_backoff(&self) -> Result<Backoff, BadField> {
        let backoff =
            Backoff { base: period("backoff", &self.backoff)?, max: period("backoff_max", &self.backoff_max)? };
        if backoff.base > backoff.max {
            let problem =
                format!("is more than backoff_max, which is {}; lower it, or raise backoff_max", self.backoff_max);
            return Err(BadField::of("backoff", &self.backoff, &problem));
        }
        Ok(backoff)
    }

    fn to_provider(&self, spec: &WorkerSpec) -> Result<ProviderConfig, BadField> {
        let advice = "say who makes its workers: process, command, or fixed for nobody";
        let provider = self.provider.as_ref().ok_or_else(|| BadField::missing("provider", advice))?;
        let command = self.command.clone().unwrap_or_default();
        let agent_args = self.agent_args.clone().unwrap_or_default();
        let process = ProviderConfig::Process { agent_args: agent_args.clone() };
        let words =
            [("process", process), ("command", ProviderConfig::Command { command }), ("fixed", ProviderConfig::Fixed)];
        let provider = word("provider", provider, &words)?;
        match &provider {
            ProviderConfig::Command { command } if command.first().is_none_or(String::is_empty) => {
                return Err(BadField::missing("command", "name the program, as in [\"/usr/local/bin/workers\"]"));
            }
            ProviderConfig::Command { .. } => {}
            _ if self.command.is_some() => {
                return Err(BadField::new("command", "is of use with provider = \"command\" only; leave it out"));
            }
            _ => {}
        }
        if matches!(provider, ProviderConfig::Process { .. }) {
            can_be_an_agent(spec)?;
        } else if self.agent_args.is_some() {
            return Err(BadField::new("agent_args", "is of use with provider = \"process\" only; leave it out"));
        }
        Ok(provider)
    }
}

/// Whether the flags of an agent can say all that the template does.
fn can_be_an_agent(spec: &WorkerSpec) -> Result<(), BadField> {
    let runtimes: Vec<&str> = spec.runtimes.iter().map(Runtime::as_str).collect();
    match runtimes.as_slice() {
        [one] if EXECUTORS.contains(one) => {}
        [one] => return Err(BadField::unknown("worker.runtime", one, &EXECUTORS)),
        many => {
            let problem = "has several; an agent has one";
            return Err(BadField::of("worker.runtime", &many.join(", "), problem));
        }
    }
    let unsayable = spec.labels.keys().find(|name| name.is_empty() || name.contains('='));
    unsayable.map_or(Ok(()), |name| {
        Err(BadField::of("worker.labels", name, "cannot be the name of an agent's label: it is empty, or has a \"=\""))
    })
}

/// All pools, by name.
pub(super) fn pools(sections: &BTreeMap<String, PoolSection>) -> Result<Vec<PoolConfig>, BadField> {
    if sections.len() > POOLS_MAX {
        return Err(BadField::new("pools", format!("{} are given; there may be {POOLS_MAX}", sections.len())));
    }
    let read = |(name, section): (&String, &PoolSection)| {
        section.to_config(name).map_err(|bad| bad.inside(name).inside("pools"))
    };
    sections.iter().map(read).collect()
}

fn at_most(path: &str, value: u64, most: u64) -> Result<u64, BadField> {
    let problem = || BadField::of(path, &value.to_string(), &format!("is too many; the most is {most}"));
    if value > most { Err(problem()) } else { Ok(value) }
}

fn within_max(path: &str, value: u64, max: u64) -> Result<u64, BadField> {
    let problem = format!("is more than max, which is {max}; lower it, or raise max");
    if value > max { Err(BadField::of(path, &value.to_string(), &problem)) } else { Ok(value) }
}

fn at_least(path: &str, text: &str, least: Duration, least_text: &str) -> Result<Duration, BadField> {
    let given = period(path, text)?;
    let problem = || BadField::of(path, text, &format!("is too short; the least is {least_text}"));
    if given < least { Err(problem()) } else { Ok(given) }
}

#[cfg(test)]
mod tests {
    use super::super::read::settle_file;
    use super::*;

    #[test]
    fn a_pool_has_what_is_written_and_for_the_rest_defaults_and_both_are_shown() {
        let settled = settle_file(
            "[pools.burst]\nworker = { cpu = 0.5, memory = \"8Gi\", gpu_type = \"T4\", gpu_count = 2, priority = -5, \
             labels = { zone = \"b\" } }\nmax = 20\nmin = 2\nidle = \"90s\"\nprovider = \"process\"\n\
             agent_args = [\"--boot-delay=2s\"]\n[pools.own]\nworker = { cpu = 1, memory = \"1Gi\" }\nmax = 0\n\
             provider = \"fixed\"\n",
        )
        .unwrap();
        let [burst, own] = settled.config.pools.as_slice() else { panic!("{:?}", settled.config.pools) };
        let PoolSettings { template, .. } = &burst.settings;
        assert_eq!((template.name.as_str(), template.spec.pool.as_str(), template.workers_max), ("burst", "burst", 20));
        assert_eq!((template.spec.total.cpu_milli, template.spec.total.gpu_count), (500, 2));
        assert_eq!(burst.settings.workers_min, 2);
        assert_eq!(
            (burst.settings.idle, burst.settings.boot_within),
            (Duration::from_secs(90), Duration::from_mins(5))
        );
        assert_eq!(burst.provider, ProviderConfig::Process { agent_args: vec!["--boot-delay=2s".to_owned()] });
        assert_eq!((own.settings.per_cycle_max, &own.provider), (100, &ProviderConfig::Fixed));
        let origin = |setting: &str| {
            let found = settled.origins.iter().find(|origin| origin.setting == setting).unwrap();
            (found.value.as_str(), found.origin.ends_with("a.toml"))
        };
        assert_eq!(origin("pools.burst.idle"), ("\"90s\"", true));
        assert_eq!(origin("pools.burst.worker.labels.zone"), ("\"b\"", true));
        assert_eq!(origin("pools.burst.cooldown"), ("\"1s\"", false));
    }

    #[test]
    fn what_is_wrong_with_a_pool_is_named_with_the_way_out() {
        const WORKER: &str = "worker = { cpu = 1, memory = \"1Gi\" }\nmax = 5\n";
        for (rest, words) in [
            ("", &["pools.burst.provider", "missing", "process"][..]),
            ("provider = \"proces\"", &["pools.burst.provider", "proces", "process?"]),
            ("provider = \"fixed\"\nmin = 6", &["pools.burst.min", "6", "max, which is 5"]),
            ("provider = \"fixed\"\nwarm = 7", &["pools.burst.warm", "7", "max, which is 5"]),
            ("provider = \"fixed\"\nper_cycle = 0", &["pools.burst.per_cycle", "max = 0"]),
            ("provider = \"fixed\"\nper_cycle = 5000", &["pools.burst.per_cycle", "5000", "1000"]),
            ("provider = \"fixed\"\nidle = \"5\"", &["pools.burst.idle", "unit"]),
            ("provider = \"fixed\"\nidel = \"5m\"", &["pools.burst", "idel", "idle?"]),
            ("provider = \"fixed\"\ncall_within = \"1ms\"", &["pools.burst.call_within", "100ms"]),
            ("provider = \"fixed\"\nboot_within = \"0s\"", &["pools.burst.boot_within", "1s"]),
            ("provider = \"fixed\"\nbackoff = \"1h\"", &["pools.burst.backoff", "1h", "5m"]),
            ("provider = \"fixed\"\ncommand = [\"a\"]", &["pools.burst.command", "leave it out"]),
            ("provider = \"command\"", &["pools.burst.command", "missing"]),
            ("provider = \"command\"\ncommand = [\"\"]", &["pools.burst.command", "missing"]),
            ("provider = \"command\"\ncommand = \"a\"", &["pools.burst.command", "a list"]),
            ("provider = \"command\"\ncommand = [\"a\"]\nagent_args = []", &["pools.burst.agent_args", "process"]),
            ("provider = \"fixed\"\nserver = \"10.0.0.5\"", &["pools.burst.server", "10.0.0.5", "http://"]),
            ("provider = \"fixed\"\nserver = \"http://a,b\"", &["pools.burst.server", "http://a,b", "commas"]),
        ] {
            refused(&format!("[pools.burst]\n{WORKER}{rest}\n"), words);
        }
        for (pool, words) in [
            ("max = 1", &["pools.burst.worker", "missing", "cpu"][..]),
            ("worker = {}\nmax = 1", &["pools.burst.worker.cpu", "missing"]),
            ("worker = 5\nmax = 1", &["pools.burst.worker", "an object"]),
            ("worker = { cpu = 1, memory = \"1Gi\" }", &["pools.burst.max", "missing"]),
            ("worker = { cpu = 1, memory = \"1Gi\" }\nmax = -1", &["pools.burst.max", "-1"]),
            ("worker = { cpu = 1, memory = \"1Gi\" }\nmax = 1000000", &["pools.burst.max", "100000"]),
            ("worker = { cpuu = 1, memory = \"1Gi\" }\nmax = 1", &["pools.burst.worker", "cpuu", "cpu?"]),
            ("worker = { cpu = 1, memory = 5 }\nmax = 1", &["pools.burst.worker.memory", "5"]),
            ("worker = { id = \"w\", cpu = 1, memory = \"1Gi\" }\nmax = 1", &["pools.burst.worker.id", "leave it out"]),
            ("worker = { pool = \"a\", cpu = 1, memory = \"1Gi\" }\nmax = 1", &["pools.burst.worker.pool", "a"]),
            (
                "worker = { runtime = \"proces\", cpu = 1, memory = \"1Gi\" }\nmax = 1\nprovider = \"process\"",
                &["pools.burst.worker.runtime", "proces", "process?"],
            ),
            (
                "worker = { labels = { \"a=b\" = \"c\" }, cpu = 1, memory = \"1Gi\" }\nmax = 1\nprovider = \"process\"",
                &["pools.burst.worker.labels", "a=b"],
            ),
        ] {
            refused(&format!("[pools.burst]\n{pool}\n"), words);
        }
        refused(&format!("[pools.\"a b\"]\n{WORKER}provider = \"fixed\""), &["pools.a b", "not allowed"]);
        let long = "p".repeat(NAME_BYTES_MAX + 1);
        refused(&format!("[pools.{long}]\n{WORKER}provider = \"fixed\"\n"), &["pools.", "80 bytes"]);
        let many = (0..=POOLS_MAX).map(|n| format!("[pools.p{n}]\n{WORKER}provider = \"fixed\"\n"));
        refused(&many.collect::<String>(), &["pools", "65", "64"]);
    }

    fn refused(text: &str, words: &[&str]) {
        let Err(said) = settle_file(text) else { panic!("{text} was accepted") };
        for word in words {
            assert!(said.contains(word), "{text}: {said:?} does not say {word}");
        }
    }
}
