//! Settings, tests and log lines.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use app::api::doctor::INDICATORS;
use app::config::{Config, ConfigArgs, SETTINGS, THRESHOLDS, ThresholdFlags, settle, settle_thresholds};
use app::observe::{Metrics, Watch};
use app::scheduler::{BatchReport, Observer as _};

use crate::{Page, files, has_extension, pages, root, rows, words};

#[test]
fn every_setting_of_the_seed_exists() {
    let seed = Page::read("docs/seed.md");
    let table = rows(seed.section("Settings"));
    let settings: Vec<&str> = table.iter().flat_map(|row| words(row[1])).collect();
    assert!(settings.contains(&"batch_window"), "{settings:?}");
    for setting in settings {
        assert!(SETTINGS.contains(&setting), "docs/seed.md names the setting {setting}, which is not there");
    }
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let page = Page::read("docs/reference/settings.md");
    let table = rows(page.text.split("\n## ").next().unwrap_or_default());
    let documented: Vec<(&str, &str)> =
        table.iter().filter_map(|row| Some((*words(row[0]).first()?, row[1]))).collect();
    assert_eq!(documented.iter().map(|(name, _)| *name).collect::<Vec<_>>(), SETTINGS);
    let folder = tempfile::tempdir().expect("a folder");
    let mut args = ConfigArgs::default();
    std::fs::write(args.config.insert(folder.path().join("stowplan.toml")), "").expect("a file");
    let origins = settle(&args).expect("it can be used").origins;
    for (setting, default) in documented {
        let value =
            origins.iter().find(|origin| origin.setting == setting).map(|origin| origin.value.trim_matches('"'));
        assert_eq!(value.unwrap_or("none"), default, "the default of {setting}");
    }
}

#[test]
fn the_examples_of_quotas_and_failover_can_be_used_and_the_default_quota_is_as_it_is_written() {
    let page = Page::read("docs/reference/settings.md");
    let policy = |text: &str| settled(text).expect("it can be used").policy;
    let examples =
        policy(&page.text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect::<String>());
    assert_eq!((examples.quotas.expect("some").workspaces.len(), examples.failover.len()), (1, 1));
    let table = rows(page.section("Quotas"));
    let limits = table.iter().filter_map(|row| Some(format!("{} = {:?}\n", words(row[0]).first()?, row[1])));
    let written = policy(&format!("[quota.default]\n{}", limits.collect::<String>()));
    assert_eq!(written.quotas, policy("").quotas);
}

#[test]
fn every_preset_has_the_values_that_are_written() {
    let seed = Page::read("docs/seed.md");
    let table = rows(seed.section("Settings"));
    let cell = |setting: &str, column: usize| {
        let row = table.iter().find(|row| row[1] == format!("`{setting}`")).expect("the setting has a row");
        row[column].to_owned()
    };
    let period = |text: String| app::api::period::parse_period(&text).expect("a span of time");
    for (column, (name, preset)) in (2..).zip(domain::batch::BatchPolicy::PRESETS) {
        assert_eq!(table[0][column], format!("`{name}`"));
        assert_eq!(period(cell("batch_window", column)), preset.window());
        assert_eq!(cell("max_batch_size", column), preset.size_max().to_string());
        assert_eq!(period(cell("fleet_cache", column)), preset.fleet_cache());
    }
}

#[test]
fn every_indicator_of_the_doctor_is_documented_and_the_seeds_are_among_them() {
    let page = Page::read("docs/guide/doctor.md");
    let table = rows(page.section("Indicators"));
    let documented: Vec<&str> = table.iter().flat_map(|row| words(row[0])).collect();
    assert_eq!(documented, INDICATORS);
    let seed = Page::read("docs/seed.md");
    let table = rows(seed.section("Monitoring"));
    let watched: Vec<&str> = table.iter().filter(|row| row.len() == 3).flat_map(|row| words(row[1])).collect();
    assert_eq!(watched, ["batch_size", "cache_hit_rate", "commit_wait", "worker_additions", "scheduling_time"]);
    assert!(watched.iter().all(|indicator| INDICATORS.contains(indicator)));
}

