//! What the embedded store takes: `cargo bench -p app --bench embedded [-- WAITING]`.
//!
//! `WAITING` requests are in line before anything is measured, 20,000 if it is not given. The folder is made where
//! temporary files are: set `TMPDIR` to measure another disk.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use app::embedded::EmbeddedStore;
use domain::id::{
    CallNumber, CellName, ContainerId, Incarnation, PlannerId, PoolName, Runtime, WorkerId, WorkerKey, Workspace,
};
use domain::model::Mandate;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, Decision, DecisionKind};
use domain::model::workers::{RegisterOutcome, Registration};
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::resources::{Booking, Capacity};
use domain::time::Timestamp;
use domain::worker::{Caller, WorkerSpec};
use ports::Ports;
use ports::rows::RowPorts;
use ports::wire::Row;

const BATCH: usize = 100;
const WORKERS: usize = 20;

fn cell() -> CellName {
    CellName::new("main").expect("a name")
}

fn submission(id: &str) -> Submission {
    let ask = Ask::plain(Workspace::new("team").expect("a name"), 100, 64);
    let command = ["python", "train.py", "--epochs", "10", id].map(String::from).to_vec();
    let env = BTreeMap::from([("MODEL".to_owned(), "small".to_owned())]);
    let body = Body { command, env, ..Body::default() };
    Submission::new(ContainerId::new(id).expect("a name"), ask, body, IfSilent::Stop)
}

fn batch(name: &str, size: usize) -> Vec<Submission> {
    (0..size).map(|index| submission(&format!("{name}-{index}"))).collect()
}

async fn submit(ports: &Ports, items: Vec<Submission>) {
    ports.backlog.submit(&cell(), Timestamp(1), items).await.expect("written");
}

/// The middle, and what all but one in twenty stay below.
fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |twentieths: usize| times[times.len() * twentieths / 20];
    format!("p50 {:.2?}, p95 {:.2?}", at(10), at(19))
}

fn rate(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).expect("it is small")) / took.as_secs_f64()
}

async fn register(ports: &Ports, index: usize) -> Caller {
    let total = Capacity { cpu_milli: 1 << 40, memory_mib: 1 << 40, gpu_type: None, gpu_count: 0 };
    let spec =
        WorkerSpec::plain(PoolName::new("default").expect("a name"), Runtime::new("process").expect("a name"), total);
    let worker = WorkerId::new(&format!("w{index}")).expect("a name");
    let registration =
        Registration::plain(worker.clone(), Incarnation(1), WorkerKey::new("key").expect("a name"), Arc::new(spec));
    let outcome = ports.workers.register(&cell(), Timestamp(1), registration).await.expect("written");
    let RegisterOutcome::Registered { mark, .. } = outcome else { panic!("{outcome:?}") };
    Caller { worker, incarnation: Incarnation(1), number: CallNumber(0), mark }
}

async fn commit_batches(ports: &Ports, mandate: &Mandate, batches: usize) -> (Duration, Duration) {
    let (mut reading, mut committing) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..batches {
        let begun = Instant::now();
        let line = ports.backlog.next(&cell(), None, BATCH, Vec::new()).await.expect("readable");
        reading += begun.elapsed();
        assert_eq!(line.ready.len(), BATCH);
        let decide = |(index, waiting): (usize, &domain::model::backlog::InLine)| Decision {
            container: waiting.candidate.id.clone(),
            attempt: waiting.candidate.attempt,
            kind: DecisionKind::Place {
                worker: WorkerId::new(&format!("w{}", index % WORKERS)).expect("a name"),
                incarnation: Incarnation(1),
                booking: Booking { cpu_milli: 100, memory_mib: 64, ..Booking::default() },
            },
        };
        let decisions = line.ready.iter().enumerate().map(decide).collect();
        let begun = Instant::now();
        let commit = Commit { decisions, ..Commit::default() };
        ports.placements.commit(mandate, Timestamp(2), commit).await.expect("written");
        committing += begun.elapsed();
    }
    (reading, committing)
}

async fn measure_submits(ports: &Ports) {
    let mut lone = Vec::new();
    for index in 0..300 {
        let begun = Instant::now();
        submit(ports, batch(&format!("lone{index}"), 1)).await;
        lone.push(begun.elapsed());
    }
    println!("a lone submit                      {}", quantiles(lone));
    for clients in [1, 8] {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let ports = ports.clone();
                tokio::spawn(async move {
                    for index in 0..400 / clients {
                        submit(&ports, batch(&format!("b{clients}-{client}-{index}"), BATCH)).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        println!(
            "submits of {BATCH}, {clients} at once           {:.0} requests/s",
            rate(400 * BATCH, begun.elapsed())
        );
    }
}

async fn measure_calls(ports: &Ports, callers: &[Caller]) {
    let mut beats = Vec::new();
    for number in 1..=1_000 {
        let callers = callers.iter().map(|caller| Caller { number: CallNumber(number), ..caller.clone() }).collect();
        let begun = Instant::now();
        ports.workers.heartbeat(&cell(), callers).await.expect("taken");
        beats.push(begun.elapsed());
    }
    println!("a heartbeat of {WORKERS} workers          {}", quantiles(beats));
    let mut reads = Vec::new();
    for _ in 0..1_000 {
        let begun = Instant::now();
        ports.backlog.depth(&cell()).await.expect("readable");
        reads.push(begun.elapsed());
    }
    println!("a short read                       {}", quantiles(reads));
}

fn measure_rows() {
    const ROUNDS: u32 = 20_000;
    let body = submission("request-1234567").body;
    let bytes = body.encode().expect("it fits");
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        black_box(body.encode().expect("it fits"));
    }
    let encoding = begun.elapsed() / ROUNDS;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        black_box(Body::decode("it", &bytes).expect("it reads back"));
    }
    println!(
        "a body of {} bytes                 encoded in {encoding:.0?}, decoded in {:.0?}",
        bytes.len(),
        begun.elapsed() / ROUNDS
    );
}

#[tokio::main]
async fn main() {
    let waiting = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20_000);
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(EmbeddedStore::open(dir.path()).expect("a store"));
    let ports = RowPorts::over(Arc::clone(&store));
    for start in (0..waiting).step_by(5_000) {
        submit(&ports, batch(&format!("w{start}"), 5_000.min(waiting - start))).await;
    }
    println!("{waiting} requests wait, in {}", dir.path().display());
    measure_rows();
    measure_submits(&ports).await;
    let mut callers = Vec::new();
    for index in 0..WORKERS {
        callers.push(register(&ports, index).await);
    }
    measure_calls(&ports, &callers).await;
    let planner = PlannerId::new("p1").expect("a name");
    let acquired = ports.leadership.acquire(&cell(), &planner, None).await.expect("written");
    let AcquireOutcome::Acquired(mandate) = acquired else { panic!("{acquired:?}") };
    let batches = 150;
    let (reading, committing) = commit_batches(&ports, &mandate, batches).await;
    println!("reading {BATCH} in line                {:.2?}", reading / 150);
    println!(
        "a commit of {BATCH} placements         {:.2?}, {:.0} placements/s",
        committing / 150,
        rate(batches * BATCH, committing)
    );
    println!("{} commits", store.commits());
    drop(ports);
    let begun = Instant::now();
    drop(store);
    let closing = begun.elapsed();
    let begun = Instant::now();
    drop(EmbeddedStore::open(dir.path()).expect("a store"));
    println!("closing {closing:.2?}, opening and closing again {:.2?}", begun.elapsed());
}
