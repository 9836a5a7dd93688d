//! `[doctor]`: from where on `stowplan doctor` calls a figure healthy, or a warning.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use figment::Figment;
use figment::providers::{Env, Serialized};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ConfigArgs;
use super::read::{check_environment, layers, period, unreadable, whole};
use crate::api::field::BadField;
use crate::api::json::{self, BadDocument};
use crate::api::quantity::Quantity;

macro_rules! thresholds {
    ($($(#[$doc:meta])* $name:ident: $value:literal,)*) => {
        /// Thresholds, as flags.
        #[derive(Debug, Clone, Default, Args, Serialize)]
        pub struct ThresholdFlags {$(
            $(#[$doc])*
            #[arg(long, value_name = $value)]
            #[serde(skip_serializing_if = "Option::is_none")]
            $name: Option<String>,
        )*}

        /// Thresholds as they are written.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct DoctorSection {$(
            $name: Option<Quantity>,
        )*}

        /// The names of all thresholds.
        pub const THRESHOLDS: &[&str] = &[$(stringify!($name)),*];
    };
}

thresholds! {
    /// Batches of so many requests are healthy while others wait [default: 50]
    batch_healthy: "N",
    /// Batches of fewer requests are bad while others wait [default: 10]
    batch_small: "N",
    /// More hits of the fleet cache than this are healthy, in percent [default: 95]
    cache_healthy: "PERCENT",
    /// Fewer are a warning [default: 80]
    cache_warning: "PERCENT",
    /// Commits that take less, on average, are healthy [default: 10ms]
    commit_healthy: "TIME",
    /// Commits that take longer are a warning [default: 50ms]
    commit_warning: "TIME",
    /// If 95 of 100 requests with room are placed in less, that is healthy [default: 2s]
    scheduling_healthy: "TIME",
    /// If they take longer, it is a warning [default: 3s]
    scheduling_warning: "TIME",
    /// A store that answers a read in less is healthy [default: 10ms]
    store_healthy: "TIME",
    /// One that takes longer is a warning [default: 50ms]
    store_warning: "TIME",
    /// If the first in line waits longer, it is a warning [default: 10s]
    backlog_warning: "TIME",
    /// If it waits longer than this, it is bad [default: 1m]
    backlog_bad: "TIME",
    /// If the server's clock is further from this machine's, it is a warning [default: 1s]
    clock_warning: "TIME",
}

/// Thresholds as they are used. What is healthy never lies beyond what is a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// Batches of so many requests are healthy while others wait.
    pub batch_healthy: u64,
    /// Batches of fewer requests are bad while others wait.
    pub batch_small: u64,
    /// A cache hit rate above it is healthy, in percent.
    pub cache_healthy: u64,
    /// One below it is a warning, in percent.
    pub cache_warning: u64,
    /// The mean of commits below it is healthy.
    pub commit_healthy: Duration,
    /// The mean of commits above it is a warning.
    pub commit_warning: Duration,
    /// The 95th percentile from submit to placement below it is healthy.
    pub scheduling_healthy: Duration,
    /// The 95th percentile above it is a warning.
    pub scheduling_warning: Duration,
    /// A read of the store below it is healthy.
    pub store_healthy: Duration,
    /// A read of the store above it is a warning.
    pub store_warning: Duration,
    /// If the first in line has waited longer, it is a warning.
    pub backlog_warning: Duration,
    /// If it has waited longer than this, it is bad.
    pub backlog_bad: Duration,
    /// If two clocks are further apart, it is a warning.
    pub clock_warning: Duration,
}

impl DoctorSection {
    pub(super) fn defaults() -> Self {
        let whole = |value| Some(Quantity::integer(value));
        let time = |text: &str| Some(Quantity::text(text));
        Self {
            batch_healthy: whole(50),
            batch_small: whole(10),
            cache_healthy: whole(95),
            cache_warning: whole(80),
            commit_healthy: time("10ms"),
            commit_warning: time("50ms"),
            scheduling_healthy: time("2s"),
            scheduling_warning: time("3s"),
            store_healthy: time("10ms"),
            store_warning: time("50ms"),
            backlog_warning: time("10s"),
            backlog_bad: time("1m"),
            clock_warning: time("1s"),
        }
    }

