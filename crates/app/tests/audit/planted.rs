//! What was planted in a stopped store is named, each thing by itself, and nothing else is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit;
use crate::fleet::{Fleet, Options, Said};
use crate::plant::{CELL, Plant, plant};

/// A store as a server that was killed has left it: on `worker-01`, `first` and `second` run on a device each; `next` and
/// `last` wait in a lot for a third; `done` has ended; `new` came last, and nobody has looked at it.
fn stopped_store() -> Fleet {
    let agent = ["--gpu", "T4:2"].map(str::to_owned).to_vec();
    let mut fleet = Fleet::start_with(1, Options { agent, ..Options::default() });
    let submit = |id: &str, command: &[&str]| {
        let said = fleet.stowplan(&[&["submit", "--id", id, "--gpu", "T4:1", "--"], command].concat());
        assert_eq!(said.code, 0, "{said:?}");
    };
    submit("done", &["true"]);
    fleet.wait_for_state("done", "succeeded", 1);
    for id in ["first", "second"] {
        submit(id, &["sleep", "60"]);
        fleet.wait_for_state(id, "running", 1);
    }
    submit("next", &["true"]);
    submit("last", &["true"]);
    fleet.kill_serve();
    submit_behind_its_back(&fleet.path("server"));
    fleet
}

/// Hands in a request that no planner sees.
fn submit_behind_its_back(folder: &Path) {
    use domain::id::{CellName, ContainerId, Workspace};
    use domain::request::{Ask, Body, IfSilent, Submission};
    let store = app::embedded::EmbeddedStore::open(folder).unwrap();
    let body = Body { command: vec!["true".into()], ..Body::default() };
    let ask = Ask::plain(Workspace::new("default").unwrap(), 1_000, 512);
    let new = Submission::new(ContainerId::new("new").unwrap(), ask, body, IfSilent::Stop);
    let submitted = async {
        let now = domain::time::Timestamp(1);
        ports::rows::RowPorts::over(store).backlog.submit(&CellName::new(CELL).unwrap(), now, vec![new]).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(submitted).unwrap(), [domain::model::backlog::SubmitOutcome::Accepted]);
}

fn audit_store(folder: &Path, more: &[&str]) -> Said {
    audit(&[&["--store", folder.to_str().unwrap()], more].concat())
}

/// A copy of the store in which something was changed.
fn copy(fleet: &Fleet, change: impl FnOnce(&Plant)) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    std::fs::copy(fleet.path("server/store.redb"), folder.join("store.redb")).unwrap();
    plant(&folder, change);
    (dir, folder)
}

/// The kinds that the reference describes under a heading.
fn kinds_of_the_reference(heading: &str) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/audit.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let lines = section.split("\n## ").next().unwrap().lines();
    lines.filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

/// The kinds of what was found, of a severity.
fn kinds(said: &Said, severity: &str) -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["severity"] == severity)
        .map(|finding| finding["kind"].as_str().unwrap().to_owned())
        .collect()
}

fn add(number: &mut Value, more: i64) {
    *number = json!(number.as_i64().unwrap() + more);
}

/// What is planted, and how each corruption that it makes is named.
type Case = (fn(&Plant), &'static [&'static str]);

const ROOM: &[Case] = &[
    (
        |plant| plant.row("workers", "worker-01", |row| add(&mut row["used"]["cpu"], 1)),
        &["worker worker-01 books 2001 cpu_milli, its containers own 2000"],
    ),
    (
        |plant| plant.row("workers", "worker-01", |row| add(&mut row["used"]["mem"], -512)),
        &["worker worker-01 books 512 memory_mib, its containers own 1024"],
    ),
    (
        |plant| plant.row("workers", "worker-01", |row| row["used"]["n"] = json!(3)),
        &["worker worker-01 books 3 containers, its containers own 2"],
    ),
    (
        |plant| {
            for id in ["first", "second"] {
                plant.row("containers", id, |row| row["state"]["running"]["owns"]["gpus"] = json!([0]));
            }
        },
        &[
            "worker worker-01 books 1000 gpu_milli of device 0, its containers own 2000",
            "worker worker-01 books 1000 gpu_milli of device 1, its containers own 0",
        ],
    ),
    (
        |plant| {
            plant.row("containers", "first", |row| row["state"]["running"]["owns"]["gpus"] = json!([0, 0]));
            plant.row("containers", "second", |row| row["state"]["running"]["owns"]["gpus"] = json!([1]));
        },
        &[
            "container first names its GPU devices out of order or twice",
            "container first owns 2 GPU devices, it asks 1",
            "worker worker-01 books 1000 gpu_milli of device 0, its containers own 2000",
        ],
    ),
    (
        |plant| plant.row("containers", "first", |row| row["state"]["running"]["owns"]["cpu"] = json!(500)),
        &[
            "container first owns 500 cpu_milli, it asks 1000",
            "worker worker-01 books 2000 cpu_milli, its containers own 1500",
        ],
    ),
    (
        |plant| plant.row("containers", "second", |row| row["state"]["running"]["w"] = json!("nobody")),
        &[
            "container second owns room on worker nobody, which is not there",
            "worker worker-01 books 2000 cpu_milli, its containers own 1000",
            "worker worker-01 books 1024 memory_mib, its containers own 512",
            "worker worker-01 books 1000 gpu_milli of device ",
            "worker worker-01 books 2 containers, its containers own 1",
            "the index owned lacks container second on worker nobody since revision ",
            "the index owned has container second on worker worker-01 since revision ",
        ],
    ),
    (
        |plant| plant.row("containers", "first", |row| row["state"]["running"]["inc"] = json!(1)),
        &["container first is on worker worker-01 since run 1 of it, run "],
    ),
    (
        |plant| plant.row("containers", "first", |row| row["try"] = json!(0)),
        &["container first is running but was never placed"],
    ),
    (
        |plant| plant.row("usage", "default", |row| add(&mut row["uses"]["cpu"], 500)),
        &["workspace default books 2500 cpu_milli, its containers use 2000"],
    ),
    (
        |plant| plant.row("usage", "default", |row| add(&mut row["uses"]["gpu"], -1000)),
        &["workspace default books 1000 gpu_milli, its containers use 2000"],
    ),
    (
        |plant| plant.take_row("usage", "default"),
        &[
            "workspace default books 0 cpu_milli, its containers use 2000",
            "workspace default books 0 memory_mib, its containers use 1024",
            "workspace default books 0 gpu_milli, its containers use 2000",
            "workspace default books 0 containers, its containers use 2",
        ],
    ),
];

