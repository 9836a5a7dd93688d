//! `stowplan audit`, on stores in which something was planted, and on a cell that changes while it is read.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[macro_use]
#[path = "../fleet/stores.rs"]
mod stores;

#[path = "../fleet/mod.rs"]
mod fleet;
mod live;
mod plant;
mod planted;
#[path = "../support/mod.rs"]
mod support;

use std::process::Command;

use fleet::{STOWPLAN, Said};

/// Runs `stowplan audit ARGS` to its end.
fn audit(args: &[&str]) -> Said {
    let output = Command::new(STOWPLAN).arg("audit").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
