//! Two planners over one store. The first stands still at a point for longer than its stamp may; the second takes over;
//! then the first goes on with what it had in hand.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use adapters_redis::testing::Server as Redis;
use app::embedded::EmbeddedStore;
use app::failpoints::{Point, Points};
use app::http::now;
use app::observe::{Metrics, Watch};
use app::scheduler::{Planner, Scheduler, Settings};
use async_trait::async_trait;
use domain::batch::BatchPolicy;
use domain::container::Phase;
use domain::fleet::Policy;
use domain::id::{
    CellName, ContainerId, Incarnation, PlannerId, PoolName, Revision, Runtime, WorkerId, WorkerKey, Workspace,
};
use domain::model::containers::Keep;
use domain::model::placements::{Commit, CommitAnswer, Loss, LossOutcome, Outcome, ReportAnswer, TakeAnswer};
use domain::model::workers::Registration;
use domain::model::{Mandate, OrderMark, Report};
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::resources::Capacity;
use domain::time::Timestamp;
use domain::worker::{Caller, WorkerSpec};
use ports::rows::{MemoryStore, RowPorts};
use ports::{OrdersWaiting, PlacementRepository, PortError, PortResult, Ports};
use tokio::sync::watch;

use crate::store::{Phases, audited, audited_on, block_on, cell, ports_of};

/// How many requests wait when the first planner begins, and how many have come before it goes on.
const FIRST: usize = 30;
const ALL: usize = 37;
/// What the tests wait for comes much sooner.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_planner_that_stood_still_with_a_batch_commits_nothing_over_its_successor() {
    for point in [Point::Looked, Point::Planned] {
        for (name, commits) in on_every_store(point) {
            assert_eq!(commits, [None], "{name}, at {point:?}");
        }
    }
}

#[test]
fn what_a_planner_committed_before_it_stood_still_is_placed_once() {
    for (name, commits) in on_every_store(Point::Committed) {
        assert_eq!(commits, [Some(FIRST)], "{name}");
    }
}

