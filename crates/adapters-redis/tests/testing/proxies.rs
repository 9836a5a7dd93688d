//! A proxy: what it loses, delays and counts.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Connection, Options, Proxy, Reply, Server};

/// Adds one to `key`.
const INCREMENT: &str = "return redis.call('INCR', KEYS[1])";

fn connect(proxy: &Proxy) -> Connection {
    Connection::open(proxy.port(), None).expect("the proxy listens")
}

/// A server that knows the script, the script's digest, and a proxy before it.
fn scene() -> (Server, String, Proxy) {
    let server = Server::start();
    let digest = server.command(&["SCRIPT", "LOAD", INCREMENT]).text();
    let proxy = Proxy::before(&server);
    (server, digest, proxy)
}

/// Whether the connection was closed instead of an answer.
fn is_lost(answer: std::io::Result<Reply>) -> bool {
    answer.is_err_and(|error| matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset))
}

#[test]
fn exactly_the_next_answer_of_a_script_is_lost_and_the_script_has_run() {
    let (server, digest, proxy) = scene();
    let run = ["EVALSHA", &digest, "1", "n"];
    let mut connection = connect(&proxy);
    assert_eq!(connection.call(&run).unwrap().integer(), 1);
    proxy.lose_next_reply();
    assert_eq!(connection.call(&["GET", "n"]).unwrap().text(), "1", "no script");
    assert_eq!(proxy.lost(), 0);
    assert!(is_lost(connection.call(&run)));
    assert_eq!(server.command(&["GET", "n"]).text(), "2", "it ran");
    assert_eq!(proxy.lost(), 1);
    assert_eq!(connect(&proxy).call(&run).unwrap().integer(), 3);
    assert_eq!(proxy.lost(), 1);
}

#[test]
fn so_many_answers_are_lost_one_after_the_other() {
    let (server, digest, proxy) = scene();
    let run = ["EVALSHA", &digest, "1", "n"];
    proxy.lose_replies(3);
    let lost = (0..5).filter(|_| is_lost(connect(&proxy).call(&run))).count();
    assert_eq!((lost, proxy.lost()), (3, 3));
    assert_eq!(server.command(&["GET", "n"]).text(), "5");
    proxy.lose_replies(1);
    proxy.lose_nothing();
    assert_eq!(connect(&proxy).call(&run).unwrap().integer(), 6);
}

#[test]
fn a_lost_answer_takes_the_later_ones_of_its_connection_with_it_and_no_earlier_one() {
    let (server, digest, proxy) = scene();
    proxy.delay(Duration::from_millis(20));
    proxy.lose_next_reply();
    let mut connection = connect(&proxy);
    connection.send(&["SET", "k", "v"]).unwrap();
    connection.send(&["EVALSHA", &digest, "1", "n"]).unwrap();
    connection.send(&["SET", "later", "v"]).unwrap();
    connection.receive().unwrap().ok();
    assert!(is_lost(connection.receive()));
    assert_eq!(server.command(&["GET", "later"]).text(), "v", "it had reached the server");
}

#[test]
fn each_answer_is_lost_once_and_its_repeat_is_answered() {
    let (server, digest, proxy) = scene();
    proxy.lose_each_reply_once();
    for key in ["a", "b"] {
        let run = ["EVALSHA", &digest, "1", key];
        assert!(is_lost(connect(&proxy).call(&run)));
        assert_eq!(connect(&proxy).call(&run).unwrap().integer(), 2);
        assert_eq!(connect(&proxy).call(&run).unwrap().integer(), 3);
    }
    assert!(is_lost(connect(&proxy).call(&["EVAL", INCREMENT, "1", "c"])));
    assert_eq!(proxy.lost(), 3);
    server.command(&["SCRIPT", "FLUSH"]).ok();
    let unknown = connect(&proxy).call(&["EVALSHA", &digest, "1", "d"]).unwrap();
    assert!(unknown.error().starts_with("NOSCRIPT"), "nothing ran, so nothing is lost");
    proxy.lose_each_reply_once();
    assert!(is_lost(connect(&proxy).call(&["EVAL", INCREMENT, "1", "c"])), "it forgot what it lost before");
}

