//! Reading the configuration: layers, and where each value came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::batch::{BadBatchPolicy, BatchPolicy, Flush};
use domain::fleet::{Policy, Quotas};
use domain::id::{CellName, Workspace};
use domain::model::containers::Keep;
use domain::quota::QuotaLimits;
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::Serialize;
use serde_json::Value;

use super::doctor::{self, DoctorSection, THRESHOLDS};
use super::pools::{PoolSection, pools};
use super::{CONFIG_FILE, Config, ConfigArgs, Document, LogFormat, SETTINGS, StoreAddress, StoreKind};
use crate::api::field::{BadField, name};
use crate::api::json::{self, BadDocument};
use crate::api::period::parse_period;
use crate::api::problem::in_full;
use crate::api::quantity::Quantity;
use crate::api::token::Token;
use crate::failpoints;
use crate::wiring;

/// The least keepalive: below it, a busy machine loses workers that are well.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// Variables that begin like a setting and are none.
const OTHER_VARIABLES: [&str; 5] =
    ["STOWPLAN_TOKEN", "STOWPLAN_SERVER", "STOWPLAN_CONTAINER", "STOWPLAN_ATTEMPT", "STOWPLAN_WORKER"];

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The setting, by its path.
    pub setting: String,
    /// Its value, as JSON.
    pub value: String,
    /// `default`, a file, `environment`, `flag`, or the preset that sets it.
    pub origin: String,
}

/// The configuration, and where each of its values came from.
pub struct Settled {
    /// As it is used.
    pub config: Config,
    /// As it was given; without the token.
    pub origins: Vec<Origin>,
}

/// Reads and checks the whole configuration.
pub fn settle(args: &ConfigArgs) -> Result<Settled, BadField> {
    check_environment()?;
    let figment = with_pool_defaults(layers(args)?);
    let value: Value = figment.extract().map_err(|error| unreadable(&error))?;
    let given = |bad| given_by(&figment, bad);
    let document: Document = json::read(value.to_string().as_bytes()).map_err(|bad| match bad {
        BadDocument::Field(field) => given(field),
        BadDocument::Syntax(detail) => BadField::new("", detail),
    })?;
    let mut origins = Vec::new();
    list_origins(&figment, &value, "", &mut origins);
    document.doctor.to_thresholds().map_err(|bad| given(bad.inside("doctor")))?;
    let mut config = config(&document).map_err(given)?;
    list_preset(&document, &config.batch, &mut origins);
    let token_file = document.token_file.as_ref().map(PathBuf::from);
    config.token = Token::find(token_file.as_deref()).map_err(|bad| BadField::new("token_file", in_full(&bad)))?;
    if !config.listen.ip().is_loopback() && config.token.is_none() {
        let problem = "is no loopback address, and without a token anybody could use it; set STOWPLAN_TOKEN";
        return Err(BadField::of("listen", &config.listen.to_string(), problem));
    }
    Ok(Settled { config, origins })
}

pub(super) fn layers(args: &ConfigArgs) -> Result<Figment, BadField> {
    let defaults = Document {
        listen: "127.0.0.1:7070".to_owned(),
        data: ".stowplan".to_owned(),
        store: "embedded".to_owned(),
        cell: "main".to_owned(),
        preset: "balanced".to_owned(),
        flush: "idle".to_owned(),
        strategy: "best-fit".to_owned(),
        memory_overhead_percent: Some(Quantity::integer(0)),
        cpu_on_gpu_workers: "never".to_owned(),
        keepalive: "120s".to_owned(),
        grace: "15s".to_owned(),
        keep_ended: "1h".to_owned(),
        keep_ended_max: Some(Quantity::integer(Keep::default().ended_max)),
        log: "text".to_owned(),
        log_level: "info".to_owned(),
        doctor: DoctorSection::defaults(),
        ..Document::default()
    };
    let file = match &args.config {
        Some(file) if !file.is_file() => {
            return Err(BadField::of("--config", &file.display().to_string(), "is no file"));
        }
        Some(file) => file.as_path(),
        None => Path::new(CONFIG_FILE),
    };
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if file.is_file() {
        figment = figment.merge(Toml::file_exact(file));
    }
    let environment = Env::prefixed("STOWPLAN_").only(SETTINGS);
    Ok(figment.merge(environment).merge(doctor::environment()).merge(Serialized::from(&args.flags, "default")))
}

