use domain::request::{IfSilent, Submission};
use expect_test::expect;

use super::table;
use crate::api::json::{BadDocument, OneOrList, read, read_one_or_list};
use crate::api::request::RequestDocument;

fn submission(text: &str) -> Result<Submission, BadDocument> {
    let document: RequestDocument = read(text.as_bytes())?;
    Ok(document.to_submission()?)
}

fn said(text: &str) -> String {
    submission(text).map_or_else(|bad| bad.to_string(), |fine| format!("fine: {}", fine.ask.shape()))
}

#[test]
fn what_is_left_out_has_a_default() {
    let fine = submission(r#"{"id": "a", "command": ["true"]}"#).unwrap();
    assert_eq!(fine.ask.shape().as_str(), "default cpu=1000 mem=512");
    assert_eq!((fine.ask.priority, fine.ask.preemptible, fine.if_silent), (0, false, IfSilent::Stop));
}

#[test]
fn amounts_are_read_exactly() {
    let cases = [
        r#"{"id": "a", "command": ["true"], "cpu": 2, "memory": "1.2Gi"}"#,
        r#"{"id": "a", "command": ["true"], "cpu": 0.0005, "memory": "1G"}"#,
        r#"{"id": "a", "command": ["true"], "cpu": "500m", "memory": "1500k"}"#,
        r#"{"id": "a", "command": ["true"], "cpu_milli": 1, "memory_mib": "7"}"#,
        r#"{"id": "a", "command": ["true"], "gpu": {}}"#,
        r#"{"id": "a", "command": ["true"], "gpu": {"types": ["T4", "A10G"], "count": 2, "milli": 500}}"#,
    ];
    expect![[r#"
        {"id": "a", "command": ["true"], "cpu": 2, "memory": "1.2Gi"}
            fine: default cpu=2000 mem=1229
        {"id": "a", "command": ["true"], "cpu": 0.0005, "memory": "1G"}
            fine: default cpu=1 mem=954
        {"id": "a", "command": ["true"], "cpu": "500m", "memory": "1500k"}
            fine: default cpu=500 mem=2
        {"id": "a", "command": ["true"], "cpu_milli": 1, "memory_mib": "7"}
            fine: default cpu=1 mem=7
        {"id": "a", "command": ["true"], "gpu": {}}
            fine: default cpu=1000 mem=512 gpu=1x1000:any
        {"id": "a", "command": ["true"], "gpu": {"types": ["T4", "A10G"], "count": 2, "milli": 500}}
            fine: default cpu=1000 mem=512 gpu=2x500:t4|a10g
    "#]]
    .assert_eq(&table(&cases, said));
}

#[test]
fn a_bad_amount_is_named_with_its_value_and_the_way_out() {
    let cases = [
        r#"{"command": ["true"]}"#,
        r#"{"id": "a/b", "command": ["true"]}"#,
        r#"{"id": "a", "cpuu": 1}"#,
        r#"{"id": "a", "id": "b"}"#,
        r#"{"id": "a", "cpu": 1, "cpu_milli": 1000}"#,
        r#"{"id": "a", "cpu": 1e3}"#,
        r#"{"id": "a", "cpu": -1}"#,
        r#"{"id": "a", "cpu": 0}"#,
        r#"{"id": "a", "cpu": true}"#,
        r#"{"id": "a", "cpu": "NaN"}"#,
        r#"{"id": "a", "cpu_milli": 0}"#,
        r#"{"id": "a", "cpu_milli": 9007199254740992}"#,
        r#"{"id": "a", "memory": 10}"#,
        r#"{"id": "a", "memory": "10GB"}"#,
        r#"{"id": "a", "memory_mib": "1Gi"}"#,
    ];
    expect![[r#"
        {"command": ["true"]}
            id: is missing; give each request a name of its own
        {"id": "a/b", "command": ["true"]}
            id: "a/b": '/' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
        {"id": "a", "cpuu": 1}
            cpuu: unknown field; did you mean cpu?
        {"id": "a", "id": "b"}
            id: is given twice
        {"id": "a", "cpu": 1, "cpu_milli": 1000}
            cpu: "1" is given together with cpu_milli; give one of them
        {"id": "a", "cpu": 1e3}
            cpu: "1e3" has an exponent; write all of its digits
        {"id": "a", "cpu": -1}
            cpu: "-1" has a sign; write a plain decimal such as 2 or 0.5
        {"id": "a", "cpu": 0}
            cpu: "0" is nothing; ask for more than 0
        {"id": "a", "cpu": true}
            cpu: true is no quantity; write a number, or a text such as "500m"
        {"id": "a", "cpu": "NaN"}
            cpu: "NaN" is not a number; write a plain decimal such as 2 or 0.5
        {"id": "a", "cpu_milli": 0}
            cpu_milli: "0" is nothing; ask for more than 0
        {"id": "a", "cpu_milli": 9007199254740992}
            cpu_milli: "9007199254740992" is beyond 53 bits; the most is 9007199254740991
        {"id": "a", "memory": 10}
            memory: "10" has no unit; write 10Mi or 10Gi
        {"id": "a", "memory": "10GB"}
            memory: "10GB" has an unknown unit; write 10Gi or 10G
        {"id": "a", "memory_mib": "1Gi"}
            memory_mib: "1Gi" has an unknown unit; this field counts whole units; write 1
    "#]].assert_eq(&table(&cases, said));
}

#[test]
fn a_bad_field_is_named_with_its_value_and_the_way_out() {
    let cases = [
        r#"{"id": "a", "priority": 101}"#,
        r#"{"id": "a", "priority": "high"}"#,
        r#"{"id": "a", "preemptible": "yes"}"#,
        r#"{"id": "a", "gpu": {"types": "T4"}}"#,
        r#"{"id": "a", "gpu": {"types": []}}"#,
        r#"{"id": "a", "gpu": {"types": ["T4", "?"]}}"#,
        r#"{"id": "a", "gpu": {"count": 0}}"#,
        r#"{"id": "a", "gpu": {"milli": 1001}}"#,
        r#"{"id": "a", "gpu": {"kind": "T4"}}"#,
        r#"{"id": "a", "labels": {"zone": 1}}"#,
        r#"{"id": "a", "command": "true"}"#,
        r#"{"id": "a", "command": []}"#,
        r#"{"id": "a", "command": ["true"], "timeout": "10"}"#,
        r#"{"id": "a", "command": ["true"], "timeout": "0s"}"#,
        r#"{"id": "a", "command": ["true"], "if_silent": "kep"}"#,
        r#"{"id": "a", "command": ["true"], "env": {"A=B": "c"}}"#,
        r#"{"id": "a", "command": ["true"], "cwd": ""}"#,
        r#"{"id": "a","#,
        r#"{"id": "a"} b"#,
        "7",
    ];
    expect![[r#"
        {"id": "a", "priority": 101}
            priority: "101" is not a whole number from -100 to 100
        {"id": "a", "priority": "high"}
            priority: "high" is not a whole number from -100 to 100
        {"id": "a", "preemptible": "yes"}
            preemptible: string "yes" does not belong here; write true or false
        {"id": "a", "gpu": {"types": "T4"}}
            gpu.types: "T4" is no list; write ["T4"] or "any"
        {"id": "a", "gpu": {"types": []}}
            gpu.types: an empty list accepts nothing; name a type, or "any"
        {"id": "a", "gpu": {"types": ["T4", "?"]}}
            gpu.types[1]: "?": '?' is not allowed in a name: use letters, digits, '.', '_', '-'; the first is a letter or a digit
        {"id": "a", "gpu": {"count": 0}}
            gpu.count: 0 is not from 1 to 1024
        {"id": "a", "gpu": {"milli": 1001}}
            gpu.milli: 1001 is not from 1 to 1000
        {"id": "a", "gpu": {"kind": "T4"}}
            gpu.kind: unknown field; it may be types, count, milli
        {"id": "a", "labels": {"zone": 1}}
            labels.zone: integer 1 does not belong here; write a text in quotes
        {"id": "a", "command": "true"}
            command: string "true" does not belong here; write a list, [...]
        {"id": "a", "command": []}
            command: it is empty; name a program to run
        {"id": "a", "command": ["true"], "timeout": "10"}
            timeout: "10" has no unit; write a number and a unit, such as 50ms, 5s, 2m or 1h
        {"id": "a", "command": ["true"], "timeout": "0s"}
            timeout: "0s" is nothing; leave it out for no timeout
        {"id": "a", "command": ["true"], "if_silent": "kep"}
            if_silent: "kep" is not known; did you mean keep?
        {"id": "a", "command": ["true"], "env": {"A=B": "c"}}
            env: "A=B" cannot name a variable
        {"id": "a", "command": ["true"], "cwd": ""}
            cwd: it is empty or holds a NUL byte
        {"id": "a",
            not JSON: EOF while parsing a value at line 1 column 11
        {"id": "a"} b
            not JSON: trailing characters at line 1 column 13
        7
            integer 7 does not belong here; write an object, {...}
    "#]].assert_eq(&table(&cases, said));
}

#[test]
fn a_list_names_the_place_and_one_alone_does_not() {
    let one_or_list = |text: &str| match read_one_or_list::<RequestDocument>(text.as_bytes()) {
        Ok(OneOrList::One(_)) => "one".to_owned(),
        Ok(OneOrList::List(list)) => format!("{}", list.len()),
        Err(bad) => bad.to_string(),
    };
    assert_eq!(one_or_list(r#" {"id": "a"}"#), "one");
    assert_eq!(one_or_list(r#" [{"id": "a"}, {"id": "b"}]"#), "2");
    assert_eq!(one_or_list(r#"[{"id": "a"}, {"ib": "b"}]"#), "[1].ib: unknown field; did you mean id?");
}

#[test]
fn what_was_asked_is_shown_and_reads_back_as_the_same() {
    let text = r#"{"id": "a", "workspace": "w", "cpu": "1.5", "memory": "3Gi", "priority": -5, "affinity": "k",
        "gpu": {"types": ["T4"], "milli": 500}, "pool": "p", "machine": "m", "runtime": "process", "preemptible": true,
        "labels": {"zone": "a"}, "command": ["sh", "-c", "true"], "env": {"A": "b"}, "cwd": "/tmp", "timeout": "90s",
        "if_silent": "keep", "kill_after": "1.5s"}"#;
    let first = submission(text).unwrap();
    let shown = RequestDocument::of(&first.id, &first.ask, first.if_silent, Some(&first.body));
    let again = submission(&serde_json::to_string(&shown).unwrap()).unwrap();
    assert_eq!(first, again);
}
