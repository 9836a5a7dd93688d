//! The first five minutes with the program, as a newcomer lives them: the real binary over real HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fleet;

use std::collections::BTreeSet;
use std::time::Duration;

use fleet::Fleet;

#[test]
fn the_five_minute_script() {
    let mut fleet = Fleet::start(20);

    let hello = fleet.stowplan(&["run", "--", "echo", "hello"]);
    assert_eq!((hello.code, hello.stdout.as_str()), (0, "hello\n"), "{hello:?}");

    let seven = fleet.stowplan(&["run", "--", "sh", "-c", "exit 7"]);
    assert_eq!(seven.code, 7, "{seven:?}");

    let big = fleet.stowplan(&["submit", "--id", "big", "--cpu", "64", "--", "true"]);
    let words = format!("{}{}", big.stdout, big.stderr);
    assert!(words.contains("can never fit") && words.contains("worker-01") && words.contains("10"), "{big:?}");

    let explained = fleet.stowplan(&["explain", "big"]);
    assert_eq!(explained.code, 0, "{explained:?}");
    let cpu = explained.stdout.lines().find(|line| line.contains("cpu") && line.contains("20"));
    assert!(cpu.is_some(), "{explained:?}");

    let long = fleet.stowplan(&["submit", "--id", "long", "--", "sleep", "600"]);
    assert_eq!(long.code, 0, "{long:?}");
    fleet.wait_for_state("long", "running", 1);
    let first_pid = fleet.running("sleep 600");
    assert_eq!(first_pid.len(), 1);

    fleet.kill_serve();
    fleet.start_serve();
    fleet.wait_for_state("long", "running", 1);
    assert_eq!(fleet.running("sleep 600"), first_pid);

    let worker = fleet.container("long")["worker"].as_str().unwrap().to_owned();
    fleet.kill_agent(&worker);
    fleet.start_agent(&worker);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(fleet.state("long"), ("running".to_owned(), 1));
    assert_eq!(fleet.running("sleep 600"), first_pid);

    fleet.kill_agent(&worker);
    // It would run for ten minutes. The keepalive is 3 s, and the rest is for a machine that has much else to do.
    fleet.eventually("the command is gone by keepalive", Duration::from_secs(15), || {
        !fleet.running("sleep 600").iter().any(|pid| first_pid.contains(pid))
    });
    fleet.wait_for_state("long", "running", 2);
    assert_ne!(fleet.container("long")["worker"].as_str().unwrap(), worker);
    assert_eq!(fleet.running("sleep 600").len(), 1);

    // Every command that the program proposed works when it is pasted.
    let proposed: BTreeSet<String> = std::mem::take(&mut *fleet.next_lines.lock().unwrap()).into_iter().collect();
    assert!(!proposed.is_empty(), "nothing was proposed");
    for line in proposed {
        let said = fleet.paste(&line);
        assert_eq!(said.code, 0, "{line}: {said:?}");
    }
}
