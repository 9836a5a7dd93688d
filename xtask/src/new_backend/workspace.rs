//! The lines by which the workspace knows a store: each is put beside that of `adapters-redis`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::capital;

/// A file, a line of it, and what is put behind that line; `BACKEND` and `Backend` stand for the store.
const LINES: &[(&str, &str, &str)] = &[
    (
        "Cargo.toml",
        "adapters-redis = { path = \"crates/adapters-redis\" }",
        "adapters-BACKEND = { path = \"crates/adapters-BACKEND\" }",
    ),
    ("crates/app/Cargo.toml", "adapters-redis.workspace = true", "adapters-BACKEND.workspace = true"),
    ("crates/app/src/wiring.rs", "use adapters_redis::RedisConfig;", "use adapters_BACKEND::BackendConfig;"),
    ("crates/app/src/wiring.rs", "    Redis(RedisConfig),", "    Backend(BackendConfig),"),
    (
        "crates/app/src/wiring.rs",
        "            \"redis\" | \"rediss\" | \"valkey\" | \"valkeys\" => Self::Redis(RedisConfig::parse(address.as_given())?),",
        "            \"BACKEND\" => Self::Backend(BackendConfig::parse(address.as_given())?),",
    ),
    (
        "crates/app/src/wiring.rs",
        "            Self::Redis(config) => adapters_redis::open(config),",
        "            Self::Backend(config) => adapters_BACKEND::open(config),",
    ),
    (
        "crates/app/src/wiring.rs",
        "    match Served::at(address).map_err(|bad| PortError::Unsupported(bad.to_string()))? {",
        "        Served::Backend(_) => Ok(StoreDocument { examined: true, ..described }),",
    ),
    (
        "xtask/src/tidy/edges.rs",
        "    (\"adapters-redis\", &[\"domain\", \"ports\"]),",
        "    (\"adapters-BACKEND\", &[\"domain\", \"ports\"]),",
    ),
    (
        "deny.toml",
        "  { crate = \"adapters-redis\", wrappers = [\"app\"], reason = \"only app's wiring knows a store\" },",
        "  { crate = \"adapters-BACKEND\", wrappers = [\"app\"], reason = \"only app's wiring knows a store\" },",
    ),
];

/// A file, words in it, and what they become.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "xtask/src/tidy/edges.rs",
        "(\"app\", &[\"adapters-redis\",",
        "(\"app\", &[\"adapters-redis\", \"adapters-BACKEND\",",
    ),
    ("deny.toml", "\"adapters-redis\", \"app\"]", "\"adapters-redis\", \"adapters-BACKEND\", \"app\"]"),
];

/// Writes all of them, or none.
pub(super) fn introduce(root: &Path, name: &str) -> Result<()> {
    let ours = |text: &str| text.replace("BACKEND", name).replace("Backend", &capital(name));
    let mut changed: BTreeMap<&str, String> = BTreeMap::new();
    let lines =
        LINES.iter().map(|(file, line, added)| (*file, format!("{line}\n"), format!("{line}\n{}\n", ours(added))));
    let words = WORDS.iter().map(|(file, words, become_)| (*file, (*words).to_owned(), ours(become_)));
    for (file, found, replaced) in lines.chain(words) {
        let text = match changed.remove(file) {
            Some(text) => text,
            None => fs::read_to_string(root.join(file)).with_context(|| format!("failed to read {file}"))?,
        };
        if !text.contains(&found) {
            bail!("{file} has no longer a line by which it knows a store:\n{found}");
        }
        changed.insert(file, text.replace(&found, &replaced));
    }
    for (file, text) in changed {
        fs::write(root.join(file), text).with_context(|| format!("failed to write {file}"))?;
    }
    Ok(())
}
