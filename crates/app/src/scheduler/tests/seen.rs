//! What the planner has seen: reads that cross commits, and room that must not be slept through.

use domain::fleet::Quotas;
use domain::id::Mark;
use domain::model::backlog::{Depth, SubmitOutcome};
use domain::model::workers::{Look, LookPage};
use domain::quota::{Limit, QuotaLimits};
use ports::{BacklogRepository, PortResult};
use tokio::time::{Instant, timeout};

use super::super::look::look;
use super::*;

async fn page(bench: &Bench) -> LookPage {
    match bench.ports.workers.look(&bench.settings.cell, None, 1_000).await.unwrap() {
        Look::Page(page) => page,
        Look::Whole => panic!("a reader who begins with nothing reads pages"),
    }
}

/// A worker on which one request is placed by a commit that the view is yet to be told of.
struct Crossing {
    bench: Bench,
    before: LookPage,
    commit: Commit,
    deciding: Vec<domain::model::backlog::InLine>,
    answer: CommitAnswer,
}

async fn crossing() -> Crossing {
    let bench = Bench::with_workers(1, 1_000).await;
    bench.submit(vec![request("a", 1_000, 0)]).await;
    let before = page(&bench).await;
    bench.view.write().unwrap().apply(before.clone());
    let deciding = bench.ports.backlog.next(&bench.settings.cell, None, 1, Vec::new()).await.unwrap().ready;
    let fleet = bench.view.read().unwrap().fleet();
    let verdict = domain::placement::plan(&fleet, &[deciding[0].candidate.clone()], &bench.settings.policy).remove(0);
    let domain::placement::Verdict::Place { worker, incarnation, booking } = verdict else { panic!("{verdict:?}") };
    let kind = DecisionKind::Place { worker, incarnation, booking };
    let decisions =
        vec![domain::model::placements::Decision { container: id("a"), attempt: deciding[0].candidate.attempt, kind }];
    let commit = Commit { decisions, ..Commit::default() };
    let answer = bench.ports.placements.commit(&bench.mandate, clock(), commit.clone()).await.unwrap();
    Crossing { bench, before, commit, deciding, answer }
}

fn booked(bench: &Bench) -> u32 {
    bench.view.read().unwrap().fleet().workers()[0].used.containers
}

#[tokio::test]
async fn a_commit_that_a_look_has_read_is_not_booked_twice() {
    let Crossing { bench, commit, deciding, answer, .. } = crossing().await;
    let after = page(&bench).await;
    let mut view = bench.view.write().unwrap();
    view.apply(after);
    view.apply_commit(&commit, &deciding.iter().collect::<Vec<_>>(), &answer);
    drop(view);
    assert_eq!(booked(&bench), 1);
}

#[tokio::test]
async fn a_look_from_before_a_commit_takes_nothing_back() {
    let Crossing { bench, before, commit, deciding, answer } = crossing().await;
    let mut view = bench.view.write().unwrap();
    view.apply_commit(&commit, &deciding.iter().collect::<Vec<_>>(), &answer);
    view.apply(before);
    drop(view);
    assert_eq!(booked(&bench), 1);
}

#[tokio::test]
async fn a_store_that_went_back_takes_nothing_from_how_far_the_planner_has_seen_it() {
    let bench = Bench::with_workers(1, 1_000).await;
    let early = page(&bench).await;
    bench.submit(vec![request("a", 1_000, 0)]).await;
    let late = page(&bench).await;
    let (before, seen) = (early.upto, late.upto);
    let mut view = bench.view.write().unwrap();
    view.apply(late);
    // There is less than was seen: all is read anew, before anybody finds that writes were lost.
    view.read_anew();
    view.apply(early);
    assert_eq!(view.witness(before), Some(seen));
    let later = Mark { revision: seen.revision.next(), ..seen };
    assert_eq!(view.witness(later), Some(later), "of what it planned before, the mandate tells");
}

#[tokio::test]
async fn changes_that_were_asked_for_before_another_look_began_anew_are_not_taken_for_the_fleet() {
    let mut bench = Bench::with_workers(2, 1_000).await;
    let view = Arc::new(RwLock::new(View::default()));
    look(&bench.ports, &bench.mandate, &view).await.unwrap();
    bench.add_worker("later", 1_000).await;
    let (inner, other) = (Arc::clone(&bench.ports.workers), Arc::clone(&view));
    let mut workers = MockWorkerRepository::new();
    let mut is_first = true;
    workers.expect_look().returning(move |cell, since, limit| {
        if std::mem::take(&mut is_first) {
            other.write().unwrap().read_anew();
        }
        now_or_never(inner.look(cell, since, limit))
    });
    bench.ports.workers = Arc::new(workers);
    look(&bench.ports, &bench.mandate, &view).await.unwrap();
    assert_eq!(view.read().unwrap().fleet().workers().len(), 3);
}

/// Plans for so long, and not longer.
async fn plan_for(bench: &Bench, long: Duration) {
    let (_sender, mut calls) = tokio::sync::mpsc::channel(1);
    let run = super::super::cycle::run(
        &bench.ports,
        &bench.settings,
        &bench.mandate,
        &bench.view,
        &bench.pools,
        &*bench.notes,
        &mut calls,
    );
    let ended = timeout(long, run).await;
    assert!(ended.is_err(), "{ended:?}");
}