/// What a pool does not say has its default, and is shown with it.
fn with_pool_defaults(figment: Figment) -> Figment {
    let pools = figment.find_value("pools").ok().and_then(figment::value::Value::into_dict).unwrap_or_default();
    let defaults: BTreeMap<String, PoolSection> =
        pools.into_keys().map(|name| (name, PoolSection::defaults())).collect();
    figment.join(Serialized::defaults(Pools { pools: defaults }))
}

#[derive(Serialize)]
struct Pools {
    pools: BTreeMap<String, PoolSection>,
}

/// Refuses a variable of this process's that is meant as a setting and names none.
pub(super) fn check_environment() -> Result<(), BadField> {
    check_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

/// Refuses a variable that is meant as a setting and names none: a slip of the hand would go unnoticed.
fn check_variables(names: impl Iterator<Item = String>) -> Result<(), BadField> {
    let of_server = SETTINGS.iter().map(|setting| format!("STOWPLAN_{}", setting.to_uppercase()));
    let of_doctor = THRESHOLDS.iter().map(|threshold| format!("STOWPLAN_DOCTOR_{}", threshold.to_uppercase()));
    let known: Vec<String> = of_server.chain(of_doctor).collect();
    let known: Vec<&str> =
        known.iter().map(String::as_str).chain(OTHER_VARIABLES).chain(failpoints::VARIABLE).collect();
    let is_unknown = |name: &String| name.starts_with("STOWPLAN_") && !known.contains(&name.as_str());
    let unknown = names.into_iter().find(is_unknown);
    unknown.map_or(Ok(()), |name| Err(BadField::unknown("environment", &name, &known)))
}

/// What is wrong with a file, in one line: TOML's own words draw where it is.
pub(super) fn unreadable(error: &figment::Error) -> BadField {
    let words = error.kind.to_string();
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let problem = match lines[..] {
        [first, .., last] => format!("{first}: {last}"),
        _ => lines.concat(),
    };
    match error.metadata.as_ref().map(origin) {
        Some(file) if error.path.is_empty() => BadField::new(file, problem),
        _ => BadField::new(error.path.join("."), problem),
    }
}

/// The same, and who gave the value, unless nobody did.
fn given_by(figment: &Figment, bad: BadField) -> BadField {
    let by = match figment.find_metadata(&bad.path).map(origin).as_deref() {
        None | Some("default") => return bad,
        Some("flag") => format!("by --{}", bad.path.replace('_', "-")),
        Some("environment") => format!("by STOWPLAN_{}", bad.path.replace('.', "_").to_uppercase()),
        Some(file) => format!("in {file}"),
    };
    BadField { problem: format!("{} (given {by})", bad.problem), ..bad }
}

/// What a preset sets is listed too, unless it was set beside it.
fn list_preset(document: &Document, batch: &BatchPolicy, origins: &mut Vec<Origin>) {
    let period = |period: Duration| format!("\"{}ms\"", period.as_millis());
    let set = [
        ("batch_window", document.batch_window.is_some(), period(batch.window())),
        ("max_batch_size", document.max_batch_size.is_some(), batch.size_max().to_string()),
        ("fleet_cache", document.fleet_cache.is_some(), period(batch.fleet_cache())),
    ];
    let of_preset = set.into_iter().filter(|(_, is_given, _)| !is_given);
    origins.extend(of_preset.map(|(setting, _, value)| Origin {
        setting: setting.to_owned(),
        value,
        origin: format!("preset {}", document.preset),
    }));
    origins.sort_by(|a, b| a.setting.cmp(&b.setting));
}

/// Every value that is set, with its origin, in the order of the paths.
fn list_origins(figment: &Figment, value: &Value, path: &str, origins: &mut Vec<Origin>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                list_origins(figment, value, &path, origins);
            }
        }
        Value::Null => {}
        value => {
            let origin = figment.find_metadata(path).map_or_else(|| "default".to_owned(), origin);
            origins.push(Origin { setting: path.to_owned(), value: without_secrets(&value.to_string()), origin });
        }
    }
}

