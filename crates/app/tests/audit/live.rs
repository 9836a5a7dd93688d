//! A cell that is read while it changes.

use std::time::Duration;

use app::api::export::ExportDocument;
use app::audit::Reading;
use domain::id::CellName;
use domain::model::containers::Keep;
use domain::time::Timestamp;
use serde_json::{Value, json};

use crate::audit;
use crate::fleet::{Fleet, Options, Said, http};
use crate::plant::{CELL, plant};
use crate::stores::Store;
use crate::support::Bench;

/// How often the cell is read.
const AUDITS: usize = 12;
/// So many wait for what no worker has: an export has more than one page.
const GIANTS: usize = 6_000;

fn requests(name: &str, count: usize, cpu: u32) -> Value {
    (0..count).map(|index| json!({ "id": format!("{name}-{index}"), "cpu": cpu, "command": ["true"] })).collect()
}

fn post(url: &str, path: &str, body: &Value) -> u16 {
    http(url, "POST", path, Some(&body.to_string()), &[""; 0]).unwrap().0
}

on_each_store! {
    a_cell_under_way_is_clean_however_often_it_is_read,
    a_live_cell_is_judged_as_a_stopped_one,
}

/// What ends is forgotten at once, so that pages miss some of it.
fn a_cell_under_way_is_clean_however_often_it_is_read(store: &Store) {
    let env = vec![("STOWPLAN_KEEP_ENDED".to_owned(), "0s".to_owned())];
    let fleet = Fleet::start_with(2, Options { env, cpu: "4", ..store.options() });
    let url = fleet.url.clone();
    for half in ["giants-1", "giants-2"] {
        assert_eq!(post(&url, "/v1/containers", &requests(half, GIANTS / 2, 64)), 200);
    }
    let said: Vec<Said> = std::thread::scope(|scope| {
        let reading = || (0..AUDITS).map(|_| audit(&["--server", &url, "--format", "json"])).collect();
        let auditing = scope.spawn(reading);
        let mut rounds = 0..;
        while let Some(round) = rounds.next().filter(|_| !auditing.is_finished()) {
            assert_eq!(post(&url, "/v1/containers", &requests(&format!("r{round}"), 20, 1)), 200);
            post(&url, &format!("/v1/containers/r{round}-19/stop"), &json!({}));
        }
        auditing.join().unwrap()
    });
    let document = |said: &Said| {
        assert_eq!(said.code, 0, "{said:?}");
        serde_json::from_str(&said.stdout).unwrap()
    };
    let documents: Vec<Value> = said.iter().map(document).collect();
    let revisions: Vec<_> = documents.iter().map(|document| document["revision"].as_u64().unwrap()).collect();
    assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "nothing was under way: {revisions:?}");
    assert!(documents.iter().any(|document| document["owners"] != 0), "nothing owned room: {documents:?}");
}

/// Says how much cpu a worker books, and how much it has.
const SET_CPU: &str = "
local row = cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1]))
row[12], row[16] = tonumber(ARGV[2]), tonumber(ARGV[3])
row[20] = string.gsub(row[20], '\"cpu\":%d+', '\"cpu\":' .. ARGV[3])
return redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(row))";

/// Changes what the only worker books and has while the server is away, and audits the server that comes back.
fn audited_after(fleet: &mut Fleet, store: &Store, booked: u64, total: u64) -> Said {
    fleet.stop_serve();
    match store {
        Store::Embedded => plant(&fleet.path("server"), |plant| {
            plant.row("workers", "worker-01", |row| {
                row["used"]["cpu"] = json!(booked);
                row["spec"]["total"]["cpu"] = json!(total);
            });
        }),
        Store::Redis(redis) => {
            let (key, booked, total) = (format!("stowplan:{{{CELL}}}:workers"), booked.to_string(), total.to_string());
            let set = redis.command(&["EVAL", SET_CPU, "1", &key, "worker-01", &booked, &total]);
            assert_eq!(set.integer(), 0, "there was such a row");
        }
    }
    fleet.start_serve();
    fleet.stowplan(&["audit"])
}

