//! Servers and agents, as they start, and why they do not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::{Bench, Setup};
use crate::{Said, alone, on, stowplan};

/// Starts a server or an agent, which are no commands that end by themselves.
fn start(args: &[&str], stdout: Stdio, stderr: Stdio) -> (Child, tempfile::TempDir) {
    let (mut command, folder) = stowplan();
    (command.args(args).stdout(stdout).stderr(stderr).spawn().expect("it starts"), folder)
}

fn full_disk() -> Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it").into()
}

/// Waits until it says this on standard error; fails if it ends before. Answers all that it said by then.
fn wait_until_said(running: &mut Child, words: &str) -> String {
    let lines = BufReader::new(running.stderr.as_mut().expect("it is piped")).lines();
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        said = said + &line + "\n";
        if line.contains(words) {
            return said;
        }
    }
    panic!("it ended before it said {words}:\n{said}");
}

fn terminate(mut running: Child) -> i32 {
    rustix::process::kill_process(rustix::process::Pid::from_child(&running), rustix::process::Signal::TERM)
        .expect("it lives");
    Said::of(&Output { status: running.wait().expect("it ends"), stdout: Vec::new(), stderr: Vec::new() }).code
}

#[test]
fn a_server_whose_output_nobody_takes_serves() {
    let (mut serving, _folder) = start(&SERVE, full_disk(), Stdio::piped());
    wait_until_said(&mut serving, "the right to plan this cell changed hands held=true");
    assert_eq!(terminate(serving), 0);
}

