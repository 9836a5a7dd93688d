//! `cargo xtask test`: every test, on a machine that may lack what they need.

use anyhow::Result;

use crate::cargo::{cargo, succeed};
use crate::tools::{self, Need};

pub(crate) fn test() -> Result<()> {
    tools::ensure(Need::Test)?;
    // The same packages and features as the tests, so that cargo builds each crate once.
    let program = ["build", "--locked", "--workspace", "--all-features", "--bin", "stowplan"];
    succeed(&mut cargo(&program))?;
    succeed(&mut cargo(&["test", "--locked", "--workspace", "--all-features"]))
}
