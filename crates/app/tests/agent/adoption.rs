//! Agents that die and come back.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use app::agent::record::{Record, record_path};
use app::api::calls::{Event, StopCause};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::played::{Agent, Play, exited, hold, is_alive, stdout, wait, wait_pids};

#[test]
fn an_agent_started_again_finds_its_containers_same_attempt() {
    let play = Play::new();
    let agent = play.agent();
    let pids = play.file("pids");
    let script = "sleep 600 & echo $$ $! > \"$0\"; sleep 600";
    let placement = play.start("c", &["sh", "-c", script, pids.to_str().unwrap()]);
    let pids = wait_pids(&pids, 2);
    play.wait_running(&placement);
    agent.kill();
    let _agent = play.agent();
    let call = play.wait("the second registration", |script| script.registers.get(1).cloned());
    assert_eq!((call.holds, call.ends), (vec![hold(&placement)], vec![]));
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    play.wait("it to be reported again", |script| {
        let running = script.reports.iter().filter(|(_, report)| report.event == Event::Running);
        (running.count() == 2).then_some(())
    });
    play.stop(&placement, StopCause::Stop);
    assert_eq!(play.wait_end(&placement).event, Event::StopOrder);
    assert!(!pids.into_iter().any(is_alive), "no process of the group is left");
}

#[test]
fn a_kill_of_the_agents_whole_process_group_leaves_the_shims() {
    let play = Play::new();
    let agent = Agent(play.command().process_group(0).spawn().unwrap());
    let pids = play.file("pids");
    let placement = play.start("c", &["sh", "-c", "echo $PPID $$ > \"$0\"; exec sleep 600", pids.to_str().unwrap()]);
    let shim_and_command = wait_pids(&pids, 2);
    play.wait_running(&placement);
    kill_process_group(Pid::from_raw(agent.pid()).unwrap(), Signal::KILL).unwrap();
    drop(agent);
    std::thread::sleep(Duration::from_millis(50));
    assert!(shim_and_command.into_iter().all(is_alive));
}

#[test]
fn what_ended_without_an_agent_is_told_by_the_next_with_its_output() {
    let play = Play::new();
    let agent = play.agent();
    let go = play.file("go");
    let script = "until [ -e \"$0\" ]; do sleep 0.02; done; echo done; exit 3";
    let placement = play.start("c", &["sh", "-c", script, go.to_str().unwrap()]);
    play.wait_running(&placement);
    agent.kill();
    std::fs::write(&go, "").unwrap();
    let record = Record::at(record_path(&play.data(), &placement));
    wait("the end to be written down", || record.end());
    let agent = play.agent();
    let end = play.wait_end(&placement);
    assert_eq!((end.event.clone(), stdout(&end)), (exited(3), "done\n"));
    wait("the record to be discarded", || (!record.dir().exists()).then_some(()));

    agent.kill();
    let _agent = play.agent();
    play.wait("the next registration", |script| script.registers.get(2).cloned());
    let retold = play.wait("what a new process tells", |script| script.registers.get(3).cloned());
    assert_eq!(retold.ends, [app::api::calls::Report { output: None, ..end }], "remembered for an hour");
}

#[test]
fn a_shim_that_was_killed_leaves_no_process_and_is_reported_gone() {
    let play = Play::new();
    let _agent = play.agent();
    let pids = play.file("pids");
    let script = "setsid sleep 600 & sleep 600 & echo $PPID $$ $! > \"$0\"; sleep 600";
    let placement = play.start("c", &["sh", "-c", script, pids.to_str().unwrap()]);
    let pids = wait_pids(&pids, 3);
    play.wait_running(&placement);
    kill_process(Pid::from_raw(pids[0]).unwrap(), Signal::KILL).unwrap();
    assert_eq!(play.wait_end(&placement).event, Event::Gone);
    assert!(!pids.into_iter().any(is_alive), "gone means gone");
    let mark = format!("STOWPLAN_WORKER={}", play.worker);
    assert!(!app::agent::procfs::kill_leftovers(None, &[mark]), "not even one with a session of its own");
}

#[test]
fn an_order_that_no_shim_took_is_reported_not_started() {
    let play = Play::new();
    let agent = play.agent();
    play.wait("the registration", |script| script.registers.first().cloned());
    agent.kill();
    // As an agent leaves it that dies between writing the intent down and the fork.
    let assignment = play.assignment(&["true"]);
    Record::at(record_path(&play.data(), &assignment.placement)).create(&assignment).unwrap();
    let _agent = play.agent();
    assert_eq!(play.wait_end(&assignment.placement).event, Event::NotStarted);
}

/// Case 1: a stranger that is given the pid of a container whose agent, shim and command were killed.
///
/// Runs itself again in a pid namespace of its own, in which it may say which pid comes next.
#[test]
fn a_stranger_under_a_recycled_pid_receives_no_signal() {
    const INSIDE: &str = "STOWPLAN_TEST_INSIDE_A_PID_NAMESPACE";
    if std::env::var_os(INSIDE).is_none() {
        let name = "adoption::a_stranger_under_a_recycled_pid_receives_no_signal";
        let mut command = Command::new("unshare");
        command.args(["-pf", "--mount-proc"]).arg(std::env::current_exe().unwrap());
        let status = command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").status();
        assert!(status.unwrap().success(), "failed inside (it takes root to make a pid namespace)");
        return;
    }
    let play = Play::new();
    let agent = play.agent();
    let pids = play.file("pids");
    let placement = play.start("c", &["sh", "-c", "echo $PPID $$ > \"$0\"; exec sleep 600", pids.to_str().unwrap()]);
    let [shim, pid] = wait_pids(&pids, 2)[..] else { panic!("two pids") };
    play.wait_running(&placement);
    agent.kill();
    for pid in [shim, pid] {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    // Orphans fall to the test, the first process of this namespace.
    wait("the pid to be free", || {
        while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    let over = play.file("over");
    let script = "trap 'exit 1' TERM; until [ -e \"$0\" ]; do sleep 0.05; done";
    let mut stranger = wait("the pid to come round", || {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).arg(&over).process_group(0).spawn().unwrap();
        if child.id() == u32::try_from(pid).unwrap() {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    });
    let _agent = play.agent();
    assert_eq!(play.wait_end(&placement).event, Event::Gone, "lost, and to run again");
    play.stop(&placement, StopCause::Stop);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger lives");
    std::fs::write(&over, "").unwrap();
    assert_eq!(stranger.wait().unwrap().code(), Some(0), "and ends undisturbed");
}
