//! What `cargo xtask torture` would run is there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output};

fn torture(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).arg("torture").args(arguments).output().unwrap()
}

#[test]
fn each_campaign_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let listed = torture(&["--list", "--seed", "7", "--rounds", "3"]);
    assert!(String::from_utf8_lossy(&listed.stderr).contains("seed 7, commit "), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(!listed.is_empty());
    for line in listed.lines() {
        let (_, test) = line.split_once(": 3 rounds of ").unwrap();
        // A filter that fits no test runs none, and that would pass.
        let is_there = |text: &str| {
            let found = Command::new("git").args(["grep", "--quiet", text, "--", "crates"]).current_dir(root).status();
            assert!(found.unwrap().success(), "there is no {text:?} for {test}");
        };
        match test.split_once("::") {
            None => is_there(&format!("fn {test}()")),
            Some((_, test)) => {
                is_there(&format!("fn {test}(store: &Store)"));
                // As it stands among those that run on each store.
                is_there(&format!("^    {test},$"));
            }
        }
    }
}

#[test]
fn one_campaign_can_be_chosen_by_name() {
    let listed = torture(&["--list", "--only", "server-kills"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 1);
    let unknown = torture(&["--only", "server-kils"]);
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(!unknown.status.success() && said.contains("server-kills"), "{said}");
    let help = torture(&["--help"]);
    let said = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && said.contains("--seed") && said.contains("--rounds"), "{said}");
}
