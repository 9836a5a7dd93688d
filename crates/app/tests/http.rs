//! The HTTP surface over a real port.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN};
use serde_json::{Value, json};
use support::{Bench, Setup, answer};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_container_lives_from_submit_to_logs() {
    let bench = Bench::new().await;
    let mut worker = bench.worker("w1").await;
    let placed = bench.submit(json!({ "id": "a", "command": ["echo", "hello"], "cpu": 2, "memory": "4Gi" })).await;
    assert_eq!((&placed["state"], &placed["worker"], &placed["attempt"]), (&json!("placed"), &json!("w1"), &json!(1)));
    assert_eq!(placed["owns"], json!({ "cpu_milli": 2000, "memory_mib": 4096 }));
    let (_, early) = bench.get("/v1/containers/a/logs").await;
    assert_eq!(
        (&early["output"], &early["note"]),
        (&Value::Null, &json!("it is placed; its output arrives with its end"))
    );

    worker.run_one(&bench, json!({ "kind": "exited", "code": 7 }), "hello\n", "oh\n").await;

    let (status, ended) = bench.get("/v1/containers/a?wait=1000&until=ended").await;
    assert_eq!(status, 200);
    assert_eq!((&ended["state"], &ended["exit_code"], &ended["worker"]), (&json!("failed"), &json!(7), &json!("w1")));
    assert_eq!(ended["last_end"]["text"], "exited with code 7");
    assert_eq!(ended["request"]["command"], json!(["echo", "hello"]));
    for moment in ["submitted", "placed", "taken", "running", "ended"] {
        assert!(ended[moment]["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{moment}: {ended}");
        assert!(ended[moment]["ms"].as_u64().is_some(), "{moment}: {ended}");
    }
    let (_, logs) = bench.get("/v1/containers/a/logs").await;
    assert_eq!(
        (&logs["output"]["stdout"]["text"], &logs["output"]["stderr"]["text"]),
        (&json!("hello\n"), &json!("oh\n"))
    );
    let (_, explained) = bench.get("/v1/containers/a/explain").await;
    assert_eq!(explained["text"], "failed: exited with code 7");
}

#[tokio::test]
async fn what_can_never_fit_says_so_and_every_worker_is_counted() {
    let bench = Bench::new().await;
    for id in ["w1", "w2", "w3"] {
        bench.worker(id).await;
    }
    let waits = bench.submit(json!({ "id": "big", "command": ["true"], "cpu": 64 })).await;
    assert_eq!((&waits["state"], &waits["reason"]["word"]), (&json!("pending"), &json!("can_never_fit")));
    let text = waits["reason"]["text"].as_str().unwrap();
    assert!(
        text.starts_with("can never fit: asks 64 cpu") && text.contains("w1") && text.ends_with("has 10"),
        "{text}"
    );
    let (_, explained) = bench.get("/v1/containers/big/explain").await;
    assert_eq!(explained["fleet"]["rules"], json!({ "cpu": 3 }));
    assert_eq!((&explained["fleet"]["workers"], &explained["fleet"]["fits"]), (&json!(3), &json!(0)));
    assert_eq!(explained["reason"]["largest"]["worker"], "w1");
}

#[tokio::test]
async fn a_list_is_decided_on_in_one_call_and_a_bad_member_refuses_it_whole() {
    let bench = Bench::new().await;
    let first = json!({ "id": "a", "command": ["true"] });
    let list = json!([first, { "id": "b", "command": ["true"] }]);
    let (status, answer) = bench.post("/v1/containers", list.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(answer["outcomes"][1], json!({ "id": "b", "outcome": "accepted" }));
    let (_, again) = bench.post("/v1/containers", list).await;
    assert_eq!(again["outcomes"][0]["outcome"], "already");

    let (status, already) = bench.post("/v1/containers", first).await;
    assert_eq!((status, &already["outcome"]), (200, &json!("already")));
    let (status, conflict) = bench.post("/v1/containers", json!({ "id": "a", "command": ["false"] })).await;
    assert_eq!((status, &conflict["type"]), (409, &json!("/problems/conflict")));
    assert_eq!(conflict["next"], "stowplan status a");

    let bad = json!([{ "id": "c", "command": ["true"] }, { "id": "d", "command": ["true"], "cpu": "1e3" }]);
    let (status, problem) = bench.post("/v1/containers", bad).await;
    assert_eq!((status, &problem["field"], &problem["value"]), (422, &json!("[1].cpu"), &json!("1e3")));
    assert_eq!(bench.get("/v1/containers/c").await.0, 404);
    let twice = json!([{ "id": "e", "command": ["true"] }, { "id": "e", "command": ["true"] }]);
    let (status, problem) = bench.post("/v1/containers", twice).await;
    assert_eq!((status, &problem["field"]), (422, &json!("[1].id")));
}

#[tokio::test]
async fn pages_skip_and_repeat_nothing() {
    let bench = Bench::new().await;
    let list: Vec<_> = (0..25).map(|n| json!({ "id": format!("c{n:02}"), "command": ["true"] })).collect();
    bench.post("/v1/containers", json!(list)).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = bench.get(&format!("/v1/containers?limit=10{after}")).await;
        seen.extend(page["containers"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, (0..25).map(|n| format!("c{n:02}")).collect::<Vec<_>>());
    let (_, none) = bench.get("/v1/containers?state=running").await;
    assert_eq!(none["containers"], json!([]));
    let (_, both) = bench.get("/v1/containers?state=pending&workspace=other").await;
    assert_eq!(both["containers"], json!([]));
    let (status, problem) = bench.get("/v1/containers?state=pendin").await;
    assert_eq!((status, &problem["field"]), (422, &json!("state")));
    assert!(problem["detail"].as_str().unwrap().contains("pending"), "{problem}");
    let (status, problem) = bench.get("/v1/containers?sate=pending").await;
    assert_eq!(status, 422);
    assert!(problem["detail"].as_str().unwrap().contains("did you mean state?"), "{problem}");
    assert_eq!(bench.get("/v1/containers?limit=x").await.0, 422);
}

#[tokio::test]
async fn a_poll_is_woken_by_its_order_and_by_nothing_else() {
    let bench = Bench::new().await;
    let mut worker = bench.worker("w1").await;
    let mut other = bench.worker_of("w2", json!({ "id": "w2", "cpu": 1, "memory": "1Gi" }), "key2").await;
    let began = Instant::now();
    let (taken, idle, ()) =
        tokio::join!(worker.take(&bench, Value::Null, 30_000), other.take(&bench, Value::Null, 300), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            bench.submit(json!({ "id": "a", "command": ["true"], "cpu": 5 })).await;
        },);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((&taken["verdict"], &taken["orders"][0]["placement"]["container"]), (&json!("ok"), &json!("a")));
    assert_eq!((&idle["verdict"], &idle["orders"]), (&json!("ok"), &json!([])));
    assert_eq!(bench.get("/v1/containers/a").await.1["state"], "starting");

    let upto = taken["upto"].clone();
    let (stopped, ()) = tokio::join!(worker.take(&bench, upto, 30_000), async {
        let (_, stop) = bench.post_empty("/v1/containers/a/stop").await;
        assert_eq!(stop, json!({ "id": "a", "outcome": "stopping", "state": "stopping" }));
    });
    assert_eq!((&stopped["orders"][0]["order"], &stopped["orders"][0]["cause"]), (&json!("stop"), &json!("stop")));
}

#[tokio::test]
async fn many_polls_wait_on_sockets_and_each_gets_its_own() {
    const WORKERS: usize = 200;
    let bench = Arc::new(Bench::new().await);
    let mut polls = JoinSet::new();
    for n in 0..WORKERS {
        let (id, bench) = (format!("w{n:03}"), Arc::clone(&bench));
        let mut worker = bench.worker_of(&id, json!({ "id": id, "cpu": 1, "memory": "1Gi" }), &id).await;
        polls.spawn(async move { worker.take(&bench, Value::Null, 30_000).await });
    }
    let requests: Vec<_> = (0..WORKERS).map(|n| json!({ "id": format!("c{n:03}"), "command": ["true"] })).collect();
    let began = Instant::now();
    bench.post("/v1/containers", json!(requests)).await;
    for taken in polls.join_all().await {
        assert_eq!(taken["orders"].as_array().unwrap().len(), 1);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stop_is_answered_by_what_became_of_it() {
    let bench = Bench::new().await;
    bench.submit(json!({ "id": "a", "command": ["true"] })).await;
    let (_, stop) = bench.post_empty("/v1/containers/a/stop").await;
    assert_eq!(stop, json!({ "id": "a", "outcome": "stopped", "state": "stopped" }));
    let (_, again) = bench.post_empty("/v1/containers/a/stop").await;
    assert_eq!(again["outcome"], "ended");
    let (status, problem) = bench.post_empty("/v1/containers/nobody/stop").await;
    assert_eq!((status, &problem["next"]), (404, &json!("stowplan status")));
    let (_, stopped) = bench.get("/v1/containers/a").await;
    assert_eq!((&stopped["exit_code"], &stopped["last_end"]["kind"]), (&json!(143), &json!("never_started")));
}

#[tokio::test]
async fn workers_are_listed_closed_and_removed() {
    let bench = Bench::new().await;
    let mut worker = bench.worker("w1").await;
    bench.worker_of("w2", json!({ "id": "w2", "cpu": 1.9999, "memory": "1Gi" }), "key2").await;
    let (_, list) = bench.get("/v1/workers").await;
    let ids: Vec<_> = list["workers"].as_array().unwrap().iter().map(|worker| &worker["id"]).collect();
    assert_eq!(ids, ["w1", "w2"]);
    assert_eq!(list["workers"][1]["cpu_milli"], 1999);
    let (_, page) = bench.get("/v1/workers?limit=1").await;
    assert_eq!(page["next"], "w1");
    assert_eq!(bench.get("/v1/workers?after=w1").await.1["workers"][0]["id"], "w2");

    assert_eq!(bench.post_empty("/v1/workers/w1/cordon").await.1["outcome"], "done");
    assert_eq!(bench.post_empty("/v1/workers/w1/cordon").await.1["outcome"], "already");
    assert_eq!(bench.get("/v1/workers/w1").await.1["status"], "cordoned");
    bench.post_empty("/v1/workers/w1/uncordon").await;
    bench.submit(json!({ "id": "a", "command": ["true"], "cpu": 5 })).await;
    worker.take(&bench, Value::Null, 5_000).await;
    let (status, owns) = bench.post_empty("/v1/workers/w1/remove").await;
    assert_eq!((status, &owns["next"]), (409, &json!("stowplan worker drain w1")));
    assert_eq!(bench.post("/v1/workers/w1/drain", json!({ "within": "5s" })).await.1["outcome"], "done");
    assert_eq!(bench.get("/v1/workers/w1").await.1["status"], "draining");
    assert_eq!(bench.post("/v1/workers/w1/drain", json!({ "within": "5" })).await.1["field"], "within");
    let (status, _) = bench.post_empty("/v1/workers/w2/remove").await;
    assert_eq!(status, 200);
    assert_eq!(bench.get("/v1/workers/w2").await.0, 404);
}

#[tokio::test]
async fn a_worker_that_may_live_is_not_called_lost() {
    let bench =
        Bench::with(Setup { keepalive: Duration::from_secs(5), grace: Duration::from_secs(1), ..Setup::default() })
            .await;
    let mut worker = bench.worker("w1").await;
    bench.submit(json!({ "id": "a", "command": ["true"] })).await;
    worker.take(&bench, Value::Null, 5_000).await;
    let lost = json!({ "lost": true, "incarnation": 1 });
    let (status, problem) = bench.post("/v1/workers/w1/remove", lost.clone()).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/worker-lives")));
    assert_eq!(bench.post("/v1/workers/w1/remove", json!({ "lost": true })).await.0, 422);
    assert_eq!(bench.post("/v1/workers/w1/remove", json!({ "incarnation": 1 })).await.0, 422);
    for _ in 0..600 {
        if bench.get("/v1/workers/w1").await.1["status"] == "lost" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.post("/v1/workers/w1/remove", lost).await.0, 200);
    assert_eq!(bench.get("/v1/containers/a").await.1["state"], "pending");
}

#[tokio::test]
async fn registrations_are_refused_in_ways_that_an_agent_can_tell_apart() {
    let bench = Bench::new().await;
    let document = json!({ "id": "w1", "cpu": 10, "memory": "20Gi" });
    let call = |key: &str, incarnation: u64| json!({ "worker": document, "key": key, "incarnation": incarnation, "ready": true });
    let (_, first) = bench.post("/v1/workers", call("k", 5)).await;
    assert_eq!((&first["kill"], &first["keepalive_ms"]), (&json!([]), &json!(120_000)));
    let (status, replaced) = bench.post("/v1/workers", call("k", 4)).await;
    assert_eq!((status, &replaced["type"]), (409, &json!("/problems/worker-replaced")));
    let (status, raise) = bench.post("/v1/workers", call("other", 1)).await;
    assert_eq!((status, &raise["raise_above"], &raise["kill"]), (200, &json!(5), &json!([])));

    let mut worker =
        support::Played { id: "w1".into(), incarnation: 5, number: 0, history: first["history"].as_u64().unwrap() };
    bench.submit(json!({ "id": "a", "command": ["true"] })).await;
    worker.take(&bench, Value::Null, 5_000).await;
    let (status, taken) = bench.post("/v1/workers", call("other", 9)).await;
    assert_eq!((status, &taken["type"]), (409, &json!("/problems/worker-key-taken")));
    assert_eq!(taken["next"], "stowplan worker remove w1 --lost");
    let (status, bad) = bench
        .post("/v1/workers", json!({ "worker": { "id": "w", "cpu": 1 }, "key": "k", "incarnation": 1, "ready": true }))
        .await;
    assert_eq!((status, &bad["field"]), (422, &json!("worker.memory")));

    assert_eq!(worker.beat(&bench).await["verdict"], "ok");
    worker.incarnation = 4;
    assert_eq!(worker.beat(&bench).await["verdict"], "refused");
    worker.id = "nobody".into();
    assert_eq!(worker.beat(&bench).await["verdict"], "removed");
}

#[tokio::test]
async fn a_token_opens_and_only_health_is_open_without() {
    let bench = Bench::with(Setup { token: Some("s3cret"), ..Setup::default() }).await;
    assert_eq!(bench.get("/v1/containers").await.0, 200);
    let bare = |path: &str| bench.client.get(format!("{}{path}", bench.url()));
    let (status, problem) = answer(bare("/v1/containers")).await;
    assert_eq!((status, &problem["type"]), (401, &json!("/problems/unauthorized")));
    assert!(problem["detail"].as_str().unwrap().contains("STOWPLAN_TOKEN"), "{problem}");
    let (status, problem) = answer(bare("/metrics").bearer_auth("s3cre")).await;
    assert_eq!(status, 401);
    assert!(!problem.to_string().contains("s3cre"), "{problem}");
    assert_eq!(answer(bare("/healthz")).await.0, 200);
}

#[tokio::test]
async fn without_a_token_no_web_page_of_elsewhere_gets_in() {
    let bench = Bench::new().await;
    let list = || bench.request(Method::GET, "/v1/containers");
    assert_eq!(answer(list().header(HOST, "evil.example")).await.0, 403);
    assert_eq!(answer(list().header(HOST, "localhost:1")).await.0, 200);
    assert_eq!(answer(list().header(ORIGIN, "http://evil.example")).await.0, 403);
    let submit = bench.request(Method::POST, "/v1/containers").body(r#"{"id": "a", "command": ["true"]}"#);
    let (status, problem) = answer(submit.header(CONTENT_TYPE, "text/plain")).await;
    assert_eq!((status, &problem["type"]), (415, &json!("/problems/unsupported-media-type")));
    assert_eq!(bench.get("/v1/containers/a").await.0, 404);
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let bench = Bench::new().await;
    let refused = async |method: Method, path: &str, body: &'static str| {
        let request = bench.request(method, path).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.unwrap();
        let media_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!(media_type, "application/problem+json", "{path}");
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        format!("{} {}", problem["status"], problem["detail"].as_str().unwrap())
    };
    assert_eq!(refused(Method::GET, "/v1/nothing", "").await, "404 there is nothing at /v1/nothing");
    let said = refused(Method::DELETE, "/v1/containers/a", "").await;
    assert_eq!(said, "405 /v1/containers/a does not take DELETE");
    assert!(refused(Method::POST, "/v1/containers", "{").await.starts_with("400 not JSON: EOF"));
    assert!(refused(Method::POST, "/v1/workers/w/take", "[]").await.starts_with("422 "));
    assert!(refused(Method::GET, "/v1/containers/a%2Fb", "").await.starts_with("422 id: \"a/b\""));
    assert!(refused(Method::GET, "/v1/containers/a?until=soon", "").await.contains("ended"));
}

#[tokio::test]
async fn ready_is_who_can_commit() {
    let bench = Bench::new().await;
    for _ in 0..1_200 {
        if bench.get("/readyz").await.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.get("/readyz").await.0, 200);
    assert_eq!(bench.get("/v1/pools").await, (200, json!({"pools": []})));
    let standby = Bench::with(Setup { plans: false, ..Setup::default() }).await;
    let (status, problem) = standby.get("/readyz").await;
    assert_eq!((status, &problem["detail"]), (503, &json!("this server does not plan the cell")));
    assert_eq!(standby.get("/healthz").await.0, 200);
    standby.post("/v1/containers", json!({ "id": "a", "command": ["true"] })).await;
    for path in ["/v1/containers/a/explain", "/v1/pools"] {
        assert_eq!(standby.get(path).await.0, 503, "{path}");
    }
}

#[tokio::test]
async fn a_closing_server_lets_nobody_wait() {
    let bench = Bench::new().await;
    let mut worker = bench.worker("w1").await;
    bench.post("/v1/containers", json!({ "id": "a", "command": ["true"], "cpu": 64 })).await;
    let began = Instant::now();
    let (taken, (status, _), ()) = tokio::join!(
        worker.take(&bench, Value::Null, 30_000),
        bench.get("/v1/containers/a?wait=30000&until=ended"),
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            bench.close();
        },
    );
    assert_eq!((&taken["orders"], status), (&json!([]), 200));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_export_holds_what_waits_and_what_owns_room() {
    let bench = Bench::new().await;
    bench.worker("w1").await;
    bench.submit(json!({ "id": "a", "command": ["true"], "cpu": 2 })).await;
    bench.submit(json!({ "id": "b", "command": ["true"], "cpu": 64 })).await;
    let (_, page) = bench.get("/v1/export").await;
    assert_eq!(page["more"], false);
    assert_eq!(page["workers"][0]["used"], json!({ "cpu_milli": 2000, "memory_mib": 512 }));
    let mut ids: Vec<_> =
        page["containers"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(ids, ["a", "b"]);
    let used = json!({ "workspace": "default", "cpu_milli": 2000, "memory_mib": 512, "gpu_milli": 0, "containers": 1 });
    assert_eq!(page["usage"], json!([used]));
    let (_, metrics) = bench.get("/metrics").await;
    assert_eq!(metrics, json!("# EOF\n"));
}