/// Takes over at a point on a store of each kind; answers how many the first planner placed with each commit.
fn on_every_store(point: Point) -> [(&'static str, Vec<Option<usize>>); 3] {
    let memory = Arc::new(MemoryStore::new().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let embedded = Arc::new(EmbeddedStore::open(dir.path()).unwrap());
    let redis = Redis::start();
    [
        ("in memory", take_over(|| RowPorts::over(Arc::clone(&memory)), || audited(&*memory), point)),
        ("embedded", take_over(|| RowPorts::over(Arc::clone(&embedded)), || audited(&*embedded), point)),
        ("on Redis", take_over(|| ports_of(&redis), || audited_on(&redis), point)),
    ]
}

/// Lets a second planner take over from one that stands still. Answers how many the first one placed with each commit;
/// none if it was told that its term is over. Whoever calls the store opens it for itself.
fn take_over(open: impl Fn() -> Ports, audited: impl Fn() -> Phases, point: Point) -> Vec<Option<usize>> {
    let dir = tempfile::tempdir().unwrap();
    let held = dir.path().join("held");
    let commits = Commits::default();
    block_on(add_workers(&open()));
    submit(&open(), 0..FIRST);

    let points = format!("{}=hold:{}", point.as_str(), held.display());
    let first = Planning::start("first", commits.of(open()), Duration::from_hours(1), &points);
    until("the first planner stands still", || held.exists());
    let second = Planning::start("second", commits.of(open()), Duration::from_millis(100), "");
    until("the second has the cell", || second.planner.holds_mandate());
    submit(&open(), FIRST..ALL);
    until("all are placed", || audited().of(Phase::Placed) == ALL);
    std::fs::remove_file(&held).unwrap();
    until("the first has stepped down", || !first.planner.holds_mandate());
    first.end();
    second.end();

    let mut commits = std::mem::take(&mut *commits.0.lock().unwrap());
    let of_first = commits.iter().filter(|commit| commit.mandate.planner.as_str() == "first");
    let of_first = of_first.map(|commit| commit.answer.as_ref().map(placed)).collect();
    commits.retain(|commit| commit.answer.is_some());
    commits.sort_by_key(|commit| commit.answer.as_ref().map(|answer| answer.after));
    assert!(commits.is_sorted_by_key(|commit| commit.mandate.term), "who plans places, and nobody else: {commits:?}");
    assert_eq!(commits.iter().filter_map(|commit| commit.answer.as_ref()).map(placed).sum::<usize>(), ALL);
    of_first
}

/// A planner on a thread of its own, which stands still with it.
struct Planning {
    planner: Planner,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Planning {
    fn start(name: &str, ports: Ports, lasts: Duration, points: &str) -> Self {
        let settings = Settings {
            cell: cell(),
            planner: PlannerId::new(name).unwrap(),
            batch: BatchPolicy::BALANCED,
            policy: Policy::default(),
            pools: Vec::new(),
            keepalive: Duration::from_mins(2),
            grace: Duration::from_secs(15),
            lasts,
            keep: Keep::default(),
            clock: now,
        };
        let observer = Arc::new(Watch::new(Arc::new(Metrics::default())));
        let scheduler = Scheduler::new(ports.clone(), ports, settings, observer);
        let (planner, points) = (scheduler.planner(), points.parse::<Points>().unwrap());
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            points.arm_thread();
            block_on(scheduler.run(stopped));
        });
        Self { planner, stop, thread }
    }

    fn end(self) {
        self.stop.send_replace(true);
        self.thread.join().unwrap();
    }
}

/// Registers workers with room for all.
async fn add_workers(ports: &Ports) {
    for id in ["w1", "w2", "w3", "w4"] {
        let spec = WorkerSpec::plain(
            PoolName::new("default").unwrap(),
            Runtime::new("process").unwrap(),
            Capacity { cpu_milli: 10_000, memory_mib: 10_000, gpu_type: None, gpu_count: 0 },
        );
        let registration = Registration::plain(
            WorkerId::new(id).unwrap(),
            Incarnation(1),
            WorkerKey::new("key").unwrap(),
            Arc::new(spec),
        );
        ports.workers.register(&cell(), now(), registration).await.unwrap();
    }
}

fn submit(ports: &Ports, numbers: Range<usize>) {
    let body = Body { command: vec!["true".to_owned()], ..Body::default() };
    let ask = Ask::plain(Workspace::new("default").unwrap(), 1_000, 64);
    let request = |number| {
        Submission::new(ContainerId::new(&format!("c{number}")).unwrap(), ask.clone(), body.clone(), IfSilent::Stop)
    };
    block_on(ports.backlog.submit(&cell(), now(), numbers.map(request).collect())).unwrap();
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The commits of all planners, as they are answered.
#[derive(Clone, Default)]
struct Commits(Arc<Mutex<Vec<Committed>>>);

impl Commits {
    /// The same ports of a store that other processes may have open, whose commits are remembered.
    fn of(&self, mut ports: Ports) -> Ports {
        ports.limits.exclusive = false;
        ports.placements = Arc::new(Log { inner: Arc::clone(&ports.placements), commits: self.clone() });
        ports
    }
}

/// Placements that remember the commits.
struct Log {
    inner: Arc<dyn PlacementRepository>,
    commits: Commits,
}

#[derive(Debug)]
struct Committed {
    mandate: Mandate,
    /// None if the planner's term was over.
    answer: Option<CommitAnswer>,
}

/// How many a commit placed.
fn placed(answer: &CommitAnswer) -> usize {
    answer.outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count()
}

#[async_trait]
impl PlacementRepository for Log {
    async fn commit(&self, mandate: &Mandate, now: Timestamp, commit: Commit) -> PortResult<CommitAnswer> {
        let answer = self.inner.commit(mandate, now, commit).await;
        assert!(matches!(answer, Ok(_) | Err(PortError::StaleTerm)), "{answer:?}");
        let committed = Committed { mandate: mandate.clone(), answer: answer.as_ref().ok().cloned() };
        self.commits.0.lock().unwrap().push(committed);
        answer
    }

    async fn lose(
        &self,
        mandate: &Mandate,
        now: Timestamp,
        losses: Vec<Loss>,
        limit: usize,
    ) -> PortResult<Vec<LossOutcome>> {
        self.inner.lose(mandate, now, losses, limit).await
    }

    async fn take(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        after: Option<OrderMark>,
        limit: usize,
    ) -> PortResult<TakeAnswer> {
        self.inner.take(cell, now, caller, after, limit).await
    }

    async fn report(
        &self,
        cell: &CellName,
        now: Timestamp,
        caller: Caller,
        reports: Vec<Report>,
    ) -> PortResult<ReportAnswer> {
        self.inner.report(cell, now, caller, reports).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<OrdersWaiting> {
        self.inner.wait(cell, seen, at_most).await
    }
}
