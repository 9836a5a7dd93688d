//! The measuring program, run small.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[allow(dead_code, reason = "the bench's own main is called by nobody here")]
#[path = "../../benches/bench/main.rs"]
mod bench;
mod floors;
mod pure;
mod quick;
