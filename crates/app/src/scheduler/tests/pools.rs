//! Pools on the memory store: what is asked for, what is taken away, and what a provider's faults do to it.

mod leaving;

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::fleet::PoolTemplate;
use domain::model::placements::NewWorker;
use domain::model::workers::{Look, LookPage};
use domain::retry::Backoff;
use domain::worker::{Life, WorkerRow};
use ports::{AddOutcome, PortResult, ProviderRemoveOutcome, WorkerProvider};
use tokio::time::{advance, sleep};

use super::super::pools::{PoolOf, PoolSettings};
use super::*;

const COOLDOWN: Duration = Duration::from_secs(1);
const BACKOFF: Duration = Duration::from_secs(4);
const BOOT_WITHIN: Duration = Duration::from_mins(1);
const IDLE: Duration = Duration::from_secs(30);

/// Makes machines that exist as names alone.
#[derive(Default)]
struct Machines {
    /// What it was asked for, call by call.
    asked: Mutex<Vec<Vec<WorkerId>>>,
    made: Mutex<BTreeSet<WorkerId>>,
    /// What it answers instead, call by call.
    faults: Mutex<Vec<Fault>>,
    /// Why it takes nothing away, if it does not.
    keeps: Mutex<Option<String>>,
    /// How long it takes to take some away.
    removes_in: Mutex<Duration>,
}

#[derive(Clone, Copy)]
enum Fault {
    Refuses,
    RefusesOne,
    DoesItAndIsAway,
    NeverAnswers,
}

#[async_trait]
impl WorkerProvider for Machines {
    async fn add(&self, workers: Vec<NewWorker>) -> PortResult<Vec<AddOutcome>> {
        self.asked.lock().unwrap().push(workers.iter().map(|new| new.id.clone()).collect());
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            Some(Fault::Refuses) => return Ok(vec![AddOutcome::Failed("sold out".to_owned()); workers.len()]),
            Some(Fault::NeverAnswers) => std::future::pending().await,
            Some(Fault::RefusesOne | Fault::DoesItAndIsAway) | None => {}
        }
        let refused = usize::from(matches!(fault, Some(Fault::RefusesOne)));
        self.made.lock().unwrap().extend(workers.iter().skip(refused).map(|new| new.id.clone()));
        match fault {
            Some(Fault::RefusesOne) => {
                let refused = AddOutcome::Failed("sold out".to_owned());
                Ok(std::iter::once(refused).chain(vec![AddOutcome::Coming; workers.len() - 1]).collect())
            }
            None => Ok(vec![AddOutcome::Coming; workers.len()]),
            Some(_) => Err(PortError::unavailable("away")),
        }
    }

    async fn remove(&self, workers: Vec<WorkerId>) -> PortResult<Vec<ProviderRemoveOutcome>> {
        let long = *self.removes_in.lock().unwrap();
        sleep(long).await;
        if let Some(why) = &*self.keeps.lock().unwrap() {
            return Ok(vec![ProviderRemoveOutcome::Failed(why.clone()); workers.len()]);
        }
        self.made.lock().unwrap().retain(|made| !workers.contains(made));
        Ok(vec![ProviderRemoveOutcome::Gone; workers.len()])
    }

    async fn list(&self) -> PortResult<Vec<WorkerId>> {
        Ok(self.made.lock().unwrap().iter().cloned().collect())
    }
}

/// A cell with one pool, its planner at work, and its provider.
struct Grown {
    bench: Bench,
    machines: Arc<Machines>,
}

fn settings(cpu_milli: u64, workers_max: u64) -> PoolSettings {
    let spec = WorkerSpec::plain(
        PoolName::new("burst").unwrap(),
        Runtime::new("process").unwrap(),
        Capacity { cpu_milli, memory_mib: 1_000_000, gpu_type: None, gpu_count: 0 },
    );
    PoolSettings {
        template: PoolTemplate { name: spec.pool.clone(), spec: Arc::new(spec), workers_max },
        workers_min: 0,
        warm: 0,
        idle: IDLE,
        per_cycle_max: 1_000,
        cooldown: COOLDOWN,
        backoff: Backoff { base: BACKOFF, max: BACKOFF * 8 },
        boot_within: BOOT_WITHIN,
        call_within: Duration::from_secs(10),
    }
}

