//! A container lives no longer than its agent's lease, agent or not.

use std::process::Command;
use std::time::{Duration, Instant};

use app::agent::clock;
use app::agent::executor::{Cause, StopRequest};
use app::agent::files::{Outlives, replace_json};
use app::agent::record::{Assignment, Lease, Record, lease_path, record_path};
use app::api::calls::{Event, IfSilent};

use crate::played::{Agent, Play, is_alive, wait, wait_pids};

const KEEPALIVE_MS: u64 = 4_000;
/// How late a machine may be that has much else to do. Whatever these tests have ended would go on for ten minutes at
/// least.
const SLACK_MS: u64 = 2_000;
const AT_MOST: Duration = Duration::from_millis(KEEPALIVE_MS + SLACK_MS);

#[test]
fn a_server_that_is_away_ends_what_may_not_be_silent_and_keeps_the_rest() {
    let play = Play::with_keepalive(KEEPALIVE_MS);
    let _agent = play.agent();
    let [stop_file, keep_file] = [play.file("stop"), play.file("keep")];
    let script = "trap '' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done";
    let stop = play.start("stop", &["sh", "-c", script, stop_file.to_str().unwrap()]);
    let command = ["sh", "-c", script, keep_file.to_str().unwrap()];
    let keep = play.start_with("keep", &command, |order| order.if_silent = IfSilent::Keep);
    let [stop_pid, keep_pid] = [&stop_file, &keep_file].map(|file| wait_pids(file, 1)[0]);
    play.wait_running(&stop);
    play.wait_running(&keep);
    std::thread::sleep(Duration::from_millis(2 * KEEPALIVE_MS));
    assert!(is_alive(stop_pid), "the lease is extended while the server is there");

    let gone_at = Instant::now();
    play.script().away = true;
    wait("the container to be ended", || (!is_alive(stop_pid)).then_some(()));
    let silent = gone_at.elapsed();
    let keepalive = Duration::from_millis(KEEPALIVE_MS);
    // The last accepted call was sent at most a beat (a fifth) or a long poll (a quarter) before, and may have been long
    // under way.
    assert!(silent >= keepalive / 3 && silent <= AT_MOST, "{silent:?}");
    std::thread::sleep(keepalive / 2);
    assert!(is_alive(keep_pid));
    play.script().away = false;
    let Event::Deadline { silent_ms } = play.wait_end(&stop).event else { panic!("{:?}", play.wait_end(&stop)) };
    assert!((KEEPALIVE_MS / 3..KEEPALIVE_MS + SLACK_MS).contains(&silent_ms), "{silent_ms}");
    assert!(is_alive(keep_pid));
}

#[test]
fn a_shim_without_its_agent_ends_the_container_at_the_deadline() {
    let play = Play::with_keepalive(KEEPALIVE_MS);
    let agent = play.agent();
    let pids = play.file("pids");
    let script = "trap '' TERM; sleep 600 & echo $$ $! > \"$0\"; while :; do sleep 0.05; done";
    let placement = play.start("c", &["sh", "-c", script, pids.to_str().unwrap()]);
    let pids = wait_pids(&pids, 2);
    play.wait_running(&placement);
    agent.kill();
    let killed_at = Instant::now();
    assert!(pids.iter().all(|pid| is_alive(*pid)), "a shim outlives its agent");
    wait("the container to be ended", || (!is_alive(pids[0])).then_some(()));
    assert!(killed_at.elapsed() <= AT_MOST, "{:?}", killed_at.elapsed());
    wait("its child to be ended", || (!is_alive(pids[1])).then_some(()));

    let _agent = play.agent();
    assert!(matches!(play.wait_end(&placement).event, Event::Deadline { .. }));
}

