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

fn connect(text: &str) -> Arc<Connections> {
    Arc::new(Connections::new(RedisConfig::parse(text).unwrap()).unwrap())
}

/// Connections whose calls are given up after so many milliseconds.
fn connect_for(server: &Server, milliseconds: u64) -> Arc<Connections> {
    connect(&format!("{}?connect_timeout=200ms&call_timeout={milliseconds}ms", server.url()))
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

/// Starts a script on another connection that keeps the server from everything else for so many milliseconds.
fn occupy(server: &Server, milliseconds: u64) -> crate::testing::Connection {
    let script = format!(
        "local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end \
         local over = now() + {milliseconds} while now() < over do end"
    );
    let mut connection = server.connect().unwrap();
    connection.send(&["EVAL", &script, "0"]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    connection
}