    pub(super) fn to_thresholds(&self) -> Result<Thresholds, BadField> {
        let thresholds = Thresholds {
            batch_healthy: whole("batch_healthy", self.batch_healthy.as_ref(), 0)?,
            batch_small: whole("batch_small", self.batch_small.as_ref(), 0)?,
            cache_healthy: percent("cache_healthy", self.cache_healthy.as_ref())?,
            cache_warning: percent("cache_warning", self.cache_warning.as_ref())?,
            commit_healthy: time("commit_healthy", self.commit_healthy.as_ref())?,
            commit_warning: time("commit_warning", self.commit_warning.as_ref())?,
            scheduling_healthy: time("scheduling_healthy", self.scheduling_healthy.as_ref())?,
            scheduling_warning: time("scheduling_warning", self.scheduling_warning.as_ref())?,
            store_healthy: time("store_healthy", self.store_healthy.as_ref())?,
            store_warning: time("store_warning", self.store_warning.as_ref())?,
            backlog_warning: time("backlog_warning", self.backlog_warning.as_ref())?,
            backlog_bad: time("backlog_bad", self.backlog_bad.as_ref())?,
            clock_warning: time("clock_warning", self.clock_warning.as_ref())?,
        };
        let it = &thresholds;
        let in_order = [
            ("batch_small", "batch_healthy", it.batch_small <= it.batch_healthy),
            ("cache_warning", "cache_healthy", it.cache_warning <= it.cache_healthy),
            ("commit_healthy", "commit_warning", it.commit_healthy <= it.commit_warning),
            ("scheduling_healthy", "scheduling_warning", it.scheduling_healthy <= it.scheduling_warning),
            ("store_healthy", "store_warning", it.store_healthy <= it.store_warning),
            ("backlog_warning", "backlog_bad", it.backlog_warning <= it.backlog_bad),
        ];
        match in_order.into_iter().find(|(_, _, is_so)| !is_so) {
            Some((low, high, _)) => Err(BadField::new(low, format!("is more than {high}; lower it, or raise {high}"))),
            None => Ok(thresholds),
        }
    }
}

fn percent(name: &str, written: Option<&Quantity>) -> Result<u64, BadField> {
    match whole(name, written, 0)? {
        percent @ 0..=100 => Ok(percent),
        more => Err(BadField::of(name, &more.to_string(), "is more than 100 percent; write one from 0 to 100")),
    }
}

fn time(name: &str, written: Option<&Quantity>) -> Result<Duration, BadField> {
    period(name, written.map_or("", Quantity::as_str))
}

/// `STOWPLAN_DOCTOR_*`
pub(super) fn environment() -> Env {
    Env::prefixed("STOWPLAN_DOCTOR_").only(THRESHOLDS).map(|name| format!("doctor.{name}").into())
}

/// Settles the thresholds alone: defaults, the file, variables and flags, the later over the earlier. A server's own
/// settings need not be in order for it.
pub fn settle_thresholds(file: Option<PathBuf>, flags: &ThresholdFlags) -> Result<Thresholds, BadField> {
    check_environment()?;
    let args = ConfigArgs { config: file, ..ConfigArgs::default() };
    section(&layers(&args)?.merge(Serialized::from(flags, "default").key("doctor")))
}

fn section(figment: &Figment) -> Result<Thresholds, BadField> {
    let inside = |bad: BadField| bad.inside("doctor");
    let value: Value = figment.extract_inner("doctor").map_err(|error| unreadable(&error))?;
    let section: DoctorSection = json::read(value.to_string().as_bytes()).map_err(|bad| match bad {
        BadDocument::Field(field) => inside(field),
        BadDocument::Syntax(detail) => BadField::new("doctor", detail),
    })?;
    section.to_thresholds().map_err(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(text: &str, flags: &ThresholdFlags) -> Result<Thresholds, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(&file, text).unwrap();
        settle_thresholds(Some(file), flags).map_err(|bad| bad.to_string())
    }

    #[test]
    fn thresholds_are_the_seeds_unless_a_file_or_a_flag_says_otherwise() {
        let none = ThresholdFlags::default();
        let seeds = settled("", &none).unwrap();
        assert_eq!(
            (seeds.batch_healthy, seeds.batch_small, seeds.cache_healthy, seeds.cache_warning),
            (50, 10, 95, 80)
        );
        assert_eq!(
            (seeds.commit_healthy, seeds.commit_warning),
            (Duration::from_millis(10), Duration::from_millis(50))
        );
        assert_eq!(
            (seeds.scheduling_healthy, seeds.scheduling_warning),
            (Duration::from_secs(2), Duration::from_secs(3))
        );

        let file = "[doctor]\ncommit_warning = \"80ms\"\nbatch_small = 5\n";
        let flags = ThresholdFlags { commit_warning: Some("90ms".to_owned()), ..none };
        let told = settled(file, &flags).unwrap();
        assert_eq!((told.commit_warning, told.batch_small), (Duration::from_millis(90), 5));
        assert_eq!(told.scheduling_warning, seeds.scheduling_warning);
    }

    #[test]
    fn what_is_wrong_with_a_threshold_is_named_with_the_way_out() {
        for (text, words) in [
            ("[doctor]\ncommit_warnin = \"1s\"", &["doctor", "commit_warnin", "commit_warning?"][..]),
            ("[doctor]\ncommit_warning = \"50\"", &["doctor.commit_warning", "50", "unit"]),
            ("[doctor]\ncommit_warning = \"5ms\"", &["doctor.commit_healthy", "commit_warning"]),
            ("[doctor]\ncache_healthy = 101", &["doctor.cache_healthy", "101", "100"]),
            ("[doctor]\nbatch_small = \"few\"", &["doctor.batch_small", "few"]),
        ] {
            let Err(said) = settled(text, &ThresholdFlags::default()) else { panic!("{text} was accepted") };
            for word in words {
                assert!(said.contains(word), "{text}: {said:?} does not say {word}");
            }
            let said = super::super::read::settle_file(text).err().unwrap_or_default();
            assert!(said.contains(words[0]), "a server takes {text}");
        }
    }
}
