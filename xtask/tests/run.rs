//! `cargo xtask run` against a stand-in for `stowplan`: what it starts, what it restarts, and how it ends.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are as free as the test")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{iter, thread};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

/// A run in a folder; its talk goes to files, so that nothing blocks on a full pipe.
struct Run {
    child: Child,
    folder: PathBuf,
    out: PathBuf,
}

impl Run {
    fn start(scratch: &TempDir) -> Self {
        Self::start_in(scratch, "out", &["--port", &free_port()])
    }

    fn start_in(scratch: &TempDir, out: &str, options: &[&str]) -> Self {
        Self::start_with("cargo", scratch, out, options)
    }

    fn start_with(cargo: &str, scratch: &TempDir, out: &str, options: &[&str]) -> Self {
        let folder = scratch.path().join("data");
        let out = scratch.path().join(out);
        let talk = File::create(&out).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["run", "--agents", "3", "--program", env!("CARGO_BIN_EXE_fake-stowplan"), "--data"]);
        command.arg(&folder).args(options).env("CARGO", cargo).env_remove("STOWPLAN_TOKEN").stdin(Stdio::null());
        let child = command.stdout(talk.try_clone().unwrap()).stderr(talk).spawn().unwrap();
        Self { child, folder, out }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    fn wait_to_say(&self, text: &str) {
        until(&format!("it says {text:?}"), || self.said().contains(text), || self.said());
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(format!("logs/{name}.log"))).unwrap_or_default()
    }

    fn pid(&self, name: &str) -> Pid {
        self.pid_if_told(name).unwrap()
    }

    /// None while the file is being written.
    fn pid_if_told(&self, name: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.folder.join("pids").join(name)).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    fn wait_to_end(&mut self) -> ExitStatus {
        let mut status = None;
        let (child, out) = (&mut self.child, &self.out);
        let ended = || {
            status = child.try_wait().unwrap();
            status.is_some()
        };
        until("it ends", ended, || fs::read_to_string(out).unwrap());
        status.unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool, said: impl FnOnce() -> String) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() <= PATIENCE, "waited in vain until {what}; it said:\n{}", said());
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that is free, another for each test, and elsewhere than those of other processes that run these tests. It lies
/// below those that the kernel gives to outgoing connections: one of those, taken and let go, is soon another's, and clients
/// of a server that is down would take its place.
fn free_port() -> String {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let next = || 22_000 + start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % 10_000;
    let mut ports = iter::repeat_with(|| u16::try_from(next()).unwrap()).take(10_000);
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free port below 32,000").to_string()
}

/// A process that ended and that nobody has waited for has an entry in /proc, but no arguments.
fn is_alive(pid: Pid) -> bool {
    let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
    fs::read(path).is_ok_and(|arguments| !arguments.is_empty())
}

