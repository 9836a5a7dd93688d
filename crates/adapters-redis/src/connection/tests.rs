//! The calls against real servers, one kind of trouble a test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::PortResult;

use super::*;
use crate::testing::{Options, Server};

mod cluster;
mod losses;
mod refusals;
mod security;
mod subscriptions;

/// Counts how often it ran: what is repeated shows.
const COUNT: &str = "return tostring(redis.call('INCR', KEYS[1]))";

fn cell() -> CellName {
    CellName::new("main").unwrap()
}

/// How long a call is tried that nobody gives up: far longer than any takes on a machine that has much else to do.
const PATIENT: Duration = Duration::from_mins(1);
/// Half of that: what took less was not tried until its time was over.
const AT_ONCE: Duration = Duration::from_secs(30);

/// Connections whose calls are given up when the text says, or after [`PATIENT`].
fn connect(text: &str) -> Arc<Connections> {
    let config = RedisConfig::parse(text).unwrap();
    let config = if text.contains("call_timeout=") { config } else { config.with_call_timeout(PATIENT) };
    Arc::new(Connections::new(config).unwrap())
}

/// Connections whose calls are given up after so many milliseconds.
fn connect_for(server: &Server, milliseconds: u64) -> Arc<Connections> {
    connect(&format!("{}?connect_timeout=200ms&call_timeout={milliseconds}ms", server.url()))
}

/// Calls until the call is given up for the reason that is expected. Answers how often its outcome was unknown before
/// that, as it is on a machine that has much else to do.
async fn refused(connections: &Connections, script: &Script, expected: &str) -> u32 {
    refused_by(expected, async || run(connections, script).await).await
}

async fn refused_by(expected: &str, call: impl AsyncFn() -> PortResult<String>) -> u32 {
    for unknown in 0..100 {
        let said = unavailable(call().await.expect_err(expected));
        if said.contains(expected) {
            return unknown;
        }
        assert!(said.contains("unknown") || said.contains("cannot connect"), "{said} instead of {expected}");
    }
    panic!("never: {expected}");
}

async fn run(connections: &Connections, script: &Script) -> PortResult<String> {
    let reply = connections.run(Role::Callers, &cell(), script, &["{main}:key".into()], b"argument").await;
    reply.map(|bytes| String::from_utf8(bytes).unwrap())
}

/// How often [`COUNT`] ran.
fn counted(server: &Server) -> String {
    server.command(&["GET", "{main}:key"]).text()
}

/// The sources of an error that means: whether it was made is unknown.
fn unavailable(error: PortError) -> String {
    match error {
        PortError::Unavailable(_) => error.in_full(),
        other => panic!("not unavailable: {other:?}"),
    }
}

/// Starts a script on another connection that keeps the server from everything else until it is killed, and waits until
/// it does.
fn occupy(server: &Server) -> crate::testing::Connection {
    let mut occupying = server.connect().unwrap();
    occupying.send(&["EVAL", "while true do end", "0"]).unwrap();
    let mut asking = server.connect().unwrap();
    while !asking.call(&["PING"]).unwrap().is_error() {
        std::thread::sleep(Duration::from_millis(5));
    }
    occupying
}

/// Ends the script of [`occupy`].
fn release(server: &Server) {
    server.command(&["SCRIPT", "KILL"]).ok();
}
