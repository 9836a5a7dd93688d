//! A server of one's own: started, killed, frozen, and put back.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use adapters_redis::testing::{Appendonly, Options, Server, shared};

/// Set for the process that is to be killed.
const VICTIM: &str = "STOWPLAN_TEST_VICTIM";

#[test]
fn a_server_answers_and_keeps_nothing() {
    let server = Server::start();
    server.command(&["SET", "k", "v"]).ok();
    assert_eq!(server.command(&["GET", "k"]).text(), "v");
    assert_eq!(server.command(&["INCR", "n"]).integer(), 1);
    assert_eq!(server.command(&["MGET", "k", "none"]).list()[0].text(), "v");
    assert!(server.command(&["INCR", "k"]).error().starts_with("ERR "));
    server.restart();
    assert!(server.command(&["GET", "k"]).is_nil(), "it was written nowhere");
}

#[test]
fn a_killed_server_comes_back_on_its_port_with_what_it_wrote() {
    let server = Options::new().appendonly(Appendonly::Always).start();
    let (port, pid) = (server.port(), server.pid());
    server.command(&["SET", "k", "v"]).ok();
    server.kill9();
    assert!(server.connect().is_err(), "nobody listens");
    server.restart();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(server.command(&["GET", "k"]).text(), "v");
    server.stop();
    assert!(server.connect().is_err(), "nobody listens");
    server.restart();
    assert_eq!(server.command(&["GET", "k"]).text(), "v");
}

#[test]
fn an_older_copy_has_lost_what_was_written_after_it() {
    let server = Options::new().appendonly(Appendonly::Always).start();
    let scratch = tempfile::tempdir().unwrap();
    let copy = scratch.path().join("copy");
    server.command(&["SET", "before", "1"]).ok();
    server.copy_aof(&copy);
    server.command(&["SET", "after", "1"]).ok();
    server.restart();
    assert_eq!(server.command(&["GET", "after"]).text(), "1");
    for _ in 0..2 {
        server.restart_from(&copy);
        assert_eq!(server.command(&["GET", "before"]).text(), "1");
        assert!(server.command(&["GET", "after"]).is_nil(), "the copy is older");
        server.command(&["SET", "after", "2"]).ok();
    }
}

