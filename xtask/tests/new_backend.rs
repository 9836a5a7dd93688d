//! A backend that was just made: it builds, the program knows it, and every clause of the kit fails by its name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project, as it is tracked.
fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project")
}

/// A copy of all tracked files, as they are now.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let copied = Command::new("sh")
        .args(["-c", "git ls-files -z | tar --create --null --files-from - | tar --extract --directory \"$0\""])
        .arg(folder.path())
        .current_dir(project())
        .status();
    assert!(copied.expect("sh, git and tar").success());
    folder
}

fn run(command: &mut Command, folder: &Path) -> Output {
    command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder.join("xtask"));
    // What the copy is built on has been built here.
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from);
    command.env("CARGO_TARGET_DIR", built);
    command.output().expect("it starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_new_backend_builds_and_fails_every_clause_by_name() {
    let folder = copy();
    let made = run(Command::new(env!("CARGO_BIN_EXE_xtask")).args(["new-backend", "sample"]), folder.path());
    assert!(made.status.success(), "{}", said(&made));
    let tested = run(Command::new("cargo").args(["test", "--package", "adapters-sample"]), folder.path());
    let said_by_tests = said(&tested);
    let count =
        |end: &str| said_by_tests.lines().filter(|line| line.starts_with("test ") && line.ends_with(end)).count();
    let clauses = count("... FAILED");
    assert!(clauses > 100 && count("... ok") == 0, "{clauses} clauses failed: {said_by_tests}");
    assert!(said_by_tests.contains("adapters-sample does not have it yet"), "{said_by_tests}");
    let checked = run(Command::new("cargo").args(["check", "--package", "app"]), folder.path());
    assert!(checked.status.success(), "{}", said(&checked));
    let tidy = run(Command::new(env!("CARGO_BIN_EXE_xtask")).arg("tidy"), folder.path());
    assert!(!said(&tidy).contains("adapters-sample is not in the crate table"), "{}", said(&tidy));
}

#[test]
fn a_name_that_is_none_or_taken_changes_nothing() {
    for (name, says) in [("Sample", "no name"), ("redis", "there already")] {
        let made = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["new-backend", name]).output().expect("it starts");
        assert!(!made.status.success() && said(&made).contains(says), "{}", said(&made));
    }
}
