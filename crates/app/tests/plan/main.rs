//! `stowplan plan`, as people and programs use it: the real binary, documents in, answers out.
#![expect(clippy::unwrap_used, reason = "the helpers of a test are as free as the test")]
#![expect(clippy::needless_raw_string_hashes, reason = "the form in which expect-test writes what it updates")]

mod answers;
mod bad_input;
mod command;
mod reference;

use assert_cmd::Command;
use expect_test::Expect;

/// `stowplan plan` with more arguments.
fn plan(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowplan"));
    command.arg("plan").args(arguments);
    command
}

/// What is answered to `document`, which is fine.
fn answer(document: &str, format: &str) -> String {
    let output = plan(&["--input", "-", "--format", format]).write_stdin(document).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.to_string().as_str(), stderr.as_str()), ("exit status: 0", ""), "{document:.200}");
    stdout
}

/// What is said of `document`, which is not.
fn refusal(document: &str) -> String {
    let output = plan(&["--input", "-"]).write_stdin(document).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{document}: {stderr}");
    stderr
}

/// Plans `document`, in any order of its workers.
fn check(document: &str, expected: &Expect) {
    let answered = answer(document, "json");
    let mut turned: serde_json::Value = serde_json::from_str(document).unwrap();
    if let Some(workers) = turned.get_mut("workers").and_then(serde_json::Value::as_array_mut) {
        workers.reverse();
    }
    assert_eq!(answer(&turned.to_string(), "json"), answered);
    expected.assert_eq(&answered);
}
