//! A suspension of the machine, for tests: nothing else can show a boot clock that ran on while the rest stood still.

use std::ffi::OsString;
use std::{env, fs};

use super::true_boot_ms;

/// The variable that names a file with the milliseconds for which this machine pretends to have been suspended.
pub const VARIABLE: &str = "STOWPLAN_FAILPOINTS_SUSPENDED";
/// Nothing wakes a sleeper when the file changes: so often it looks by itself.
const LOOK_EVERY_MS: u64 = 50;

/// The variable as it is set, to be handed down to shims.
pub fn variable() -> Option<(&'static str, OsString)> {
    Some((VARIABLE, env::var_os(VARIABLE)?))
}

/// How far the pretended clock is ahead; nothing while there is no such file.
pub(super) fn pretended_ms() -> u64 {
    let text = variable().and_then(|(_, file)| fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// When the true clock has come to what is `at_ms` on the pretended one, or when to look again.
pub(super) fn true_ms(at_ms: u64) -> u64 {
    match variable() {
        Some(_) => at_ms.saturating_sub(pretended_ms()).min(true_boot_ms() + LOOK_EVERY_MS),
        None => at_ms,
    }
}
