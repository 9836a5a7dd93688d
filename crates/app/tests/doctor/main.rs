//! `stowplan doctor` before real servers: each warning sign is provoked, and named with what to do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod answers;
#[path = "../fleet/mod.rs"]
mod fleet;
#[expect(dead_code, reason = "these tests use a part of it")]
#[path = "../pools/machines.rs"]
mod machines;
mod signs;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use serde_json::{Value, json};

use fleet::{Fleet, Options, http};

const SOON: Duration = Duration::from_mins(1);
const WARNING: i32 = 1;
const BAD: i32 = 5;

/// A server whose workers may be silent for as long as any test takes.
fn options() -> Options {
    Options { keepalive: "10m", grace: "15s", ..Options::default() }
}

/// What `stowplan doctor ARGS --format json` found, and its exit code.
fn doctor(fleet: &Fleet, args: &[&str]) -> (i32, Value) {
    let said = fleet.stowplan(&[&["doctor", "--format", "json"], args].concat());
    let document = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("no document: {said:?}"));
    (said.code, document)
}

/// The worst finding of an indicator.
fn finding(document: &Value, indicator: &str) -> Value {
    let findings = document["findings"].as_array().unwrap().iter();
    let rank =
        |finding: &Value| ["healthy", "note", "warning", "bad"].iter().position(|state| finding["state"] == *state);
    let found = findings.filter(|finding| finding["indicator"] == indicator).max_by_key(|finding| rank(finding));
    found.unwrap_or_else(|| panic!("no {indicator} in {document}")).clone()
}

/// The indicator stands so and says these words, and a command that works when pasted.
fn assert_named(fleet: &Fleet, document: &Value, indicator: &str, state: &str, words: &[&str]) {
    let finding = finding(document, indicator);
    assert_eq!(finding["state"], state, "{finding}");
    let text = format!("{} {}", finding["figure"].as_str().unwrap(), finding["fix"].as_str().unwrap());
    for word in words {
        assert!(text.contains(word), "{finding} does not say {word}");
    }
    let next = finding["next"].as_str().unwrap().replace("--over 10s", "--over 100ms");
    let said = fleet.paste(&next);
    assert!(![2, 3, 4, 127].contains(&said.code), "{next}: {said:?}");
}

/// So many requests, small enough for one worker.
fn small_requests(name: &str, count: usize) -> Value {
    let request =
        |number: usize| json!({"id": format!("{name}-{number:05}"), "cpu": "1m", "memory": "1Mi", "command": ["true"]});
    (0..count).map(request).collect()
}

/// Hands in one request after the other, until it is dropped.
struct Drip {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drip {
    fn on(fleet: &Fleet) -> Self {
        let (enough, url) = (Arc::<AtomicBool>::default(), fleet.url.clone());
        let told = Arc::clone(&enough);
        let thread = spawn(move || {
            for number in 0.. {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                let body = small_requests(&format!("drip-{number}"), 1).to_string();
                let (status, answer) = http(&url, "POST", "/v1/containers", Some(&body), &[""; 0]).unwrap();
                assert_eq!(status, 200, "{answer}");
            }
        });
        Self { enough, thread: Some(thread) }
    }
}

impl Drop for Drip {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        // It has panicked if the server did not answer; then the test fails by itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