const LINE: &[Case] = &[
    (
        |plant| plant.lot(|row| row["n"] = json!(3)),
        &["the lot of shape `default cpu=1000 mem=512 gpu=1x1000:t4` counts 3, 2 are parked in it"],
    ),
    (
        |plant| plant.row("containers", "next", |row| row["state"]["pending"]["parked"] = json!({ "quota": "other" })),
        &[
            "container next is parked in the quota lot of other, where it does not belong",
            "the lot of shape `default cpu=1000 mem=512 gpu=1x1000:t4` counts 2, 1 are parked in it",
            "the quota lot of other counts 0, 1 are parked in it",
            "the index parked lacks container next at ",
            "the index parked has container next at ",
        ],
    ),
    (
        |plant| {
            let mut place = Value::Null;
            plant.row("containers", "last", |row| place = row["key"].clone());
            plant.row("containers", "new", |row| row["key"] = place);
        },
        &[
            "containers last and new have the same place in line",
            "the index ready lacks container new at ",
            "the index ready has container new at ",
        ],
    ),
    (
        |plant| plant.lot(|row| add(&mut row["first"][2], 1)),
        &["the lot of shape `default cpu=1000 mem=512 gpu=1x1000:t4` begins at "],
    ),
    (|plant| plant.cell(|row| add(&mut row["phases"][3], 1)), &["the cell counts 3 running, there are 2"]),
    (|plant| plant.cell(|row| row["ready"] = json!(0)), &["the cell counts 0 ready, there are 1"]),
    (
        |plant| plant.cell(|row| add(&mut row["away"], 1)),
        &["the cell counts 1 workers that have not registered in its history, there are 0"],
    ),
    (|plant| plant.cell(|row| add(&mut row["gone"], 1)), &["the cell counts "]),
    (
        |plant| plant.row("containers", "new", |row| row["rev"] = json!(1_000_000)),
        &[
            "container new changed at revision 1000000, the cell is at ",
            "the index changed containers lacks container new at revision 1000000",
            "the index changed containers has container new at revision ",
        ],
    ),
    (
        |plant| plant.row("containers", "done", |row| drop(row.as_object_mut().unwrap().remove("end"))),
        &["container done has ended, and nothing says how", "the index ended has container done at millisecond "],
    ),
];

const INDEXES: &[Case] = &[
    (
        |plant| plant.own("worker-01", "ghost"),
        &["the index owned has container ghost on worker worker-01 since revision 7"],
    ),
    (
        |plant| plant.unindex::<(&str, &str, u64, &str), ()>("owned", |(.., container), ()| container == "first"),
        &["the index owned lacks container first on worker worker-01 since revision "],
    ),
    (
        |plant| plant.unindex::<(&str, i64, u64, u32), &str>("ready", |_, container| container == "new"),
        &["the index ready lacks container new at "],
    ),
    (
        |plant| plant.unindex::<(&str, u8, &str, i64, u64, u32), &str>("parked", |_, container| container == "last"),
        &["the index parked lacks container last at "],
    ),
    (
        |plant| plant.unindex::<(&str, &str, &str), ()>("by_phase", |(.., container), ()| container == "done"),
        &["the index containers by phase lacks container done as succeeded"],
    ),
    (
        |plant| plant.unindex::<(&str, u64, &str), ()>("ended", |(.., container), ()| container == "done"),
        &["the index ended lacks container done at millisecond "],
    ),
];