fn a_live_cell_is_judged_as_a_stopped_one(store: &Store) {
    let mut fleet = Fleet::start_with(1, store.options());
    let said = fleet.stowplan(&["submit", "--id", "long", "--", "sleep", "60"]);
    assert_eq!(said.code, 0, "{said:?}");
    fleet.wait_for_state("long", "running", 1);
    let said = audited_after(&mut fleet, store, 1_001, 10_000);
    let named = "corrupt: worker worker-01 books 1001 cpu_milli, its containers own 1000\ncorruptions: 1; 1 workers, ";
    assert!(said.code == 1 && said.stdout.starts_with(named), "{said:?}");

    std::fs::write(fleet.path("stowplan.toml"), "[quota.default]\nmemory = \"256Mi\"\n").unwrap();
    let said = audited_after(&mut fleet, store, 1_000, 500);
    let notices = "notice: worker worker-01 has 500 cpu_milli, its containers own 1000: it takes nothing new\n\
        notice: workspace default may use 256 memory_mib and uses 512: nothing new is placed for it\n\
        clean; 1 workers, ";
    assert!(said.code == 0 && said.stdout.starts_with(notices), "{said:?}");
}

/// Takes the next page, of a row or two.
async fn take(bench: &Bench, reading: &mut Reading) {
    let since = reading.since().map(|since| format!("&since={since}")).unwrap_or_default();
    let (_, page) = bench.get(&format!("/v1/export?limit=1{since}")).await;
    let page: ExportDocument = serde_json::from_value(page).unwrap();
    reading.take(&page).unwrap();
}

/// A cell of which the page that holds `w1` with `brief` on it was read, and then `brief` ran.
async fn half_read() -> (Bench, Reading) {
    let bench = Bench::new().await;
    let mut worker = bench.worker("w1").await;
    bench.submit(json!({ "id": "brief", "command": ["true"] })).await;
    bench.submit(json!({ "id": "giant", "cpu": 64, "command": ["true"] })).await;
    let mut reading = Reading::default();
    take(&bench, &mut reading).await;
    assert!(!reading.is_whole(), "the giant is yet to come");
    assert_eq!(counted(&reading), (1, 1));
    assert_eq!(worker.run_one(&bench, json!({ "kind": "exited", "code": 0 }), "", "").await, "brief");
    (bench, reading)
}

/// How many workers were read, and how many containers that own room.
fn counted(reading: &Reading) -> (usize, usize) {
    let document = reading.verdict().to_document();
    (document.workers, document.owners)
}

#[tokio::test]
async fn what_ended_or_left_between_two_pages_is_taken_out() {
    let (bench, mut reading) = half_read().await;
    assert_eq!(bench.post("/v1/workers/w1/remove", json!({})).await.0, 200);
    while !reading.is_whole() {
        take(&bench, &mut reading).await;
    }
    assert!(reading.verdict().is_clean());
    assert_eq!(counted(&reading), (0, 0));
}

#[tokio::test]
async fn what_was_forgotten_between_two_pages_is_doubted() {
    let (bench, mut reading) = half_read().await;
    let (cell, keep) = (CellName::new(CELL).unwrap(), Keep { within: Duration::ZERO, ended_max: 0 });
    let forgotten = bench.ports.containers.forget(&cell, Timestamp(1), keep, 10).await.unwrap();
    assert_eq!(forgotten.containers, 1);
    while !reading.is_whole() {
        take(&bench, &mut reading).await;
    }
    let verdict = reading.verdict();
    assert!(!verdict.is_clean(), "no page named what ended");
    let doubtful = reading.doubtful(&verdict);
    assert_eq!(doubtful.iter().map(ToString::to_string).collect::<Vec<_>>(), ["brief"]);
    reading.forget(&doubtful[0]);
    assert!(reading.verdict().is_clean());
}

#[tokio::test]
async fn a_page_of_another_history_begins_the_reading_anew() {
    let bench = Bench::new().await;
    bench.worker("w1").await;
    let mut reading = Reading::default();
    take(&bench, &mut reading).await;
    assert!(reading.is_whole() && reading.since().is_some());
    let other = Bench::new().await;
    take(&other, &mut reading).await;
    assert!(!reading.is_whole() && reading.since().is_none(), "nothing of the first is kept");
}
