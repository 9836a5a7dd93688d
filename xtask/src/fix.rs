//! `cargo xtask fix`: the mutating twin of `verify`.

use anyhow::Result;

use crate::cargo::{cargo, succeed};
use crate::say::say;
use crate::tools::{self, Need};

pub(crate) fn fix() -> Result<()> {
    tools::ensure(Need::Fix)?;
    let clippy =
        ["clippy", "--fix", "--workspace", "--all-targets", "--all-features", "--allow-dirty", "--allow-staged"];
    succeed(&mut cargo(&clippy))?;
    // After clippy, whose fixes are not formatted.
    succeed(&mut cargo(&["fmt", "--all"]))?;
    succeed(cargo(&["test", "-p", "domain"]).env("UPDATE_EXPECT", "1"))?;
    say("fixed what a machine can fix; read it before you commit it\nnext: git diff && cargo xtask verify");
    Ok(())
}
