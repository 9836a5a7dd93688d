//! What a server refuses: asked again where that may help, told clearly where not.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::testing::{Appendonly, shared};

#[tokio::test]
async fn a_script_is_run_with_its_keys_and_argument_as_bytes() {
    let connections = connect(&shared().url());
    let script = Script::of("echo", &["return ARGV[1]..KEYS[1]..", "#KEYS"]);
    let keys = ["{main}:a".to_owned(), "{main}:b".to_owned()];
    let reply = connections.run(Role::Planner, &cell(), &script, &keys, b"\0\xff\r\n").await.unwrap();
    assert_eq!(reply, b"\0\xff\r\n{main}:a2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_loaded_again_however_often_they_are_flushed() {
    let server = Server::start();
    let connections = connect(&server.url());
    let (is_over, times) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let flusher = std::thread::spawn({
        let (is_over, times) = (Arc::clone(&is_over), Arc::clone(&times));
        let mut connection = server.connect().unwrap();
        move || {
            while !is_over.load(Ordering::Relaxed) {
                connection.call(&["SCRIPT", "FLUSH"]).unwrap().ok();
                times.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let script = Script::of("count", &[COUNT]);
    let mut round = 0;
    while round < 2_000 || times.load(Ordering::Relaxed) <= 20 {
        round += 1;
        assert_eq!(run(&connections, &script).await.unwrap(), round.to_string());
    }
    is_over.store(true, Ordering::Relaxed);
    flusher.join().unwrap();
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() {
    let server = Options::new().appendonly(Appendonly::Always).line("key-load-delay -1").start();
    let fill = "for i = 1, 200000 do redis.call('SET', 'k' .. i, i) end";
    assert!(server.command(&["EVAL", fill, "0"]).is_nil());
    server.kill9();
    server.restart_without_waiting();
    let loading = Instant::now();
    while !matches!(server.connect().and_then(|mut c| c.call(&["PING"])), Ok(reply) if reply.is_error()) {
        assert!(loading.elapsed() < PATIENT, "the server was never seen loading");
    }
    let script = Script::of("count", &[COUNT]);
    refused(&connect_for(&server, 300), &script, "is loading its data").await;
    let connections = connect(&server.url());
    let ((), counted) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.connect().unwrap().call(&["CONFIG", "SET", "key-load-delay", "0"]).unwrap().ok();
        },
        run(&connections, &script)
    );
    assert_eq!(counted.unwrap(), "1");
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_is_waited_for() {
    let server = Options::new().line("lua-time-limit 20").start();
    let script = Script::of("count", &[COUNT]);
    let (patient, hasty) = (connect(&server.url()), connect_for(&server, 400));
    for connections in [&patient, &hasty] {
        run(connections, &script).await.unwrap();
    }
    let _occupied = occupy(&server);
    let unknown = refused(&hasty, &script, "busy with a script").await;
    let ((), counted) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            release(&server);
        },
        run(&patient, &script)
    );
    let counted: u32 = counted.unwrap().parse().unwrap();
    assert!((3..=3 + unknown).contains(&counted), "what was refused was executed later: {counted}");
}

#[tokio::test]
async fn a_full_server_is_unavailable_and_says_why() {
    let server = Options::new().maxmemory(3_000_000).start();
    let connections = connect(&server.url());
    let fill = Script::of("fill", &["return tostring(redis.call('APPEND', KEYS[1], string.rep('x', 100000)))"]);
    let error = loop {
        if let Err(error) = run(&connections, &fill).await {
            break error;
        }
    };
    let said = unavailable(error);
    assert!(said.contains("the store is full") && said.contains("maxmemory is reached"), "{said}");
    let read = Script::of("read", &["return tostring(redis.call('STRLEN', KEYS[1]))"]);
    run(&connections, &read).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_unavailable_until_it_is_the_primary() {
    let primary = Server::start();
    let replica = Options::new().replica_of(&primary).start();
    let connections = connect(&replica.url());
    let script = Script::of("count", &[COUNT]);
    let asked = Instant::now();
    let said = unavailable(run(&connections, &script).await.unwrap_err());
    assert!(said.contains("is a read-only replica") && said.contains("name its primary"), "{said}");
    assert!(asked.elapsed() < AT_ONCE, "a lone replica was asked for {:?}", asked.elapsed());
    replica.command(&["REPLICAOF", "NO", "ONE"]).ok();
    assert_eq!(run(&connections, &script).await.unwrap(), "1");
}

#[tokio::test]
async fn writes_that_too_few_replicas_would_take_are_waited_for() {
    let server = Options::new().line("min-replicas-to-write 1").start();
    let script = Script::of("count", &[COUNT]);
    refused(&connect_for(&server, 300), &script, "has too few replicas").await;
    let connections = connect(&server.url());
    let ((), counted) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).ok();
        },
        run(&connections, &script)
    );
    assert_eq!(counted.unwrap(), "1");
}

#[tokio::test]
async fn a_server_that_takes_no_more_clients_is_waited_for() {
    let server = Options::new().line("maxclients 3").start();
    let held: Vec<_> = (0..3).map(|_| server.connect().unwrap()).collect();
    let script = Script::of("count", &[COUNT]);
    refused(&connect_for(&server, 300), &script, "accepts no more clients").await;
    let connections = connect(&server.url());
    let ((), counted) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(held);
        },
        run(&connections, &script)
    );
    assert_eq!(counted.unwrap(), "1");
}

#[tokio::test]
async fn what_a_script_does_wrong_names_the_script_and_is_not_asked_again() {
    let server = Server::start();
    let connections = connect(&server.url());
    for (body, said) in [
        ("redis.call('SET', KEYS[1], 'x') return redis.call('HGET', KEYS[1], 'f')", "WRONGTYPE"),
        ("return nothing.at_all", "nothing"),
        ("error('CORRUPT the row', 0)", "CORRUPT the row"),
        ("return redis.error_reply('CORRUPT the row')", "CORRUPT the row"),
        ("this is no Lua", "compiling"),
        ("return 7", "its reply is a number, no string"),
        ("return false", "its reply is nothing, no string"),
        ("return {'a'}", "its reply is a list, no string"),
    ] {
        let script = Script::of("wrong", &[body]);
        match run(&connections, &script).await {
            Err(PortError::Corrupt { what, source }) => {
                let named = if said.contains("CORRUPT") { ["the row"; 2] } else { ["what wrong reads", "wrong"] };
                assert!(named.contains(&what.as_str()), "{body}: {what}");
                assert!(source.to_string().contains(said), "{body}: {source}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}
