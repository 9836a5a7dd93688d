//! The command around the documents: where they come from, how much of them, and who reads the answer.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use app::api::plan::PlanAnswer;
use app::api::worker::WorkerDocument;
use domain::id::{GpuType, Incarnation, MachineName, PoolName, Revision, Runtime, WorkerId};
use domain::resources::{Capacity, Used};
use domain::worker::{Closed, Life, WorkerRow, WorkerSpec};

use super::{answer, plan};

const SMALL: &str = r#"{"workers": [{"id": "w", "cpu": 4, "memory": "8Gi"}], "requests": [{"id": "a"}]}"#;

fn parsed(text: &str) -> PlanAnswer {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_file_is_read_like_standard_input_and_json_is_what_pipes_get() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, SMALL).unwrap();
    let by_name = plan(&["--input", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(String::from_utf8(by_name.stdout).unwrap(), answer(SMALL, "json"));
    // What some editors put in front of a text.
    assert_eq!(answer(&format!("\u{feff}{SMALL}"), "json"), answer(SMALL, "json"));
}

#[test]
fn an_input_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("plan.json");
    for (path, cause) in [(missing.as_path(), "No such file"), (folder.path(), "directory")] {
        let output = plan(&["--input", path.to_str().unwrap()]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        assert!(stderr.starts_with(&format!("error: failed to read {}: ", path.display())), "{stderr}");
        assert!(stderr.contains(cause) && stderr.ends_with("\nnext: stowplan plan --help\n"), "{stderr}");
    }
    plan(&["--help"]).assert().success();
}

#[test]
fn a_bad_command_line_is_refused() {
    let cases: [&[&str]; 4] = [&[], &["--input"], &["--input", "-", "--format", "yaml"], &["--inptu", "-"]];
    for arguments in cases {
        let output = plan(arguments).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
    }
}

#[test]
fn whoever_has_to_wait_the_plan_was_made() {
    let answered = parsed(&answer(r#"{"requests": [{"id": "a"}]}"#, "json"));
    assert_eq!((answered.placements.len(), answered.unplaced.len()), (0, 1));
    assert_eq!(answered.unplaced[0].text, "no workers registered");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let requests: Vec<String> = (0..5_000).map(|n| format!(r#"{{"id": "request-{n}", "cpu": 99}}"#)).collect();
    let document = format!(r#"{{"requests": [{}]}}"#, requests.join(","));
    for format in ["json", "text"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stowplan"))
            .args(["plan", "--input", "-", "--format", format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{format}");
    }
}

#[test]
fn ten_thousand_requests_on_a_thousand_workers() {
    let workers: Vec<String> = (0..1_000)
        .map(|n| {
            let gpus = if n % 4 == 0 { r#", "gpu_type": "T4", "gpu_count": 4"# } else { "" };
            format!(r#"{{"id": "w{n}", "cpu": {}, "memory": "64Gi"{gpus}}}"#, 8 + n % 3 * 4)
        })
        .collect();
    let mut requests = String::new();
    for n in 0..10_000 {
        let gpu = if n % 10 == 0 { r#", "gpu": {"milli": 500}"# } else { "" };
        let separator = if n == 0 { "" } else { "," };
        write!(requests, r#"{separator}{{"id": "r{n}", "cpu_milli": {}{gpu}}}"#, 500 + n * 37 % 1_000).unwrap();
    }
    let pool = r#"{"name": "p", "worker": {"cpu": 16, "memory": "64Gi"}, "max_workers": 1000}"#;
    let document = format!(r#"{{"pools": [{pool}], "workers": [{}], "requests": [{requests}]}}"#, workers.join(","));

    let started = Instant::now();
    let answered = parsed(&answer(&document, "json"));
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    assert_eq!(answered.placements.len() + answered.unplaced.len(), 10_000);
    let fresh: usize = answered.new_workers.iter().map(|new| new.for_ids.len()).sum();
    assert_eq!(answered.unplaced.len(), fresh);
    assert!(answered.placements.len() > 8_000 && fresh > 0, "{} and {fresh}", answered.placements.len());
}

/// A worker as a store keeps it, which owns what `used` says.
fn row(id: &str, used: Used) -> WorkerRow {
    let spec = WorkerSpec {
        pool: PoolName::new("gpu").unwrap(),
        total: Capacity {
            cpu_milli: 8_000,
            memory_mib: 16_384,
            gpu_type: Some(GpuType::new("T4").unwrap()),
            gpu_count: 2,
        },
        priority: 3,
        preemptible: false,
        requires_pool_selector: false,
        machine: Some(MachineName::new("m").unwrap()),
        workspace: None,
        runtimes: vec![Runtime::new("process").unwrap(), Runtime::new("docker").unwrap()],
        labels: [("zone".into(), "a".into())].into(),
    };
    WorkerRow {
        id: WorkerId::new(id).unwrap(),
        spec: Arc::new(spec),
        life: Life::Up,
        closed: Closed::No,
        key: None,
        incarnation: Incarnation(7),
        registered_in: None,
        complete: true,
        ready: true,
        used,
        changed: Revision(9),
    }
}

#[test]
fn workers_are_read_as_the_server_answers_them() {
    let half = Used { cpu_milli: 4_000, memory_mib: 8_192, gpu_milli: vec![0, 600], containers: 2 };
    // Came back with fewer devices than its containers own: nothing is left of it, though cpu and memory are.
    let over = Used { gpu_milli: vec![0, 0, 1_000], ..half.clone() };
    let documents = [row("half", half), row("over", over)].map(|row| {
        let document = WorkerDocument { silent_ms: Some(12), ..WorkerDocument::of(&row) };
        serde_json::to_string(&document).unwrap()
    });
    let document = format!(
        r#"{{"workers": [{}], "requests": [
            {{"id": "a", "cpu": 3, "memory": "8Gi", "gpu": {{"milli": 400}}, "labels": {{"zone": "a"}}, "runtime": "docker"}},
            {{"id": "b", "memory": "1Mi", "gpu": {{"milli": 1}}}}
        ]}}"#,
        documents.join(","),
    );
    let answered = parsed(&answer(&document, "json"));
    let placed: Vec<_> = answered.placements.iter().map(|p| (p.worker.as_str(), p.gpu_devices.as_slice())).collect();
    assert_eq!(placed, [("half", &[1][..])]);
    let detail: Vec<_> =
        answered.unplaced[0].detail.rules.iter().map(|(rule, count)| (rule.as_str(), *count)).collect();
    assert_eq!(detail, [("gpu_room", 1), ("memory", 1)]);
}
