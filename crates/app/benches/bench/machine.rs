//! Where something was measured.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine as it was when the measurements began, and how the program was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) redis: String,
    /// Over 1, 5 and 15 minutes, before anything was measured.
    pub(crate) load: String,
    pub(crate) build: String,
}

impl Machine {
    /// Asks the system; what it does not say is a question mark.
    pub(crate) fn here() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let load = file("/proc/loadavg");
        let memory = field(&file("/proc/meminfo"), "MemTotal").and_then(|kib| kib.split(' ').next()?.parse().ok());
        Self {
            cpu: field(&file("/proc/cpuinfo"), "model name").unwrap_or_else(|| "?".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory.map_or(0, |kib: u64| kib / 1024),
            kernel: or_unknown(file("/proc/sys/kernel/osrelease").trim()),
            redis: redis_version(),
            load: or_unknown(&load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        }
    }
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "?".to_owned() } else { text.to_owned() }
}

/// What follows `name` and a colon in the first line that begins with it.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn redis_version() -> String {
    let output = Command::new("redis-server").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    or_unknown(text.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or_default())
}