#[test]
fn a_frozen_server_keeps_its_connections_and_answers_nothing() {
    let server = Server::start();
    let mut connection = server.connect().unwrap();
    connection.set_patience(Some(Duration::from_millis(100))).unwrap();
    server.freeze();
    let error = connection.call(&["PING"]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    server.thaw();
    connection.set_patience(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(connection.receive().unwrap().text(), "PONG");
    server.freeze();
    server.kill9();
    server.restart();
    assert_eq!(server.command(&["PING"]).text(), "PONG");
}

#[test]
fn a_server_that_reads_a_long_file_says_so() {
    let server = Options::new().appendonly(Appendonly::Always).line("key-load-delay 500").start();
    let mut connection = server.connect().unwrap();
    // It listens to clients again after every 1,024 commands that it has read.
    for _ in 0..8_000 {
        connection.send(&["INCR", "n"]).unwrap();
    }
    assert_eq!((0..8_000).map(|_| connection.receive().unwrap().integer()).last(), Some(8_000));
    server.kill9();
    server.restart_without_waiting();
    let loading = |server: &Server| server.connect().and_then(|mut connection| connection.call(&["GET", "n"]));
    let begun = Instant::now();
    while !loading(&server).is_ok_and(|reply| reply.is_error() && reply.error().starts_with("LOADING")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never said LOADING:\n{}", server.log());
    }
    server.connect().unwrap().call(&["CONFIG", "SET", "key-load-delay", "0"]).unwrap().ok();
    server.wait_until_ready();
    assert_eq!(server.command(&["GET", "n"]).text(), "8000");
}

#[test]
fn options_reach_the_server() {
    let server = Options::new().maxmemory(3_000_000).policy("allkeys-lru").password("secret").line("hz 50").start();
    let setting = |name: &str| server.command(&["CONFIG", "GET", name]).list()[1].text();
    assert_eq!(setting("maxmemory"), "3000000");
    assert_eq!(setting("maxmemory-policy"), "allkeys-lru");
    assert_eq!(setting("hz"), "50");
    assert_eq!(setting("save"), "");
    assert_eq!(server.url(), format!("redis://:secret@127.0.0.1:{}", server.port()));
    let mut stranger = adapters_redis::testing::Connection::open(server.port(), None).unwrap();
    assert!(stranger.call(&["PING"]).unwrap().error().starts_with("NOAUTH"));
}

#[test]
fn a_replica_has_what_its_primary_has_and_can_be_promoted() {
    let primary = Options::new().password("secret").start();
    primary.command(&["SET", "k", "v"]).ok();
    let replica = Options::new().password("secret").replica_of(&primary).start();
    assert_eq!(replica.command(&["GET", "k"]).text(), "v");
    primary.kill9();
    replica.command(&["REPLICAOF", "NO", "ONE"]).ok();
    replica.command(&["SET", "k", "w"]).ok();
}

#[test]
fn a_server_with_tls_shows_a_certificate_that_its_authority_signed() {
    let server = Options::new().tls().start();
    assert_eq!(server.tls_url(), format!("rediss://127.0.0.1:{}", server.tls_port()));
    let mut client = Command::new("redis-cli");
    client.args(["-h", "127.0.0.1", "-p", &server.tls_port().to_string(), "--tls", "--cacert"]);
    let said = client.arg(server.ca_file()).arg("PING").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "PONG", "{said:?}");
}

#[test]
fn a_port_that_another_took_is_left_to_him() {
    let server = Server::start();
    let config = server.folder().join("second.conf");
    fs::write(&config, format!("bind 127.0.0.1\nport {}\n", server.port())).unwrap();
    let second = Command::new("redis-server").arg(&config).output().unwrap();
    assert!(!second.status.success(), "a server ends whose port is taken, so that another port can be tried");
}

#[test]
fn a_dropped_server_is_gone_with_its_folder() {
    let server = Server::start();
    let (pid, folder) = (server.pid(), server.folder().to_owned());
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!folder.exists());
}

#[test]
fn all_tests_of_a_process_share_one_server() {
    let pids: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| shared().pid())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    assert_eq!(shared().command(&["PING"]).text(), "PONG");
}

#[test]
fn a_test_process_that_is_killed_or_ends_leaves_no_server_behind() {
    for kill in [true, false] {
        let mut victim = Command::new(std::env::current_exe().unwrap());
        victim.args(["--exact", "servers::the_process_that_is_killed", "--ignored", "--nocapture"]);
        let mut victim = victim.env(VICTIM, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
        let servers: Vec<(u32, String)> = said
            .by_ref()
            .filter_map(|line| {
                let (pid, folder) = line.strip_prefix("server ")?.split_once(' ')?;
                Some((pid.parse().unwrap(), folder.to_owned()))
            })
            .take(2)
            .collect();
        assert_eq!(servers.len(), 2);
        assert!(servers.iter().all(|(pid, folder)| runs(*pid) && Path::new(folder).exists()));
        if kill {
            victim.kill().unwrap();
        } else {
            drop(victim.stdin.take());
        }
        victim.wait().unwrap();
        let begun = Instant::now();
        while servers.iter().any(|(pid, folder)| runs(*pid) || Path::new(folder).exists()) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{servers:?} is left, kill: {kill}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Waits until its stdin is closed or it is killed.
#[test]
#[ignore = "its parent starts it"]
fn the_process_that_is_killed() {
    assert!(
        std::env::var_os(VICTIM).is_some(),
        "a_test_process_that_is_killed_or_ends_leaves_no_server_behind starts it"
    );
    let own = Server::start();
    own.freeze();
    for server in [&own, shared()] {
        println!("\nserver {} {}", server.pid(), server.folder().display());
    }
    std::io::stdin().lines().for_each(drop);
}

/// Whether a process is there and is no zombie.
fn runs(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}
