//! The programs that our commands need beside cargo, how to see that one is there, and how to get it.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::cargo::{cargo, succeed};
use crate::say::say;

/// Which command needs a tool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Test,
    Verify,
    Fix,
    /// A run on a redis-server.
    Redis,
}

struct Tool {
    name: &'static str,
    /// A command that succeeds where the tool is.
    check: &'static [&'static str],
    get: Get,
    needed_by: &'static [Need],
}

/// Where a missing tool comes from.
#[derive(Clone, Copy)]
enum Get {
    /// A package of Debian or Ubuntu.
    Apt(&'static str),
    /// A crate, in the version that our settings are written for.
    Cargo(&'static str, &'static str),
    /// A component of the Rust toolchain.
    Rustup(&'static str),
}

const TOOLS: &[Tool] = &[
    // Tests cut a process off from the network, or from its processes, in a namespace of its own.
    Tool {
        name: "unshare",
        check: &["unshare", "--version"],
        get: Get::Apt("util-linux"),
        needed_by: &[Need::Test, Need::Verify],
    },
    // Tests let the wall clock of a whole cell jump.
    Tool {
        name: "libfaketime",
        check: &["sh", "-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"],
        get: Get::Apt("libfaketime"),
        needed_by: &[Need::Test, Need::Verify],
    },
    // Tests start, kill and freeze servers and clusters of their own.
    Tool {
        name: "redis-server",
        check: &["redis-server", "--version"],
        get: Get::Apt("redis-server"),
        needed_by: &[Need::Test, Need::Verify, Need::Redis],
    },
    Tool { name: "git", check: &["git", "--version"], get: Get::Apt("git"), needed_by: &[Need::Verify] },
    Tool {
        name: "rustfmt",
        check: &["cargo", "fmt", "--version"],
        get: Get::Rustup("rustfmt"),
        needed_by: &[Need::Verify, Need::Fix],
    },
    Tool {
        name: "clippy",
        check: &["cargo", "clippy", "--version"],
        get: Get::Rustup("clippy"),
        needed_by: &[Need::Verify, Need::Fix],
    },
    Tool {
        name: "cargo-deny",
        check: &["cargo", "deny", "--version"],
        get: Get::Cargo("cargo-deny", "0.20.2"),
        needed_by: &[Need::Verify],
    },
];

/// Makes sure that every tool which `need` wants is there: installs it where it may, else says how.
pub(crate) fn ensure(need: Need) -> Result<()> {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| tool.needed_by.contains(&need) && !tool.is_here()).collect();
    let packages: Vec<&str> = missing.iter().filter_map(|tool| tool.package()).collect();
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    for tool in missing {
        tool.install_with_cargo()?;
        if !tool.is_here() {
            bail!("{} was installed and still does not run\nnext: {}", tool.name, tool.check.join(" "));
        }
    }
    Ok(())
}

/// Installs packages where root asks for it; anybody else is told the command.
fn install_packages(packages: &[&str]) -> Result<()> {
    let shown = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !runs(&["apt-get", "--version"]) {
        bail!("missing on this machine: {shown}\nnext: sudo apt-get update && sudo apt-get install -y {shown}");
    }
    say(&format!("missing on this machine, installed now: {shown}"));
    succeed(&mut apt_get(&["update"]))?;
    succeed(apt_get(&["install", "-y", "--no-install-recommends"]).args(packages))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

impl Tool {
    fn is_here(&self) -> bool {
        runs(self.check)
    }

    fn package(&self) -> Option<&'static str> {
        match self.get {
            Get::Apt(package) => Some(package),
            Get::Cargo(..) | Get::Rustup(_) => None,
        }
    }

    /// Installs what comes from no package; cargo and rustup say themselves what they do.
    fn install_with_cargo(&self) -> Result<()> {
        match self.get {
            Get::Apt(_) => Ok(()),
            Get::Cargo(name, version) => succeed(&mut cargo(&["install", name, "--locked", "--version", version])),
            Get::Rustup(component) => succeed(Command::new("rustup").args(["component", "add", component])),
        }
    }
}

/// Whether a command starts and succeeds; what it prints is nobody's business.
fn runs(command: &[&str]) -> bool {
    let Some((program, arguments)) = command.split_first() else {
        return false;
    };
    let mut command = if *program == "cargo" { cargo(&[]) } else { Command::new(program) };
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_seen() {
        assert!(runs(&["true"]));
        assert!(!runs(&["false"]));
        assert!(!runs(&["stowplan-no-such-program"]));
        assert!(!runs(&["cargo", "stowplan-no-such-command"]));
    }
}
