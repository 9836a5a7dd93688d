//! `cargo xtask new-backend NAME`: a store's crate, with every port's steps to be written, the conformance kit over
//! them, and the lines by which the rest of the workspace knows it.

mod port;
mod workspace;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, succeed};
use crate::say::answer;
use port::Port;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What the store is called: lower-case letters and digits. The crate is adapters-NAME, an address NAME://...
    name: String,
}

/// The files of `ports` that each hold one repository trait, and so the files of a backend.
const PORTS: [&str; 5] = ["backlog", "workers", "placements", "containers", "leadership"];

pub(crate) fn new_backend(options: &Options) -> Result<()> {
    let name = &options.name;
    if !is_name(name) {
        bail!("{name:?} is no name of a store: use lower-case letters and digits, beginning with a letter");
    }
    let root = root();
    let folder = root.join(format!("crates/adapters-{name}"));
    if folder.exists() {
        bail!("{} is there already\nnext: cargo xtask new-backend ANOTHER_NAME", folder.display());
    }
    let ports = PORTS.iter().map(|file| Port::read(&root, file)).collect::<Result<Vec<_>>>()?;
    workspace::introduce(&root, name)?;
    write_crate(&folder, name, &ports)?;
    succeed(cargo(&["fmt", "--package"]).arg(format!("adapters-{name}")))?;
    answer(&format!(
        "crates/adapters-{name} is there: its steps answer that they are unsupported, and every clause of the kit fails\n\
         next: cargo test -p adapters-{name}\n\
         next: docs/guide/adding-a-backend.md"
    ));
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
}

/// The name as a type begins with it.
fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

fn write_crate(folder: &Path, name: &str, ports: &[Port]) -> Result<()> {
    let ours = |text: &str| text.replace("BACKEND", name).replace("Backend", &capital(name));
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        made.with_context(|| format!("failed to write {}", path.display()))
    };
    write("Cargo.toml", &ours(include_str!("new_backend/template/Cargo.toml.txt")))?;
    write("src/lib.rs", &ours(include_str!("new_backend/template/lib.rs.txt")))?;
    write("src/config.rs", &ours(include_str!("new_backend/template/config.rs.txt")))?;
    write("src/error.rs", &ours(include_str!("new_backend/template/error.rs.txt")))?;
    write("tests/conformance.rs", &ours(include_str!("new_backend/template/conformance.rs.txt")))?;
    ports.iter().try_for_each(|port| write(&format!("src/{}.rs", port.file), &ours(&port.unwritten())))
}
