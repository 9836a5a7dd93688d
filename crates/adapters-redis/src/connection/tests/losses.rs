//! Connections that end, servers that fall silent: what was perhaps executed is not asked again.

use super::*;
use crate::testing::Proxy;

#[tokio::test]
async fn a_call_without_an_answer_is_unavailable_and_not_repeated() {
    let server = Server::start();
    let connections = connect_for(&server, 3_000);
    let script = Script::of("count", &[COUNT]);
    run(&connections, &script).await.unwrap();
    server.freeze();
    let said = unavailable(run(&connections, &script).await.unwrap_err());
    assert!(said.contains("did not answer within 3s") && said.contains("unknown"), "{said}");
    server.thaw();
    // It was sent once, and is executed once, late.
    assert_eq!(run(&connections, &script).await.unwrap(), "3");
    assert_eq!(counted(&server), "3");
}

#[tokio::test]
async fn a_server_that_cannot_even_be_connected_to_is_unavailable_in_time() {
    let server = Server::start();
    server.freeze();
    let connections = connect_for(&server, 500);
    let script = Script::of("count", &[COUNT]);
    let asked = Instant::now();
    // However many ask: whoever waits for another's attempt is told its outcome. One after the other they would take a
    // minute at least.
    let calls: Vec<_> = (0..300)
        .map(|_| {
            let (connections, script) = (Arc::clone(&connections), Script::of("count", &[COUNT]));
            tokio::spawn(async move { run(&connections, &script).await })
        })
        .collect();
    for call in calls {
        let said = unavailable(call.await.unwrap().unwrap_err());
        assert!(said.contains("cannot connect"), "{said}");
    }
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    server.thaw();
    let back = Instant::now();
    while let Err(error) = run(&connections, &script).await {
        assert!(back.elapsed() < PATIENT, "{}", error.in_full());
    }
    let counted: u32 = counted(&server).parse().unwrap();
    assert_eq!(run(&connect(&server.url()), &script).await.unwrap(), (counted + 1).to_string());
}

#[tokio::test]
async fn a_connection_lost_under_a_call_is_unavailable_and_the_next_call_connects_anew() {
    let server = Options::new().line("lua-time-limit 20").start();
    let connections = connect(&server.url());
    let slow = Script::of("slow", &["redis.call('INCR', KEYS[1]) while true do end"]);
    let call = tokio::spawn({
        let connections = Arc::clone(&connections);
        async move { run(&connections, &slow).await }
    });
    // Busy is who runs the script.
    let mut asking = server.connect().unwrap();
    while !matches!(asking.call(&["PING"]), Ok(reply) if reply.is_error()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill9();
    let said = unavailable(call.await.unwrap().unwrap_err());
    assert!(said.contains("was lost before its answer came"), "{said}");
    server.restart();
    assert_eq!(run(&connections, &Script::of("count", &[COUNT])).await.unwrap(), "1");
}

#[tokio::test]
async fn a_connection_closed_while_nobody_called_costs_no_call() {
    let server = Server::start();
    let connections = connect(&server.url());
    let script = Script::of("count", &[COUNT]);
    run(&connections, &script).await.unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    while server.command(&["CLIENT", "LIST"]).text().contains("name=stowplan-") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(run(&connections, &script).await.unwrap(), "2");
    server.restart();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(run(&connections, &script).await.unwrap(), "1");
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for_while_the_call_has_time() {
    let server = Server::start();
    server.kill9();
    let script = Script::of("count", &[COUNT]);
    let said = unavailable(run(&connect_for(&server, 100), &script).await.unwrap_err());
    assert!(said.contains("cannot connect"), "{said}");
    let connections = connect(&server.url());
    let call = tokio::spawn(async move { run(&connections, &script).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.restart();
    assert_eq!(call.await.unwrap().unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_holds_one_connection_and_asks_nothing_but_what_is_called() {
    let server = Server::start();
    let connections = connect(&server.url());
    server.command(&["CONFIG", "RESETSTAT"]).ok();
    let calls: Vec<_> = (0..300)
        .map(|n| {
            let connections = Arc::clone(&connections);
            let role = [Role::Planner, Role::Workers, Role::Callers][n % 3];
            tokio::spawn(async move {
                let script = Script::of("count", &[COUNT]);
                connections.run(role, &cell(), &script, &["{main}:key".into()], b"").await.unwrap();
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(counted(&server), "300");
    let clients = server.command(&["CLIENT", "LIST"]).text();
    for name in ["planner", "workers", "callers"] {
        assert_eq!(clients.matches(&format!("name=stowplan-{name} ")).count(), 1, "{clients}");
    }
    let asked = server.command(&["INFO", "commandstats"]).text();
    for needless in ["cmdstat_ping", "cmdstat_unwatch"] {
        assert!(!asked.contains(needless), "{asked}");
    }
    // Once, before the first call: whether it is alone.
    assert!(asked.contains("cmdstat_cluster|slots:calls=1,") || asked.contains("cmdstat_cluster:calls=1,"), "{asked}");
}

#[tokio::test]
async fn an_answer_lost_on_the_way_is_unavailable_and_the_script_ran_once() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let connections = connect(&proxy.url());
    let script = Script::of("count", &[COUNT]);
    run(&connections, &script).await.unwrap();
    proxy.lose_next_reply();
    let said = unavailable(run(&connections, &script).await.unwrap_err());
    assert!(said.contains("was lost before its answer came"), "{said}");
    assert_eq!((counted(&server), proxy.lost()), ("2".to_owned(), 1));
    assert_eq!(run(&connections, &script).await.unwrap(), "3");
}

#[tokio::test]
async fn a_call_is_one_round_trip_and_one_more_where_the_script_is_new() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let connections = connect(&proxy.url());
    let script = Script::of("count", &[COUNT]);
    run(&connections, &script).await.unwrap();
    proxy.forget_counts();
    run(&connections, &script).await.unwrap();
    assert_eq!(proxy.round_trips(), 1, "{:?}", proxy.all_calls());
    server.command(&["SCRIPT", "FLUSH"]).ok();
    proxy.forget_counts();
    run(&connections, &script).await.unwrap();
    assert_eq!(proxy.round_trips(), 2, "{:?}", proxy.all_calls());
}
