//! The commands: the real binary against a server in this process, with workers played over HTTP.

mod starting;
mod submitting;
#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Bench, Setup, run_all};

/// What a command did.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The command that it says helps.
    fn next(&self) -> &str {
        let next = self.stderr.lines().find_map(|line| line.strip_prefix("next: "));
        next.unwrap_or_else(|| panic!("no next line in {:?}", self.stderr))
    }

    fn assert(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!((self.code, self.stdout.as_str(), self.stderr.as_str()), (code, stdout, stderr));
    }
}

/// The binary, in an empty folder, with nothing of our environment that would lead it elsewhere.
fn stowplan() -> (Command, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowplan"));
    command.current_dir(folder.path()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.as_bytes().starts_with(b"STOWPLAN_") {
            command.env_remove(name);
        }
    }
    (command, folder)
}

/// Runs it without a server.
fn alone(args: &[&str]) -> Said {
    let (mut command, _folder) = stowplan();
    Said::of(&command.args(args).output().expect("it starts"))
}

/// Runs it against the bench.
async fn on(bench: &Bench, args: &[&str]) -> Said {
    with_input(bench, args, "").await
}

async fn with_input(bench: &Bench, args: &[&str], input: &str) -> Said {
    let (mut command, folder) = stowplan();
    std::fs::write(folder.path().join("input"), input).expect("a file");
    let file = std::fs::File::open(folder.path().join("input")).expect("a file");
    command.args(args).env("STOWPLAN_SERVER", bench.url()).stdin(file);
    let output = tokio::task::spawn_blocking(move || {
        let _folder = folder;
        command.output().expect("it starts")
    });
    Said::of(&output.await.expect("it ends"))
}