impl Grown {
    async fn with(settings: PoolSettings) -> Self {
        let mut grown = Self { bench: Bench::new().await, machines: Arc::default() };
        grown.bench.settings.pools = vec![PoolOf { settings, provider: Some(grown.machines.clone()) }];
        grown.start_anew().await;
        grown
    }

    /// What another planner knows that takes over: nothing but the rows.
    async fn start_anew(&mut self) {
        let bench = &mut self.bench;
        bench.view = RwLock::default();
        bench.settings.planner = PlannerId::new(&format!("planner-{}", bench.mandate.term.0)).unwrap();
        bench.pools = Arc::new(Pools::new(&bench.settings.pools, &bench.settings.planner, STRAY_AFTER));
        let (cell, planner) = (&bench.settings.cell, &bench.settings.planner);
        let mut expected = None;
        bench.mandate = loop {
            match bench.ports.leadership.acquire(cell, planner, expected).await.unwrap() {
                AcquireOutcome::Acquired(mandate) => break mandate,
                AcquireOutcome::Held { term, stamp, .. } => expected = Some((term, stamp)),
            }
        };
    }

    /// Plans, and calls the provider, for this long.
    async fn plan_for(&self, long: Duration) {
        let bench = &self.bench;
        let (_sender, mut calls) = tokio::sync::mpsc::channel(1);
        let observer: Arc<dyn Observer> = Arc::clone(&bench.notes) as _;
        tokio::select! {
            error = super::super::cycle::run(
                &bench.ports, &bench.settings, &bench.mandate, &bench.view, &bench.pools, &*bench.notes, &mut calls,
            ) => panic!("{error:?}"),
            never = bench.pools.tend(&observer) => match never {},
            () = sleep(long) => {}
        }
    }

    async fn submit(&self, names: std::ops::Range<usize>, cpu_milli: u64) {
        self.bench.submit(names.map(|number| request(&format!("c{number:04}"), cpu_milli, 0)).collect()).await;
    }

    async fn rows(&self) -> Vec<WorkerRow> {
        let Look::Page(page) = self.bench.ports.workers.look(&self.bench.settings.cell, None, 10_000).await.unwrap()
        else {
            panic!("a whole look has a page")
        };
        page.workers
    }

    async fn pending(&self) -> usize {
        self.rows().await.iter().filter(|row| matches!(row.life, Life::Pending { .. })).count()
    }

    /// Every machine that was made and has not come yet comes, as large as this.
    async fn boot(&self, cpu_milli: u64) {
        for row in self.rows().await {
            let is_made = self.machines.made.lock().unwrap().contains(&row.id);
            if is_made && row.incarnation == Incarnation(0) {
                let total = Capacity { cpu_milli, ..row.spec.total.clone() };
                let spec = Arc::new(WorkerSpec { total, ..(*row.spec).clone() });
                let call = Registration::plain(row.id.clone(), Incarnation(1), WorkerKey::new("key").unwrap(), spec);
                self.bench.ports.workers.register(&self.bench.settings.cell, clock(), call).await.unwrap();
            }
        }
    }

    fn asked(&self) -> u64 {
        self.bench.notes.asked.lock().unwrap().values().sum()
    }