fn origin(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(file)) => file.display().to_string(),
        _ if metadata.name.contains("environment") => "environment".to_owned(),
        _ if metadata.name.contains("Flags") => "flag".to_owned(),
        _ => "default".to_owned(),
    }
}

fn config(document: &Document) -> Result<Config, BadField> {
    let listen = document
        .listen
        .parse()
        .map_err(|_| BadField::of("listen", &document.listen, "is no address; write it as 127.0.0.1:7070"))?;
    Ok(Config {
        listen,
        data: PathBuf::from(&document.data),
        store: store(&document.store)?,
        cell: name("cell", &document.cell, CellName::new)?,
        token: None,
        batch: batch(document)?,
        policy: policy(document)?,
        pools: pools(&document.pools)?,
        keepalive: keepalive(&document.keepalive)?,
        grace: period("grace", &document.grace)?,
        keep: Keep {
            within: period("keep_ended", &document.keep_ended)?,
            ended_max: whole("keep_ended_max", document.keep_ended_max.as_ref(), Keep::default().ended_max)?,
        },
        log: word("log", &document.log, &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
        log_level: word("log_level", &document.log_level, &LOG_LEVELS)?,
    })
}

fn store(text: &str) -> Result<StoreKind, BadField> {
    if text.contains("://") {
        let address = StoreAddress(text.to_owned());
        let checked = wiring::check(&address);
        return checked
            .map(|()| StoreKind::At(address.clone()))
            .map_err(|bad| BadField::new("store", format!("{bad:#}")));
    }
    match text {
        "embedded" => Ok(StoreKind::Embedded),
        "memory" => Ok(StoreKind::Memory),
        _ => {
            let known = "it may be embedded, memory, or the address of a server, redis://HOST:PORT";
            Err(BadField::of("store", text, &format!("is not known; {known}")))
        }
    }
}

/// An address, or several, as anybody may read it: what stands before an `@` is somebody's secret.
pub(super) fn without_secrets(text: &str) -> String {
    let one = |address: &str| match address.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://***@{host}"),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    // A comma stands between two only before a scheme: a password may hold one.
    let mut addresses: Vec<String> = Vec::new();
    for part in text.split(',') {
        match addresses.last_mut().filter(|_| !part.contains("://")) {
            Some(address) => *address = format!("{address},{part}"),
            None => addresses.push(part.to_owned()),
        }
    }
    addresses.iter().map(|address| one(address)).collect::<Vec<_>>().join(",")
}

const LOG_LEVELS: [(&str, tracing::Level); 5] = [
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

fn batch(document: &Document) -> Result<BatchPolicy, BadField> {
    let preset = word("preset", &document.preset, &BatchPolicy::PRESETS)?;
    let window = some_period("batch_window", document.batch_window.as_ref(), preset.window())?;
    let size = whole("max_batch_size", document.max_batch_size.as_ref(), preset.size_max() as u64)?;
    let cache = some_period("fleet_cache", document.fleet_cache.as_ref(), preset.fleet_cache())?;
    let flush = word("flush", &document.flush, &[("idle", Flush::Idle), ("window", Flush::Window)])?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    BatchPolicy::new(window, size, cache, flush).map_err(|bad| {
        let path = match bad {
            BadBatchPolicy::Window(_) => "batch_window",
            BadBatchPolicy::Size(_) => "max_batch_size",
            BadBatchPolicy::FleetCache(_) => "fleet_cache",
        };
        let text = bad.to_string();
        BadField::new(path, text.strip_prefix(&format!("{path}: ")).unwrap_or(&text))
    })
}

fn policy(document: &Document) -> Result<Policy, BadField> {
    let percent = whole("memory_overhead_percent", document.memory_overhead_percent.as_ref(), 0)?;
    let mut policy = document.policy();
    policy.memory_overhead_percent = u32::try_from(percent).unwrap_or(u32::MAX);
    let quota = &document.quota;
    let default = quota.default.to_limits(&QuotaLimits::default()).map_err(|bad| bad.inside("quota.default"))?;
    let mut quotas = Quotas { default, ..Quotas::default() };
    for (workspace, limits) in &quota.workspaces {
        let path = format!("quota.workspaces.{workspace}");
        let limits = limits.to_limits(&default).map_err(|bad| bad.inside(&path))?;
        quotas.workspaces.insert(name(&path, workspace, Workspace::new)?, limits);
    }
    Ok(Policy { quotas: Some(quotas), ..policy.to_policy()? })
}

fn keepalive(text: &str) -> Result<Duration, BadField> {
    let keepalive = period("keepalive", text)?;
    if keepalive < KEEPALIVE_MIN {
        return Err(BadField::of("keepalive", text, "is too short; the least is 1s"));
    }
    Ok(keepalive)
}

pub(super) fn period(path: &str, text: &str) -> Result<Duration, BadField> {
    parse_period(text).map_err(|bad| BadField::period(path, &bad))
}

fn some_period(path: &str, text: Option<&String>, default: Duration) -> Result<Duration, BadField> {
    text.map_or(Ok(default), |text| period(path, text))
}

pub(super) fn whole(path: &str, written: Option<&Quantity>, default: u64) -> Result<u64, BadField> {
    written.map_or(Ok(default), |written| written.whole(path))
}

pub(super) fn word<T: Clone>(path: &str, written: &str, words: &[(&str, T)]) -> Result<T, BadField> {
    let found = words.iter().find(|(word, _)| *word == written).map(|(_, meaning)| meaning.clone());
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    found.ok_or_else(|| BadField::unknown(path, written, &known))
}

/// What a file of this text settles.
#[cfg(test)]
pub(crate) fn settle_file(text: &str) -> Result<Settled, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    std::fs::write(&file, text).unwrap();
    let args = ConfigArgs { config: Some(file), ..ConfigArgs::default() };
    settle(&args).map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::*;

    #[test]
    fn the_later_layer_wins_and_is_named() {
        let flags =
            Flags { preset: Some("throughput".to_owned()), max_batch_size: Some("7".to_owned()), ..Flags::default() };
        let settled = settle(&ConfigArgs { config: None, flags }).unwrap();
        let batch = settled.config.batch;
        assert_eq!((batch.window(), batch.size_max()), (Duration::from_millis(100), 7));
        let origin = |setting: &str| {
            let found = settled.origins.iter().find(|origin| origin.setting == setting).unwrap();
            (found.value.as_str(), found.origin.as_str())
        };
        assert_eq!(origin("max_batch_size"), ("\"7\"", "flag"));
        assert_eq!(origin("keepalive"), ("\"120s\"", "default"));
    }

    #[test]
    fn what_a_preset_sets_is_listed_as_its_own() {
        let settled = settle_file("preset = \"throughput\"\nmax_batch_size = 7\n").unwrap();
        let of_preset: Vec<_> = settled.origins.iter().filter(|origin| origin.origin == "preset throughput").collect();
        let listed: Vec<_> = of_preset.iter().map(|origin| (&*origin.setting, &*origin.value)).collect();
        let batch = settled.config.batch;
        let cache = format!("\"{}ms\"", batch.fleet_cache().as_millis());
        assert_eq!(listed, [("batch_window", "\"100ms\""), ("fleet_cache", &*cache)]);
        assert!(settled.origins.is_sorted_by_key(|origin| &origin.setting));
    }

    #[test]
    fn what_is_wrong_is_named_with_who_gave_it() {
        let flags = Flags { keepalive: Some("3x".to_owned()), ..Flags::default() };
        let Err(said) = settle(&ConfigArgs { config: None, flags }) else { panic!("it was accepted") };
        assert!(said.to_string().ends_with("(given by --keepalive)"), "{said}");
        for text in ["keepalive = \"3x\"", "keepalivee = 5", "[pools.a]\nmin = 5\nmax = \"x\""] {
            let Err(said) = settle_file(text) else { panic!("{text} was accepted") };
            assert!(said.ends_with("a.toml)") || said.contains("worker: is missing"), "{text}: {said}");
        }
        let Err(said) = settle_file("grace = \"1s\"\nkeepalive\n") else { panic!("it was accepted") };
        assert!(said.contains("a.toml: TOML parse error at line 2, column 10: ") && !said.contains('\n'), "{said}");
    }

    #[test]
    fn a_file_sets_quotas_and_failover() {
        let settled = settle_file(
            "batch_window = \"20ms\"\nmax_batch_size = 50\n[failover]\nA10G = [\"pool-4090\"]\n\
             [quota.default]\ncpu = 100\n[quota.workspaces.lab]\ncpu = \"unlimited\"\ncontainers = 0\n",
        )
        .unwrap();
        let quotas = settled.config.policy.quotas.unwrap();
        let lab = quotas.limits(&Workspace::new("lab").unwrap());
        assert_eq!(quotas.default.cpu_milli, domain::quota::Limit::AtMost(100_000));
        assert_eq!(lab.cpu_milli, domain::quota::Limit::Unlimited);
        assert_eq!(lab.containers, domain::quota::Limit::AtMost(0));
        assert_eq!(settled.config.policy.failover.len(), 1);
        let file = settled.origins.iter().find(|origin| origin.setting == "batch_window").unwrap();
        assert!(file.origin.ends_with("a.toml"), "{file:?}");
    }

    #[test]
    fn a_password_is_shown_nowhere_though_it_holds_a_comma() {
        for (text, shown) in [
            ("redis://lab:pass,word@one:6379", "redis://***@one:6379"),
            ("rediss://:a,b,c@one,two/1,rediss://:a,b,c@three", "rediss://***@one,two/1,rediss://***@three"),
            ("redis://one,two:7000", "redis://one,two:7000"),
            ("a, b", "a, b"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn a_variable_that_names_no_setting_is_refused() {
        let check = |name: &str| check_variables([name.to_owned()].into_iter()).map_err(|bad| bad.to_string());
        for name in ["STOWPLAN_BATCH_WINDOW", "STOWPLAN_TOKEN", "STOWPLAN_WORKER", "PATH"] {
            assert_eq!(check(name), Ok(()));
        }
        assert_eq!(check("STOWPLAN_FAILPOINTS").is_ok(), cfg!(feature = "failpoints"));
        let said = check("STOWPLAN_BATCH_WINDW").unwrap_err();
        assert!(said.contains("STOWPLAN_BATCH_WINDW") && said.contains("STOWPLAN_BATCH_WINDOW?"), "{said}");
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        for (text, words) in [
            ("batch_windw = \"5ms\"", &["batch_windw", "batch_window"][..]),
            ("batch_window = \"5\"", &["batch_window", "5", "unit"]),
            ("max_batch_size = 9000", &["max_batch_size", "9000", "5000"]),
            ("strategy = \"bestfit\"", &["strategy", "bestfit", "best-fit"]),
            ("store = \"redb\"", &["store", "redb", "embedded"]),
            ("listen = \"here\"", &["listen", "here", "127.0.0.1:7070"]),
            ("listen = \"0.0.0.0:7070\"", &["listen", "0.0.0.0", "STOWPLAN_TOKEN"]),
            ("keepalive = \"10ms\"", &["keepalive", "10ms", "1s"]),
            ("[quota.default]\nmemory = 5", &["quota.default.memory", "5"]),
            ("[quota.workspaces.lab]\ncpuu = 5", &["cpuu", "cpu"]),
        ] {
            let Err(said) = settle_file(text) else { panic!("{text} was accepted") };
            for word in words {
                assert!(said.contains(word), "{text}: {said:?} does not say {word}");
            }
        }
    }
}
