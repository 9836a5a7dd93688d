//! Log lines on standard error, for people or for machines.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// Writes log lines from `level` up, each as a JSON object if `json`. Only the first call of a process counts.
pub fn start(level: Level, json: bool) {
    // What the libraries below us say is theirs, and may carry what callers sent.
    let ours = Targets::new().with_target("app", level).with_default(LevelFilter::WARN);
    let lines = if json {
        fmt::layer().json().flatten_event(true).with_writer(io::stderr).with_filter(ours).boxed()
    } else {
        fmt::layer().with_ansi(false).with_target(false).with_writer(io::stderr).with_filter(ours).boxed()
    };
    // A process that has a subscriber already keeps it.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}