    fn state(&self) -> PoolState {
        let fleet = self.bench.view.read().unwrap().fleet();
        self.bench.pools.states(&fleet).remove(0)
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_are_asked_for_as_what_waits_needs_and_no_more() {
    for (cpu_milli, needed) in [(1_000, 10_usize), (3_000, 34)] {
        let grown = Grown::with(settings(10_000, 50)).await;
        grown.submit(0..100, cpu_milli).await;
        grown.plan_for(Duration::from_secs(20)).await;
        assert_eq!((grown.asked(), grown.pending().await), (needed as u64, needed), "{cpu_milli}");
        assert_eq!(grown.machines.made.lock().unwrap().len(), needed);
        grown.boot(10_000).await;
        grown.plan_for(Duration::from_secs(10)).await;
        assert_eq!(grown.asked(), needed as u64, "{cpu_milli}: they came, and all is placed");
        assert!(grown.bench.worker_of("c0099").await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_is_counted_with_what_comes_now() {
    let grown = Grown::with(settings(10_000, 500)).await;
    grown.submit(0..1_000, 1_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    assert_eq!(grown.asked(), 100);
    grown.submit(1_000..1_105, 1_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    assert_eq!(grown.asked(), 111);
}

#[tokio::test(start_paused = true)]
async fn nobody_grows_while_there_is_room() {
    let grown = Grown::with(settings(10_000, 50)).await;
    for number in 0..20 {
        grown.bench.add_worker(&format!("w{number:02}"), 10_000).await;
    }
    for burst in 0..2 {
        grown.submit(burst * 100..(burst + 1) * 100, 1_000).await;
        grown.plan_for(Duration::from_secs(2)).await;
    }
    assert_eq!(grown.asked(), 0);
    assert!(grown.bench.worker_of("c0199").await.is_some(), "the fleet is full to the last");
}

#[tokio::test(start_paused = true)]
async fn half_of_the_workers_here_and_half_on_their_way_are_enough() {
    let grown = Grown::with(settings(10_000, 50)).await;
    grown.submit(0..400, 1_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    assert_eq!(grown.asked(), 40);
    let late: BTreeSet<_> = grown.machines.made.lock().unwrap().iter().take(20).cloned().collect();
    grown.machines.made.lock().unwrap().retain(|made| !late.contains(made));
    grown.boot(10_000).await;
    grown.plan_for(Duration::from_secs(10)).await;
    assert_eq!((grown.asked(), grown.pending().await), (40, 20), "the rest is for those that are to come");
}

#[tokio::test(start_paused = true)]
async fn another_planner_asks_the_provider_for_the_same_and_for_no_more() {
    let mut grown = Grown::with(settings(10_000, 50)).await;
    grown.submit(0..100, 1_000).await;
    // Rows are written, and nobody calls the provider.
    let mut cycle = grown.bench.cycle();
    advance(COOLDOWN * 2).await;
    for _ in 0..3 {
        let _ = cycle.once().await.unwrap();
    }
    assert_eq!((grown.pending().await, grown.machines.made.lock().unwrap().len()), (10, 0));
    grown.start_anew().await;
    grown.plan_for(Duration::from_secs(10)).await;
    let names: BTreeSet<WorkerId> = grown.rows().await.into_iter().map(|row| row.id).collect();
    assert_eq!((names.len(), &names), (10, &*grown.machines.made.lock().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_is_made_again_with_the_same_names() {
    for fault in [Fault::DoesItAndIsAway, Fault::NeverAnswers] {
        let grown = Grown::with(settings(10_000, 50)).await;
        grown.machines.faults.lock().unwrap().extend([fault, fault]);
        grown.submit(0..100, 1_000).await;
        grown.plan_for(Duration::from_secs(50)).await;
        let asked = grown.machines.asked.lock().unwrap().clone();
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|names| names.len() == 10 && *names == asked[0]));
        assert_eq!(grown.asked(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_refused_rests_longer_each_time_and_loses_no_request() {
    let grown = Grown::with(settings(10_000, 50)).await;
    grown.machines.faults.lock().unwrap().extend([Fault::Refuses; 3]);
    grown.submit(0..100, 1_000).await;
    grown.plan_for(COOLDOWN * 2).await;
    let state = grown.state();
    assert_eq!((state.failures, state.failed, grown.pending().await), (1, 10, 0));
    assert!(state.rests.is_some_and(|rests| rests <= BACKOFF), "{state:?}");
    assert!(state.trouble.is_some_and(|trouble| trouble.contains("sold out")));
    grown.plan_for(Duration::from_mins(1)).await;
    assert_eq!((grown.asked(), grown.pending().await), (40, 10), "three times refused, the fourth came");
    grown.boot(10_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    let state = grown.state();
    assert_eq!((state.failures, state.trouble), (0, None));
    assert!(grown.bench.worker_of("c0099").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn machines_that_turn_out_too_small_are_not_asked_for_again() {
    let grown = Grown::with(settings(10_000, 50)).await;
    grown.submit(0..1, 10_000).await;
    grown.plan_for(Duration::from_secs(10)).await;
    grown.boot(9_500).await;
    grown.plan_for(IDLE * 4).await;
    assert_eq!(grown.asked(), 1);
    assert!(grown.rows().await.is_empty(), "it went, for it serves nobody");
    let state = grown.state();
    assert_eq!(state.expected.spec.total.cpu_milli, 9_500);
    assert!(state.decision.contains("9.5"), "{}", state.decision);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_comes_at_once_and_too_small_is_known_before_another_is_asked_for() {
    let grown = Grown::with(settings(10_000, 50)).await;
    grown.submit(0..1, 10_000).await;
    let boots = async {
        loop {
            grown.boot(9_500).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = grown.plan_for(Duration::from_secs(20)) => {}
        () = boots => {}
    }
    assert_eq!(grown.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_came_with_those_that_were_refused_does_not_show_that_the_trouble_is_over() {
    let grown = Grown::with(settings(10_000, 50)).await;
    grown.machines.faults.lock().unwrap().push(Fault::RefusesOne);
    grown.submit(0..100, 1_000).await;
    grown.plan_for(COOLDOWN * 2).await;
    grown.boot(10_000).await;
    grown.plan_for(COOLDOWN).await;
    let state = grown.state();
    assert_eq!((state.ready, state.failures, state.failed, state.wanted), (9, 1, 1, 0));
    assert!(state.trouble.is_some_and(|trouble| trouble == "1 of 10 could not be had: sold out"));
    assert!(state.decision.contains("rests"), "{}", state.decision);
    grown.plan_for(BACKOFF).await;
    grown.boot(10_000).await;
    grown.plan_for(COOLDOWN).await;
    let state = grown.state();
    assert_eq!((state.ready, state.failures, state.trouble, grown.asked()), (10, 0, None, 11));
}

#[tokio::test(start_paused = true)]
async fn machines_that_register_in_another_pool_are_no_reason_for_more() {
    let grown = Grown::with(settings(10_000, 3)).await;
    let wants_burst = |number: usize| {
        let mut ask = Ask::plain(Workspace::new("default").unwrap(), 10_000, 1);
        ask.pool = Some(PoolName::new("burst").unwrap());
        let body = Body { command: vec!["true".to_owned()], ..Body::default() };
        Submission::new(id(&format!("c{number:04}")), ask, body, IfSilent::Stop)
    };
    grown.bench.submit((0..9).map(wants_burst).collect()).await;
    for _ in 0..5 {
        grown.plan_for(Duration::from_secs(10)).await;
        for row in grown.rows().await.into_iter().filter(|row| row.incarnation == Incarnation(0)) {
            let spec = WorkerSpec { pool: PoolName::new("other").unwrap(), ..(*row.spec).clone() };
            let key = WorkerKey::new("key").unwrap();
            let call = Registration::plain(row.id, Incarnation(1), key, Arc::new(spec));
            grown.bench.ports.workers.register(&grown.bench.settings.cell, clock(), call).await.unwrap();
        }
    }
    assert_eq!((grown.asked(), grown.machines.made.lock().unwrap().len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_removed_is_asked_of_nobody() {
    let grown = Grown::with(settings(10_000, 50)).await;
    grown.machines.faults.lock().unwrap().extend([Fault::NeverAnswers]);
    grown.submit(0..1, 1_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    let gone = grown.rows().await.remove(0).id;
    grown.bench.ports.containers.stop(&grown.bench.settings.cell, clock(), vec![id("c0000")]).await.unwrap();
    let how = domain::model::workers::RemoveHow::IfEmpty;
    grown.bench.ports.workers.remove(&grown.bench.settings.cell, clock(), vec![(gone, how)], 10).await.unwrap();
    grown.plan_for(Duration::from_secs(30)).await;
    assert!(grown.machines.made.lock().unwrap().is_empty());
    assert!(grown.rows().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_due_before_workers_have_said_what_they_run() {
    let grown = Grown::with(settings(10_000, 50)).await;
    advance(COOLDOWN * 2).await;
    for (settling, due) in [(false, Duration::ZERO), (true, Duration::MAX)] {
        let look = grown.bench.ports.workers.look(&grown.bench.settings.cell, None, 100).await.unwrap();
        let Look::Page(page) = look else { panic!("a whole look has a page") };
        let mut view = View::default();
        view.apply(LookPage { settling, ..page });
        assert_eq!(grown.bench.pools.until_due(&view), due);
    }
}