#[test]
fn what_was_lost_is_told_and_nothing_is_run_for_it() {
    let (server, digest, proxy) = scene();
    proxy.lose_each_reply_once();
    let run = ["EVALSHA", &digest, "1", "n"];
    assert!(is_lost(connect(&proxy).call(&run)));
    assert_eq!(connect(&proxy).call(&run).unwrap().integer(), 2);
    proxy.tell_what_was_lost();
    let mut connection = connect(&proxy);
    assert_eq!(connection.call(&run).unwrap().integer(), 1, "the first answer");
    assert_eq!(connection.call(&run).unwrap().integer(), 1, "as often as it is asked for");
    assert_eq!(connection.call(&["GET", "n"]).unwrap().text(), "2", "no script, and the scripts ran no more");
    assert!(connection.call(&["EVALSHA", &digest, "1", "m"]).unwrap().error().contains("no answer"));
    assert!(server.command(&["GET", "m"]).is_nil());
    drop(connection);
    eventually("connections that were told something are forgotten", || proxy.connections() == 0);
}

#[test]
fn requests_that_are_sent_together_are_one_round_trip() {
    let server = Options::new().password("secret").start();
    let proxy = Proxy::before(&server);
    assert_eq!(proxy.url(), format!("redis://:secret@127.0.0.1:{}", proxy.port()));
    proxy.delay(Duration::from_millis(20));
    let mut connection = Connection::open(proxy.port(), Some("secret")).unwrap();
    connection.call(&["CLIENT", "SETNAME", "planner"]).unwrap().ok();
    proxy.forget_counts();
    let begun = Instant::now();
    for _ in 0..2 {
        connection.send(&["GET", "k"]).unwrap();
        connection.send(&["get", "l"]).unwrap();
        assert!(connection.receive().unwrap().is_nil());
        assert!(connection.receive().unwrap().is_nil());
    }
    assert!(begun.elapsed() >= Duration::from_millis(80), "twice there and back");
    connection.call(&["PING"]).unwrap();
    assert_eq!(proxy.round_trips(), 3);
    assert_eq!(proxy.round_trips_of("planner"), 3);
    assert_eq!(proxy.round_trips_of("workers"), 0);
    assert_eq!(proxy.calls("GET"), 4);
    assert_eq!(proxy.all_calls(), BTreeMap::from([("GET".to_owned(), 4), ("PING".to_owned(), 1)]));
}

#[test]
fn connections_are_cut_and_refused() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let mut named = connect(&proxy);
    named.call(&["CLIENT", "SETNAME", "events"]).unwrap().ok();
    let mut other = connect(&proxy);
    other.call(&["PING"]).unwrap();
    proxy.cut_named("events");
    assert!(is_lost(named.receive()));
    assert_eq!(other.call(&["PING"]).unwrap().text(), "PONG");
    proxy.cut();
    assert!(is_lost(other.receive()));
    proxy.refuse(true);
    assert!(Connection::open(proxy.port(), None).and_then(|mut refused| refused.call(&["PING"])).is_err());
    proxy.refuse(false);
    assert_eq!(connect(&proxy).call(&["PING"]).unwrap().text(), "PONG");
    eventually("closed connections are forgotten", || proxy.connections() == 0);
}

#[test]
fn it_outlives_its_server_and_finds_it_again() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let mut connection = connect(&proxy);
    connection.call(&["PING"]).unwrap();
    server.kill9();
    assert!(is_lost(connection.receive()));
    assert!(Connection::open(proxy.port(), None).and_then(|mut refused| refused.call(&["PING"])).is_err());
    server.restart();
    assert_eq!(connect(&proxy).call(&["PING"]).unwrap().text(), "PONG");
}

#[test]
fn what_a_subscriber_is_told_passes() {
    let (server, digest, proxy) = scene();
    let mut subscriber = connect(&proxy);
    assert_eq!(subscriber.call(&["SUBSCRIBE", "news"]).unwrap().list()[0].text(), "subscribe");
    assert_eq!(server.command(&["PUBLISH", "news", "1"]).integer(), 1);
    assert_eq!(subscriber.receive().unwrap().list()[2].text(), "1");
    let mut both = connect(&proxy);
    both.call(&["HELLO", "3"]).unwrap();
    assert_eq!(both.call(&["SUBSCRIBE", "news"]).unwrap().list()[0].text(), "subscribe");
    proxy.lose_next_reply();
    server.command(&["PUBLISH", "news", "2"]);
    assert_eq!(both.receive().unwrap().list()[2].text(), "2", "it answers no script");
    assert!(is_lost(both.call(&["EVALSHA", &digest, "1", "n"])));
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not after 30 s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
