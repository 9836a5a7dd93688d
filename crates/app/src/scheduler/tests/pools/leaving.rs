//! Workers that do not come, that go, and whose machines outlast their rows or die before them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_come_in_time_is_given_up_for_another() {
    let grown = Grown::with(settings(10_000, 1)).await;
    grown.submit(0..1, 1_000).await;
    grown.plan_for(BOOT_WITHIN / 2).await;
    let first = grown.rows().await.remove(0).id;
    grown.plan_for(BOOT_WITHIN + BACKOFF * 2).await;
    let second = grown.rows().await.remove(0).id;
    assert_ne!(first, second);
    assert_eq!((grown.asked(), grown.state().failures), (2, 1));
    assert_eq!(*grown.machines.made.lock().unwrap(), BTreeSet::from([second]), "the first is taken away");
}

#[tokio::test(start_paused = true)]
async fn idle_workers_go_down_to_the_least_and_the_machines_with_them() {
    let grown = Grown::with(PoolSettings { workers_min: 2, ..settings(10_000, 50) }).await;
    grown.plan_for(Duration::from_secs(5)).await;
    assert_eq!(grown.pending().await, 2, "the least are there for nobody in particular");
    grown.submit(0..50, 1_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    assert_eq!(grown.asked(), 5);
    grown
        .bench
        .ports
        .containers
        .stop(&grown.bench.settings.cell, clock(), (0..50).map(|number| id(&format!("c{number:04}"))).collect())
        .await
        .unwrap();
    grown.boot(10_000).await;
    grown.plan_for(IDLE / 2).await;
    assert_eq!(grown.rows().await.len(), 5);
    grown.plan_for(IDLE).await;
    let left: BTreeSet<WorkerId> = grown.rows().await.into_iter().map(|row| row.id).collect();
    assert_eq!((left.len(), &left), (2, &*grown.machines.made.lock().unwrap()));
    grown.plan_for(IDLE * 2).await;
    assert_eq!((grown.rows().await.len(), grown.asked()), (2, 5), "no worker is added to be taken away");
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_row_is_taken_away_and_not_before_its_work_is_given_up() {
    let grown = Grown::with(settings(10_000, 50)).await;
    grown.machines.made.lock().unwrap().insert(WorkerId::new("burst-stray").unwrap());
    grown.plan_for(STRAY_AFTER / 2).await;
    assert_eq!(grown.machines.made.lock().unwrap().len(), 1);
    grown.plan_for(STRAY_AFTER * 2).await;
    assert!(grown.machines.made.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_idle_for_long_enough_goes_at_once() {
    let idle = Duration::from_millis(100);
    let grown = Grown::with(PoolSettings { idle, ..settings(10_000, 1) }).await;
    grown.submit(0..1, 1_000).await;
    grown.plan_for(COOLDOWN * 2).await;
    assert_eq!(grown.pending().await, 1);
    let (cell, gone) = (&grown.bench.settings.cell, vec![id("c0000")]);
    grown.bench.ports.containers.stop(cell, clock(), gone).await.unwrap();
    grown.boot(10_000).await;
    grown.plan_for(idle * 2).await;
    assert!(grown.rows().await.is_empty(), "{:?}", grown.state());
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_asks_for_another_as_soon_as_a_machine_is_taken_away() {
    let idle = Duration::from_millis(100);
    let grown = Grown::with(PoolSettings { idle, ..settings(10_000, 1) }).await;
    let removes_in = Duration::from_secs(2);
    *grown.machines.removes_in.lock().unwrap() = removes_in;
    grown.submit(0..1, 1_000).await;
    grown.plan_for(COOLDOWN * 2).await;
    let (cell, gone) = (&grown.bench.settings.cell, vec![id("c0000")]);
    grown.bench.ports.containers.stop(cell, clock(), gone).await.unwrap();
    grown.boot(10_000).await;
    grown.plan_for(idle * 2).await;
    assert_eq!((grown.rows().await.len(), grown.state().leaving), (0, 1));
    grown.submit(1..2, 1_000).await;
    grown.plan_for(removes_in / 2).await;
    assert_eq!(grown.pending().await, 0, "its machine is still there");
    grown.plan_for(removes_in + idle).await;
    assert_eq!(grown.pending().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_machine_died_makes_room_for_another() {
    let grown = Grown::with(settings(10_000, 1)).await;
    grown.submit(0..1, 10_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    grown.boot(10_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    let first = grown.rows().await.remove(0).id;
    grown.bench.give_up(&first).await;
    grown.plan_for(Duration::from_secs(20)).await;
    let rows = grown.rows().await;
    assert_eq!((rows.len(), grown.asked()), (1, 2));
    assert_ne!(rows[0].id, first);
    assert!(!grown.machines.made.lock().unwrap().contains(&first), "its machine is given back");
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_of_which_the_provider_knows_nothing_is_named_with_the_way_out() {
    let grown = Grown::with(settings(10_000, 1)).await;
    grown.submit(0..1, 10_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    grown.boot(10_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    let lost = grown.rows().await.remove(0).id;
    grown.machines.made.lock().unwrap().clear();
    let mut grown = grown;
    grown.start_anew().await;
    grown.bench.give_up(&lost).await;
    grown.plan_for(Duration::from_secs(20)).await;
    assert_eq!(grown.rows().await.len(), 1, "whoever made it may have it yet");
    let said = grown.state().decision;
    assert!(said.contains(&format!("stowplan worker remove {lost} --lost")), "{said}");

    let how = domain::model::workers::RemoveHow::IfEmpty;
    let cell = &grown.bench.settings.cell;
    grown.bench.ports.workers.remove(cell, clock(), vec![(lost.clone(), how)], 10).await.unwrap();
    grown.plan_for(Duration::from_secs(20)).await;
    assert_eq!((grown.rows().await.len(), grown.asked()), (1, 2), "another takes its place");
    assert!(!grown.state().decision.contains("--lost"));
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_after_it_was_given_up_stays() {
    let grown = Grown::with(settings(10_000, 1)).await;
    grown.submit(0..1, 1_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    let late = grown.rows().await.remove(0);
    *grown.machines.keeps.lock().unwrap() = Some("busy".to_owned());
    grown.plan_for(BOOT_WITHIN + Duration::from_secs(1)).await;
    assert_eq!(grown.state().leaving, 1);
    let call = Registration::plain(late.id.clone(), Incarnation(1), WorkerKey::new("key").unwrap(), late.spec);
    grown.bench.ports.workers.register(&grown.bench.settings.cell, clock(), call).await.unwrap();
    grown.plan_for(Duration::from_secs(1)).await;
    *grown.machines.keeps.lock().unwrap() = None;
    grown.plan_for(BACKOFF * 10).await;
    assert_eq!(grown.bench.worker_of("c0000").await, Some(late.id.to_string()));
    assert!(grown.machines.made.lock().unwrap().contains(&late.id), "what works is not taken away");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_be_taken_away_stops_no_other() {
    let grown = Grown::with(settings(10_000, 10)).await;
    grown.machines.made.lock().unwrap().insert(WorkerId::new("burst-stuck").unwrap());
    *grown.machines.keeps.lock().unwrap() = Some("its disk is busy".to_owned());
    grown.plan_for(STRAY_AFTER * 3).await;
    let state = grown.state();
    assert_eq!((state.leaving, state.failures), (1, 0));
    assert!(state.trouble.is_some_and(|trouble| trouble.contains("its disk is busy")));
    grown.submit(0..100, 1_000).await;
    grown.plan_for(Duration::from_secs(5)).await;
    assert_eq!(grown.machines.made.lock().unwrap().len(), 10, "nine come: one stands for a worker that it may have");
}
