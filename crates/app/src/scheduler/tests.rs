//! The cycle on the memory store for behaviour, and on fakes for faults and for "never called".

mod freed;
mod gone;
mod house;
mod lots;
mod pools;
mod rewound;
mod seen;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use domain::batch::BatchPolicy;
use domain::fleet::{Fleet, Policy};
use domain::id::{
    CellName, ContainerId, Incarnation, PlannerId, PoolName, Revision, Runtime, WorkerId, WorkerKey, Workspace,
};
use domain::model::containers::Keep;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, CommitAnswer, DecisionKind, Loss, Outcome};
use domain::model::workers::Registration;
use domain::model::{Mandate, Rewind, backlog::Line};
use domain::request::{Ask, Body, IfSilent, OrderKey, Submission};
use domain::resources::Capacity;
use domain::time::Timestamp;
use domain::wait::LotKey;
use domain::worker::WorkerSpec;
use ports::rows::{MemoryStore, RowPorts};
use ports::{MockBacklogRepository, MockPlacementRepository, MockWorkerRepository, PortError, Ports};

use super::cycle::Cycle;
use super::pools::Pools;
use super::{BatchReport, Observer, PoolState, Scheduled, Scheduler, Settings, View};

/// How long a provider's worker may be without a row.
const STRAY_AFTER: Duration = Duration::from_secs(7);

/// Remembers what it was told.
#[derive(Default)]
struct Notes {
    batches: Mutex<Vec<BatchReport>>,
    corrupt: Mutex<Vec<ContainerId>>,
    not_found: Mutex<Vec<WorkerId>>,
    failed: AtomicUsize,
    asked: Mutex<BTreeMap<&'static str, u64>>,
    retired: Mutex<Vec<(WorkerId, String)>>,
    pool_failures: Mutex<Vec<String>>,
}

impl Observer for Notes {
    fn batch_planned(&self, _: &BatchReport) {}
    fn batch_committed(&self, report: &BatchReport) {
        self.batches.lock().unwrap().push(report.clone());
    }
    fn fleet_seen(&self, _: &Fleet) {}
    fn mandate_changed(&self, _: bool) {}
    fn stepped_down(&self, _: &PortError) {}
    fn store_failed(&self, _: &PortError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
    fn corrupt_parked(&self, ids: &[ContainerId]) {
        self.corrupt.lock().unwrap().extend_from_slice(ids);
    }
    fn worker_not_found(&self, worker: &WorkerId) {
        self.not_found.lock().unwrap().push(worker.clone());
    }
    fn worker_lost(&self, _: &WorkerId, _: u32) {}
    fn losing_suspended(&self, _: usize, _: usize) {}

    fn workers_asked(&self, _: &PoolName, reason: &'static str, count: u64, _: u64) {
        *self.asked.lock().unwrap().entry(reason).or_default() += count;
    }

    fn worker_retired(&self, _: &PoolName, worker: &WorkerId, why: &str) {
        self.retired.lock().unwrap().push((worker.clone(), why.to_owned()));
    }

    fn pools_seen(&self, _: &[PoolState]) {}

    fn pool_failed(&self, _: &PoolName, why: &str) {
        self.pool_failures.lock().unwrap().push(why.to_owned());
    }

    fn settling(&self, _rewind: Option<&Rewind>, _unregistered: u64) {}

    fn settled(&self) {}
}

/// A cell on the memory store, and the planner's parts.
struct Bench {
    ports: Ports,
    settings: Settings,
    mandate: Mandate,
    view: RwLock<View>,
    pools: Arc<Pools>,
    notes: Arc<Notes>,
}

fn clock() -> Timestamp {
    Timestamp(1_000_000)
}

fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

fn request(name: &str, cpu_milli: u64, priority: i8) -> Submission {
    let ask = Ask { priority, ..Ask::plain(Workspace::new("default").unwrap(), cpu_milli, 1) };
    let body = Body { command: vec!["true".to_owned()], ..Body::default() };
    Submission::new(id(name), ask, body, IfSilent::Stop)
}

impl Bench {
    async fn new() -> Self {
        let ports = RowPorts::over(MemoryStore::new().unwrap());
        let settings = Settings {
            cell: CellName::new("main").unwrap(),
            planner: PlannerId::new("planner").unwrap(),
            batch: BatchPolicy::BALANCED,
            policy: Policy::default(),
            pools: Vec::new(),
            keepalive: Duration::from_secs(5),
            grace: Duration::from_secs(2),
            lasts: Duration::from_secs(10),
            keep: Keep::default(),
            clock,
        };
        let acquired = ports.leadership.acquire(&settings.cell, &settings.planner, None).await.unwrap();
        let AcquireOutcome::Acquired(mandate) = acquired else { panic!("{acquired:?}") };
        let pools = Arc::new(Pools::new(&[], &settings.planner, STRAY_AFTER));
        Self { ports, settings, mandate, view: RwLock::default(), pools, notes: Arc::default() }
    }

