//! Agents and shims as they are: the built binary, real processes, and a played server over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod adoption;
mod deadlines;
mod ends;
mod environment;
mod executors;
mod played;
mod registering;
