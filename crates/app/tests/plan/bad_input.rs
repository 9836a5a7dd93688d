//! What is refused, with exit code 2, and what is said: where, what, and the way out.

use expect_test::{Expect, expect};

use super::refusal;

/// Checks what is said of each case once `document` has put it where it belongs.
fn check(cases: &[&str], document: impl Fn(&str) -> String, expected: Expect) {
    let mut table = String::new();
    for case in cases {
        let said = refusal(&document(case));
        let said = said.strip_prefix("error: failed to read standard input: ").unwrap();
        table += &format!("{case}\n    {}\n", said.trim_end().replace('\n', "\n    "));
    }
    expected.assert_eq(&table);
}

fn whole(document: &str) -> String {
    document.to_owned()
}

/// A document whose second request has these fields too.
fn request(fields: &str) -> String {
    format!(r#"{{"requests": [{{"id": "first"}}, {{"id": "a", {fields}}}]}}"#)
}

/// A document whose second worker has these fields too.
fn worker(fields: &str) -> String {
    let first = r#"{"id": "first", "cpu": 1, "memory": "1Gi"}"#;
    format!(r#"{{"workers": [{first}, {{"id": "w", {fields}}}]}}"#)
}

#[test]
fn what_is_no_document() {
    check(
        &[
            "not json",
            r#"{"requests": ["#,
            r#"{"requests": [{"id": "a"}]} trailing"#,
            r#"{"requests": [{"id": 'a'}]}"#,
            "[]",
            "null",
            "7",
            r#""plan""#,
            "request_id,arrival_s\n1,2",
        ],
        whole,
        expect![[r#"
            not json
                not JSON: expected ident at line 1 column 2
                next: stowplan plan --help
            {"requests": [
                not JSON: EOF while parsing a list at line 1 column 14
                next: stowplan plan --help
            {"requests": [{"id": "a"}]} trailing
                not JSON: trailing characters at line 1 column 29
                next: stowplan plan --help
            {"requests": [{"id": 'a'}]}
                not JSON: expected value at line 1 column 22
                next: stowplan plan --help
            []
                a list does not belong here; write an object, {...}
            null
                null does not belong here; write an object, {...}
            7
                integer 7 does not belong here; write an object, {...}
            "plan"
                string "plan" does not belong here; write an object, {...}
            request_id,arrival_s
            1,2
                not JSON: expected value at line 1 column 1
                next: stowplan plan --help
        "#]],
    );
}

#[test]
fn nothing_at_all() {
    for document in ["", " \n", "\u{feff}"] {
        let said = refusal(document);
        assert_eq!(said, "error: failed to read standard input: it is empty\nnext: stowplan plan --help\n");
    }
}

#[test]
fn what_is_long_is_repeated_in_part() {
    let (long, end) = ("x".repeat(100_000), "x...");
    for document in [
        format!(r#"{{"{long}": 1}}"#),
        request(&format!(r#""{long}": 1"#)),
        request(&format!(r#""pool": "{long}""#)),
        request(&format!(r#""preemptible": "{long}""#)),
        request(&format!(r#""cpu": "1{long}""#)),
        format!(r#"{{"policy": {{"strategy": "{long}"}}}}"#),
        format!(r#"{{"quotas": {{"{long}": {{}}}}}}"#),
    ] {
        let said = refusal(&document);
        assert!(said.len() < 600 && said.contains(end), "{said:.600}");
    }
}

#[test]
fn documents_within_documents() {
    check(
        &[
            r#"{"version": 2}"#,
            r#"{"version": "1"}"#,
            r#"{"version": -1}"#,
            r#"{"version": 1, "version": 1}"#,
            r#"{"worker": []}"#,
            r#"{"banana": 1}"#,
            r#"{"workers": {}}"#,
            r#"{"workers": null}"#,
            r#"{"workers": [null]}"#,
            r#"{"requests": [["a", "team"]]}"#,
            r#"{"requests": [[]]}"#,
            r#"{"policy": []}"#,
            r#"{"pools": [["p"]]}"#,
            r#"{"quotas": []}"#,
            r#"{"quotas": {"team": []}}"#,
        ],
        whole,
        expect![[r#"
            {"version": 2}
                version: "2" is not known; write 1
            {"version": "1"}
                version: string "1" does not belong here; write a whole number
            {"version": -1}
                version: integer -1 does not belong here; write a whole number from 0 to 4294967295
            {"version": 1, "version": 1}
                version: is given twice
            {"worker": []}
                worker: unknown field; did you mean workers?
            {"banana": 1}
                banana: unknown field; it may be version, policy, pools, quotas, workers, requests
            {"workers": {}}
                workers: an object does not belong here; write a list, [...]
            {"workers": null}
                workers: null does not belong here; write a list, [...]
            {"workers": [null]}
                workers[0]: null does not belong here; write an object, {...}
            {"requests": [["a", "team"]]}
                requests[0]: a list does not belong here; write an object, {...}
            {"requests": [[]]}
                requests[0]: a list does not belong here; write an object, {...}
            {"policy": []}
                policy: a list does not belong here; write an object, {...}
            {"pools": [["p"]]}
                pools[0]: a list does not belong here; write an object, {...}
            {"quotas": []}
                quotas: a list does not belong here; write an object, {...}
            {"quotas": {"team": []}}
                quotas.team: a list does not belong here; write an object, {...}
        "#]],
    );
}

#[test]
fn policies() {
    check(
        &[
            r#""strategy": "bestfit""#,
            r#""strategy": "fragmentation""#,
            r#""strategy": """#,
            r#""strategy": 1"#,
            r#""stratgy": "spread""#,
            r#""memory_overhead_percent": -1"#,
            r#""memory_overhead_percent": 2.5"#,
            r#""memory_overhead_percent": 1e400"#,
            r#""memory_overhead_percent": 1001"#,
            r#""memory_overhead_percent": 99999999999999999999"#,
            r#""cpu_on_gpu_workers": "allow""#,
            r#""cpu_on_gpu_workers": true"#,
            r#""failover": {"T4": "p"}"#,
            r#""failover": {"T4": ["p", "q r"]}"#,
            r#""failover": {"T 4": ["p"]}"#,
            r#""failover": {"T4": ["p"], "T4": ["q"]}"#,
            r#""failover": {"T4": ["p"], "t4": ["q"]}"#,
        ],
        |fields| format!(r#"{{"policy": {{{fields}}}}}"#),
        expect![[r#"
            "strategy": "bestfit"
                policy.strategy: "bestfit" is not known; did you mean best-fit?
            "strategy": "fragmentation"
                policy.strategy: "fragmentation" is not known; it may be best-fit, spread
            "strategy": ""
                policy.strategy: "" is not known; it may be best-fit, spread
            "strategy": 1
                policy.strategy: integer 1 does not belong here; write a text in quotes
            "stratgy": "spread"
                policy.stratgy: unknown field; did you mean strategy?
            "memory_overhead_percent": -1
                policy.memory_overhead_percent: integer -1 does not belong here; write a whole number from 0 to 4294967295
            "memory_overhead_percent": 2.5
                policy.memory_overhead_percent: floating point 2.5 does not belong here; write a whole number
            "memory_overhead_percent": 1e400
                policy.memory_overhead_percent: is a number beyond all that a field can hold; write a smaller one
            "memory_overhead_percent": 1001
                policy.memory_overhead_percent: "1001" is too large; at most 1000
            "memory_overhead_percent": 99999999999999999999
                policy.memory_overhead_percent: floating point 1e+20 does not belong here; write a whole number
            "cpu_on_gpu_workers": "allow"
                policy.cpu_on_gpu_workers: "allow" is not known; did you mean allowed?
            "cpu_on_gpu_workers": true
                policy.cpu_on_gpu_workers: boolean true does not belong here; write a text in quotes
            "failover": {"T4": "p"}
                policy.failover.T4: string "p" does not belong here; write a list, [...]
            "failover": {"T4": ["p", "q r"]}
                policy.failover.T4[1]: "q r": ' ' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "failover": {"T 4": ["p"]}
                policy.failover.T 4: "T 4": ' ' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "failover": {"T4": ["p"], "T4": ["q"]}
                policy.failover.T4: is given twice
            "failover": {"T4": ["p"], "t4": ["q"]}
                policy.failover.t4: "t4" is there in other letters; they name the same kind, keep one
        "#]],
    );
}

#[test]
fn amounts() {
    check(
        &[
            r#""cpu": -1"#,
            r#""cpu": "-1""#,
            r#""cpu": "+1""#,
            r#""cpu": 0"#,
            r#""cpu": 1e3"#,
            r#""cpu": "1e3""#,
            r#""cpu": 1e400"#,
            r#""cpu": "1_000""#,
            r#""cpu": " 1""#,
            r#""cpu": "1,5""#,
            r#""cpu": ".5""#,
            r#""cpu": "inf""#,
            r#""cpu": "NaN""#,
            r#""cpu": """#,
            r#""cpu": "2k""#,
            r#""cpu": true"#,
            r#""cpu": [1]"#,
            r#""cpu": 9007199254741"#,
            r#""cpu": 2, "cpu_milli": 2000"#,
            r#""cpu_milli": 0.5"#,
            r#""cpu_milli": "500m""#,
            r#""cpu_milli": 9007199254740992"#,
            r#""cpu_milli": 99999999999999999999999999999999999999"#,
            r#""memory": 512"#,
            r#""memory": "512""#,
            r#""memory": "512MB""#,
            r#""memory": "1Pi""#,
            r#""memory": "0Mi""#,
            r#""memory": "9007199254740992Mi""#,
            r#""memory": "1Gi", "memory_mib": 1024"#,
            r#""memory_mib": -1"#,
            r#""memory_mib": 1e3"#,
        ],
        request,
        expect![[r#"
            "cpu": -1
                requests[1].cpu: "-1" has a sign; write a plain decimal such as 2 or 0.5
            "cpu": "-1"
                requests[1].cpu: "-1" has a sign; write a plain decimal such as 2 or 0.5
            "cpu": "+1"
                requests[1].cpu: "+1" has a sign; write a plain decimal such as 2 or 0.5
            "cpu": 0
                requests[1].cpu: "0" is nothing; ask for more than 0
            "cpu": 1e3
                requests[1].cpu: "1e3" has an exponent; write all of its digits
            "cpu": "1e3"
                requests[1].cpu: "1e3" has an exponent; write all of its digits
            "cpu": 1e400
                requests[1].cpu: "1e400" has an exponent; write all of its digits
            "cpu": "1_000"
                requests[1].cpu: "1_000" has an underscore; write 1000
            "cpu": " 1"
                requests[1].cpu: " 1" has a space; write 1
            "cpu": "1,5"
                requests[1].cpu: "1,5" has a comma; write a point before a fraction and nothing between thousands
            "cpu": ".5"
                requests[1].cpu: ".5" has a point without a digit on each side; write 0.5
            "cpu": "inf"
                requests[1].cpu: "inf" is not a number; write a plain decimal such as 2 or 0.5
            "cpu": "NaN"
                requests[1].cpu: "NaN" is not a number; write a plain decimal such as 2 or 0.5
            "cpu": ""
                requests[1].cpu: "" is empty; write a plain decimal such as 2 or 0.5
            "cpu": "2k"
                requests[1].cpu: "2k" has an unknown unit; write 2, or 2m for thousandths
            "cpu": true
                requests[1].cpu: true is no quantity; write a number, or a text such as "500m"
            "cpu": [1]
                requests[1].cpu: [1] is no quantity; write a number, or a text such as "500m"
            "cpu": 9007199254741
                requests[1].cpu: "9007199254741" is beyond 53 bits; the most is 9007199254740991m
            "cpu": 2, "cpu_milli": 2000
                requests[1].cpu: "2" is given together with cpu_milli; give one of them
            "cpu_milli": 0.5
                requests[1].cpu_milli: "0.5" is not a whole number; write digits only
            "cpu_milli": "500m"
                requests[1].cpu_milli: "500m" has an unknown unit; this field counts whole units; write 500
            "cpu_milli": 9007199254740992
                requests[1].cpu_milli: "9007199254740992" is beyond 53 bits; the most is 9007199254740991
            "cpu_milli": 99999999999999999999999999999999999999
                requests[1].cpu_milli: "99999999999999999999999999999999999999" has more than 30 digits; write fewer
            "memory": 512
                requests[1].memory: "512" has no unit; write 512Mi or 512Gi
            "memory": "512"
                requests[1].memory: "512" has no unit; write 512Mi or 512Gi
            "memory": "512MB"
                requests[1].memory: "512MB" has an unknown unit; write 512Mi or 512M
            "memory": "1Pi"
                requests[1].memory: "1Pi" has an unknown unit; the units are Ki Mi Gi Ti (of 1024) and k M G T (of 1000)
            "memory": "0Mi"
                requests[1].memory: "0Mi" is nothing; ask for more than 0
            "memory": "9007199254740992Mi"
                requests[1].memory: "9007199254740992Mi" is beyond 53 bits; the most is 9007199254740991Mi
            "memory": "1Gi", "memory_mib": 1024
                requests[1].memory: "1Gi" is given together with memory_mib; give one of them
            "memory_mib": -1
                requests[1].memory_mib: "-1" has a sign; write a plain decimal such as 2 or 0.5
            "memory_mib": 1e3
                requests[1].memory_mib: "1e3" has an exponent; write all of its digits
        "#]],
    );
}

#[test]
fn requests() {
    check(
        &[
            r#""cpuu": 1"#,
            r#""resources": {}"#,
            r#""workspace": "a/b""#,
            r#""workspace": """#,
            r#""pool": "p q""#,
            r#""machine": "-m""#,
            r#""runtime": "\u0000""#,
            r#""preemptible": "yes""#,
            r#""priority": 101"#,
            r#""priority": -101"#,
            r#""priority": 1.5"#,
            r#""priority": 99999999999999999999"#,
            r#""affinity": 7"#,
            r#""labels": ["zone"]"#,
            r#""labels": {"zone": 1}"#,
            r#""labels": {"zone": "a", "zone": "b"}"#,
            r#""id": "b""#,
        ],
        request,
        expect![[r#"
            "cpuu": 1
                requests[1].cpuu: unknown field; did you mean cpu?
            "resources": {}
                requests[1].resources: unknown field; it may be id, workspace, cpu, cpu_milli, memory, memory_mib, gpu, pool, machine, runtime, preemptible, priority, affinity, labels, command, env, cwd, timeout, if_silent, kill_after
            "workspace": "a/b"
                requests[1].workspace: "a/b": '/' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "workspace": ""
                requests[1].workspace: "": a name may not be empty
            "pool": "p q"
                requests[1].pool: "p q": ' ' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "machine": "-m"
                requests[1].machine: "-m": '-' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "runtime": "\u0000"
                requests[1].runtime: "\0": '\0' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "preemptible": "yes"
                requests[1].preemptible: string "yes" does not belong here; write true or false
            "priority": 101
                requests[1].priority: "101" is not a whole number from -100 to 100
            "priority": -101
                requests[1].priority: "-101" is not a whole number from -100 to 100
            "priority": 1.5
                requests[1].priority: "1.5" is not a whole number from -100 to 100
            "priority": 99999999999999999999
                requests[1].priority: "99999999999999999999" is not a whole number from -100 to 100
            "affinity": 7
                requests[1].affinity: integer 7 does not belong here; write a text in quotes
            "labels": ["zone"]
                requests[1].labels: a list does not belong here; write an object, {...}
            "labels": {"zone": 1}
                requests[1].labels.zone: integer 1 does not belong here; write a text in quotes
            "labels": {"zone": "a", "zone": "b"}
                requests[1].labels.zone: is given twice
            "id": "b"
                requests[1].id: is given twice
        "#]],
    );
    let labels: Vec<String> = (0..33).map(|n| format!(r#""l{n}": "v""#)).collect();
    let labels = format!(r#""labels": {{{}}}"#, labels.join(", "));
    let affinity = format!(r#""affinity": "{}""#, "k".repeat(3_000));
    let mut said = [labels, affinity].map(|fields| refusal(&request(&fields)));
    said.sort();
    expect![[r#"
        error: failed to read standard input: requests[1].labels: 33 labels, at most 32 are allowed
        error: failed to read standard input: requests[1]: 3024 bytes of names and labels, at most 2048
    "#]]
    .assert_eq(&said.concat());
}

#[test]
fn gpus_and_what_only_a_worker_reads() {
    check(
        &[
            r#""gpu": 1"#,
            r#""gpu": ["T4"]"#,
            r#""gpu": {"types": []}"#,
            r#""gpu": {"types": "T4"}"#,
            r#""gpu": {"types": ["T4", ""]}"#,
            r#""gpu": {"types": [4]}"#,
            r#""gpu": {"count": 0}"#,
            r#""gpu": {"count": -1}"#,
            r#""gpu": {"count": 1.5}"#,
            r#""gpu": {"count": 1025}"#,
            r#""gpu": {"count": 4294967296}"#,
            r#""gpu": {"milli": 0}"#,
            r#""gpu": {"milli": 1001}"#,
            r#""gpu": {"type": "T4"}"#,
            r#""gpus": 1"#,
            r#""command": "true""#,
            r#""command": [""]"#,
            r#""env": {"A=B": "c"}"#,
            r#""timeout": "10""#,
            r#""timeout": "0s""#,
            r#""kill_after": "-1s""#,
            r#""if_silent": "stay""#,
        ],
        request,
        expect![[r#"
            "gpu": 1
                requests[1].gpu: integer 1 does not belong here; write an object, {...}
            "gpu": ["T4"]
                requests[1].gpu: a list does not belong here; write an object, {...}
            "gpu": {"types": []}
                requests[1].gpu.types: an empty list accepts nothing; name a type, or "any"
            "gpu": {"types": "T4"}
                requests[1].gpu.types: "T4" is no list; write ["T4"] or "any"
            "gpu": {"types": ["T4", ""]}
                requests[1].gpu.types[1]: "": a name may not be empty
            "gpu": {"types": [4]}
                requests[1].gpu.types[0]: integer 4 does not belong here; write a text in quotes
            "gpu": {"count": 0}
                requests[1].gpu.count: 0 is not from 1 to 1024
            "gpu": {"count": -1}
                requests[1].gpu.count: "-1" has a sign; write a plain decimal such as 2 or 0.5
            "gpu": {"count": 1.5}
                requests[1].gpu.count: "1.5" is not a whole number; write digits only
            "gpu": {"count": 1025}
                requests[1].gpu.count: 1025 is not from 1 to 1024
            "gpu": {"count": 4294967296}
                requests[1].gpu.count: "4294967296" is too large; at most 4294967295
            "gpu": {"milli": 0}
                requests[1].gpu.milli: 0 is not from 1 to 1000
            "gpu": {"milli": 1001}
                requests[1].gpu.milli: 1001 is not from 1 to 1000
            "gpu": {"type": "T4"}
                requests[1].gpu.type: unknown field; did you mean types?
            "gpus": 1
                requests[1].gpus: unknown field; did you mean gpu?
            "command": "true"
                requests[1].command: string "true" does not belong here; write a list, [...]
            "command": [""]
                requests[1].command: it is empty; name a program to run
            "env": {"A=B": "c"}
                requests[1].env: "A=B" cannot name a variable
            "timeout": "10"
                requests[1].timeout: "10" has no unit; write a number and a unit, such as 50ms, 5s, 2m or 1h
            "timeout": "0s"
                requests[1].timeout: "0s" is nothing; leave it out for no timeout
            "kill_after": "-1s"
                requests[1].kill_after: "-1s" is negative; write a number and a unit, such as 50ms, 5s, 2m or 1h
            "if_silent": "stay"
                requests[1].if_silent: "stay" is not known; it may be stop, keep
        "#]],
    );
}

#[test]
fn workers() {
    check(
        &[
            r#""memory": "1Gi""#,
            r#""cpu": 1"#,
            r#""cpu": 1, "memory": "1Gi", "cpu_milli": 1000"#,
            r#""cpu": 1, "memory": 1024"#,
            r#""cpu": 1, "memory": "1Gi", "status": "Available""#,
            r#""cpu": 1, "memory": "1Gi", "status": "gone""#,
            r#""cpu": 1, "memory": "1Gi", "statsu": "lost""#,
            r#""cpu": 1, "memory": "1Gi", "gpu_type": "T4""#,
            r#""cpu": 1, "memory": "1Gi", "gpu_count": 1"#,
            r#""cpu": 1, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 1025"#,
            r#""cpu": 1, "memory": "1Gi", "runtime": []"#,
            r#""cpu": 1, "memory": "1Gi", "priority": 1e3"#,
            r#""cpu": 1, "memory": "1Gi", "priority": 99999999999"#,
            r#""cpu": 1, "memory": "1Gi", "over_committed": true"#,
            r#""cpu": 1, "memory": "1Gi", "incarnation": 9007199254740992"#,
            r#""cpu": 1, "memory": "1Gi", "free": {"cpu": 1}"#,
            r#""cpu": 1, "memory": "1Gi", "free": {"cpu_milli": 1001}"#,
            r#""cpu": 1, "memory": "1Gi", "free": {"cpu_milli": -1}"#,
            r#""cpu": 1, "memory": "1Gi", "free": {"memory_mib": 1025}"#,
            r#""cpu": 1, "memory": "1Gi", "free": {"gpu_milli": [1000]}"#,
            r#""cpu": 1, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [1000]}"#,
            r#""cpu": 1, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [1000, 1001]}"#,
        ],
        worker,
        expect![[r#"
            "memory": "1Gi"
                workers[1].cpu: is missing; give cpu or cpu_milli
            "cpu": 1
                workers[1].memory: is missing; give memory or memory_mib
            "cpu": 1, "memory": "1Gi", "cpu_milli": 1000
                workers[1].cpu: "1" is given together with cpu_milli; give one of them
            "cpu": 1, "memory": 1024
                workers[1].memory: "1024" has no unit; write 1024Mi or 1024Gi
            "cpu": 1, "memory": "1Gi", "status": "Available"
                workers[1].status: "Available" is not known; did you mean available?
            "cpu": 1, "memory": "1Gi", "status": "gone"
                workers[1].status: "gone" is not known; did you mean cordoned?
            "cpu": 1, "memory": "1Gi", "statsu": "lost"
                workers[1].statsu: unknown field; did you mean status?
            "cpu": 1, "memory": "1Gi", "gpu_type": "T4"
                workers[1].gpu_count: is missing; say how many GPUs there are
            "cpu": 1, "memory": "1Gi", "gpu_count": 1
                workers[1].gpu_type: is missing; say what kind the GPUs are
            "cpu": 1, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 1025
                workers[1].gpu_count: "1025" is too large; at most 1024 devices
            "cpu": 1, "memory": "1Gi", "runtime": []
                workers[1].runtime: an empty list runs nothing; leave it out for "process"
            "cpu": 1, "memory": "1Gi", "priority": 1e3
                workers[1].priority: floating point 1000.0 does not belong here; write a whole number
            "cpu": 1, "memory": "1Gi", "priority": 99999999999
                workers[1].priority: integer 99999999999 does not belong here; write a whole number from -2147483648 to 2147483647
            "cpu": 1, "memory": "1Gi", "over_committed": true
                workers[1].used: is missing; of an over-committed worker, say what its containers own
            "cpu": 1, "memory": "1Gi", "incarnation": 9007199254740992
                workers[1].incarnation: "9007199254740992" is beyond 53 bits
            "cpu": 1, "memory": "1Gi", "free": {"cpu": 1}
                workers[1].free.cpu: unknown field; did you mean cpu_milli?
            "cpu": 1, "memory": "1Gi", "free": {"cpu_milli": 1001}
                workers[1].free.cpu_milli: "1001" is more than the worker's 1000
            "cpu": 1, "memory": "1Gi", "free": {"cpu_milli": -1}
                workers[1].free.cpu_milli: "-1" has a sign; write a plain decimal such as 2 or 0.5
            "cpu": 1, "memory": "1Gi", "free": {"memory_mib": 1025}
                workers[1].free.memory_mib: "1025" is more than the worker's 1024
            "cpu": 1, "memory": "1Gi", "free": {"gpu_milli": [1000]}
                workers[1].free.gpu_milli: 1 devices are listed, the worker has 0
            "cpu": 1, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [1000]}
                workers[1].free.gpu_milli: 1 devices are listed, the worker has 2
            "cpu": 1, "memory": "1Gi", "gpu_type": "T4", "gpu_count": 2, "free": {"gpu_milli": [1000, 1001]}
                workers[1].free.gpu_milli[1]: "1001" is more than a whole device, 1000
        "#]],
    );
}

#[test]
fn pools_and_quotas() {
    check(
        &[
            r#""pools": [{"worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": 1}]"#,
            r#""pools": [{"name": "p", "max_workers": 1}]"#,
            r#""pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}}]"#,
            r#""pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": -1}]"#,
            r#""pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": "unlimited"}]"#,
            r#""pools": [{"name": "p", "worker": {"cpu": 1, "memory": 1}, "max_workers": 1}]"#,
            r#""pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi", "pool": "q"}, "max_workers": 1}]"#,
            r#""pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_worker": 1}]"#,
            r#""quotas": {"team": {"cpu": -1}}"#,
            r#""quotas": {"team": {"cpu": "unlimted"}}"#,
            r#""quotas": {"team": {"memory": 40}}"#,
            r#""quotas": {"team": {"gpus": "1e3"}}"#,
            r#""quotas": {"team": {"containers": 1.5}}"#,
            r#""quotas": {"team": {"gpu": 1}}"#,
            r#""quotas": {"team": {"used": {"cpu": "unlimited"}}}"#,
            r#""quotas": {"team": {"used": {"cpu_milli": 1}}}"#,
            r#""quotas": {"te/am": {}}"#,
            r#""quotas": {"team": {}, "team": {"cpu": 1}}"#,
        ],
        |field| format!("{{{field}}}"),
        expect![[r#"
            "pools": [{"worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": 1}]
                pools[0].name: is missing; it must be given
            "pools": [{"name": "p", "max_workers": 1}]
                pools[0].worker: is missing; it must be given
            "pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}}]
                pools[0].max_workers: is missing; it must be given
            "pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": -1}]
                pools[0].max_workers: "-1" has a sign; write a plain decimal such as 2 or 0.5
            "pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": "unlimited"}]
                pools[0].max_workers: "unlimited" is not a number; write a plain decimal such as 2 or 0.5
            "pools": [{"name": "p", "worker": {"cpu": 1, "memory": 1}, "max_workers": 1}]
                pools[0].worker.memory: "1" has no unit; write 1Mi or 1Gi
            "pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi", "pool": "q"}, "max_workers": 1}]
                pools[0].worker.pool: "q" is not the pool that it stands in; leave it out
            "pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_worker": 1}]
                pools[0].max_worker: unknown field; did you mean max_workers?
            "quotas": {"team": {"cpu": -1}}
                quotas.team.cpu: "-1" has a sign; write a plain decimal such as 2 or 0.5, or "unlimited"
            "quotas": {"team": {"cpu": "unlimted"}}
                quotas.team.cpu: "unlimted" is not a number; write a plain decimal such as 2 or 0.5, or "unlimited"
            "quotas": {"team": {"memory": 40}}
                quotas.team.memory: "40" has no unit; write 40Mi or 40Gi, or "unlimited"
            "quotas": {"team": {"gpus": "1e3"}}
                quotas.team.gpus: "1e3" has an exponent; write all of its digits, or "unlimited"
            "quotas": {"team": {"containers": 1.5}}
                quotas.team.containers: "1.5" is not a whole number; write digits only, or "unlimited"
            "quotas": {"team": {"gpu": 1}}
                quotas.team.gpu: unknown field; did you mean gpus?
            "quotas": {"team": {"used": {"cpu": "unlimited"}}}
                quotas.team.used.cpu: "unlimited" is not a number; write a plain decimal such as 2 or 0.5
            "quotas": {"team": {"used": {"cpu_milli": 1}}}
                quotas.team.used.cpu_milli: unknown field; did you mean cpu?
            "quotas": {"te/am": {}}
                quotas.te/am: "te/am": '/' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "quotas": {"team": {}, "team": {"cpu": 1}}
                quotas.team: is given twice
        "#]],
    );
}

#[test]
fn names_that_stand_twice_or_not_at_all() {
    check(
        &[
            r#""requests": [{"id": "a"}, {"id": "b"}, {"id": "a"}]"#,
            r#""requests": [{"cpu": 1}]"#,
            r#""requests": [{"id": ""}]"#,
            r#""requests": [{"id": "a\u001b[2J"}]"#,
            r#""workers": [{"id": "w", "cpu": 1, "memory": "1Gi"}, {"id": "w", "cpu": 1, "memory": "1Gi"}]"#,
            r#""workers": [{"cpu": 1, "memory": "1Gi"}]"#,
            r#""pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": 1}, {"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": 1}]"#,
        ],
        |field| format!("{{{field}}}"),
        expect![[r#"
            "requests": [{"id": "a"}, {"id": "b"}, {"id": "a"}]
                requests[2].id: "a" is there already; choose another
            "requests": [{"cpu": 1}]
                requests[0].id: is missing; give each request a name of its own
            "requests": [{"id": ""}]
                requests[0].id: "": a name may not be empty
            "requests": [{"id": "a\u001b[2J"}]
                requests[0].id: "a\u{1b}[2J": '\u{1b}' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
            "workers": [{"id": "w", "cpu": 1, "memory": "1Gi"}, {"id": "w", "cpu": 1, "memory": "1Gi"}]
                workers[1].id: "w" is there already; choose another
            "workers": [{"cpu": 1, "memory": "1Gi"}]
                workers[0].id: "": a name may not be empty
            "pools": [{"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": 1}, {"name": "p", "worker": {"cpu": 1, "memory": "1Gi"}, "max_workers": 1}]
                pools[1].name: "p" is there already; choose another
        "#]],
    );
}