    async fn with_workers(count: usize, cpu_milli: u64) -> Self {
        let bench = Self::new().await;
        for number in 0..count {
            bench.add_worker(&format!("w{number:02}"), cpu_milli).await;
        }
        bench
    }

    async fn add_worker(&self, name: &str, cpu_milli: u64) {
        let spec = WorkerSpec::plain(
            PoolName::new("default").unwrap(),
            Runtime::new("process").unwrap(),
            Capacity { cpu_milli, memory_mib: 1_000_000, gpu_type: None, gpu_count: 0 },
        );
        let registration = Registration::plain(
            WorkerId::new(name).unwrap(),
            Incarnation(1),
            WorkerKey::new("key").unwrap(),
            Arc::new(spec),
        );
        self.ports.workers.register(&self.settings.cell, clock(), registration).await.unwrap();
    }

    async fn submit(&self, requests: Vec<Submission>) {
        self.ports.backlog.submit(&self.settings.cell, clock(), requests).await.unwrap();
    }

    fn cycle(&self) -> Cycle<'_> {
        Cycle::new(&self.ports, &self.settings, &self.mandate, &self.view, &self.pools, &*self.notes)
    }

    /// Gives up a worker that has been silent for long enough.
    async fn give_up(&self, worker: &WorkerId) {
        let beats = self.ports.workers.beats(&self.settings.cell).await.unwrap();
        let (worker, incarnation, number) = beats.numbers.into_iter().find(|(id, ..)| id == worker).unwrap();
        let loss = Loss::Silent { worker, incarnation, number, boot: beats.boot };
        self.ports.placements.lose(&self.mandate, clock(), vec![loss], 1_000).await.unwrap();
    }

    async fn worker_of(&self, name: &str) -> Option<String> {
        let found = self.ports.containers.get(&self.settings.cell, vec![id(name)]).await.unwrap();
        let row = found.into_iter().next().flatten()?.row;
        row.state.placement().map(|place| place.worker.to_string())
    }

    async fn lot_of(&self, name: &str) -> Option<LotKey> {
        let found = self.ports.containers.get(&self.settings.cell, vec![id(name)]).await.unwrap();
        found.into_iter().next().flatten()?.row.state.lot().cloned()
    }
}

#[tokio::test]
async fn a_batch_is_placed_in_one_commit() {
    let bench = Bench::with_workers(20, 10_000).await;
    bench.submit((0..100).map(|number| request(&format!("c{number}"), 2_000, 0)).collect()).await;
    let _ = bench.cycle().once().await.unwrap();
    let batches = bench.notes.batches.lock().unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].placed, batches[0].workers_used), (100, 20));
}

#[tokio::test]
async fn an_unanswered_commit_is_repeated_with_the_same_ids() {
    let mut bench = Bench::with_workers(2, 10_000).await;
    bench.submit(vec![request("a", 1_000, 0), request("b", 1_000, 0)]).await;
    let inner = Arc::clone(&bench.ports.placements);
    let commits: Arc<Mutex<Vec<Commit>>> = Arc::default();
    let seen = Arc::clone(&commits);
    let mut fake = MockPlacementRepository::new();
    fake.expect_commit().times(2).returning(move |mandate, now, commit| {
        let tries = seen.lock().unwrap().len();
        seen.lock().unwrap().push(commit.clone());
        // It did it, and said that it was away.
        let answer = now_or_never(inner.commit(mandate, now, commit));
        if tries == 0 { Err(PortError::unavailable("the reply was lost")) } else { answer }
    });
    bench.ports.placements = Arc::new(fake);
    let _ = bench.cycle().once().await.unwrap();
    let commits = commits.lock().unwrap().clone();
    assert_eq!(commits[0], commits[1]);
    assert!(bench.worker_of("a").await.is_some() && bench.worker_of("b").await.is_some());
    assert_eq!(bench.notes.failed.load(Ordering::Relaxed), 1);
    let outcomes = bench.notes.batches.lock().unwrap()[0].outcomes.clone();
    assert_eq!(outcomes, BTreeMap::from([("already_done", 2)]));
    assert_eq!(bench.notes.batches.lock().unwrap()[0].placed, 2, "the first try placed them");
}

