//! Programs of the operator's: what they are asked, and what becomes of answers that are none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use app::config::ProviderConfig;
use app::providers::open;
use domain::model::placements::NewWorker;
use domain::worker::WorkerSpec;
use ports::{AddOutcome, PortError, PortResult, ProviderRemoveOutcome, WorkerProvider};
use serde_json::{Value, json};

use crate::{Ground, PATIENCE, command_line, eventually, ids, new_worker, pids, pool};

struct Program {
    ground: Ground,
}

impl Program {
    async fn new() -> Self {
        Self { ground: Ground::new().await }
    }

    fn path(&self) -> &Path {
        self.ground.folder.path()
    }

    /// A provider whose program is this script.
    fn provider(&self, script: &str, call_within: Duration) -> Arc<dyn WorkerProvider> {
        let program = self.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut pool = pool(ProviderConfig::Command { command: vec![program.to_str().unwrap().to_owned()] });
        pool.settings.call_within = call_within;
        open(&pool, &self.ground.context()).unwrap().unwrap()
    }

    fn says(&self, script: &str) -> Arc<dyn WorkerProvider> {
        self.provider(script, Duration::from_secs(20))
    }

    /// Why adding w1 and w2 came to nothing.
    async fn failure(&self, script: &str) -> String {
        unavailable(self.says(script).add(vec![new_worker("w1"), new_worker("w2")]).await)
    }
}

fn unavailable<T: std::fmt::Debug>(answer: PortResult<T>) -> String {
    match answer {
        Err(error @ PortError::Unavailable(_)) => error.in_full(),
        other => panic!("{other:?}"),
    }
}

/// An example of the reference.
fn documented(index: usize) -> Value {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/provider.md");
    let page = fs::read_to_string(page).unwrap();
    let block = page.split("```json\n").nth(index + 1).unwrap().split("```").next().unwrap();
    serde_json::from_str(block).unwrap()
}

/// A worker as the reference has it.
fn in_the_documents(id: &str) -> NewWorker {
    let mut spec = WorkerSpec::clone(&new_worker(id).spec);
    (spec.total.cpu_milli, spec.total.memory_mib) = (4_000, 8_192);
    spec.labels.insert("zone".into(), "b".into());
    NewWorker { spec: Arc::new(spec), boot_within: Duration::from_millis(299_001), ..new_worker(id) }
}

/// A question, as if the server were where the reference has it.
fn with_server(question: Value) -> serde_json::Map<String, Value> {
    let Value::Object(mut question) = question else { panic!("{question}") };
    let server = question.insert("server".to_owned(), json!("http://127.0.0.1:7070"));
    assert!(server.is_some_and(|server| server.as_str().unwrap().starts_with("http://127.0.0.1:")));
    question
}

