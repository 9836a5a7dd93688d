//! The embedded store on a real disk: opened, refused, killed, damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use app::embedded::{EmbeddedStore, OpenError};
use domain::container::Phase;
use domain::id::{Attempt, CellName, ContainerId, PlannerId, Workspace};
use domain::model::Filter;
use domain::model::backlog::SubmitOutcome;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, Decision, DecisionKind, Outcome};
use domain::model::workers::Look;
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::time::Timestamp;
use domain::wait::LotKey;
use ports::rows::RowPorts;
use ports::{PortError, Ports};
use redb::{Database, TableDefinition};

const CONTAINERS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("containers");

fn open(dir: &Path) -> Ports {
    RowPorts::over(EmbeddedStore::open(dir).expect("a store"))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn cell() -> CellName {
    CellName::new("main").expect("a name")
}

fn container(text: &str) -> ContainerId {
    ContainerId::new(text).expect("a name")
}

fn submission(id: &str) -> Submission {
    let ask = Ask::plain(Workspace::new("team").expect("a name"), 100, 64);
    let body = Body { command: vec!["true".into(), id.into()], ..Body::default() };
    Submission::new(container(id), ask, body, IfSilent::Stop)
}

async fn submit(ports: &Ports, ids: &[String]) -> Vec<SubmitOutcome> {
    let items = ids.iter().map(|id| submission(id)).collect();
    ports.backlog.submit(&cell(), Timestamp(1), items).await.expect("written")
}

/// All containers of the cell.
async fn all(ports: &Ports) -> BTreeSet<String> {
    let (mut ids, mut after) = (BTreeSet::new(), None);
    loop {
        let page = ports.containers.list(&cell(), Filter::All, after, 100).await.expect("readable");
        ids.extend(page.rows.iter().map(|row| row.id.to_string()));
        after = page.after;
        if after.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn a_copied_folder_begins_a_new_history_and_a_moved_one_does_not() {
    let parent = folder();
    let [here, there, copy] = ["here", "there", "copy"].map(|name| parent.path().join(name));
    let ports = open(&here);
    submit(&ports, &["c1".to_owned()]).await;
    let history = ports.workers.beats(&cell()).await.expect("readable").history;
    drop(ports);
    std::fs::rename(&here, &there).expect("moved");
    let ports = open(&there);
    assert_eq!(ports.workers.beats(&cell()).await.expect("readable").history, history);
    drop(ports);
    std::fs::create_dir(&copy).expect("made");
    std::fs::copy(there.join("store.redb"), copy.join("store.redb")).expect("copied");
    let ports = open(&copy);
    let begun = ports.workers.beats(&cell()).await.expect("readable").history;
    assert_ne!(begun, history);
    assert_eq!(all(&ports).await, BTreeSet::from(["c1".to_owned()]));
    drop(ports);
    let again = open(&copy).workers.beats(&cell()).await.expect("readable").history;
    assert_eq!(again, begun, "once is enough");
}

#[tokio::test]
async fn what_was_written_is_there_after_the_store_was_closed() {
    let dir = folder();
    let ids = ["a", "b", "c"].map(String::from);
    let (mark, boot) = {
        let ports = open(dir.path());
        assert_eq!(submit(&ports, &ids).await, vec![SubmitOutcome::Accepted; 3]);
        let line = ports.backlog.next(&cell(), None, 10, Vec::new()).await.expect("readable");
        (line.mark, ports.workers.beats(&cell()).await.expect("readable").boot)
    };
    let ports = open(dir.path());
    let line = ports.backlog.next(&cell(), None, 10, Vec::new()).await.expect("readable");
    assert_eq!((line.mark, line.ready.len()), (mark, 3));
    assert_ne!(ports.workers.beats(&cell()).await.expect("readable").boot, boot, "each opening has a word of its own");
    assert_eq!(submit(&ports, &ids).await, vec![SubmitOutcome::Already(Phase::Pending); 3]);
    let found = ports.containers.get(&cell(), vec![container("b")]).await.expect("readable");
    let body = found[0].as_ref().and_then(|found| found.body.clone()).expect("a body");
    assert_eq!(body.command, ["true", "b"]);
}

fn refusal(dir: &Path) -> OpenError {
    EmbeddedStore::open(dir).err().expect("it is refused")
}

#[test]
fn a_folder_serves_one_store_at_a_time() {
    let dir = folder();
    let first = EmbeddedStore::open(dir.path()).expect("a store");
    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&dir.path().display().to_string()), "{refused}");
    drop(first);
    EmbeddedStore::open(dir.path()).expect("it is free again");
}

#[test]
fn what_is_no_store_is_left_alone() {
    let dir = folder();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, "dear diary").expect("written");
    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::NotOurs { .. }), "{refused:?}");
    assert!(refused.source().is_some());
    assert_eq!(std::fs::read(&path).expect("readable"), b"dear diary");

    std::fs::remove_file(&path).expect("removed");
    drop(Database::create(&path).expect("another program's database"));
    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::NotOurs { .. }), "{refused:?}");
}

