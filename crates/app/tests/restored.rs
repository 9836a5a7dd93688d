//! A data folder that is put back from an older copy, under real agents that live on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fleet::Fleet;

mod fleet;

const SOON: Duration = Duration::from_mins(1);

/// Submits a command that notes each of its starts in a file of its own before it goes on.
fn submit(fleet: &Fleet, id: &str, then: &str) {
    let script = format!("echo started >> {}; {then}", fleet.path(id).display());
    let said = fleet.stowplan(&["submit", "--id", id, "--cpu", "1", "--", "sh", "-c", &script]);
    assert_eq!(said.code, 0, "{said:?}");
}

fn starts(fleet: &Fleet, id: &str) -> usize {
    fs::read_to_string(fleet.path(id)).unwrap_or_default().lines().count()
}

/// How many processes of this fleet sleep for so long.
fn sleepers(fleet: &Fleet, seconds: u32) -> usize {
    fleet.running(&format!("sleep {seconds}")).len()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

fn metric(fleet: &Fleet, name: &str) -> f64 {
    let metrics = fleet.get("/metrics").unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn an_older_copy_put_back_runs_nothing_twice_and_loses_only_what_came_after_it() {
    restore(|fleet| {
        fs::rename(fleet.path("server"), fleet.path("lost")).unwrap();
        copy(&fleet.path("copy"), &fleet.path("server"));
    });
}

/// The file stays the same one: only workers can tell, who have seen more than there is.
#[test]
fn a_copy_over_the_file_in_place_is_noticed_when_a_worker_calls() {
    restore(|fleet| {
        let file = "store.redb";
        let (from, to) = (fleet.path("copy").join(file), fleet.path("server").join(file));
        fs::write(to, fs::read(from).unwrap()).unwrap();
    });
}

fn restore(put_back: impl Fn(&Fleet)) {
    let mut fleet = Fleet::start(2);
    let workers = ["worker-01", "worker-02"];
    for worker in workers {
        assert_eq!(fleet.stowplan(&["worker", "cordon", worker]).code, 0);
    }
    submit(&fleet, "runs", "exec sleep 7001");
    submit(&fleet, "ends", "true");
    fleet.kill_serve();
    copy(&fleet.path("server"), &fleet.path("copy"));

    // The part that will be lost.
    fleet.start_serve();
    for worker in workers {
        assert_eq!(fleet.stowplan(&["worker", "uncordon", worker]).code, 0);
    }
    submit(&fleet, "gone", "exec sleep 7002");
    fleet.wait_for_state("runs", "running", 1);
    fleet.wait_for_state("gone", "running", 1);
    fleet.wait_for_state("ends", "succeeded", 1);
    fleet.eventually("the lost request's process lives", SOON, || sleepers(&fleet, 7002) == 1);

    fleet.kill_serve();
    put_back(&fleet);
    fleet.start_serve();
    fleet.eventually("the server notices", SOON, || metric(&fleet, "stowplan_settling") > 0.0);
    fleet.eventually("the server says so", SOON, || fleet.log("serve").contains("the store lost writes"));

    // Nothing new is placed while workers say what they run, and a stop waits for them.
    submit(&fleet, "later", "exec sleep 7003");
    for worker in workers {
        assert_eq!(fleet.stowplan(&["worker", "uncordon", worker]).code, 0, "the copy knows of the cordon");
    }
    let explained = fleet.stowplan(&["explain", "later"]);
    assert!(explained.stdout.contains("the store lost writes"), "{explained:?}");

    fleet.wait_for_state("runs", "running", 1);
    assert_eq!(sleepers(&fleet, 7001), 1);
    fleet.wait_for_state("ends", "succeeded", 1);
    fleet.eventually("what nobody knows of any more is killed", SOON, || sleepers(&fleet, 7002) == 0);
    assert!(fleet.get("/v1/containers/gone").is_none());
    assert!(metric(&fleet, "stowplan_lost_requests_total") >= 1.0);
    fleet.wait_for_state("later", "running", 1);

    // Repeating what is gone, with the same id, loses nothing.
    submit(&fleet, "gone", "exec sleep 7002");
    fleet.wait_for_state("gone", "running", 1);
    let counts = ["runs", "ends", "gone", "later"].map(|id| starts(&fleet, id));
    assert_eq!(counts, [1, 1, 2, 1], "how often each was started");
    fleet.eventually("the cell has settled", SOON, || metric(&fleet, "stowplan_settling") < 1.0);
    let audit = fleet.stowplan(&["audit"]);
    assert_eq!(audit.code, 0, "{audit:?}");
    for id in ["runs", "gone", "later"] {
        fleet.stowplan(&["stop", id]);
        fleet.wait_for_state(id, "stopped", 1);
    }
    fleet.eventually("no process is left", SOON, || (7001..=7003).all(|seconds| sleepers(&fleet, seconds) == 0));
}