#[test]
fn a_server_that_is_told_to_end_as_soon_as_it_listens_ends_in_order() {
    for _ in 0..5 {
        let (mut serving, _folder) = start(&SERVE, Stdio::piped(), Stdio::null());
        let mut first = String::new();
        BufReader::new(serving.stdout.as_mut().expect("it is piped")).read_line(&mut first).expect("it says a line");
        assert!(first.starts_with("listening on "), "{first}");
        assert_eq!(terminate(serving), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_words_nobody_takes_goes_on() {
    let bench = Bench::new().await;
    let url = bench.url();
    let (mut agent, _folder) = start(&["agent", "--id", "w1", "--server", &url], Stdio::null(), full_disk());
    while bench.get("/v1/workers/w1").await.0 != 200 {
        assert_eq!(agent.try_wait().unwrap(), None, "it ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(terminate(agent), 0, "it says a word of farewell, and panics at no disk");
}

/// A folder whose configuration has a pool, of which this is said besides.
fn with_pool(rest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let pool = "[pools.own]\nworker = { cpu = 1, memory = \"1Gi\" }\nmax = 1\n";
    std::fs::write(folder.path().join("stowplan.toml"), format!("{pool}{rest}\n")).expect("a file");
    folder
}

/// What the program says in this folder; told to end after a while, should it not end by itself.
fn said_in(folder: &tempfile::TempDir, args: &[&str]) -> Said {
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_stowplan")]).args(args).current_dir(folder);
    Said::of(&command.output().expect("it starts"))
}

const SERVE: [&str; 5] = ["serve", "--store", "memory", "--listen", "127.0.0.1:0"];

#[test]
fn flags_of_a_pool_that_no_agent_takes_are_refused_by_a_check_and_by_a_server_alike() {
    let folder = with_pool("provider = \"process\"\nagent_args = [\"--bogus\"]");
    for args in [&["config", "check"][..], &SERVE] {
        let error = "pools.own.agent_args: \"--bogus\" is no flag of an agent; stowplan agent --help lists them";
        said_in(&folder, args).assert(2, "", &format!("error: {error}\nnext: stowplan serve --help\n"));
    }
}

#[test]
fn a_program_of_a_pool_that_is_not_there_is_refused_by_a_check_and_keeps_no_server_from_its_work() {
    let folder = with_pool("provider = \"command\"\ncommand = [\"/no/such/program\"]");
    let missing = "pools.own.command: \"/no/such/program\" cannot be started: No such file or directory";
    let said = said_in(&folder, &["config", "check"]);
    assert!(said.code == 2 && said.stderr.starts_with(&format!("error: {missing}")), "{}", said.stderr);
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowplan"));
    let mut serving =
        command.args(SERVE).current_dir(&folder).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let said = wait_until_said(&mut serving, "the right to plan this cell changed hands held=true");
    assert!(said.contains(missing), "{said}");
    assert_eq!(terminate(serving), 0);
}

#[test]
fn arguments_that_make_no_agent_are_refused_by_name() {
    for (args, error) in [
        (&["--cpu", "x"][..], "--cpu: \"x\" is not a number; write a plain decimal such as 2 or 0.5"),
        (&["--cpu", "0"], "--cpu: 0 is nothing; offer more than 0"),
        (&["--memory", "5"], "--memory: \"5\" has no unit; write 5Mi or 5Gi"),
        (
            &["--server", "https://a"],
            "--server: \"https://a\" is no http:// address; write it as http://127.0.0.1:7070",
        ),
        (&["--executor", "hook"], "--hook: is missing; --executor hook needs the program that it runs"),
        (&["--hook", "/a"], "--hook: is of use with --executor hook only; add that, or leave --hook out"),
        (
            &["--token-file", "a"],
            "--token-file: cannot read the token's file a: No such file or directory (os error 2)",
        ),
    ] {
        // If it is not refused, the agent ends at the signal.
        let args = [&["20", env!("CARGO_BIN_EXE_stowplan"), "agent", "--id", "w1"], args].concat();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("timeout");
        let command =
            command.args(args).current_dir(&folder).env_remove("STOWPLAN_TOKEN").env_remove("STOWPLAN_SERVER");
        Said::of(&command.output().unwrap()).assert(2, "", &format!("error: {error}\nnext: stowplan agent --help\n"));
    }
}

#[test]
fn an_agent_that_cannot_start_names_the_command_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let args = ["agent", "--id", "w1", "--server", "127.0.0.1:1", "--data", data];
    let (mut first, _own) = start(&args, Stdio::null(), Stdio::piped());
    wait_until_said(&mut first, "cannot reach the server");
    terminate(first);
    let said = alone(&["agent", "--id", "w2", "--data", data]);
    let error = format!("error: the data folder {data} belongs to worker w1, not to w2");
    said.assert(1, "", &format!("{error}\nnext: stowplan agent --id w1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_is_named_goes_before_the_environment() {
    let bench = Bench::with(Setup { token: Some("s3cret"), ..Setup::default() }).await;
    let (mut command, folder) = stowplan();
    std::fs::write(folder.path().join("token"), "s3cret\n").unwrap();
    command.args(["worker", "list", "--server", &bench.url(), "--token-file", "token"]).env("STOWPLAN_TOKEN", "other");
    let output = tokio::task::spawn_blocking(move || command.output().expect("it starts")).await.unwrap();
    assert_eq!(Said::of(&output).code, 0, "{}", Said::of(&output).stderr);
}

/// The program, given so many open files and free to raise that.
fn with_few_files(files: u64, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {files}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_stowplan")]).args(args);
    command
}

#[test]
fn a_server_has_more_connections_than_files_it_was_given_and_what_it_starts_gets_no_more() {
    // What it starts is given its limit a moment later.
    let provider = "for _ in $(seq 500); do [ $(ulimit -Sn) = 64 ] && break; sleep 0.02; done
        ulimit -Sn > given; mv given limit; echo '{\"workers\": []}'";
    let rest = format!("provider = \"command\"\ncommand = [\"sh\", \"-c\", {provider:?}]");
    let folder = with_pool(&rest);
    let mut command = with_few_files(64, &SERVE);
    let mut serving = command.current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(serving.stdout.as_mut().expect("it is piped")).read_line(&mut first).expect("it says a line");
    let address = first.trim().strip_prefix("listening on http://").expect("it listens");

    let connections: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut connection in &connections {
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert!(connection.read(&mut [0; 1024]).expect("it is answered") > 0);
    }
    let limit = folder.path().join("limit");
    while !limit.exists() {
        assert_eq!(serving.try_wait().unwrap(), None, "it ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(std::fs::read_to_string(limit).unwrap(), "64\n");
    assert_eq!(terminate(serving), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_opens_more_files_than_it_was_given_and_a_container_is_given_no_more() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let url = bench.url();
    let mut command = with_few_files(100, &["agent", "--id", "w1", "--server", &url]);
    let agent = command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let said = on(&bench, &["run", "--", "sh", "-c", "ulimit -Sn"]).await;
    assert_eq!((said.code, &*said.stdout), (0, "100\n"), "{}", said.stderr);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("it is listed");
    let files: Vec<_> = files.split_whitespace().collect();
    assert!(files[0] == files[1] && files[0] != "100", "{files:?}");
    assert_eq!(terminate(agent), 0);
}