/// A stand-in for cargo that tells what it was asked, and whose measurement exits with 7.
fn fake_cargo(scratch: &TempDir) -> String {
    let path = scratch.path().join("cargo");
    let script = "#!/bin/sh\necho \"cargo $*\"\ncase \"$*\" in *--server*) exit 7;; esac\n";
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Tells the stand-in whose data folder that is what to do.
fn tell(scratch: &TempDir, data: &str, word: &str) {
    let data = scratch.path().join("data").join(data);
    fs::create_dir_all(&data).unwrap();
    File::create(data.join(word)).unwrap();
}

#[test]
fn it_starts_a_fleet_and_drains_it_when_told_to_end() {
    let scratch = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut run = Run::start_in(&scratch, "out", &["--port", &port, "--store", "memory"]);
    run.wait_to_say("3 of 3 workers are ready");
    run.wait_to_say("run -- echo hello");
    let address = fs::read_to_string(run.folder.join("address")).unwrap();
    assert_eq!(address, format!("http://127.0.0.1:{port}\n"));
    assert!(run.log("server").contains("--keepalive 5s --grace 2s --store memory --drain-on-stdin-eof"));
    assert!(run.log("worker-03").contains("--cpu 10 --memory 20Gi --drain-on-stdin-eof"));

    run.signal(Signal::TERM);
    assert_eq!(run.wait_to_end().code(), Some(0), "{}", run.said());
    for name in ["server", "worker-01", "worker-02", "worker-03"] {
        assert!(run.log(name).contains("drained"), "{name}");
    }
    assert!(!run.folder.join("address").exists());
    assert_eq!(fs::read_dir(run.folder.join("pids")).unwrap().count(), 0);
}

#[test]
fn a_second_run_says_where_the_first_listens() {
    let scratch = tempfile::tempdir().unwrap();
    let run = Run::start(&scratch);
    run.wait_to_say("workers are ready");
    let mut second = Run::start_in(&scratch, "second", &[]);
    assert_eq!(second.wait_to_end().code(), Some(0));
    let address = fs::read_to_string(run.folder.join("address")).unwrap();
    assert!(second.said().contains("already running in"), "{}", second.said());
    assert!(second.said().contains(&address), "{}", second.said());
}

#[test]
fn a_killed_server_comes_back_and_a_killed_agent_does_not() {
    let scratch = tempfile::tempdir().unwrap();
    let run = Run::start(&scratch);
    run.wait_to_say("workers are ready");
    let server = run.pid("server");
    kill_process(server, Signal::KILL).unwrap();
    run.wait_to_say("starting it again");
    let is_another = || run.pid_if_told("server").is_some_and(|pid| pid != server);
    until("the server is another", is_another, || run.said());
    kill_process(run.pid("worker-02"), Signal::KILL).unwrap();
    run.wait_to_say("worker-02 ended (signal: 9 (SIGKILL)) and stays away; next: ");
    assert!(!run.folder.join("pids/worker-02").exists());
    let next = run.said().lines().find(|line| line.contains("stays away")).unwrap().to_owned();
    assert!(next.contains("agent --id worker-02 --server http://127.0.0.1:"), "{next}");
    assert!(!next.contains("--drain-on-stdin-eof"), "whoever pastes it has a terminal: {next}");
}

#[test]
fn a_server_that_keeps_dying_is_given_up_with_the_end_of_its_log() {
    let scratch = tempfile::tempdir().unwrap();
    tell(&scratch, "server", "die");
    let mut run = Run::start(&scratch);
    assert_eq!(run.wait_to_end().code(), Some(1));
    assert_eq!(run.said().matches("starting it again").count(), 4, "{}", run.said());
    assert!(run.said().contains("the server keeps dying (exit status: 3)"), "{}", run.said());
    assert!(run.said().contains("told to die"), "{}", run.said());
    assert!(!run.folder.join("address").exists());
}

#[test]
fn processes_end_with_a_killed_run_and_the_next_run_waits_for_them() {
    let scratch = tempfile::tempdir().unwrap();
    tell(&scratch, "server", "slow");
    let mut run = Run::start(&scratch);
    run.wait_to_say("workers are ready");
    let pids: Vec<Pid> = ["server", "worker-01"].map(|name| run.pid(name)).into();
    run.child.kill().unwrap();
    run.wait_to_end();
    let next = Run::start_in(&scratch, "next", &["--port", &free_port()]);
    next.wait_to_say("3 of 3 workers are ready");
    assert!(next.said().contains("of the last run to end: server"), "{}", next.said());
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{}", next.said());
}

#[test]
fn a_second_interrupt_kills_who_does_not_end() {
    let scratch = tempfile::tempdir().unwrap();
    tell(&scratch, "agents/worker-02", "stubborn");
    let mut run = Run::start(&scratch);
    run.wait_to_say("3 of 3 workers are ready");
    run.signal(Signal::INT);
    run.wait_to_say("stopping 3 agents");
    until("the agent was asked", || run.log("worker-02").contains("drained"), || run.said());
    run.signal(Signal::INT);
    assert_eq!(run.wait_to_end().code(), Some(0));
    assert!(run.said().contains("killing worker-02, which has not ended"), "{}", run.said());
    assert!(run.log("server").contains("drained"));
}

#[test]
fn a_taken_port_is_refused_with_one_that_is_free() {
    let scratch = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut run = Run::start_in(&scratch, "out", &["--port", &port]);
    assert_eq!(run.wait_to_end().code(), Some(1));
    assert!(run.said().contains(&format!("port {port} is taken\nnext: cargo xtask run --port ")), "{}", run.said());
}

#[test]
fn a_burst_is_measured_on_an_emptied_folder_and_its_exit_code_is_passed_on() {
    let scratch = tempfile::tempdir().unwrap();
    let mut before = Run::start_in(&scratch, "before", &["--port", &free_port()]);
    before.wait_to_say("workers are ready");
    before.signal(Signal::TERM);
    before.wait_to_end();
    tell(&scratch, "server", "die");
    let port = free_port();
    let options = ["--burst", "100", "--port", &port];
    let mut run = Run::start_with(&fake_cargo(&scratch), &scratch, "out", &options);
    assert_eq!(run.wait_to_end().code(), Some(7), "{}", run.said());
    let bench = "cargo bench --package app --bench burst";
    let measured = format!("{bench} -- --server http://127.0.0.1:{port} --containers 100\n");
    let said = run.said();
    let build = said.find(&format!("{bench} --no-run\n")).expect("it is built first");
    assert!(said.find("starting the server") > Some(build), "{said}");
    assert!(said.find(&measured) > said.find("starting 3 agents"), "{said}");
    assert!(run.log("server").contains("drained"), "{said}");
}

#[test]
fn a_burst_in_a_folder_of_somebody_else_removes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    tell(&scratch, "thesis", "chapter-1");
    let mut run = Run::start_with(&fake_cargo(&scratch), &scratch, "out", &["--burst", "100"]);
    assert_eq!(run.wait_to_end().code(), Some(1));
    assert!(run.said().contains("holds files and no run of ours"), "{}", run.said());
    let left: Vec<_> = fs::read_dir(&run.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["thesis"]);
    assert!(run.folder.join("thesis/chapter-1").exists());
}
