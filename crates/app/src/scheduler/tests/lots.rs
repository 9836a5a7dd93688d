//! What is read from lots: all that fits, first in line first, in batches that keep their limits.

use super::*;

pub(super) async fn until_nothing_is_left_to_do(cycle: &mut Cycle<'_>) {
    for _ in 0..100 {
        if !cycle.once().await.unwrap() {
            return;
        }
    }
    panic!("there was something to do for ever");
}

async fn placed(bench: &Bench, names: impl Iterator<Item = String>) -> usize {
    let mut placed = 0;
    for name in names {
        placed += usize::from(bench.worker_of(&name).await.is_some());
    }
    placed
}

#[tokio::test(start_paused = true)]
async fn lots_larger_than_a_batch_empty_at_once_and_none_is_passed_over() {
    let bench = Bench::new().await;
    bench.submit((0..350).map(|number| request(&format!("a{number}"), 1_000, 0)).collect()).await;
    bench.submit((0..50).map(|number| request(&format!("b{number}"), 2_000, 0)).collect()).await;
    let mut cycle = bench.cycle();
    until_nothing_is_left_to_do(&mut cycle).await;
    bench.add_worker("large", 1_000_000).await;
    until_nothing_is_left_to_do(&mut cycle).await;
    assert_eq!(placed(&bench, (0..350).map(|number| format!("a{number}"))).await, 350);
    assert_eq!(placed(&bench, (0..50).map(|number| format!("b{number}"))).await, 50);
    let batches = bench.notes.batches.lock().unwrap();
    assert!(batches.iter().all(|batch| batch.size <= 100), "no batch is above its limit");
}

#[tokio::test(start_paused = true)]
async fn freed_room_goes_to_the_first_in_line_of_all_lots() {
    let bench = Bench::new().await;
    bench.submit((0..200).map(|number| request(&format!("low{number}"), 1_000, 0)).collect()).await;
    bench.submit(vec![request("high", 2_000, 50)]).await;
    let mut cycle = bench.cycle();
    until_nothing_is_left_to_do(&mut cycle).await;
    bench.add_worker("w", 2_000).await;
    until_nothing_is_left_to_do(&mut cycle).await;
    assert!(bench.worker_of("high").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn ready_and_freed_together_keep_the_limit_and_lose_nobody() {
    let bench = Bench::new().await;
    bench.submit((0..150).map(|number| request(&format!("a{number}"), 1_000, 0)).collect()).await;
    let mut cycle = bench.cycle();
    until_nothing_is_left_to_do(&mut cycle).await;
    bench.add_worker("large", 1_000_000).await;
    assert!(cycle.once().await.unwrap());
    bench.submit((0..150).map(|number| request(&format!("b{number}"), 2_000, 10)).collect()).await;
    until_nothing_is_left_to_do(&mut cycle).await;
    assert_eq!(placed(&bench, (0..150).map(|number| format!("a{number}"))).await, 150);
    assert_eq!(placed(&bench, (0..150).map(|number| format!("b{number}"))).await, 150);
    assert!(bench.notes.batches.lock().unwrap().iter().all(|batch| batch.size <= 100));
}

#[tokio::test]
async fn rows_that_cannot_be_decoded_do_not_hide_that_there_is_more() {
    let mut bench = Bench::with_workers(1, 1_000_000).await;
    bench.submit((0..150).map(|number| request(&format!("a{number}"), 1_000, 0)).collect()).await;
    let inner = Arc::clone(&bench.ports.backlog);
    let mut backlog = MockBacklogRepository::new();
    backlog.expect_next().returning(move |cell, after, limit, lots| {
        let mut line = now_or_never(inner.next(cell, after, limit, lots))?;
        let first = line.ready.remove(0).candidate;
        line.corrupt.push((first.key, first.id));
        Ok(line)
    });
    bench.ports.backlog = Arc::new(backlog);
    assert!(bench.cycle().once().await.unwrap(), "50 are left");
}

#[tokio::test]
async fn the_largest_batch_knows_that_there_is_more() {
    let mut bench = Bench::with_workers(1, 1_000_000_000).await;
    let settings = BatchPolicy::new(Duration::ZERO, 5_000, Duration::from_millis(500), BatchPolicy::BALANCED.flush());
    bench.settings.batch = settings.unwrap();
    for half in ["a", "b"] {
        bench.submit((0..2_501).map(|number| request(&format!("{half}{number}"), 1_000, 0)).collect()).await;
    }
    let mut cycle = bench.cycle();
    assert!(cycle.once().await.unwrap(), "2 are left");
    assert_eq!(bench.notes.batches.lock().unwrap()[0].placed, 5_000);
}