/// A backlog that runs this before each `next`.
struct Before<F> {
    inner: Arc<dyn BacklogRepository>,
    next: F,
}

#[async_trait::async_trait]
impl<F: Fn(&[(LotKey, usize)]) -> PortResult<()> + Send + Sync> BacklogRepository for Before<F> {
    async fn submit(&self, cell: &CellName, now: Timestamp, all: Vec<Submission>) -> PortResult<Vec<SubmitOutcome>> {
        self.inner.submit(cell, now, all).await
    }

    async fn depth(&self, cell: &CellName) -> PortResult<Depth> {
        self.inner.depth(cell).await
    }

    async fn next(
        &self,
        cell: &CellName,
        after: Option<OrderKey>,
        limit: usize,
        lots: Vec<(LotKey, usize)>,
    ) -> PortResult<Line> {
        (self.next)(&lots)?;
        self.inner.next(cell, after, limit, lots).await
    }

    async fn wait(&self, cell: &CellName, seen: Revision, at_most: Duration) -> PortResult<Revision> {
        self.inner.wait(cell, seen, at_most).await
    }
}

#[tokio::test(start_paused = true)]
async fn room_freed_between_the_two_reads_of_a_batch_is_not_slept_through() {
    let mut bench = Bench::with_workers(1, 1_000).await;
    bench.submit(vec![request("first", 1_000, 0)]).await;
    let _ = bench.cycle().once().await.unwrap();
    bench.submit(vec![request("second", 1_000, 0)]).await;
    // The look is from before the room became free, the line from after.
    let (real, cell) = (bench.ports.clone(), bench.settings.cell.clone());
    let early: Arc<Mutex<Option<Look>>> = Arc::default();
    let (kept, done) = (Arc::clone(&early), AtomicUsize::new(0));
    let next = move |_: &[_]| {
        if done.fetch_add(1, Ordering::Relaxed) == 0 {
            *kept.lock().unwrap() = Some(now_or_never(real.workers.look(&cell, None, 1_000))?);
            now_or_never(real.containers.stop(&cell, clock(), vec![id("first")]))?;
        }
        Ok(())
    };
    bench.ports.backlog = Arc::new(Before { inner: Arc::clone(&bench.ports.backlog), next });
    let inner = Arc::clone(&bench.ports.workers);
    let mut workers = MockWorkerRepository::new();
    workers.expect_look().returning(move |cell, since, limit| match early.lock().unwrap().take() {
        Some(early) => Ok(early),
        None => now_or_never(inner.look(cell, since, limit)),
    });
    bench.ports.workers = Arc::new(workers);
    plan_for(&bench, Duration::from_secs(2)).await;
    assert!(bench.worker_of("second").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn lots_that_were_to_be_read_when_the_store_was_away_are_read_afterwards() {
    let mut bench = Bench::new().await;
    bench.submit(vec![request("a", 1_000, 0)]).await;
    let _ = bench.cycle().once().await.unwrap();
    bench.add_worker("w", 1_000).await;
    let away = AtomicUsize::new(0);
    let next = move |lots: &[_]| match lots {
        [_, ..] if away.fetch_add(1, Ordering::Relaxed) == 0 => Err(PortError::unavailable("away")),
        _ => Ok(()),
    };
    bench.ports.backlog = Arc::new(Before { inner: Arc::clone(&bench.ports.backlog), next });
    plan_for(&bench, Duration::from_secs(2)).await;
    assert_eq!(bench.notes.failed.load(Ordering::Relaxed), 1);
    assert!(bench.worker_of("a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_is_next_in_a_quotas_lot_does_not_wait_for_the_sweep() {
    let mut bench = Bench::with_workers(1, 10_000).await;
    let default = QuotaLimits { cpu_milli: Limit::AtMost(2_000), ..QuotaLimits::UNLIMITED };
    bench.settings.policy.quotas = Some(Quotas { default, ..Quotas::default() });
    bench.ports.leadership.resign(&bench.mandate).await.unwrap();
    bench.submit(vec![request("runs", 1_000, 0), request("large", 2_000, 0), request("small", 1_000, 0)]).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (ports, notes) = (bench.ports.clone(), Arc::new(Notes::default()));
    let running = tokio::spawn(Scheduler::new(ports.clone(), ports, bench.settings.clone(), notes).run(stopped));
    eventually(async || bench.lot_of("small").await.is_some()).await;
    let began = Instant::now();
    bench.ports.containers.stop(&bench.settings.cell, clock(), vec![id("large")]).await.unwrap();
    eventually(async || bench.worker_of("small").await.is_some()).await;
    assert!(began.elapsed() < Duration::from_secs(3), "after {:?}", began.elapsed());
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_planner_whose_requests_all_wait_reads_nothing_until_something_happens() {
    let mut bench = Bench::with_workers(1, 1_000).await;
    bench.submit((0..300).map(|number| request(&format!("a{number}"), 1_000 + number / 100, 0)).collect()).await;
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let next = move |_: &[_]| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    bench.ports.backlog = Arc::new(Before { inner: Arc::clone(&bench.ports.backlog), next });
    plan_for(&bench, Duration::from_secs(4)).await;
    let reads = reads.load(Ordering::Relaxed);
    assert!((3..=8).contains(&reads), "{reads} reads for three batches");
}
