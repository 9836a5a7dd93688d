//! A monitor: who said what, and what scripts called.

use adapters_redis::testing::{Call, Monitor, Server};

#[test]
fn a_monitor_sees_commands_in_their_order_and_marks_those_of_scripts() {
    let server = Server::start();
    let mut connection = server.connect().unwrap();
    connection.call(&["SET", "before", "1"]).unwrap().ok();
    let monitor = Monitor::of(&server);
    connection.call(&["CLIENT", "SETNAME", "planner"]).unwrap().ok();
    let address = server.clients_named("planner")[0].address.clone();
    monitor.take();
    connection.call(&["set", "k", "a \"b\"\r\n"]).unwrap().ok();
    connection.call(&["EVAL", "return {redis.call('GET', KEYS[1]), redis.call('INCR', 'n')}", "1", "k"]).unwrap();
    server.command(&["PING"]);
    let calls = monitor.take();
    let seen: Vec<(String, bool)> = calls.iter().map(|call| (call.command(), call.in_script)).collect();
    let seen: Vec<(&str, bool)> = seen.iter().map(|(command, in_script)| (command.as_str(), *in_script)).collect();
    assert_eq!(seen, [("SET", false), ("EVAL", false), ("GET", true), ("INCR", true), ("PING", false)]);
    assert_eq!(calls[0].words, ["set", "k", "a \"b\"\r\n"]);
    let clients: Vec<bool> = calls.iter().map(|call: &Call| call.client == address).collect();
    assert_eq!(clients, [true, true, true, true, false]);
    assert!(monitor.take().is_empty(), "what was taken is gone");
}

#[test]
fn connections_are_found_and_closed_by_their_name() {
    let server = Server::start();
    let mut named: Vec<_> = (0..2).map(|_| server.connect().unwrap()).collect();
    for connection in &mut named {
        connection.call(&["CLIENT", "SETNAME", "workers"]).unwrap().ok();
    }
    let mut other = server.connect().unwrap();
    other.call(&["PING"]).unwrap();
    assert_eq!(server.clients_named("workers").len(), 2);
    assert_eq!(server.clients_named("planner"), []);
    assert_eq!(server.kill_clients_named("workers"), 2);
    assert!(named.iter_mut().all(|connection| connection.receive().is_err()));
    assert_eq!(other.call(&["PING"]).unwrap().text(), "PONG");
    assert_eq!(server.clients_named("workers"), []);
}
