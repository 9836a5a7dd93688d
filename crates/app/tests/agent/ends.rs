//! How containers end, and what they leave: nothing but their last output.

use std::time::{Duration, Instant};

use app::api::calls::{Event, StopCause};

use crate::played::{Play, exited, is_alive, stdout, wait_pids};

#[test]
fn exit_codes_and_signals_are_told_as_they_are() {
    let play = Play::new();
    let _agent = play.agent();
    let cases = [
        ("exit 0", exited(0)),
        ("exit 7", exited(7)),
        ("exit 255", exited(255)),
        ("kill -9 $$", Event::Signaled { signal: 9 }),
        ("kill -TERM $$", Event::Signaled { signal: 15 }),
    ];
    for (script, expected) in cases {
        let name = script.replace([' ', '$'], "_");
        assert_eq!(play.run(&name, &["sh", "-c", script]).event, expected, "{script}");
    }
}

#[test]
fn both_streams_arrive_apart_and_whole() {
    let play = Play::new();
    let _agent = play.agent();
    let end = play.run("c", &["sh", "-c", "echo out; echo err >&2; printf 'a\\0b'"]);
    let output = end.output.unwrap();
    assert_eq!((output.stdout.text.as_str(), output.stdout.dropped_bytes), ("out\na\0b", 0));
    assert_eq!((output.stderr.text.as_str(), output.stderr.dropped_bytes), ("err\n", 0));
}

#[test]
fn three_hundred_megabytes_without_a_newline_harm_nobody() {
    let play = Play::new();
    let _agent = play.agent();
    let pids = play.file("pids");
    let script = "head -c 300000000 /dev/zero; echo $PPID > \"$0\"; exec sleep 600";
    let placement = play.start("c", &["sh", "-c", script, pids.to_str().unwrap()]);
    let shim = wait_pids(&pids, 1)[0];
    let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 64 * 1024, "the shim took {peak_kib} KiB");
    play.stop(&placement, StopCause::Stop);
    let end = play.wait_end(&placement);
    assert_eq!(stdout(&end), "\0".repeat(16 * 1024));
    assert_eq!(end.output.unwrap().stdout.dropped_bytes, 300_000_000 - 16 * 1024);
}

#[test]
fn output_is_cut_at_a_character_and_is_text_whatever_the_bytes() {
    let play = Play::new();
    let _agent = play.agent();
    let end = play.run("euros", &["sh", "-c", "printf '€%.0s' $(seq 10000)"]);
    assert_eq!(stdout(&end), "€".repeat(16 * 1024 / 3));
    assert_eq!(end.output.unwrap().stdout.dropped_bytes, 3 * (10_000 - 16 * 1024 / 3));

    let end = play.run("noise", &["head", "-c", "1000000", "/dev/urandom"]);
    assert_eq!(end.event, exited(0));
    let text = stdout(&end);
    assert!(text.len() <= 16 * 1024 && text.len() > 15 * 1024, "{}", text.len());
}

#[test]
fn what_the_command_leaves_behind_is_killed_and_delays_no_end() {
    let play = Play::new();
    let _agent = play.agent();
    let apart = "setsid sh -c 'echo $$ > \"$0\"; exec sleep 600' \"$0\"";
    let until_it_runs = "echo hi; until [ -s \"$0\" ]; do sleep 0.02; done";
    let cases = [
        ("holds-the-pipe", "sleep 600 & echo $! > \"$0\"; echo hi".to_owned()),
        ("ignores-term", "(trap '' TERM; exec sleep 600) & echo $! > \"$0\"; echo hi".to_owned()),
        ("has-a-session-of-its-own", format!("{apart} & {until_it_runs}")),
        ("is-an-orphan", format!("({apart} &); {until_it_runs}")),
    ];
    for (name, script) in cases {
        let pids = play.file(name);
        let command = ["sh", "-c", &script, pids.to_str().unwrap()];
        // No end is waited for as long as what is left behind would live, or has from TERM to KILL.
        let placement = play.start_with(name, &command, |order| order.kill_after_ms = Some(600_000));
        let end = play.wait_end(&placement);
        assert_eq!((end.event.clone(), stdout(&end)), (exited(0), "hi\n"), "{name}");
        assert!(!is_alive(wait_pids(&pids, 1)[0]), "{name} is still alive");
    }
}