#[test]
fn every_threshold_of_the_doctor_is_documented_with_its_default() {
    let page = Page::read("docs/guide/doctor.md");
    let table = rows(page.section("Thresholds"));
    let documented: Vec<(&str, &str)> =
        table.iter().filter_map(|row| Some((*words(row[0]).first()?, row[1]))).collect();
    assert_eq!(documented.iter().map(|(name, _)| *name).collect::<Vec<_>>(), THRESHOLDS);
    let folder = tempfile::tempdir().expect("a folder");
    let settled = |text: &str| {
        let file = folder.path().join("stowplan.toml");
        std::fs::write(&file, text).expect("a file");
        settle_thresholds(Some(file), &ThresholdFlags::default()).expect("it can be used")
    };
    let lines = documented.iter().map(|(name, default)| format!("{name} = {default:?}\n"));
    assert_eq!(settled(&format!("[doctor]\n{}", lines.collect::<String>())), settled(""));
}

/// Names of tests are long: nothing else in these pages has so many parts.
fn is_test(word: &str) -> bool {
    let is_name = word.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
    is_name && word.matches('_').count() >= 3 && !SETTINGS.contains(&word) && !word.starts_with("stowplan_")
}

#[test]
fn every_test_that_is_named_exists() {
    let mut functions = BTreeSet::new();
    for path in [files(&root(), "crates", true), files(&root(), "xtask", true)].concat() {
        if has_extension(&path, "rs") {
            let text = Page::read(&path).text;
            functions
                .extend(text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next().map(String::from)));
        }
    }
    for page in pages() {
        for word in page.words().into_iter().filter(|word| is_test(word)) {
            assert!(functions.contains(word), "{} names the test {word}, which is not there", page.path);
        }
    }
}

/// Keeps what is written to it.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What one batch logs.
fn log_of_a_batch(json: bool) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let batch = || {
        let watch = Watch::new(Arc::new(Metrics::default()));
        watch.batch_planned(&BatchReport::default());
        watch.batch_committed(&BatchReport::default());
    };
    if json {
        tracing::subscriber::with_default(lines.json().finish(), batch);
    } else {
        tracing::subscriber::with_default(lines.finish(), batch);
    }
    let bytes = buffer.0.lock().expect("no test panics while it writes").clone();
    String::from_utf8(bytes).expect("log lines are text")
}

#[test]
fn every_log_line_of_the_seed_is_written() {
    let seed = Page::read("docs/seed.md");
    let lines = ["processing batch of container requests", "batch updated worker capacity"];
    for line in lines {
        assert!(words(seed.section("Troubleshooting")).contains(&line), "docs/seed.md does not name {line:?}");
        for json in [false, true] {
            let log = log_of_a_batch(json);
            assert!(log.contains(line), "{line:?} is not in the log: {log}");
        }
    }
}

/// What a server says of a configuration.
fn settled(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut args = ConfigArgs::default();
    let file = args.config.insert(folder.path().join("stowplan.toml"));
    std::fs::write(file, text).expect("a file");
    settle(&args).map(|settled| settled.config).map_err(|bad| bad.to_string())
}

#[test]
fn the_example_of_pools_can_be_used() {
    let page = Page::read("docs/guide/pools.md");
    let example = page.text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let pools: Vec<_> = settled(example).expect("it can be used").pools.into_iter().map(|pool| pool.provider).collect();
    assert_eq!(pools.len(), 3, "one of each provider: {pools:?}");
}

#[test]
fn every_setting_of_a_pool_is_documented_with_its_default() {
    let Err(said) = settled("[pools.a]\nqqqqqqqqqq = 1\n") else { panic!("an unknown setting was accepted") };
    let (_, known) = said.split_once("it may be ").unwrap_or_else(|| panic!("{said}"));
    let (known, _) = known.split_once(" (given in ").unwrap_or_else(|| panic!("{said}"));
    let known: BTreeSet<&str> = known.split(", ").collect();
    let page = Page::read("docs/guide/pools.md");
    let table = rows(&page.text);
    let documented: BTreeSet<&str> = table.iter().flat_map(|row| words(row[0])).collect();
    assert_eq!(documented, known);

    let pool = "[pools.a]\nworker = { cpu = 1, memory = \"1Gi\" }\nprovider = \"fixed\"\nmax = 100\n";
    let plain = settled(pool).expect("it can be used").pools;
    let valued = table.iter().filter(|row| row[1].starts_with(|first: char| first.is_ascii_digit()));
    for (setting, default) in valued.map(|row| (words(row[0])[0], row[1])) {
        let is_default =
            |value: &str| settled(&format!("{pool}{setting} = {value}\n")).is_ok_and(|config| config.pools == plain);
        assert!(is_default(default) || is_default(&format!("{default:?}")), "{setting} is not {default} by default");
    }
}