#[tokio::test]
async fn a_program_is_asked_as_the_protocol_says() {
    let program = Program::new().await;
    let asked =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(program.path().join(name)).unwrap()).unwrap() };
    let answer =
        |name: &str, answer: &str| program.says(&format!("cat > {}/{name}; echo '{answer}'", program.path().display()));
    let [question, outcomes] = [0, 1].map(documented);
    let added = answer("add", &outcomes.to_string()).add(["burst-1", "burst-2"].map(in_the_documents).to_vec()).await;
    let sold_out = AddOutcome::Failed("no quota left in this region".to_owned());
    assert_eq!(added.unwrap(), [AddOutcome::Coming, sold_out]);
    assert_eq!(Value::Object(with_server(asked("add"))), question);

    let (first, second) = (r#"{"id":"w1","outcome":"failed"}"#, r#"{"id":"w2","outcome":"coming"}"#);
    let added = answer("add", &format!(r#"{{"outcomes":[{second},{first}]}}"#));
    let added = added.add(vec![new_worker("w1"), new_worker("w2")]).await.unwrap();
    assert!(
        matches!(&added[..], [AddOutcome::Failed(_), AddOutcome::Coming]),
        "in the order of the question: {added:?}"
    );

    let removed =
        answer("remove", r#"{"outcomes":[{"id":"w1","outcome":"gone"}]}"#).remove(ids(&["w1"])).await.unwrap();
    assert_eq!(removed, [ProviderRemoveOutcome::Gone]);
    assert_eq!((&asked("remove")["call"], &asked("remove")["workers"]), (&json!("remove"), &json!([{ "id": "w1" }])));
    assert_eq!(answer("list", &documented(2).to_string()).list().await.unwrap(), ids(&["burst-1"]));
    assert_eq!(answer("list", r#"{"workers":["w2","w1"]}"#).list().await.unwrap(), ids(&["w1", "w2"]));
    assert_eq!((&asked("list")["call"], asked("list").get("workers")), (&json!("list"), None));
}

#[tokio::test]
async fn an_answer_that_is_none_says_what_is_wrong_with_it() {
    let program = Program::new().await;
    let coming = |id: &str| format!(r#"{{"id":"{id}","outcome":"coming"}}"#);
    let outcomes = |list: &[String]| format!(r#"echo '{{"outcomes":[{}]}}'"#, list.join(","));
    let unknown = r#"{"id":"w2","outcome":"comming"}"#.to_owned();
    for (script, words) in [
        ("echo no credentials >&2; exit 3".to_owned(), &["exit status: 3", "no credentials"][..]),
        ("kill -9 $$".to_owned(), &["signal: 9"]),
        ("echo hello".to_owned(), &["not JSON"]),
        ("true".to_owned(), &["not JSON"]),
        ("echo '{\"outcome\":[]}'; echo oh >&2".to_owned(), &["outcome", "outcomes?", "oh"]),
        ("echo '[]'".to_owned(), &["an object"]),
        (outcomes(&[coming("w1")]), &["outcomes", "\"w2\""]),
        (outcomes(&[coming("w1"), coming("w2"), coming("w1")]), &["outcomes[2].id", "\"w1\"", "already"]),
        (outcomes(&[coming("w1"), coming("w2"), coming("w3")]), &["outcomes[2].id", "\"w3\"", "not asked"]),
        (outcomes(&[coming("w1"), unknown]), &["outcomes[1].outcome", "comming", "coming?"]),
        ("yes | head -c 3000000".to_owned(), &["more than 1048576 bytes"]),
    ] {
        let said = program.failure(&script).await;
        for word in words {
            assert!(said.contains(word), "{script}: {said:?} does not say {word}");
        }
        assert!(said.contains("pool burst") && said.contains("program"), "{said}");
    }
    let said = unavailable(program.says(r#"echo '{"workers":["w1","w1"]}'"#).list().await);
    assert!(said.contains("workers[1]") && said.contains("already"), "{said}");
    let said = unavailable(program.says(r#"echo '{"workers":["a b"]}'"#).list().await);
    assert!(said.contains("workers[0]") && said.contains("a b"), "{said}");
    let long = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1";
    let said = program.failure(long).await;
    assert!(said.len() < 4_000 && said.ends_with("the end"), "{} bytes", said.len());
    let gone = ProviderConfig::Command { command: vec!["/no/such/program".to_owned()] };
    let said = unavailable(program.ground.open(gone).list().await);
    assert!(said.contains("/no/such/program") && said.contains("cannot be started"), "{said}");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_all_that_it_started() {
    let program = Program::new().await;
    let mark = format!("{}", std::process::id() + 2_000_000);
    let left = || pids().filter(|pid| command_line(*pid).contains(&mark)).count();
    let script = format!("trap '' TERM; sleep {mark} & echo waiting >&2; sleep {mark}");
    let slow = program.provider(&script, Duration::from_secs(3));
    let listed = tokio::time::timeout(PATIENCE, slow.list()).await;
    let said = unavailable(listed.expect("it is not waited for"));
    assert!(said.contains("not ended within 3 s") && said.contains("waiting"), "{said}");
    eventually("its group is killed", || left() == 0).await;

    // Whoever asked has given up.
    let slow = program.provider(&script, PATIENCE);
    assert!(tokio::time::timeout(Duration::from_millis(500), slow.list()).await.is_err());
    eventually("its group is killed", || left() == 0).await;
}

#[tokio::test]
async fn what_a_program_leaves_running_holds_no_answer_up() {
    let program = Program::new().await;
    let mark = format!("{}", std::process::id() + 3_000_000);
    let script = format!("sleep {mark} & echo '{{\"workers\":[\"w1\"]}}'");
    // The call may take twice as long as it is waited for.
    let listed = tokio::time::timeout(PATIENCE / 2, program.says(&script).list()).await;
    assert_eq!(listed.expect("it is held up").unwrap(), ids(&["w1"]));
    let left: Vec<_> = pids().filter(|pid| command_line(*pid).contains(&mark)).collect();
    assert_eq!(left.len(), 1, "it is left alone");
    rustix::process::kill_process(rustix::process::Pid::from_raw(left[0]).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
}

#[tokio::test]
async fn what_a_program_leaves_talking_holds_no_answer_up() {
    let program = Program::new().await;
    let talks = "while echo talks >&2; do sleep 0.02; done & echo '{\"workers\":[\"w1\"]}'";
    assert_eq!(program.says(talks).list().await.unwrap(), ids(&["w1"]));
}