#[test]
fn a_later_format_is_refused_by_its_number() {
    let dir = folder();
    drop(EmbeddedStore::open(dir.path()).expect("a store"));
    let database = Database::open(dir.path().join("store.redb")).expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    let about = TableDefinition::<&str, u64>::new("stowplan");
    transaction.open_table(about).expect("a table").insert("format", 2).expect("inserted");
    transaction.commit().expect("committed");
    drop(database);
    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused:?}");
}

#[test]
fn a_store_that_was_never_finished_is_made_anew() {
    let dir = folder();
    std::fs::write(dir.path().join("store.redb.new"), "half").expect("written");
    drop(EmbeddedStore::open(dir.path()).expect("a store"));
    assert!(!dir.path().join("store.redb.new").exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = folder();
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let refused = refusal(&file.join("data"));
    assert!(matches!(refused, OpenError::Folder { .. }), "{refused:?}");
    assert!(refused.to_string().contains("file/data"), "{refused}");
}

/// A file that something else cut short is refused: it never takes the process down, and is never begun anew.
#[test]
fn a_file_that_was_cut_short_is_refused() {
    let dir = folder();
    drop(EmbeddedStore::open(dir.path()).expect("a store"));
    let path = dir.path().join("store.redb");
    let whole = std::fs::read(&path).expect("readable");
    for kept in [0, 1, 100, 4_096, 10_000, whole.len() / 2, whole.len() - 4_096] {
        std::fs::write(&path, &whole[..kept]).expect("written");
        assert!(EmbeddedStore::open(dir.path()).is_err(), "{kept} of {} bytes are no store", whole.len());
    }
}

/// Puts bytes that are no row in a container's place.
fn spoil(dir: &Path, id: &str) {
    let database = Database::open(dir.join("store.redb")).expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    let spoilt: &[u8] = b"1{\"id\":\"../..\"}";
    transaction.open_table(CONTAINERS).expect("a table").insert(("main", id), spoilt).expect("inserted");
    transaction.commit().expect("committed");
}

#[tokio::test]
async fn a_row_that_cannot_be_decoded_is_parked_and_stops_nobody() {
    let dir = folder();
    submit(&open(dir.path()), &["a", "b", "c"].map(String::from)).await;
    spoil(dir.path(), "b");

    let ports = open(dir.path());
    let line = ports.backlog.next(&cell(), None, 10, Vec::new()).await.expect("readable");
    let ready: Vec<_> = line.ready.iter().map(|waiting| waiting.candidate.id.clone()).collect();
    assert_eq!(ready, ["a", "c"].map(container));
    let [(key, id)] = &line.corrupt[..] else { panic!("{line:?}") };
    assert_eq!(*id, container("b"));
    match ports.containers.get(&cell(), vec![id.clone()]).await {
        Err(PortError::Corrupt { what, .. }) => assert_eq!(what, "container b of cell main"),
        other => panic!("{other:?}"),
    }

    let planner = PlannerId::new("p1").expect("a name");
    let acquired = ports.leadership.acquire(&cell(), &planner, None).await.expect("written");
    let AcquireOutcome::Acquired(mandate) = acquired else { panic!("{acquired:?}") };
    let kind = DecisionKind::ParkCorrupt { key: *key, detail: "spoilt".into() };
    let decision = Decision { container: id.clone(), attempt: Attempt(0), kind };
    let commit = Commit { decisions: vec![decision], ..Commit::default() };
    for expected in [Outcome::Done, Outcome::AlreadyDone] {
        let answer = ports.placements.commit(&mandate, Timestamp(2), commit.clone()).await.expect("written");
        assert_eq!(answer.outcomes, [expected]);
    }
    let line = ports.backlog.next(&cell(), None, 10, Vec::new()).await.expect("readable");
    assert_eq!((line.ready.len(), line.corrupt), (2, Vec::new()));
    let look = ports.workers.look(&cell(), None, 10).await.expect("readable");
    let Look::Page(page) = look else { panic!("{look:?}") };
    assert_eq!((page.lots[0].key.clone(), page.lots[0].count), (LotKey::Corrupt, 1));
}

/// Set in a process that is there to be killed: its data folder.
const VICTIM: &str = "STOWPLAN_TEST_VICTIM";

/// Writes until it is killed, and says what was answered.
#[tokio::main]
async fn be_killed(dir: &str) {
    let ports = open(Path::new(dir));
    let round = all(&ports).await.len();
    let writers = (0..4).map(|writer| {
        let ports = ports.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let ids = ["x", "y", "z"].map(|part| format!("r{round}-w{writer}-{number}-{part}"));
                submit(&ports, &ids).await;
                // Written whole and at once: the line is there, or it is not.
                println!("answered {}", ids.join(" "));
                std::io::stdout().flush().expect("somebody reads");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("it never ends");
    }
}

fn start_victim(dir: &Path) -> Child {
    let test = "kill_loses_nothing_that_was_answered";
    Command::new(std::env::current_exe().expect("this test"))
        .args([test, "--exact", "--nocapture"])
        .env(VICTIM, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process")
}

#[test]
fn kill_loses_nothing_that_was_answered() {
    if let Ok(dir) = std::env::var(VICTIM) {
        return be_killed(&dir);
    }
    let dir = folder();
    let mut answered = BTreeSet::new();
    for round in 0_u32..8 {
        let mut victim = start_victim(dir.path());
        let mut lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
        let mut keep = |line: String| {
            if let Some((_, ids)) = line.split_once("answered ") {
                answered.extend(ids.split(' ').map(String::from));
            }
        };
        // In the first round it is killed while it makes the store.
        for line in lines.by_ref().take(round as usize * 8) {
            keep(line.expect("text"));
        }
        std::thread::sleep(Duration::from_micros(700) * round);
        victim.kill().expect("killed");
        victim.wait().expect("it is gone");
        for line in lines.map_while(Result::ok) {
            keep(line);
        }
        check_after_kill(dir.path(), &answered);
    }
    assert!(answered.len() > 100, "only {} were answered", answered.len());
}

#[tokio::main]
async fn check_after_kill(dir: &Path, answered: &BTreeSet<String>) {
    let ports = open(dir);
    let kept = all(&ports).await;
    let lost: Vec<_> = answered.difference(&kept).collect();
    assert!(lost.is_empty(), "answered and lost: {lost:?}");
    let stem = |id: &String| id.rsplit_once('-').expect("three parts").0.to_owned();
    let mut steps = BTreeMap::<_, usize>::new();
    for id in &kept {
        *steps.entry(stem(id)).or_default() += 1;
    }
    assert!(steps.values().all(|count| *count == 3), "a step was made in part: {steps:?}");
    let depth = ports.backlog.depth(&cell()).await.expect("readable");
    assert_eq!(depth.ready, kept.len() as u64, "rows and their count differ");
    let line = ports.backlog.next(&cell(), None, 5_000, Vec::new()).await.expect("readable");
    assert_eq!(line.ready.len(), kept.len(), "rows and their index differ");
}
