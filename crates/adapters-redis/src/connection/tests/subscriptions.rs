//! Channels that are followed through all that happens to a connection.

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;
use crate::subscription::{Heard, follow};

const CHANNEL: &str = "{main}:events";

async fn next(heard: &mut Receiver<Heard>) -> Heard {
    let next = timeout(PATIENT, heard.recv()).await;
    next.expect("nothing was heard for a minute").expect("the end")
}

fn publish(server: &Server, message: &str) -> i64 {
    server.command(&["PUBLISH", CHANNEL, message]).integer()
}

#[tokio::test]
async fn what_is_said_is_heard_as_bytes_on_a_connection_of_its_own() {
    let server = Server::start();
    let connections = connect(&server.url());
    let mut heard = follow(&connections, cell(), CHANNEL.into());
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
    let script = Script::of("say", &["redis.call('PUBLISH', '{main}:events', '\\0\\255') return ''"]);
    run(&connections, &script).await.unwrap();
    assert_eq!(next(&mut heard).await, Heard::Message(vec![0, 255]));
    let clients = server.command(&["CLIENT", "LIST"]).text();
    assert_eq!(clients.matches("name=stowplan-events ").count(), 1, "{clients}");
    drop(heard);
    let begun = Instant::now();
    while publish(&server, "is anybody there?") > 0 {
        assert!(begun.elapsed() < PATIENT, "the subscription outlives who followed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_subscription_that_ends_is_made_again_and_says_so() {
    let server = Server::start();
    let connections = connect(&server.url());
    let mut heard = follow(&connections, cell(), CHANNEL.into());
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(next(&mut heard).await, Heard::Lost);
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
    server.kill9();
    assert_eq!(next(&mut heard).await, Heard::Lost);
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.restart();
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
    assert_eq!(publish(&server, "again"), 1);
    assert_eq!(next(&mut heard).await, Heard::Message(b"again".to_vec()));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_though_nothing_is_said() {
    let server = Server::start();
    let connections = connect_for(&server, 300);
    let mut heard = follow(&connections, cell(), CHANNEL.into());
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
    server.freeze();
    assert_eq!(next(&mut heard).await, Heard::Lost);
    server.thaw();
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_is_not_silent() {
    let server = Options::new().line("lua-time-limit 20").start();
    let connections = connect_for(&server, 1_500);
    let mut heard = follow(&connections, cell(), CHANNEL.into());
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
    let _occupied = occupy(&server);
    // It is asked after 1.5 s, and would be given up 1.5 s later.
    assert!(timeout(Duration::from_secs(5), heard.recv()).await.is_err(), "given up while it was busy");
    release(&server);
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_that_something_was_missed() {
    let server = Server::start();
    let connections = connect(&server.url());
    let mut heard = follow(&connections, cell(), CHANNEL.into());
    assert_eq!(next(&mut heard).await, Heard::Subscribed);
    let flood = format!("for i = 1, 10000 do redis.call('PUBLISH', '{CHANNEL}', i) end");
    assert!(server.command(&["EVAL", &flood, "0"]).is_nil());
    while heard.len() < heard.max_capacity() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(publish(&server, "last"), 1);
    let mut messages = 0;
    loop {
        match next(&mut heard).await {
            Heard::Message(message) if message == b"last" => panic!("{messages} messages, and no word of the others"),
            Heard::Message(_) => messages += 1,
            Heard::Subscribed => break,
            Heard::Lost => panic!("the connection was given up"),
        }
    }
    assert!((1..10_000).contains(&messages), "{messages}");
    assert_eq!(publish(&server, "after"), 1);
    while next(&mut heard).await != Heard::Message(b"after".to_vec()) {}
}
