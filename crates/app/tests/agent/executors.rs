//! What is pretended, what a hook runs, and a machine that boots.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use app::api::calls::{Event, IfSilent, StopCause};
use app::api::worker::OneOrMany;
use serde_json::{Value, json};

use crate::played::{Agent, Play, exited, hold, is_alive, stdout, wait, wait_pids};

fn agent_with(play: &Play, args: &[&str]) -> Agent {
    Agent(play.command().args(args).spawn().unwrap())
}

fn simulating(play: &Play) -> Agent {
    agent_with(play, &["--executor", "simulate"])
}

fn offered(play: &Play) -> Option<OneOrMany> {
    play.wait("the registration", |script| script.registers.first().cloned()).worker.runtime
}

#[test]
fn what_is_simulated_takes_as_long_as_it_says_and_nothing_runs() {
    let play = Play::new();
    let _agent = simulating(&play);
    assert_eq!(offered(&play), Some(OneOrMany::One("simulate".to_owned())));
    let ran = play.file("ran");
    assert_eq!(play.run("touch", &["touch", ran.to_str().unwrap()]).event, exited(0));
    assert!(!ran.exists());
    let began = Instant::now();
    assert_eq!(play.run("short", &["sleep", "0.3"]).event, exited(0));
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    let bad = play.run("bad", &["sleep", "long"]).event;
    assert!(matches!(&bad, Event::Unstartable { code: 126, detail } if detail.contains("sleep long")), "{bad:?}");
    let timed = play.start_with("timed", &["sleep", "600"], |order| order.timeout_ms = Some(50));
    assert_eq!(play.wait_end(&timed).event, Event::Timeout { after_ms: 50 });

    let stopped = play.start("stopped", &["/bin/sleep", "600"]);
    play.wait_running(&stopped);
    assert_eq!(fs::read_dir(play.data().join("containers")).unwrap().count(), 0, "no file a container");
    play.stop(&stopped, StopCause::Stop);
    assert_eq!(play.wait_end(&stopped).event, Event::StopOrder);
}

#[test]
fn what_is_simulated_lives_no_longer_than_the_lease() {
    let play = Play::with_keepalive(4_000);
    let _agent = simulating(&play);
    let stop = play.start("stop", &["sleep", "600"]);
    let keep = play.start_with("keep", &["sleep", "600"], |order| order.if_silent = IfSilent::Keep);
    play.wait_running(&stop);
    play.wait_running(&keep);
    std::thread::sleep(Duration::from_secs(6));
    assert!(play.script().reports.iter().all(|(_, report)| !report.event.is_end()), "the lease is extended");
    play.script().away = true;
    std::thread::sleep(Duration::from_secs(8));
    play.script().away = false;
    assert!(matches!(play.wait_end(&stop).event, Event::Deadline { silent_ms } if silent_ms >= 1_300));
    play.stop(&keep, StopCause::Stop);
    assert_eq!(play.wait_end(&keep).event, Event::StopOrder, "it was kept");
}

#[test]
fn what_is_simulated_ends_with_its_agent_and_what_runs_is_found_again() {
    let play = Play::new();
    let first = play.agent();
    let pids = play.file("pids");
    let command = ["sh", "-c", "echo $$ > \"$0\"; exec sleep 600", pids.to_str().unwrap()];
    let process = play.start("process", &command);
    let pid = wait_pids(&pids, 1)[0];
    play.wait_running(&process);
    first.kill();

    let second = simulating(&play);
    let simulated = play.start("simulated", &["sleep", "600"]);
    play.wait_running(&simulated);
    second.kill();
    let _third = simulating(&play);
    let call = play.wait("the third registration", |script| script.registers.get(2).cloned());
    assert_eq!(call.holds, [hold(&process)], "what was simulated is told as neither held nor ended");
    play.stop(&process, StopCause::Stop);
    assert_eq!(play.wait_end(&process).event, Event::StopOrder);
    assert!(!is_alive(pid));
    wait("its folder to go", || (fs::read_dir(play.data().join("containers")).unwrap().count() == 0).then_some(()));
}

