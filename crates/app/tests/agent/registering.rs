//! Coming, being refused, and leaving.

use std::process::Stdio;
use std::time::{Duration, Instant};

use app::api::calls::{Event, Verdict};
use rustix::process::{Pid, Signal, kill_process};

use crate::played::{Agent, Play, exited, hold, is_alive, stdout, wait_pids};

#[test]
fn an_order_is_started_and_its_end_reported_without_delay() {
    let play = Play::new();
    let _agent = play.agent();
    play.run("warm", &["true"]);
    let began = Instant::now();
    for n in 0..10 {
        assert_eq!(play.run(&format!("c{n}"), &["true"]).event, exited(0));
    }
    // Each goes from order to reported end before the next. Whoever waited for a beat, or for the end of a long poll, would
    // wait twelve seconds each time.
    assert!(began.elapsed() < Duration::from_mins(1), "{:?} for ten", began.elapsed());
}

#[test]
fn an_agent_waits_for_its_server() {
    let play = Play::new();
    play.script().away = true;
    let _agent = play.agent();
    play.wait("several tries", |script| (script.requests.len() > 3).then_some(()));
    play.script().away = false;
    assert_eq!(play.run("c", &["true"]).event, exited(0));
}

#[test]
fn what_the_server_says_to_kill_is_gone_before_the_agent_registers_without_it() {
    let play = Play::new();
    let agent = play.agent();
    let pids = play.file("pids");
    let script = "trap '' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done";
    let placement = play.start("c", &["sh", "-c", script, pids.to_str().unwrap()]);
    let pid = wait_pids(&pids, 1)[0];
    play.wait_running(&placement);
    agent.kill();
    play.script().kills = vec![placement.clone()];
    let _agent = play.agent();
    let call = play.wait("the registration without it", |script| script.registers.get(2).cloned());
    assert!(!is_alive(pid));
    assert!(call.holds.is_empty() && call.ends.is_empty(), "{call:?}");
    assert_eq!(play.script().registers[1].holds, [hold(&placement)]);
}

#[test]
fn a_signal_ends_the_agent_and_nothing_else() {
    let play = Play::new();
    let log = play.file("log");
    let mut command = play.command();
    let agent = Agent(command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap());
    let pids = play.file("pids");
    let placement = play.start("c", &["sh", "-c", "echo $$ > \"$0\"; exec sleep 600", pids.to_str().unwrap()]);
    let pid = wait_pids(&pids, 1)[0];
    play.wait_running(&placement);
    kill_process(Pid::from_raw(agent.pid()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(agent.exit_code(), Some(0));
    assert!(is_alive(pid));
    assert!(std::fs::read_to_string(log).unwrap().contains("goes on"));
}

#[test]
fn at_the_end_of_standard_input_the_agent_drains_and_leaves() {
    let play = Play::new();
    let mut command = play.command();
    let mut agent = Agent(command.arg("--drain-on-stdin-eof").stdin(Stdio::piped()).spawn().unwrap());
    let placement = play.start("c", &["sleep", "600"]);
    play.wait_running(&placement);
    agent.0.stdin = None;
    assert_eq!(agent.exit_code(), Some(0));
    assert_eq!(play.wait_end(&placement).event, Event::DrainOrder);
    let script = play.script();
    let last = script.requests.iter().rev().find(|request| !request.contains("/take")).unwrap();
    assert!(last.contains("/remove"), "{last}");
}

#[test]
fn without_a_server_it_ends_what_it_runs_and_leaves() {
    // It does not wait until its lease is over.
    let play = Play::with_keepalive(600_000);
    let mut command = play.command();
    let mut agent = Agent(command.arg("--drain-on-stdin-eof").stdin(Stdio::piped()).spawn().unwrap());
    let pids = play.file("pids");
    let placement = play.start("c", &["sh", "-c", "echo $$ > \"$0\"; exec sleep 600", pids.to_str().unwrap()]);
    let pid = wait_pids(&pids, 1)[0];
    play.wait_running(&placement);
    play.script().away = true;
    agent.0.stdin = None;
    assert_eq!(agent.exit_code(), Some(1));
    assert!(!is_alive(pid));
}

#[test]
fn a_replaced_agent_exits_and_leaves_what_runs() {
    let play = Play::with_keepalive(4_000);
    let agent = play.agent();
    let placement = play.start("c", &["sleep", "600"]);
    play.wait_running(&placement);
    play.script().verdict = Verdict::Refused;
    assert_eq!(agent.exit_code(), Some(4));
}

#[test]
fn a_removed_agent_ends_what_it_runs() {
    let play = Play::with_keepalive(4_000);
    let agent = play.agent();
    let pids = play.file("pids");
    let script = "trap '' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done";
    let placement = play.start("c", &["sh", "-c", script, pids.to_str().unwrap()]);
    let pid = wait_pids(&pids, 1)[0];
    play.wait_running(&placement);
    play.script().verdict = Verdict::Removed;
    assert_eq!(agent.exit_code(), Some(0));
    assert!(!is_alive(pid));
}

#[test]
fn two_agents_never_share_a_folder() {
    let play = Play::new();
    let _agent = play.agent();
    play.run("c", &["true"]);
    let second = play.command().stderr(Stdio::piped()).output().unwrap();
    assert!(!second.status.success());
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(words.contains("another agent is running on the data folder") && words.contains("next: "), "{words}");
}

#[test]
fn an_agent_replaced_on_disk_still_starts_shims() {
    let play = Play::new();
    let binary = play.file("stowplan");
    std::fs::copy(env!("CARGO_BIN_EXE_stowplan"), &binary).unwrap();
    let template = play.command();
    let mut command = std::process::Command::new(&binary);
    let _agent = Agent(command.args(template.get_args()).env("RUST_LOG", "warn").spawn().unwrap());
    play.wait("the registration", |script| script.registers.first().cloned());
    std::fs::remove_file(&binary).unwrap();
    let end = play.run("c", &["echo", "hi"]);
    assert_eq!(stdout(&end), "hi\n");
}