#[test]
fn a_stop_ends_the_whole_group() {
    let play = Play::new();
    let _agent = play.agent();
    let pids = play.file("pids");
    let script = "sleep 600 & echo $$ $! > \"$0\"; sleep 600";
    let command = ["sh", "-c", script, pids.to_str().unwrap()];
    // TERM is enough: nobody waits for KILL to come.
    let placement = play.start_with("c", &command, |order| order.kill_after_ms = Some(600_000));
    let pids = wait_pids(&pids, 2);
    play.stop(&placement, StopCause::Stop);
    assert_eq!(play.wait_end(&placement).event, Event::StopOrder);
    assert!(!pids.into_iter().any(is_alive));
}

#[test]
fn a_command_that_ignores_term_is_killed_after_kill_after() {
    let play = Play::new();
    let _agent = play.agent();
    let pids = play.file("pids");
    let script = "trap '' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done";
    let command = ["sh", "-c", script, pids.to_str().unwrap()];
    let placement = play.start_with("c", &command, |order| order.kill_after_ms = Some(300));
    let leader = wait_pids(&pids, 1)[0];
    let began = Instant::now();
    play.stop(&placement, StopCause::Drain);
    assert_eq!(play.wait_end(&placement).event, Event::DrainOrder);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert!(!is_alive(leader));
}

#[test]
fn a_timeout_counts_from_the_start_and_is_named() {
    let play = Play::new();
    let _agent = play.agent();
    let began = Instant::now();
    let placement = play.start_with("c", &["sleep", "600"], |order| order.timeout_ms = Some(300));
    assert_eq!(play.wait_end(&placement).event, Event::Timeout { after_ms: 300 });
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn what_cannot_be_started_says_why() {
    let play = Play::new();
    let _agent = play.agent();
    let plain = play.file("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    let plain = plain.to_str().unwrap();
    let lost = play.file("lost-interpreter");
    std::fs::write(&lost, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&lost, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let worker = &play.worker;
    let cases: [(&str, Option<&str>, i32, String); 6] = [
        ("nosuchcommand", None, 127, format!("the command nosuchcommand was not found (worker {worker}, PATH=")),
        ("/no/such/program", None, 127, format!("/no/such/program does not exist (worker {worker})")),
        (plain, None, 126, format!("{plain} is not executable (worker {worker})")),
        (lost.to_str().unwrap(), None, 126, "names an interpreter that does not exist".to_owned()),
        ("/bin/sh", Some("/no/such/dir"), 127, format!("the folder /no/such/dir does not exist (worker {worker})")),
        ("/bin/sh", Some("/etc/hostname"), 126, format!("/etc/hostname is not a folder (worker {worker})")),
    ];
    for (number, (program, cwd, expected, words)) in cases.into_iter().enumerate() {
        let placement = play.start_with(&format!("c{number}"), &[program, "-c", "true"], |order| {
            order.cwd = cwd.map(str::to_owned);
        });
        let Event::Unstartable { code, detail } = play.wait_end(&placement).event else { panic!("{program} started") };
        assert_eq!(code, expected, "{detail}");
        assert!(detail.contains(&words), "{detail}");
    }
    let runtime = play.start_with("docker", &["true"], |order| order.runtime = Some("docker".to_owned()));
    assert!(matches!(play.wait_end(&runtime).event, Event::StartFailed { .. }));
}

#[test]
fn the_working_folder_is_the_one_asked_for_or_an_empty_one_removed_afterwards() {
    let play = Play::new();
    let _agent = play.agent();
    let end = play.run("own", &["sh", "-c", "pwd; ls -A; touch x"]);
    let folder = stdout(&end).trim();
    assert!(folder.starts_with(play.data().to_str().unwrap()), "{folder}");
    assert_eq!(folder.lines().count(), 1, "it is empty: {folder}");
    crate::played::wait("the folder to be removed", || (!std::path::Path::new(folder).exists()).then_some(()));

    let tools = play.file("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("tool"), "#!/bin/sh\necho tool in $(pwd) as $0\n").unwrap();
    std::fs::set_permissions(tools.join("tool"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let at = tools.to_str().unwrap();
    let placement = play.start_with("given", &["./tool"], |order| order.cwd = Some(at.to_owned()));
    assert_eq!(stdout(&play.wait_end(&placement)), format!("tool in {at} as {at}/./tool\n"));
    let from_root = at.trim_start_matches('/');
    let placement = play.start_with("relative", &["./tool"], |order| order.cwd = Some(from_root.to_owned()));
    assert_eq!(stdout(&play.wait_end(&placement)), format!("tool in {at} as {at}/./tool\n"));
    let placement = play.start_with("path", &["tool"], |order| {
        order.cwd = Some("/".to_owned());
        order.env = [("PATH".to_owned(), format!("{at}:/usr/bin:/bin"))].into();
    });
    assert_eq!(stdout(&play.wait_end(&placement)), format!("tool in / as {at}/tool\n"));
}