#[tokio::test]
async fn a_stale_term_ends_the_planning() {
    let mut bench = Bench::with_workers(1, 10_000).await;
    bench.submit(vec![request("a", 1_000, 0)]).await;
    let mut fake = MockPlacementRepository::new();
    fake.expect_commit().times(1).returning(|_, _, _| Err(PortError::StaleTerm));
    bench.ports.placements = Arc::new(fake);
    let (_sender, mut calls) = tokio::sync::mpsc::channel(1);
    let error = super::cycle::run(
        &bench.ports,
        &bench.settings,
        &bench.mandate,
        &bench.view,
        &bench.pools,
        &*bench.notes,
        &mut calls,
    )
    .await;
    assert!(matches!(error, PortError::StaleTerm), "{error:?}");
}

#[tokio::test]
async fn one_refusal_hurts_no_other() {
    let mut bench = Bench::with_workers(2, 2_000).await;
    bench.submit(vec![request("a", 1_500, 0), request("b", 1_500, 0), request("c", 500, 0)]).await;
    let inner = Arc::clone(&bench.ports.placements);
    let calls = AtomicUsize::new(0);
    let mut fake = MockPlacementRepository::new();
    fake.expect_commit().times(2).returning(move |mandate, now, mut commit| {
        if calls.fetch_add(1, Ordering::Relaxed) > 0 {
            return now_or_never(inner.commit(mandate, now, commit));
        }
        commit.decisions.remove(1);
        let CommitAnswer { mut outcomes, removals, before, after } = now_or_never(inner.commit(mandate, now, commit))?;
        outcomes.insert(1, Outcome::WorkerClosed);
        Ok(CommitAnswer { outcomes, removals, before, after })
    });
    bench.ports.placements = Arc::new(fake);
    let mut cycle = bench.cycle();
    assert!(cycle.once().await.unwrap(), "what was refused is planned again at once");
    assert!(bench.worker_of("a").await.is_some() && bench.worker_of("c").await.is_some());
    assert_eq!(bench.worker_of("b").await, None);
    let used = bench.notes.batches.lock().unwrap()[0].workers_used;
    assert_eq!(used, 1, "a and c are on one worker; the other was only planned");
    let _ = cycle.once().await.unwrap();
    assert!(bench.worker_of("b").await.is_some());
}

#[tokio::test]
async fn a_request_that_cannot_be_decoded_is_parked_and_the_rest_placed() {
    let mut bench = Bench::with_workers(1, 10_000).await;
    bench.submit(vec![request("a", 1_000, 0)]).await;
    let key = OrderKey { rank: 7, revision: Revision(1), position: 0 };
    let inner = Arc::clone(&bench.ports.backlog);
    let mut backlog = MockBacklogRepository::new();
    backlog.expect_next().returning(move |cell, after, limit, lots| {
        let line = now_or_never(inner.next(cell, after, limit, lots))?;
        Ok(Line { corrupt: vec![(key, id("broken"))], ..line })
    });
    let mut placements = MockPlacementRepository::new();
    placements.expect_commit().times(1).returning(move |_, _, commit| {
        assert!(matches!(commit.decisions[0].kind, DecisionKind::Place { .. }));
        assert!(matches!(commit.decisions[1].kind, DecisionKind::ParkCorrupt { key: parked, .. } if parked == key));
        let outcomes = vec![Outcome::Done, Outcome::Done];
        Ok(CommitAnswer { outcomes, removals: Vec::new(), before: Revision(1), after: Revision(2) })
    });
    bench.ports.backlog = Arc::new(backlog);
    bench.ports.placements = Arc::new(placements);
    let _ = bench.cycle().once().await.unwrap();
    assert_eq!(*bench.notes.corrupt.lock().unwrap(), [id("broken")]);
}

#[tokio::test]
async fn nothing_in_line_commits_nothing() {
    let mut bench = Bench::with_workers(1, 10_000).await;
    let mut fake = MockPlacementRepository::new();
    fake.expect_commit().never();
    bench.ports.placements = Arc::new(fake);
    assert!(!bench.cycle().once().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn ten_batches_with_room_read_the_fleet_once() {
    let mut bench = Bench::with_workers(20, 10_000).await;
    let inner = Arc::clone(&bench.ports.workers);
    let mut fake = MockWorkerRepository::new();
    fake.expect_look().times(1).returning(move |cell, since, limit| now_or_never(inner.look(cell, since, limit)));
    bench.ports.workers = Arc::new(fake);
    let mut cycle = bench.cycle();
    for batch in 0..10 {
        bench.submit((0..10).map(|number| request(&format!("c{batch}-{number}"), 2_000, 0)).collect()).await;
        let _ = cycle.once().await.unwrap();
        tokio::time::advance(Duration::from_millis(40)).await;
    }
    let batches = bench.notes.batches.lock().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.placed).sum::<usize>(), 100);
    assert_eq!(batches.iter().filter(|batch| batch.cache_hit).count(), 9);
}