#[test]
fn a_lost_data_folder_keeps_no_container_alive() {
    let play = Play::with_keepalive(KEEPALIVE_MS);
    let agent = play.agent();
    let pids = play.file("pids");
    let placement = play.start("c", &["sh", "-c", "echo $$ > \"$0\"; exec sleep 600", pids.to_str().unwrap()]);
    let pid = wait_pids(&pids, 1)[0];
    play.wait_running(&placement);
    let first_key = play.script().registers[0].key.clone();
    agent.kill();
    std::fs::remove_dir_all(play.data()).unwrap();
    play.script().refuses = true;
    let began = Instant::now();
    let log = play.file("log");
    let mut command = play.command();
    let _agent = Agent(command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap());
    wait("the container to be ended", || (!is_alive(pid)).then_some(()));
    assert!(began.elapsed() <= AT_MOST, "{:?}", began.elapsed());

    play.wait("it to go on trying", |script| (script.registers.len() >= 3).then_some(()));
    play.script().refuses = false; // the old worker is lost by now, and owns nothing
    let words = std::fs::read_to_string(&log).unwrap();
    assert_eq!(words.matches("another key owns c1\nnext: stowplan worker list").count(), 1, "{words}");
    let order = play.run("d", &["true"]);
    assert_eq!(order.event, Event::Exited { code: 0 });
    let registers = &play.script().registers;
    assert_ne!(registers.last().unwrap().key, first_key);
    assert!(registers.last().unwrap().holds.is_empty());
}

/// Runs a shim as an agent would that gave it this long, with a command that would leave a file.
fn shim_end(deadline_in_ms: i64, request: Option<StopRequest>) -> (Option<Event>, bool) {
    shim_end_by(deadline_in_ms, deadline_in_ms, request)
}

/// The same, when the deadline was another at the time of the order.
fn shim_end_by(ordered_in_ms: i64, deadline_in_ms: i64, request: Option<StopRequest>) -> (Option<Event>, bool) {
    let play = Play::new();
    let file = play.file("ran");
    let from_now = |in_ms| clock::boot_ms().checked_add_signed(in_ms).unwrap();
    let (start_by_ms, deadline_ms) = (from_now(ordered_in_ms), from_now(deadline_in_ms));
    let assignment = Assignment { start_by_ms, ..play.assignment(&["touch", file.to_str().unwrap()]) };
    let record = Record::at(record_path(&play.data(), &assignment.placement));
    std::fs::create_dir_all(record.dir().parent().unwrap()).unwrap();
    let lease = Lease { deadline_ms, keepalive_ms: 60_000, key: "k".to_owned(), boot: clock::boot_id().unwrap() };
    replace_json(&lease_path(&play.data()), &lease, Outlives::Processes).unwrap();
    record.create(&assignment).unwrap();
    if let Some(request) = request {
        record.ask_to_stop(&request).unwrap();
    }
    let mut shim = Command::new(env!("CARGO_BIN_EXE_stowplan"));
    shim.arg("shim").arg("--dir").arg(record.dir());
    shim.stdin(record.open_bell().unwrap()).stdout(record.open_notes().unwrap());
    assert!(shim.status().unwrap().success());
    (record.end().map(|end| end.event), file.exists())
}

#[test]
fn a_command_is_started_only_before_its_deadline_and_only_if_nobody_stopped_it() {
    assert_eq!(shim_end(60_000, None), (Some(Event::Exited { code: 0 }), true));
    assert_eq!(shim_end(-1, None), (Some(Event::NotStarted), false));
    // The agent was lost meanwhile, and has come back: the container may run elsewhere.
    assert_eq!(shim_end_by(-1, 60_000, None), (Some(Event::NotStarted), false));
    let request = Some(StopRequest { cause: Cause::Stop, kill_after_ms: None });
    assert_eq!(shim_end(60_000, request), (Some(Event::StopOrder), false));
}

#[test]
fn a_new_folder_in_the_old_place_extends_no_life_of_the_old_ones_containers() {
    let play = Play::with_keepalive(KEEPALIVE_MS);
    let agent = play.agent();
    let pids = play.file("pids");
    let placement = play.start("c", &["sh", "-c", "echo $$ > \"$0\"; exec sleep 600", pids.to_str().unwrap()]);
    let pid = wait_pids(&pids, 1)[0];
    play.wait_running(&placement);
    agent.kill();
    std::fs::remove_dir_all(play.data()).unwrap();
    let _agent = play.agent(); // accepted at once, and its lease is extended from now on
    let began = Instant::now();
    wait("the container to be ended", || (!is_alive(pid)).then_some(()));
    assert!(began.elapsed() <= AT_MOST, "{:?}", began.elapsed());
}