fn hook(play: &Play, script: &str) -> PathBuf {
    let path = play.file("hook");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn hooked(play: &Play, hook: &std::path::Path) -> Agent {
    agent_with(play, &["--executor", "hook", "--hook", hook.to_str().unwrap()])
}

#[test]
fn a_hook_is_told_what_was_placed_and_is_the_container() {
    let play = Play::new();
    let _agent = hooked(&play, &hook(&play, "cat; echo \"[$A$STOWPLAN_CONTAINER]\" >&2; exit 7"));
    assert_eq!(offered(&play), Some(OneOrMany::One("hook".to_owned())));
    let placement = play.start_with("c", &["train", "--fast"], |order| {
        order.env.insert("A".to_owned(), "b".to_owned());
        order.cwd = Some("/no/such/folder".to_owned());
        order.timeout_ms = Some(60_000);
    });
    let end = play.wait_end(&placement);
    assert_eq!(end.event, exited(7));
    let told: Value = serde_json::from_str(stdout(&end)).unwrap();
    let expected = json!({
        "version": 1, "call": "start", "worker": play.worker, "container": "c", "attempt": 1,
        "command": ["train", "--fast"], "env": { "A": "b" }, "cwd": "/no/such/folder", "timeout_ms": 60_000,
        "booking": { "cpu_milli": 500, "memory_mib": 64, "gpu_milli": 0, "gpu_devices": [] },
    });
    assert_eq!(told, expected);
    assert_eq!(end.output.unwrap().stderr.text, "[c]\n", "the request's environment is not the hook's");
}

#[test]
fn a_hook_is_ended_as_a_container_is() {
    let play = Play::with_keepalive(4_000);
    let pids = play.file("pids");
    let script =
        format!("trap 'kill $!; echo cleared; exit 0' TERM; sleep 600 & echo $$ $! > {}; wait", pids.display());
    let agent = hooked(&play, &hook(&play, &script));
    let stopped = play.start("a", &["x"]);
    play.wait_running(&stopped);
    wait_pids(&pids, 2);
    play.stop(&stopped, StopCause::Stop);
    let end = play.wait_end(&stopped);
    assert_eq!((&end.event, stdout(&end)), (&Event::StopOrder, "cleared\n"));

    fs::remove_file(&pids).unwrap();
    let left = play.start("b", &["x"]);
    play.wait_running(&left);
    let alive = wait_pids(&pids, 2);
    agent.kill();
    wait("what the hook started to be ended", || alive.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

#[test]
fn a_hook_that_cannot_be_started_is_no_fault_of_the_request() {
    let play = Play::new();
    let path = hook(&play, "true");
    let _agent = hooked(&play, &path);
    offered(&play);
    fs::remove_file(path).unwrap();
    let event = play.run("c", &["x"]).event;
    assert!(matches!(&event, Event::StartFailed { detail } if detail.contains("hook")), "{event:?}");
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let play = Play::new();
    for (args, words) in [
        (&["--executor", "hook"][..], "--hook: is missing"),
        (&["--hook", "/bin/true"], "--executor hook"),
        (&["--executor", "hook", "--hook", "/no/such/hook"], "/no/such/hook"),
        (&["--boot-delay", "5"], "unit"),
    ] {
        let said = Command::output(play.command().args(args).stderr(std::process::Stdio::piped())).unwrap();
        assert!(!said.status.success(), "{args:?}");
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn an_agent_that_boots_says_so_and_then_that_it_is_ready() {
    let play = Play::new();
    let _agent = agent_with(&play, &["--boot-delay", "700ms"]);
    let began = Instant::now();
    play.wait("the first registration", |script| script.registers.first().map(|call| assert!(!call.ready)));
    play.wait("the second", |script| script.registers.get(1).map(|call| assert!(call.ready)));
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    assert_eq!(play.run("c", &["true"]).event, exited(0));
    assert_eq!(play.script().registers.len(), 2);
}
