//! Agents that a server starts on its own machine.

use std::fs;
use std::sync::Arc;

use app::agent::data;
use app::agent::procfs::ProcessIdentity;
use app::config::ProviderConfig;
use app::providers::{Context, open};
use ports::{AddOutcome, ProviderRemoveOutcome, WorkerProvider};
use rustix::process::{Pid, Signal, getsid, kill_process};
use serde_json::json;

use crate::{Ground, TOKEN, command_line, eventually, ids, new_worker, pids, pool, state};

fn opened(ground: &Ground, agent_args: &[&str]) -> Arc<dyn WorkerProvider> {
    ground.open(ProviderConfig::Process { agent_args: agent_args.iter().map(|arg| (*arg).to_owned()).collect() })
}

/// A server whose cell is in `store` opens the folder.
fn opened_of(ground: &Ground, store: &str) -> anyhow::Result<Option<Arc<dyn WorkerProvider>>> {
    let context = Context { store: store.to_owned(), ..ground.context() };
    open(&pool(ProviderConfig::Process { agent_args: Vec::new() }), &context)
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn only(ground: &Ground) -> i32 {
    let agents = ground.agents();
    assert_eq!(agents.len(), 1, "{agents:?}");
    *agents.first().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_has_a_session_of_its_own_and_no_secret_to_be_read() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &["--log", "json"]);
    assert_eq!(provider.add(vec![new_worker("w1")]).await.unwrap(), [AddOutcome::Coming]);
    ground.available("w1").await;
    let pid = only(&ground);
    assert_eq!(getsid(Pid::from_raw(pid)).unwrap().as_raw_pid(), pid);
    assert!(!command_line(pid).contains(TOKEN));
    let log = fs::read_to_string(ground.folder.path().join("burst/workers/w1/log")).unwrap();
    assert!(log.contains("\"message\":\"agent started\"") && !log.contains(TOKEN), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_agent_is_no_zombie_and_is_started_again() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &[]);
    assert_eq!(provider.add(vec![new_worker("w1")]).await.unwrap(), [AddOutcome::Coming]);
    let first = ground.available("w1").await;
    let pid = only(&ground);
    kill(pid, Signal::KILL);
    eventually("the dead agent is waited for", || state(pid).is_none()).await;
    assert_eq!(provider.list().await.unwrap(), ids(&["w1"]), "it was not removed");

    assert_eq!(provider.add(vec![new_worker("w1")]).await.unwrap(), [AddOutcome::Coming]);
    assert_ne!(only(&ground), pid);
    let mut again = ground.available("w1").await;
    while again["incarnation"] == first["incarnation"] {
        again = ground.available("w1").await;
    }
    assert_eq!(provider.list().await.unwrap(), ids(&["w1"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_outlives_whoever_started_it_and_is_found_by_the_next() {
    let ground = Ground::new().await;
    let first = opened(&ground, &[]);
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(first.add(vec![new_worker("w1")])).unwrap()
    });
    assert_eq!(server.join().unwrap(), [AddOutcome::Coming]);
    let pid = only(&ground);
    let next = opened(&ground, &[]);
    assert_eq!(next.list().await.unwrap(), ids(&["w1"]));
    ground.available("w1").await;
    assert_eq!(next.add(vec![new_worker("w1")]).await.unwrap(), [AddOutcome::Coming]);
    assert_eq!(only(&ground), pid);
    assert_eq!(next.remove(ids(&["w1"])).await.unwrap(), [ProviderRemoveOutcome::Gone]);
    assert!(ground.agents().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pid_that_is_a_strangers_by_now_gets_no_signal() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &[]);
    assert_eq!(provider.add(vec![new_worker("w1")]).await.unwrap(), [AddOutcome::Coming]);
    kill(only(&ground), Signal::KILL);
    let mut stranger = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let file = ground.folder.path().join("burst/workers/w1/agent/process.json");
    let mut process: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    process["pid"] = json!(stranger.id());
    fs::write(&file, process.to_string()).unwrap();

    assert_eq!(provider.remove(ids(&["w1"])).await.unwrap(), [ProviderRemoveOutcome::Gone]);
    assert_eq!(provider.list().await.unwrap(), []);
    assert!(stranger.try_wait().unwrap().is_none(), "it lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_worker_leaves_neither_agent_nor_shim_nor_container() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &[]);
    provider.add(vec![new_worker("w1"), new_worker("w2")]).await.unwrap();
    ground.available("w1").await;
    let mark = format!("{}", std::process::id() + 1_000_000);
    let script = format!("trap '' TERM; sleep {mark} & while :; do sleep {mark}; done");
    for id in ["a", "b"] {
        let request =
            json!({ "id": id, "command": ["sh", "-c", script], "cpu": 1.5, "memory": "1Gi", "pool": "burst" });
        ground.bench.submit(request).await;
    }
    eventually("both containers run", || ground.processes("shim").len() == 2).await;
    let containers = || pids().filter(|pid| command_line(*pid).contains(&mark)).count();
    eventually("and what they start", || containers() >= 4).await;
    // One shim that does not hear is no way out.
    kill(*ground.processes("shim").first().unwrap(), Signal::KILL);
    // An agent that does not hear of TERM is killed.
    for agent in ground.agents() {
        kill(agent, Signal::STOP);
    }
    let outcomes = provider.remove(ids(&["w1", "w2"])).await.unwrap();
    assert_eq!(outcomes, [ProviderRemoveOutcome::Gone, ProviderRemoveOutcome::Gone]);
    assert_eq!(ground.agents().len(), 0);
    eventually("the shims to end", || ground.processes("shim").is_empty()).await;
    eventually("what they ran to end", || containers() == 0).await;
    assert!(!ground.folder.path().join("burst/workers/w1").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_has_left_is_not_started_again() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &[]);
    provider.add(vec![new_worker("w1")]).await.unwrap();
    ground.available("w1").await;
    let (status, said) = ground.bench.post("/v1/workers/w1/remove", json!({})).await;
    assert_eq!(status, 200, "{said}");
    eventually("its agent has left", || ground.agents().is_empty()).await;
    let agent = ground.folder.path().join("burst/workers/w1/agent");
    assert!(data::has_left(&agent));
    let outcomes = provider.add(vec![new_worker("w1")]).await.unwrap();
    assert!(matches!(&outcomes[..], [AddOutcome::Failed(why)] if why.contains("has left")), "{outcomes:?}");
    // As between its word of farewell and its end.
    let mut leaving = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let process = ProcessIdentity::of(leaving.id().cast_signed()).unwrap();
    fs::write(agent.join("process.json"), serde_json::to_vec(&process).unwrap()).unwrap();
    assert_eq!(data::running(&agent), Some(process));
    let outcomes = provider.add(vec![new_worker("w1")]).await.unwrap();
    assert!(matches!(&outcomes[..], [AddOutcome::Failed(why)] if why.contains("has left")), "{outcomes:?}");
    assert_eq!(provider.remove(ids(&["w1"])).await.unwrap(), [ProviderRemoveOutcome::Gone]);
    leaving.wait().unwrap();
    assert_eq!(provider.add(vec![new_worker("w1")]).await.unwrap(), [AddOutcome::Coming], "forgotten, it is new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_ends_at_once_says_why_and_hurts_no_other() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &[]);
    let bad = ground.folder.path().join("burst/workers/w1/agent");
    fs::create_dir_all(&bad).unwrap();
    let theirs = json!({ "key": "k", "worker": "other", "machine": "m", "inode": 1 });
    fs::write(bad.join("identity.json"), theirs.to_string()).unwrap();
    let outcomes = provider.add(vec![new_worker("w1"), new_worker("w2")]).await.unwrap();
    let [AddOutcome::Failed(why), AddOutcome::Coming] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(why.contains("belongs to worker other"), "{why}");
    ground.available("w2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_boots_is_pending_and_then_available() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &["--boot-delay", "1s"]);
    assert_eq!(provider.add(vec![new_worker("w1")]).await.unwrap(), [AddOutcome::Coming]);
    let mut seen = Vec::new();
    while seen.last() != Some(&json!("available")) {
        let (_, list) = ground.bench.get("/v1/workers").await;
        let status = list["workers"][0]["status"].clone();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        assert!(seen.len() < 4, "{seen:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    seen.retain(|status| !status.is_null());
    assert_eq!(seen, ["pending", "available"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_runs_what_its_template_says_that_it_can() {
    let ground = Ground::new().await;
    let provider = opened(&ground, &[]);
    let mut worker = new_worker("w1");
    let simulate = domain::id::Runtime::new("simulate").unwrap();
    worker.spec = Arc::new(domain::worker::WorkerSpec { runtimes: vec![simulate], ..(*worker.spec).clone() });
    assert_eq!(provider.add(vec![worker]).await.unwrap(), [AddOutcome::Coming]);
    assert_eq!(ground.available("w1").await["runtime"], "simulate");
    let request = json!({ "id": "a", "command": ["no", "such", "command"], "runtime": "simulate", "pool": "burst" });
    ground.bench.submit(request).await;
    let (_, ended) = ground.bench.get("/v1/containers/a?wait=30000&until=ended").await;
    assert_eq!((&ended["state"], &ended["exit_code"]), (&json!("succeeded"), &json!(0)), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_store_keeps_off_the_workers_of_one_that_runs() {
    let ground = Ground::new().await;
    let first = opened_of(&ground, "redis://a:6379").unwrap();
    let second = opened_of(&ground, "redis://a:6379").unwrap();
    let Err(refused) = opened_of(&ground, "embedded") else { panic!("it would take them for strays") };
    let said = format!("{refused:#}");
    for word in ["pool burst", "redis://a:6379", "embedded", "--data"] {
        assert!(said.contains(word), "{said:?} does not say {word}");
    }
    drop(first);
    assert!(opened_of(&ground, "embedded").is_err(), "the second runs");
    drop(second);
    let next = opened_of(&ground, "embedded").expect("what nobody runs is nobody's");
    assert!(opened_of(&ground, "redis://a:6379").is_err());
    drop(next);
}