const ROWS: &[Case] = &[
    (|plant| plant.spoil("containers", "new"), &["container new cannot be decoded"]),
    (|plant| plant.spoil("workers", "worker-01"), &["worker worker-01 cannot be decoded"]),
    (|plant| plant.spoil("bodies", "new"), &["the body of container new cannot be decoded"]),
    (|plant| plant.take_row("bodies", "new"), &["container new has no body"]),
    (|plant| plant.spoil("outputs", "done"), &["the output of container done cannot be decoded"]),
    (|plant| plant.cell(|row| *row = json!({})), &["the row itself of cell main cannot be decoded"]),
];

#[test]
fn each_corruption_is_named_and_nothing_else_is() {
    let fleet = stopped_store();
    let clean = audit_store(&fleet.path("server"), &[]);
    assert!(clean.stdout.starts_with("clean; 1 workers, 2 containers that own room, revision "), "{clean:?}");
    assert_eq!((clean.code, clean.stdout.lines().count()), (0, 1), "{clean:?}");

    let mut seen = BTreeSet::new();
    for (index, (change, names)) in [ROOM, LINE, INDEXES, ROWS].concat().into_iter().enumerate() {
        let (_dir, folder) = copy(&fleet, change);
        let said = audit_store(&folder, &[]);
        let named: Vec<_> = said.stdout.lines().filter_map(|line| line.strip_prefix("corrupt: ")).collect();
        let is_named = |name: &&str| named.iter().any(|line| line.starts_with(name));
        assert!(names.iter().all(is_named), "case {index}: {names:#?}, {said:#?}");
        assert_eq!((said.code, named.len()), (1, names.len()), "case {index}: {said:#?}");
        seen.extend(kinds(&audit_store(&folder, &["--format", "json"]), "corruption"));
        let verdict = format!("corruptions: {}; ", names.len());
        assert!(said.stdout.lines().last().unwrap().starts_with(&verdict), "case {index}: {said:#?}");
    }
    assert_eq!(seen, kinds_of_the_reference("Corruptions"));
}

#[test]
fn what_is_legal_is_a_notice() {
    let fleet = stopped_store();
    let (_dir, folder) = copy(&fleet, |plant| plant.row("workers", "worker-01", |row| row["life"] = json!("lost")));
    let said = audit_store(&folder, &[]);
    let kept =
        "notice: worker worker-01 is lost, and 2 containers stay with it until it is certain that they are gone\n";
    assert!(said.code == 0 && said.stdout.starts_with(kept), "{said:?}");
    let mut seen = kinds(&audit_store(&folder, &["--format", "json"]), "notice");

    let smaller = |plant: &Plant| plant.row("workers", "worker-01", |row| row["spec"]["total"]["cpu"] = json!(1_500));
    let (_dir, folder) = copy(&fleet, smaller);
    let config = folder.join("low.toml");
    std::fs::write(&config, "[quota.workspaces.default]\nmemory = \"600Mi\"\n").unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let said = audit_store(&folder, &config);
    let notices: Vec<_> = said.stdout.lines().filter_map(|line| line.strip_prefix("notice: ")).collect();
    let expected = [
        "worker worker-01 has 1500 cpu_milli, its containers own 2000: it takes nothing new",
        "workspace default may use 600 memory_mib and uses 1024: nothing new is placed for it",
    ];
    assert_eq!((said.code, notices), (0, expected.to_vec()), "{said:?}");

    let said = audit_store(&folder, &[&config[..], &["--format", "json"]].concat());
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&document["clean"], &document["workers"], &document["owners"]), (&json!(true), &json!(1), &json!(2)));
    let over_committed = json!({
        "severity": "notice",
        "kind": "over_committed",
        "subject": "worker worker-01",
        "amount": "cpu_milli",
        "written": 1500,
        "follows": 2000,
        "text": "notice: worker worker-01 has 1500 cpu_milli, its containers own 2000: it takes nothing new",
    });
    assert_eq!(document["findings"][0], over_committed);
    seen.extend(kinds(&said, "notice"));
    assert_eq!(seen, kinds_of_the_reference("Notices"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let said = audit_store(empty.path(), &[]);
    assert_eq!((said.code, said.stdout.as_str()), (4, ""), "{said:?}");
    assert!(said.stderr.contains("there is no store in"), "{said:?}");
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none(), "an audit makes nothing");
    let said = audit_store(empty.path(), &["--server", "http://127.0.0.1:1"]);
    assert_eq!(said.code, 2, "{said:?}");

    let mut fleet = Fleet::start(0);
    let said = audit_store(&fleet.path("server"), &[]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(
        said.stderr.contains("open in another process") && said.stderr.contains("next: stowplan audit"),
        "{said:?}"
    );
    fleet.kill_serve();
    fleet.eventually("nobody answers", Duration::from_mins(1), || fleet.get("/readyz").is_none());
    let said = fleet.stowplan(&["audit"]);
    assert_eq!(said.code, 3, "{said:?}");
}
