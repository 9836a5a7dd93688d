use expect_test::expect;

use super::table;
use crate::api::json::{BadDocument, read};
use crate::api::worker::{DrainCall, WorkerDocument};

fn spec(text: &str) -> Result<String, BadDocument> {
    let document: WorkerDocument = read(text.as_bytes())?;
    let spec = document.to_spec()?;
    let used = document.to_used(&spec.total)?;
    let (total, status) = (&spec.total, document.to_status()?);
    Ok(format!(
        "{} {} cpu={} mem={} gpu={} used={}/{}/{:?} {:?}",
        document.to_id()?,
        status.as_str(),
        total.cpu_milli,
        total.memory_mib,
        total.gpu_count,
        used.cpu_milli,
        used.memory_mib,
        used.gpu_milli,
        spec.runtimes.iter().map(ToString::to_string).collect::<Vec<_>>(),
    ))
}

#[test]
fn a_worker_is_read_and_never_believed_to_have_more_than_it_has() {
    let cases = [
        r#"{"id": "w", "cpu": 1.9999, "memory": "1.2Gi"}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "free": {"cpu_milli": 500}, "status": "cordoned"}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [400, 1000]}}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "runtime": ["process", "docker"]}"#,
        r#"{"id": "w", "memory": "1Gi"}"#,
        r#"{"cpu": 2, "memory": "1Gi"}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "free": {"cpu_milli": 2001}}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "free": {"cpu": 1}}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4"}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "gpu_count": 1}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [1]}}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 1, "free": {"gpu_milli": [1001]}}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "status": "avialable"}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "runtime": []}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "runtime": 3}"#,
        r#"{"id": "w", "cpu": 2, "memory": "1Gi", "priority": "x"}"#,
    ];
    let said = |text: &str| spec(text).unwrap_or_else(|bad| bad.to_string());
    expect![[r#"
        {"id": "w", "cpu": 1.9999, "memory": "1.2Gi"}
            w available cpu=1999 mem=1228 gpu=0 used=0/0/[] ["process"]
        {"id": "w", "cpu": 2, "memory": "1Gi", "free": {"cpu_milli": 500}, "status": "cordoned"}
            w cordoned cpu=2000 mem=1024 gpu=0 used=1500/0/[] ["process"]
        {"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [400, 1000]}}
            w available cpu=2000 mem=1024 gpu=2 used=0/0/[600] ["process"]
        {"id": "w", "cpu": 2, "memory": "1Gi", "runtime": ["process", "docker"]}
            w available cpu=2000 mem=1024 gpu=0 used=0/0/[] ["process", "docker"]
        {"id": "w", "memory": "1Gi"}
            cpu: is missing; give cpu or cpu_milli
        {"cpu": 2, "memory": "1Gi"}
            id: "": a name may not be empty
        {"id": "w", "cpu": 2, "memory": "1Gi", "free": {"cpu_milli": 2001}}
            free.cpu_milli: "2001" is more than the worker's 2000
        {"id": "w", "cpu": 2, "memory": "1Gi", "free": {"cpu": 1}}
            free.cpu: unknown field; did you mean cpu_milli?
        {"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4"}
            gpu_count: is missing; say how many GPUs there are
        {"id": "w", "cpu": 2, "memory": "1Gi", "gpu_count": 1}
            gpu_type: is missing; say what kind the GPUs are
        {"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [1]}}
            free.gpu_milli: 1 devices are listed, the worker has 2
        {"id": "w", "cpu": 2, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 1, "free": {"gpu_milli": [1001]}}
            free.gpu_milli[0]: "1001" is more than a whole device, 1000
        {"id": "w", "cpu": 2, "memory": "1Gi", "status": "avialable"}
            status: "avialable" is not known; did you mean available?
        {"id": "w", "cpu": 2, "memory": "1Gi", "runtime": []}
            runtime: an empty list runs nothing; leave it out for "process"
        {"id": "w", "cpu": 2, "memory": "1Gi", "runtime": 3}
            runtime: write one name in quotes, or a list of names
        {"id": "w", "cpu": 2, "memory": "1Gi", "priority": "x"}
            priority: string "x" does not belong here; write a whole number
    "#]]
    .assert_eq(&table(&cases, said));
}

#[test]
fn a_drain_says_how_long() {
    let within = |text: &str| {
        let call: DrainCall = read(text.as_bytes()).map_err(|bad: BadDocument| bad.to_string())?;
        call.to_within().map(|within| within.as_millis()).map_err(|bad| bad.to_string())
    };
    assert_eq!(within("{}"), Ok(600_000));
    assert_eq!(within(r#"{"within": "5s"}"#), Ok(5_000));
    assert_eq!(within(r#"{"within_ms": 5}"#), Ok(5));
    assert!(within(r#"{"within": "5"}"#).unwrap_err().contains("has no unit"));
    assert!(within(r#"{"within": "5s", "within_ms": 5}"#).unwrap_err().contains("give one of them"));
}