/// A server with a worker that really runs things.
async fn working() -> Arc<Bench> {
    let bench = Arc::new(Bench::new().await);
    let worker = bench.worker("w1").await;
    run_all(&bench, worker);
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn run_is_as_if_it_ran_here() {
    let bench = working().await;
    on(&bench, &["run", "--", "echo", "hello"]).await.assert(0, "hello\n", "");
    on(&bench, &["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).await.assert(7, "out\n", "err\n");
    on(&bench, &["run", "--", "sh", "-c", "exit 255"]).await.assert(255, "", "");
    on(&bench, &["run", "--", "sh", "-c", "exit 125"]).await.assert(125, "", "");
    let killed = on(&bench, &["run", "--id", "k", "--", "sh", "-c", "kill -9 $$"]).await;
    killed.assert(137, "", "stowplan: k failed: killed by signal 9 (SIGKILL)\n");
    assert_eq!(on(&bench, &["run", "--", "sh", "-c", "kill $$"]).await.code, 143);
    let missing = on(&bench, &["run", "--id", "n", "--", "nosuchcommand"]).await;
    missing.assert(127, "", "stowplan: n failed: could not be started on w1: nosuchcommand: no such command\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_says_why_it_waits() {
    let bench = Arc::new(Bench::new().await);
    let (mut command, folder) = stowplan();
    let stderr = folder.path().join("stderr");
    command.args(["run", "--id", "late", "--", "echo", "hello"]).env("STOWPLAN_SERVER", bench.url());
    command.stdout(Stdio::piped()).stderr(std::fs::File::create(&stderr).expect("a file"));
    let mut running = command.spawn().expect("it starts");
    while !std::fs::read_to_string(&stderr).expect("text").contains("stowplan: late waits: no workers registered\n") {
        assert_eq!(running.try_wait().expect("a child"), None, "it ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let worker = bench.worker("w1").await;
    run_all(&bench, worker);
    let output =
        tokio::task::spawn_blocking(move || running.wait_with_output().expect("it ends")).await.expect("it ends");
    let said = Said::of(&output);
    assert_eq!((said.code, said.stdout.as_str()), (0, "hello\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_the_container() {
    let bench = Arc::new(Bench::new().await);
    let (mut command, _folder) = stowplan();
    command.args(["run", "--id", "long", "--cpu", "64", "--", "sleep", "60"]).env("STOWPLAN_SERVER", bench.url());
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pid = rustix::process::Pid::from_child(&running);
    for _ in 0..3_000 {
        if bench.get("/v1/containers/long").await.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
    let output =
        tokio::task::spawn_blocking(move || running.wait_with_output().expect("it ends")).await.expect("it ends");
    let said = Said::of(&output);
    assert_eq!(said.code, 130, "{}", said.stderr);
    assert_eq!(bench.get("/v1/containers/long").await.1["state"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_our_own_is_told_from_the_commands() {
    let gone = alone(&["run", "--server", "http://127.0.0.1:1", "--", "true"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (125, ""));
    assert!(
        gone.stderr.starts_with("stowplan: error: cannot reach the server at http://127.0.0.1:1: "),
        "{}",
        gone.stderr
    );
    assert_eq!(gone.next(), "stowplan serve");
    let bench = Bench::with(Setup { token: Some("s3cret"), ..Setup::default() }).await;
    let refused = on(&bench, &["run", "--", "true"]).await;
    assert_eq!(refused.code, 125);
    assert!(refused.stderr.starts_with("stowplan: error: no token was given"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn submit_prints_the_first_decision() {
    let bench = Bench::new().await;
    bench.worker("w1").await;
    bench.worker_of("w2", json!({ "id": "w2", "cpu": 4, "memory": "8Gi" }), "key2").await;
    let big = on(&bench, &["submit", "--id", "big", "--cpu", "64", "--", "true"]).await;
    assert_eq!(big.code, 0, "{}", big.stderr);
    assert!(
        big.stdout.starts_with("big waits: can never fit: asks 64 cpu") && big.stdout.contains("w1"),
        "{}",
        big.stdout
    );
    assert_eq!(big.next(), "stowplan explain big");
    let explained = on(&bench, &["explain", "big"]).await;
    assert_eq!(explained.code, 0, "{}", explained.stderr);
    assert!(explained.stdout.contains("cpu          2"), "{}", explained.stdout);

    on(&bench, &["submit", "--id", "a", "--", "true"]).await.assert(0, "a placed on w2\n", "");
    let again = on(&bench, &["submit", "--id", "a", "--", "true"]).await;
    again.assert(0, "a placed on w2\n", "a was handed in before; nothing was added\n");
    let conflict = on(&bench, &["submit", "--id", "a", "--", "false"]).await;
    assert_eq!((conflict.code, conflict.next()), (4, "stowplan status a"));
    let made = on(&bench, &["submit", "--", "/bin/true"]).await;
    assert!(made.stdout.starts_with("true-"), "{}", made.stdout);
    let document = on(&bench, &["submit", "--format", "json", "--id", "j", "--", "true"]).await;
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!(document["id"], "j");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_requests_goes_in_whole_or_not_at_all() {
    let bench = working().await;
    let file = r#"[{"id": "a", "command": ["true"]}, {"command": ["false"]}]"#;
    let said = with_input(&bench, &["submit", "--file", "-", "--wait"], file).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stdout.starts_with("a succeeded on w1\nfalse-"), "{}", said.stdout);
    assert!(said.stdout.ends_with("failed: exited with code 1\n"), "{}", said.stdout);
    let bad = r#"[{"id": "b", "command": ["true"]}, {"id": "c", "command": ["true"], "cpu": -1}]"#;
    let said = with_input(&bench, &["submit", "--file", "-"], bad).await;
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.starts_with("error: standard input: [1].cpu: \"-1\" has a sign"), "{}", said.stderr);
    assert_eq!(bench.get("/v1/containers/b").await.0, 404);
    let both = on(&bench, &["submit", "--file", "-", "--cpu", "2"]).await;
    assert_eq!(both.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_shown_and_stopped() {
    let bench = working().await;
    on(&bench, &["run", "--id", "a", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]).await;
    on(&bench, &["submit", "--id", "big", "--cpu", "64", "--workspace", "lab", "--", "true"]).await;
    let list = on(&bench, &["status"]).await;
    let lines: Vec<&str> = list.stdout.lines().collect();
    assert!(lines[0].starts_with("ID") && lines[1].starts_with('a') && lines[2].starts_with("big"), "{}", list.stdout);
    assert!(lines[1].contains("exited with code 3") && lines[2].contains("can never fit"), "{}", list.stdout);
    let lab = on(&bench, &["status", "--workspace", "lab", "--state", "pending", "--format", "json"]).await;
    let lab: Value = serde_json::from_str(&lab.stdout).unwrap();
    assert_eq!((lab.as_array().unwrap().len(), &lab[0]["id"]), (1, &json!("big")));
    let one = on(&bench, &["status", "a"]).await;
    assert!(one.stdout.contains("exit code    3\n") && one.stdout.contains("worker       w1\n"), "{}", one.stdout);
    on(&bench, &["logs", "a"]).await.assert(0, "out\n", "err\n");
    let early = on(&bench, &["logs", "big"]).await;
    early.assert(0, "", "stowplan: big: it is pending; its output arrives with its end\n");
    on(&bench, &["stop", "big"]).await.assert(0, "big stopped\n", "");
    let stopped = on(&bench, &["stop", "big", "nobody"]).await;
    assert_eq!((stopped.code, stopped.stdout.as_str()), (4, "big had ended before: stopped\n"));
    assert_eq!(stopped.next(), "stowplan status");
    let page = on(&bench, &["status", "--limit", "1"]).await;
    assert_eq!(page.next(), "stowplan status --after a");
    let missing = on(&bench, &["status", "nobody"]).await;
    assert_eq!((missing.code, missing.next()), (4, "stowplan status"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_and_closed() {
    let bench = Bench::new().await;
    let none = on(&bench, &["worker", "list"]).await;
    assert_eq!((none.code, none.next()), (0, "stowplan agent --help"));
    bench.worker("w1").await;
    let list = on(&bench, &["worker", "list"]).await;
    assert!(
        list.stdout.contains("w1") && list.stdout.contains("10 of 10") && list.stdout.contains("20Gi of 20Gi"),
        "{}",
        list.stdout
    );
    on(&bench, &["worker", "cordon", "w1"]).await.assert(0, "w1 is cordoned\n", "");
    on(&bench, &["worker", "cordon", "w1"]).await.assert(0, "w1 is cordoned already\n", "");
    on(&bench, &["worker", "uncordon", "w1"]).await.assert(0, "w1 is open\n", "");
    let drained = on(&bench, &["worker", "drain", "w1", "--within", "5s"]).await;
    drained.assert(0, "w1 is draining; what runs may finish within 5s\n", "");
    let bad = on(&bench, &["worker", "drain", "w1", "--within", "5"]).await;
    assert_eq!(bad.code, 2, "{}", bad.stderr);
    let lives = on(&bench, &["worker", "remove", "w1", "--lost"]).await;
    assert_eq!((lives.code, lives.next()), (4, "stowplan worker list"));
    on(&bench, &["worker", "remove", "w1"]).await.assert(0, "w1 is removed\n", "");
    let missing = on(&bench, &["worker", "remove", "w1"]).await;
    assert_eq!((missing.code, missing.next()), (4, "stowplan worker list"));
}

#[test]
fn a_command_line_that_cannot_be_read_is_answered_with_one_that_can() {
    let table = [
        (
            &["submit", "--cpuu", "1", "--", "true"][..],
            "error: unknown option --cpuu",
            "stowplan submit --cpu 1 -- true",
        ),
        (&["statsu"], "error: unknown command statsu", "stowplan status --help"),
        (
            &["run", "echo", "hello"],
            "error: unexpected argument echo; a command to run goes after --",
            "stowplan run -- echo hello",
        ),
        (
            &["run"],
            "error: the following required arguments were not provided: <COMMAND>...",
            "stowplan run -- echo hello",
        ),
        (&["submit"], "error: command: it is empty; name a program to run", "stowplan submit --cpu 1 -- true"),
        (
            &["submit", "--cpu", "1e3", "--", "true"],
            "error: --cpu: \"1e3\" has an exponent",
            "stowplan submit --cpu 1 -- true",
        ),
        (
            &["run", "--memory", "5", "--", "true"],
            "stowplan: error: --memory: \"5\" has no unit",
            "stowplan run -- echo hello",
        ),
        (&["worker", "lst"], "error: unknown command lst", "stowplan worker list --help"),
        (&["worker"], "error: no command was given after worker", "stowplan worker --help"),
        (&[], "error: no command was given", "stowplan --help"),
        (
            &["serve", "--listen", "0.0.0.0:1"],
            "error: listen: \"0.0.0.0:1\" is no loopback address",
            "stowplan serve --help",
        ),
        (&["status", "a/b"], "error: \"a/b\" names no container", "stowplan status"),
        (
            &["status", "--server", "https://x"],
            "error: --server: \"https://x\" is no http:// address",
            "stowplan status --help",
        ),
    ];
    for (args, error, next) in table {
        let said = alone(args);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{args:?}: {}", said.stderr);
        assert!(said.stderr.starts_with(error), "{args:?}: {}", said.stderr);
        let led = next.replace("status --help", "status --server https://x --help");
        assert!(said.next() == next || said.next() == led, "{args:?}: {}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_next_line_works_when_it_is_pasted() {
    let bench = working().await;
    on(&bench, &["submit", "--id", "a", "--", "true"]).await;
    let mistakes = [
        &["run"][..],
        &["submit", "--cpuu", "1"],
        &["submit", "--id", "a", "--", "false"],
        &["submit", "--cpu", "64", "--", "true"],
        &["submit", "--file", "/no/such/file"],
        &["status", "nobody"],
        &["status", "--limit", "1"],
        &["statsu"],
        &["logs"],
        &["logs", "nobody"],
        &["stop", "a/b"],
        &["explain", "nobody"],
        &["worker", "remove", "w1", "--lost"],
        &["worker", "drain", "nobody"],
        &["worker", "drain", "w1", "--within", "5"],
        &["worker", "lst"],
        &["config", "check", "--listen", "here"],
        &["config", "shw"],
        &["plan"],
        &["serve", "--lisen", "x"],
        &["agent"],
        &[],
    ];
    for mistake in mistakes {
        let said = on(&bench, mistake).await;
        let words: Vec<&str> = said.next().split(' ').collect();
        let pasted = on(&bench, &words[1..]).await;
        assert_eq!((words[0], pasted.code), ("stowplan", 0), "{mistake:?} says {words:?}: {}", pasted.stderr);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_by_their_position() {
    let (mut command, _folder) = stowplan();
    let bad = OsStr::from_bytes(b"\xff");
    let said = Said::of(&command.args(["run", "--", "printf", "%s"]).arg(bad).output().unwrap());
    assert_eq!(said.code, 2);
    assert!(said.stderr.starts_with("error: argument 5, after %s, is not UTF-8"), "{}", said.stderr);
    let (mut command, _folder) = stowplan();
    let bad = OsStr::from_bytes(b"\xa3");
    let said = Said::of(&command.args(["config", "check"]).env("BAD", bad).output().unwrap());
    said.assert(0, "the configuration can be used\n", "");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let said = alone(&["status", "--server", "127.0.0.1:1"]);
    assert_eq!((said.code, said.next()), (3, "stowplan serve"));
    assert!(said.stderr.starts_with("error: cannot reach the server at http://127.0.0.1:1: "), "{}", said.stderr);
    let (mut command, folder) = stowplan();
    std::fs::create_dir(folder.path().join(".stowplan")).unwrap();
    std::fs::write(folder.path().join(".stowplan/address"), "http://127.0.0.1:2\n").unwrap();
    let said = Said::of(&command.arg("status").output().unwrap());
    assert!(said.stderr.contains("http://127.0.0.1:2"), "{}", said.stderr);
}

#[test]
fn the_configuration_is_shown_with_its_origins_and_without_the_token() {
    let (mut command, folder) = stowplan();
    std::fs::write(folder.path().join("stowplan.toml"), "max_batch_size = 7\n").unwrap();
    command.args(["config", "show", "--keepalive", "60s"]).env("STOWPLAN_TOKEN", "s3cret").env("STOWPLAN_GRACE", "20s");
    let said = Said::of(&command.output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let origin = |setting: &str| {
        let line = said.stdout.lines().find(|line| line.starts_with(setting)).unwrap_or_else(|| panic!("{setting}"));
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert!(origin("max_batch_size").ends_with("stowplan.toml"), "{}", said.stdout);
    assert_eq!(
        (origin("keepalive"), origin("grace"), origin("listen")),
        ("flag".into(), "environment".into(), "default".into())
    );
    assert!(said.stdout.contains("not shown") && !said.stdout.contains("s3cret"), "{}", said.stdout);
    std::fs::write(folder.path().join("stowplan.toml"), "max_batch_sze = 7\n").unwrap();
    let (mut command, _own) = stowplan();
    let said = Said::of(&command.current_dir(folder.path()).args(["config", "check"]).output().unwrap());
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(
        said.stderr.contains("max_batch_sze") && said.stderr.contains("did you mean max_batch_size?"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_configuration_is_a_document_of_values_for_programs() {
    let said = alone(&["config", "show", "--format", "json", "--store", "redis://:s3cret@box:6379"]);
    let rows: Value = serde_json::from_str(&said.stdout).unwrap();
    let value = |setting: &str| {
        let found = rows.as_array().unwrap().iter().find(|row| row["setting"] == setting);
        found.unwrap_or_else(|| panic!("{setting} is not listed"))["value"].clone()
    };
    assert_eq!(
        (value("keep_ended_max"), value("cell"), value("store"), value("max_batch_size")),
        (json!(100_000), json!("main"), json!("redis://***@box:6379"), json!(100))
    );
}

#[test]
fn filters_that_no_container_can_pass_are_refused_by_name() {
    for (args, error) in [
        (&["--limit", "0"][..], "--limit: \"0\" is nothing; ask for 1 or more"),
        (&["--state", "runing"], "--state: \"runing\" is not known; did you mean running?"),
        (&["--worker", "a/b"], "--worker: \"a/b\": '/' is not allowed in a name"),
        (&["--after", "a/b"], "--after: \"a/b\": '/' is not allowed in a name"),
        (&["c1", "--state", "running"], "the argument '[ID]' cannot be used with '--state <STATE>'"),
    ] {
        let said = alone(&[&["status", "--server", "127.0.0.1:1"], args].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
        assert!(said.stderr.starts_with(&format!("error: {error}")), "{}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_nothing_is_refused() {
    let bench = Bench::new().await;
    for path in ["/v1/containers", "/v1/workers", "/v1/export"] {
        for (limit, words) in [("0", "ask for 1 or more"), ("x", "\"x\" is not a number")] {
            let (status, said) = bench.get(&format!("{path}?limit={limit}")).await;
            let detail = said["detail"].as_str().unwrap_or_default();
            assert!(
                status == 422 && detail.starts_with("limit: ") && detail.contains(words),
                "{path}: {status} {said}"
            );
        }
        assert_eq!(bench.get(&format!("{path}?limit=1000000")).await.0, 200);
    }
}

#[test]
fn the_version_is_told() {
    alone(&["--version"]).assert(0, &format!("stowplan {}\n", env!("CARGO_PKG_VERSION")), "");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    for args in [&["--help"][..], &["config", "show"], &["plan", "--help"]] {
        let (mut command, _folder) = stowplan();
        let mut running = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(running.stdout.take());
        let said = Said::of(&running.wait_with_output().unwrap());
        assert!(said.code == 0 && !said.stderr.contains("panicked"), "{args:?}: {} {}", said.code, said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_worth_a_word_once_a_beat_is_missing() {
    for (keepalive, is_told) in [(Duration::from_mins(10), false), (Duration::from_secs(4), true)] {
        let bench = Bench::with(Setup { keepalive, grace: Duration::from_hours(1), ..Setup::default() }).await;
        bench.worker("w1").await;
        let is_silent = |worker: &Value| worker["silent_ms"].as_u64().is_some_and(|silent| silent > 1_500);
        while !is_silent(&bench.get("/v1/workers/w1").await.1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = on(&bench, &["worker", "list"]).await;
        assert_eq!(said.stdout.contains("silent for"), is_told, "{}", said.stdout);
    }
}

#[test]
fn who_finds_the_store_away_is_sent_to_the_doctor() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let (mut call, _) = server.accept().unwrap();
        let body = json!({"type": "/problems/unavailable", "title": "not available now", "status": 503, "detail": "the store is unavailable"});
        let body = body.to_string();
        let head = format!("HTTP/1.1 503 Service Unavailable\r\ncontent-length: {}\r\n\r\n", body.len());
        assert!(call.read(&mut [0; 4096]).unwrap() > 0);
        call.write_all((head + &body).as_bytes()).unwrap();
    });
    let said = alone(&["status", "--server", &address]);
    serving.join().unwrap();
    assert_eq!((said.code, said.next()), (3, &*format!("stowplan doctor --server {address}")), "{}", said.stderr);
}
