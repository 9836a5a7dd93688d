//! Small cases that users of other schedulers were hurt by, on the real binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fleet;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::time::Duration;

use fleet::played::Played;
use fleet::{Fleet, Options, PATIENCE, descendants, http};
use serde_json::{Value, json};

fn options(cpu: &'static str) -> Options {
    Options { cpu, ..Options::default() }
}

#[test]
fn a_restart_between_two_heartbeats_keeps_the_container() {
    let mut fleet = Fleet::start(1);
    fleet.stowplan(&["submit", "--id", "pair", "--", "sh", "-c", "sleep 601 & sleep 601"]);
    fleet.wait_for_state("pair", "running", 1);
    fleet.eventually("both sleeps run", PATIENCE, || fleet.running("sleep 601").len() == 2);
    let pids = fleet.running("sleep 601");
    fleet.kill_agent("worker-01");
    fleet.start_agent("worker-01");
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(fleet.state("pair"), ("running".to_owned(), 1));
    assert_eq!(fleet.running("sleep 601"), pids);
    let stopped = fleet.stowplan(&["stop", "pair"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    fleet.wait_for_state("pair", "stopped", 1);
    assert!(fleet.running("sleep 601").is_empty(), "no process of the group is left");
}

/// Says that the test runs inside a pid namespace of its own.
const INSIDE: &str = "CASES_INSIDE_A_PID_NAMESPACE";

#[test]
fn a_recycled_process_id_is_a_stranger() {
    if std::env::var_os(INSIDE).is_none() {
        let mut command = Command::new("unshare");
        command.args(["-pf", "--mount-proc"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "a_recycled_process_id_is_a_stranger", "--nocapture"]).env(INSIDE, "1");
        assert!(command.status().unwrap().success(), "failed inside (it takes root to make a pid namespace)");
        return;
    }
    let mut fleet = Fleet::start(1);
    fleet.stowplan(&["submit", "--id", "old", "--", "sleep", "612"]);
    fleet.wait_for_state("old", "running", 1);
    let pid = fleet.running("sleep 612")[0];
    let shim = fleet::pids().find(|shim| fleet::descendants(*shim).first() == Some(&pid)).unwrap();
    fleet.kill_agent("worker-01");
    fleet::signal(shim, "KILL");
    fleet::signal(pid, "KILL");
    // Orphans fall to this process, the first of the namespace.
    fleet.eventually("the pid is free", PATIENCE, || {
        let (orphan, how) = (rustix::process::Pid::from_raw(pid.cast_signed()), rustix::process::WaitOptions::NOHANG);
        let _ = rustix::process::waitpid(orphan, how);
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    let over = fleet.path("over");
    let script = "trap 'exit 1' TERM; until [ -e \"$0\" ]; do sleep 0.05; done";
    let mut stranger = loop {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut child = Command::new("sh").args(["-c", script]).arg(&over).spawn().unwrap();
        if child.id() == pid {
            break child;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    fleet.start_agent("worker-01");
    fleet.wait_for_state("old", "running", 2);
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger lives");
    std::fs::write(&over, "").unwrap();
    assert_eq!(stranger.wait().unwrap().code(), Some(0), "and ends undisturbed");
    let end = fleet.container("old")["last_end"]["kind"].clone();
    assert_eq!(end, "gone", "lost, as the agent that came back reported it");
}

#[test]
fn an_agent_without_its_data_is_a_stranger_until_its_work_is_given_up() {
    let mut fleet = Fleet::start(2);
    fleet.stowplan(&["submit", "--id", "held", "--", "sleep", "602"]);
    fleet.wait_for_state("held", "running", 1);
    let pids = fleet.running("sleep 602");
    let worker = fleet.container("held")["worker"].as_str().unwrap().to_owned();
    fleet.kill_agent(&worker);
    std::fs::rename(fleet.agent_data(&worker), fleet.path("lost-data")).unwrap();
    fleet.start_agent(&worker);
    fleet.eventually("the stranger is refused, and why", PATIENCE, || {
        let log = fleet.log(&worker);
        log.contains(&format!("stowplan worker remove {worker} --lost")) && log.contains("clone")
    });
    fleet.eventually("the shim ends the container at its deadline", PATIENCE, || {
        !fleet.running("sleep 602").iter().any(|pid| pids.contains(pid))
    });
    fleet.wait_for_state("held", "running", 2);
    assert_eq!(fleet.running("sleep 602").len(), 1);
    fleet.wait_for_workers(2);
}

#[test]
fn an_end_says_who_ended_it() {
    let fleet = Fleet::start(1);
    let killed = fleet.stowplan(&["run", "--id", "killed", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.code, 137, "{killed:?}");
    let status = fleet.stowplan(&["status", "killed"]);
    assert!(status.stdout.contains("killed by signal 9 (SIGKILL)"), "{status:?}");
    assert_eq!(fleet.state("killed"), ("failed".to_owned(), 1));
    assert_eq!(fleet.stowplan(&["run", "--", "sh", "-c", "kill -TERM $$"]).code, 143);
    assert_eq!(fleet.stowplan(&["run", "--", "sh", "-c", "exit 255"]).code, 255);

    let own = fleet.stowplan(&["run", "--", "sh", "-c", "exit 125"]);
    assert_eq!(own.code, 125);
    let ours = {
        let mut command = fleet.typed(&["run", "--", "true"]);
        command.env("STOWPLAN_SERVER", "http://127.0.0.1:1");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ours.0, Some(125), "{ours:?}");
    assert_ne!(own.stderr, ours.1);
    assert!(ours.1.contains("127.0.0.1:1"), "{ours:?}");

    let slow = fleet.stowplan(&["run", "--id", "slow", "--timeout", "300ms", "--", "sleep", "603"]);
    assert_eq!(slow.code, 124, "{slow:?}");
    assert!(fleet.stowplan(&["status", "slow"]).stdout.contains("timeout"));
    fleet.stowplan(&["submit", "--id", "told", "--", "sleep", "604"]);
    fleet.wait_for_state("told", "running", 1);
    fleet.stowplan(&["stop", "told"]);
    fleet.wait_for_state("told", "stopped", 1);
    assert!(fleet.stowplan(&["status", "told"]).stdout.contains("stopped"));
}

#[test]
fn what_cannot_be_started_is_named() {
    let fleet = Fleet::start_with(1, options("1"));
    let folder = fleet.stowplan(&["run", "--id", "folder", "--cwd", "/no/such/dir", "--", "/bin/sh", "-c", "true"]);
    assert!(folder.stderr.contains("/no/such/dir") && !folder.stderr.contains("/bin/sh"), "{folder:?}");
    let command = fleet.stowplan(&["run", "--id", "command", "--", "nosuchcommand"]);
    assert_eq!(command.code, 127, "{command:?}");
    assert!(command.stderr.contains("nosuchcommand") && command.stderr.contains("worker-01"), "{command:?}");
    let plain = fleet.path("plain");
    std::fs::write(&plain, "no program").unwrap();
    let plain = fleet.stowplan(&["run", "--id", "plain", "--", plain.to_str().unwrap()]);
    assert_eq!(plain.code, 126, "{plain:?}");
    assert!(plain.stderr.contains("executable"), "{plain:?}");
    for id in ["folder", "command", "plain"] {
        assert_eq!(fleet.state(id), ("failed".to_owned(), 1), "one attempt, no more");
    }
    let empty = fleet.post("/v1/containers", &json!({"id": "empty", "command": []}));
    assert!((400..500).contains(&empty.0), "{empty:?}");
    assert!(empty.1.to_string().contains("command"), "{empty:?}");
    assert_eq!(fleet.stowplan(&["run", "--", "true"]).code, 0, "the one cpu is free again");
}

#[test]
fn bytes_that_are_no_text_are_refused_or_harmless() {
    let fleet = Fleet::start(1);
    let mut command = fleet.typed(&["run", "--", "printf", "%s"]);
    let refused = command.arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains('5'), "the position is named: {stderr}");
    let mut command = fleet.typed(&["status"]);
    let odd = command.env("BAD", OsStr::from_bytes(b"\xa3")).output().unwrap();
    assert_eq!(odd.status.code(), Some(0), "{odd:?}");
    let noise = fleet.stowplan(&["run", "--id", "noise", "--", "head", "-c", "1000000", "/dev/urandom"]);
    assert_eq!(noise.code, 0, "{}", noise.stderr);
    let logs = fleet.stowplan(&["logs", "noise"]);
    assert!(logs.stderr.contains("bytes of stdout before this were dropped"), "how much was dropped is said");
}

#[test]
fn the_token_is_never_shown() {
    let env = vec![("STOWPLAN_TOKEN".to_owned(), "s3cret".to_owned())];
    let fleet = Fleet::start_with(1, Options { env, ..Options::default() });
    let seen = fleet.stowplan(&["run", "--", "sh", "-c", "env; tr '\\0' '\\n' < /proc/self/environ"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(!seen.stdout.contains("s3cret") && seen.stdout.contains("STOWPLAN_CONTAINER="), "{seen:?}");
    let config = fleet.stowplan(&["config", "show"]);
    assert!(!config.stdout.contains("s3cret") && config.code == 0, "{config:?}");
    fleet.stowplan(&["submit", "--id", "long", "--", "sleep", "605"]);
    fleet.wait_for_state("long", "running", 1);
    for pid in fleet::pids() {
        assert!(!fleet::command_line(pid).contains("s3cret"), "ps shows it: {}", fleet::command_line(pid));
    }
    for pid in fleet::pids().filter(|pid| fleet::command_line(*pid).contains(" shim")) {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&environ).contains("s3cret"), "a shim's environment shows it");
    }
    for name in ["serve", "worker-01"] {
        assert!(!fleet.log(name).contains("s3cret"), "the log of {name} shows it");
    }
    let (status, _) = http(&fleet.url, "GET", "/v1/workers", None, &["Authorization: Bearer wrong"]).unwrap();
    assert_eq!(status, 401);
}

#[test]
fn a_container_sees_its_own_gpus() {
    let env = vec![("CUDA_VISIBLE_DEVICES".to_owned(), "2,3".to_owned())];
    let agent = vec!["--gpu".to_owned(), "T4:2".to_owned()];
    let fleet = Fleet::start_with(1, Options { agent, env, ..Options::default() });
    let print = ["--", "sh", "-c", "echo \"[$CUDA_VISIBLE_DEVICES]\""];
    let run = |id: &str, more: &[&str]| {
        let said = fleet.stowplan(&[&["run", "--id", id][..], more, &print[..]].concat());
        assert_eq!(said.code, 0, "{said:?}");
        said.stdout.trim().to_owned()
    };
    assert_eq!(run("one", &["--gpu", "T4:1"]), "[2]", "the first free device is the agent's first");
    assert_eq!(run("two", &["--gpu", "T4:2"]), "[2,3]");
    assert_eq!(run("forged", &["--gpu", "T4:1", "--env", "CUDA_VISIBLE_DEVICES=7"]), "[2]");

    // Two halves of one device see the same; with both there, a whole one sees the other.
    let hold = |id: &str, milli: &str| {
        let line = ["submit", "--id", id, "--gpu", "T4:1", "--gpu-milli", milli, "--", "sleep", "606"];
        assert_eq!(fleet.stowplan(&line).code, 0);
        fleet.wait_for_state(id, "running", 1);
        fleet.container(id)["gpu_devices"].clone()
    };
    let halves = (hold("half-a", "500"), hold("half-b", "500"));
    assert_eq!(halves.0, halves.1);
    assert_ne!(hold("whole", "1000"), halves.0);
}

#[test]
fn a_container_without_gpus_sees_none() {
    let env = vec![("CUDA_VISIBLE_DEVICES".to_owned(), "2,3".to_owned())];
    let fleet = Fleet::start_with(1, Options { env, ..Options::default() });
    let said = fleet.stowplan(&["run", "--", "sh", "-c", "echo \"[${CUDA_VISIBLE_DEVICES-unset}]\""]);
    assert_eq!(said.stdout, "[]\n", "{said:?}");
}

#[test]
fn a_new_machine_under_an_old_name() {
    let fleet = Fleet::start(0);
    let mut first = Played::register(&fleet, "w1", "machine-one", 1, 10).unwrap();
    fleet.post("/v1/containers", &json!({"id": "c1", "cpu": 8, "command": ["true"]}));
    let orders = first.take();
    let placement = orders["orders"][0]["placement"].clone();
    assert_eq!(placement["container"], "c1", "{orders}");
    assert_eq!(first.report(&placement, &json!({"kind": "running"})), "accepted");

    let refused = Played::register(&fleet, "w1", "machine-two", 1, 4).err().unwrap();
    assert!(refused.to_string().contains("worker remove w1 --lost"), "{refused}");

    // w1 falls silent and is given up; c1 goes on elsewhere.
    let mut second = Played::register(&fleet, "w2", "machine-three", 1, 10).unwrap();
    let history = second.history;
    let beats = std::cell::Cell::new(0);
    fleet.eventually("c1 is given to w2", PATIENCE, || {
        beats.set(beats.get() + 1);
        let caller = json!({"incarnation": 1, "number": beats.get(), "history": history});
        fleet.post("/v1/workers/w2/heartbeat", &json!({"caller": caller}));
        fleet.container("c1")["worker"] == "w2"
    });
    second.number = beats.get();
    let orders = second.take();
    let moved = orders["orders"][0]["placement"].clone();
    assert_eq!((&moved["container"], &moved["attempt"]), (&json!("c1"), &json!(2)));
    second.report(&moved, &json!({"kind": "running"}));

    // A new machine registers under the old name, smaller and empty; above the old one, so that no late call passes for
    // its own.
    let below = Played::register(&fleet, "w1", "machine-two", 1, 4).err().unwrap();
    assert_eq!(below["raise_above"], 1, "{below}");
    let mut anew = Played::register(&fleet, "w1", "machine-two", 2, 4).unwrap();
    let worker = fleet.json("/v1/workers/w1");
    assert_eq!(worker["free"]["cpu_milli"], 4000, "{worker}");
    fleet.post("/v1/containers", &json!({"id": "c2", "cpu": 4, "command": ["true"]}));
    let orders = anew.take();
    assert_eq!(orders["orders"][0]["placement"]["container"], "c2", "{orders}");

    // What the old machine says late changes nothing.
    assert_ne!(first.report(&placement, &json!({"kind": "exited", "code": 0})), "accepted");
    assert_eq!(fleet.state("c1"), ("running".to_owned(), 2));
    assert_eq!(fleet.json("/v1/workers/w1")["free"]["cpu_milli"], 0);
}

#[test]
fn what_does_not_divide() {
    let fleet = Fleet::start(0);
    let asked = |id: &str, cpu: &str, memory: &str| {
        let (status, answer) =
            fleet.post("/v1/containers", &json!({"id": id, "cpu": cpu, "memory": memory, "command": ["true"]}));
        assert_eq!(status, 201, "{answer}");
        let request = fleet.container(id)["request"].clone();
        (request["cpu_milli"].as_u64().unwrap(), request["memory_mib"].as_u64().unwrap())
    };
    assert_eq!(asked("a", "0.0005", "1.2Gi"), (1, 1229));
    assert_eq!(asked("b", "2000m", "1G"), (2000, 954));
    assert_eq!(asked("c", "0.1", "1500k"), (100, 2));
    for id in ["a", "b", "c"] {
        fleet.stowplan(&["stop", id]);
    }
    let worker =
        json!({"worker": {"id": "w", "cpu": "1.9999", "memory": "1Gi"}, "key": "k", "incarnation": 1, "ready": true});
    assert_eq!(fleet.post("/v1/workers", &worker).0, 200);
    assert_eq!(fleet.json("/v1/workers/w")["cpu_milli"], 1999);

    let one = json!({"worker": {"id": "one", "cpu": 1, "memory": "8Gi", "pool": "one"}, "key": "k", "incarnation": 1, "ready": true});
    assert_eq!(fleet.post("/v1/workers", &one).0, 200);
    let tenth = |number: u32| json!({"id": format!("t{number}"), "cpu": "0.1", "memory": "1Mi", "pool": "one", "command": ["true"]});
    fleet.post("/v1/containers", &(0..11).map(tenth).collect());
    fleet.eventually("ten tenths fill one cpu", PATIENCE, || fleet.json("/v1/workers/one")["free"]["cpu_milli"] == 0);
    assert_eq!(fleet.state("t10").0, "pending");

    for (field, request) in [
        ("cpu", json!({"cpu": 0})),
        ("memory", json!({"memory": "0Mi"})),
        ("gpu.milli", json!({"gpu": {"types": "any", "milli": 0}})),
        ("gpu.count", json!({"gpu": {"types": "any", "count": 0}})),
    ] {
        let mut request = request;
        request["id"] = json!("nothing");
        request["command"] = json!(["true"]);
        let (status, problem) = fleet.post("/v1/containers", &request);
        assert!((400..500).contains(&status) && problem.to_string().contains(field), "{field}: {problem}");
    }
}

#[test]
fn a_grandchild_delays_no_end() {
    let fleet = Fleet::start(1);
    let began = std::time::Instant::now();
    let run = |script: &str| fleet.stowplan(&["run", "--kill-after", "10m", "--", "sh", "-c", script]);
    let pipe = run("sleep 607 & echo done");
    assert_eq!((pipe.code, pipe.stdout.as_str()), (0, "done\n"), "{pipe:?}");
    let stubborn = run("(trap '' TERM; sleep 608) & echo done");
    assert_eq!(stubborn.code, 0, "{stubborn:?}");
    let away = run("setsid sleep 609 & echo done");
    assert_eq!(away.code, 0, "{away:?}");
    assert!(began.elapsed() < Duration::from_mins(5), "{:?}", began.elapsed());
    for line in ["sleep 607", "sleep 608", "sleep 609"] {
        fleet.eventually(&format!("{line} is gone"), PATIENCE, || fleet.running(line).is_empty());
    }
}

#[test]
fn output_without_end_harms_nobody() {
    let fleet = Fleet::start(1);
    let flood = fleet.stowplan(&["run", "--id", "flood", "--", "sh", "-c", "head -c 300000000 /dev/zero"]);
    assert_eq!(flood.code, 0, "{}", flood.stderr);
    let logs = fleet.json("/v1/containers/flood/logs");
    assert_eq!(logs["output"]["stdout"]["dropped_bytes"].as_u64().unwrap(), 300_000_000 - 16 * 1024);
    let said = fleet.stowplan(&["logs", "flood"]);
    assert!(said.stderr.contains("299983616 bytes"), "how much was dropped is said: {}", said.stderr);
    // 16 KiB ends inside a character of three bytes.
    let cut = fleet.stowplan(&[
        "run",
        "--id",
        "cut",
        "--",
        "sh",
        "-c",
        "i=0; while [ $i -lt 6000 ]; do printf '€'; i=$((i+1)); done",
    ]);
    assert_eq!(cut.code, 0);
    let logs = fleet.json("/v1/containers/cut/logs");
    let text = logs["output"]["stdout"]["text"].as_str().unwrap();
    assert!(text.chars().all(|c| c == '€') && text.len() <= 16 * 1024 && text.len() > 16 * 1024 - 3, "{}", text.len());
    assert_eq!(logs["output"]["stdout"]["dropped_bytes"].as_u64().unwrap(), 18_000 - text.len() as u64);
}

#[test]
fn a_stopped_container_leaves_no_process() {
    let fleet = Fleet::start(1);
    let line = "trap '' TERM; sleep 610 & sleep 610; sleep 610";
    fleet.stowplan(&["submit", "--id", "deaf", "--kill-after", "300ms", "--", "sh", "-c", line]);
    fleet.wait_for_state("deaf", "running", 1);
    let before = descendants(fleet.agent_pid("worker-01"));
    assert!(!before.is_empty());
    fleet.stowplan(&["stop", "deaf"]);
    fleet.wait_for_state("deaf", "stopped", 1);
    assert!(fleet.running("sleep 610").is_empty());
}

#[test]
fn three_thousand_giants_hold_up_nobody() {
    let fleet = Fleet::start(20);
    let giant = |number: u32| json!({"id": format!("giant-{number}"), "cpu_milli": 64_000 + number, "priority": 100, "command": ["true"]});
    for batch in 0..3 {
        let giants: Value = (batch * 1_000..(batch + 1) * 1_000).map(giant).collect();
        assert_eq!(fleet.post("/v1/containers", &giants).0, 200);
    }
    let small = json!({"id": "small", "priority": -100, "command": ["sleep", "611"]});
    assert_eq!(fleet.post("/v1/containers", &small).0, 201);
    fleet.eventually("the small one runs", PATIENCE, || fleet.state("small").0 == "running");
}

#[test]
fn a_batch_says_what_it_does_in_the_log() {
    for (format, is_json) in [("text", false), ("json", true)] {
        let env = vec![("STOWPLAN_LOG".to_owned(), format.to_owned())];
        let fleet = Fleet::start_with(1, Options { env, ..Options::default() });
        assert_eq!(fleet.stowplan(&["run", "--", "true"]).code, 0);
        let log = fleet.log("serve");
        for line in ["processing batch of container requests", "batch updated worker capacity"] {
            let found = log.lines().find(|logged| logged.contains(line)).unwrap_or_else(|| panic!("{line}: {log}"));
            assert_eq!(serde_json::from_str::<Value>(found).is_ok(), is_json, "{found}");
        }
    }
}