#[tokio::test(start_paused = true)]
async fn room_that_a_cached_fleet_does_not_show_is_found_before_anything_parks() {
    let bench = Bench::with_workers(1, 1_000).await;
    bench.submit(vec![request("first", 1_000, 0)]).await;
    let mut cycle = bench.cycle();
    let _ = cycle.once().await.unwrap();
    assert_eq!(bench.worker_of("first").await.as_deref(), Some("w00"));
    // The view shows w00 full; a stop frees it, and another worker comes.
    bench.ports.containers.stop(&bench.settings.cell, clock(), vec![id("first")]).await.unwrap();
    bench.add_worker("w01", 1_000).await;
    bench.submit(vec![request("second", 1_000, 0), request("third", 1_000, 0)]).await;
    let _ = cycle.once().await.unwrap();
    assert!(bench.worker_of("second").await.is_some() && bench.worker_of("third").await.is_some());
    let parked: u64 = bench.notes.batches.lock().unwrap().iter().flat_map(|batch| batch.parked.values()).sum();
    assert_eq!(parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_runs_when_room_becomes_free() {
    let bench = Bench::with_workers(1, 1_000).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let notes = Arc::new(Notes::default());
    bench.ports.leadership.resign(&bench.mandate).await.unwrap();
    let scheduler = Scheduler::new(bench.ports.clone(), bench.ports.clone(), bench.settings.clone(), notes);
    let running = tokio::spawn(scheduler.run(stopped));
    bench.submit(vec![request("first", 1_000, 0), request("second", 1_000, 0), request("third", 1_000, 0)]).await;
    eventually(async || bench.lot_of("third").await.is_some()).await;
    for (ended, next) in [("first", "second"), ("second", "third")] {
        assert!(bench.worker_of(ended).await.is_some());
        bench.ports.containers.stop(&bench.settings.cell, clock(), vec![id(ended)]).await.unwrap();
        eventually(async || bench.worker_of(next).await.is_some()).await;
    }
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn what_cannot_fit_holds_up_nobody_behind_it() {
    let bench = Bench::with_workers(20, 10_000).await;
    let giants = (0..3_000).map(|number| request(&format!("giant-{number}"), 20_000 + number, 100));
    for batch in giants.collect::<Vec<_>>().chunks(500) {
        bench.submit(batch.to_vec()).await;
    }
    bench.submit(vec![request("small", 1_000, -100)]).await;
    let mut cycle = bench.cycle();
    let mut turns = 0;
    while bench.worker_of("small").await.is_none() {
        let _ = cycle.once().await.unwrap();
        turns += 1;
        assert!(turns <= 31, "3,000 giants in batches of 100, and the small one behind them");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_worker_by_name_goes_there_or_nowhere() {
    let bench = Bench::with_workers(3, 1_000).await;
    bench.ports.leadership.resign(&bench.mandate).await.unwrap();
    let scheduler =
        Scheduler::new(bench.ports.clone(), bench.ports.clone(), bench.settings.clone(), Arc::new(Notes::default()));
    let planner = scheduler.planner();
    let worker = WorkerId::new("w02").unwrap();
    let early = planner.schedule_request(worker.clone(), request("a", 1_000, 0)).await;
    assert!(matches!(early, Err(super::ScheduleError::NotPlanner)), "{early:?}");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(scheduler.run(stopped));
    eventually(async || planner.holds_mandate()).await;
    let placed = planner.schedule_request(worker.clone(), request("a", 1_000, 0)).await.unwrap();
    assert_eq!((placed, bench.worker_of("a").await.as_deref()), (Scheduled::Placed, Some("w02")));
    let again = planner.schedule_request(worker.clone(), request("a", 1_000, 0)).await.unwrap();
    assert_eq!(again, Scheduled::Placed);
    let full = planner.schedule_request(worker, request("b", 1_000, 0)).await.unwrap();
    assert_eq!(full, Scheduled::NotEligible(domain::wait::Rule::Cpu));
    stop.send(true).unwrap();
    running.await.unwrap();
}

/// The memory store answers without waiting.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("the memory store waited"),
    }
}

/// Waits on a paused clock, for less than the pause between two sweeps and less than settling takes.
async fn eventually(holds: impl AsyncFn() -> bool) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come true within 3 s");
}
