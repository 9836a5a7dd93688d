#![expect(clippy::needless_raw_string_hashes, reason = "the form in which expect-test writes what it updates")]

use expect_test::expect;

use super::table;
use crate::api::json::{BadDocument, read};
use crate::api::plan::{PlanDocument, PlanInput};

fn input(text: &str) -> Result<PlanInput, BadDocument> {
    let document: PlanDocument = read(text.as_bytes())?;
    Ok(document.to_input()?)
}

#[test]
fn a_bad_plan_names_field_and_value() {
    let cases = [
        "not json",
        r#"{"version": 2}"#,
        r#"{"workerz": []}"#,
        r#"{"policy": {"strategy": "best"}}"#,
        r#"{"policy": {"memory_overhead_percent": -1}}"#,
        r#"{"policy": {"cpu_on_gpu_workers": "yes"}}"#,
        r#"{"policy": {"failover": {"T4": ["p", "q/r"]}}}"#,
        r#"{"workers": [{"id": "w", "cpu": 1, "memory": "1Gi"}, {"id": "w", "cpu": 1, "memory": "1Gi"}]}"#,
        r#"{"workers": [{"id": "w", "cpu": 1, "memory": "1Gi", "free": {"memory_mib": 1025}}]}"#,
        r#"{"requests": [{"id": "a"}, {"id": "a"}]}"#,
        r#"{"requests": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d", "cpu": "1e3"}]}"#,
        r#"{"pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": -1}]}"#,
        r#"{"pools": [{"name": "p", "worker": {"cpu": 1}, "max_workers": 1}]}"#,
        r#"{"pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}}]}"#,
        r#"{"quotas": {"w": {"cpu": "lots"}}}"#,
        r#"{"quotas": {"w": {"used": {"memory": 3}}}}"#,
        r#"{"quotas": {"w/x": {}}}"#,
    ];
    let said = |text: &str| input(text).map_or_else(|bad| bad.to_string(), |fine| format!("fine: {fine:?}"));
    expect![[r#"
        not json
            not JSON: expected ident at line 1 column 2
        {"version": 2}
            version: "2" is not known; write 1
        {"workerz": []}
            workerz: unknown field; did you mean workers?
        {"policy": {"strategy": "best"}}
            policy.strategy: "best" is not known; did you mean best-fit?
        {"policy": {"memory_overhead_percent": -1}}
            policy.memory_overhead_percent: integer -1 does not belong here; write a whole number from 0 to 4294967295
        {"policy": {"cpu_on_gpu_workers": "yes"}}
            policy.cpu_on_gpu_workers: "yes" is not known; it may be never, allowed
        {"policy": {"failover": {"T4": ["p", "q/r"]}}}
            policy.failover.T4[1]: "q/r": '/' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
        {"workers": [{"id": "w", "cpu": 1, "memory": "1Gi"}, {"id": "w", "cpu": 1, "memory": "1Gi"}]}
            workers[1].id: "w" is there already; choose another
        {"workers": [{"id": "w", "cpu": 1, "memory": "1Gi", "free": {"memory_mib": 1025}}]}
            workers[0].free.memory_mib: "1025" is more than the worker's 1024
        {"requests": [{"id": "a"}, {"id": "a"}]}
            requests[1].id: "a" is there already; choose another
        {"requests": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d", "cpu": "1e3"}]}
            requests[3].cpu: "1e3" has an exponent; write all of its digits
        {"pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": -1}]}
            pools[0].max_workers: "-1" has a sign; write a plain decimal such as 2 or 0.5
        {"pools": [{"name": "p", "worker": {"cpu": 1}, "max_workers": 1}]}
            pools[0].worker.memory: is missing; give memory or memory_mib
        {"pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}}]}
            pools[0].max_workers: is missing; it must be given
        {"quotas": {"w": {"cpu": "lots"}}}
            quotas.w.cpu: "lots" is not a number; write a plain decimal such as 2 or 0.5, or "unlimited"
        {"quotas": {"w": {"used": {"memory": 3}}}}
            quotas.w.used.memory: "3" has no unit; write 3Mi or 3Gi
        {"quotas": {"w/x": {}}}
            quotas.w/x: "w/x": '/' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
    "#]].assert_eq(&table(&cases, said));
}

#[test]
fn quotas_limit_only_where_they_are_given() {
    assert_eq!(input("{}").unwrap().policy.quotas, None);
    let input = input(r#"{"quotas": {"w": {"cpu": 24, "gpus": "unlimited", "used": {"cpu": "1.5"}}}}"#).unwrap();
    let usage: Vec<_> = input.fleet.usage.values().map(|usage| usage.cpu_milli).collect();
    let quotas = input.policy.quotas.unwrap();
    expect![[r#"
        [
            QuotaLimits {
                cpu_milli: AtMost(
                    24000,
                ),
                memory_mib: AtMost(
                    41943040,
                ),
                gpu_milli: Unlimited,
                containers: AtMost(
                    100000,
                ),
            },
        ]
    "#]]
    .assert_debug_eq(&quotas.workspaces.values().collect::<Vec<_>>());
    assert_eq!(usage, [1500]);
}
