//! Steps that come together share a commit; each is made, seen and answered as if it were alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::id::{Revision, WorkerId};
use domain::model::{Change, backlog};
use domain::time::Timestamp;
use ports::rows::{RowStore, RowsOf, WriteStep};
use ports::{PortError, PortResult};

use super::disk::Disk;
use super::{EmbeddedStore, ask, cell, container, open, read, submission};

fn submit(id: String) -> WriteStep {
    Box::new(move |rows: &RowsOf<'_>| {
        Ok(backlog::submit(&rows, Timestamp(1), &[submission(&id, ask("team", 100, 0))])?.1)
    })
}

/// Queues steps behind one that takes its time, so that they meet in one group, in this order.
async fn together(store: &Arc<EmbeddedStore>, steps: Vec<WriteStep>) -> Vec<PortResult<()>> {
    let plug: WriteStep = Box::new(|_: &RowsOf<'_>| {
        std::thread::sleep(Duration::from_millis(20));
        Ok(Vec::new())
    });
    let mut waiting = Vec::new();
    for step in std::iter::once(plug).chain(steps) {
        let store = Arc::clone(store);
        waiting.push(tokio::spawn(async move { store.write(&cell(), step).await }));
        tokio::task::yield_now().await;
    }
    let mut answers = Vec::new();
    for task in waiting {
        answers.push(task.await.expect("no panic"));
    }
    answers.remove(0).expect("the plug does nothing");
    answers
}

#[tokio::test]
async fn concurrent_steps_share_commits() {
    let store = Arc::new(open(&Disk::default()));
    let steps = (0..100).map(|index| submit(format!("c{index}"))).collect();
    let answers = together(&store, steps).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(store.commits() <= 3, "{} commits for 100 steps", store.commits());
    let cell = read(&store, |rows| rows.cell()).await.expect("readable");
    assert_eq!((cell.revision, cell.ready), (Revision(100), 100), "every step saw those before it");
}

#[tokio::test]
async fn a_failing_and_a_panicking_step_hurt_nobody() {
    let store = Arc::new(open(&Disk::default()));
    let fails: WriteStep = Box::new(|_: &RowsOf<'_>| Err(PortError::corrupt("a row", "spoilt")));
    let panics: WriteStep = Box::new(|_: &RowsOf<'_>| panic!("the ledger was wrong"));
    let steps = vec![submit("a".into()), fails, submit("b".into()), panics, submit("c".into())];
    let answers = together(&store, steps).await;
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().map_err(ToString::to_string)).collect();
    let (corrupt, away) = ("a row cannot be decoded".to_owned(), "the store is unavailable".to_owned());
    assert_eq!(kinds, [Ok(&()), Err(corrupt), Ok(&()), Err(away), Ok(&())]);
    let Err(PortError::Unavailable(source)) = &answers[3] else { panic!("{answers:?}") };
    assert_eq!(source.to_string(), "panicked: the ledger was wrong");
    assert_eq!(store.commits(), 1, "they shared one commit, and nothing was opened anew");
    let ready = read(&store, |rows| rows.ready(None, 10)).await.expect("readable");
    let ready: Vec<_> = ready.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ready, ["a", "b", "c"].map(container));
}

/// Something of a step that panics when the step is over.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// A panic that no step can be blamed for fails those who share a commit with it; the next is served by a file that was
/// opened anew.
#[tokio::test]
async fn a_panic_between_steps_fails_one_group() {
    let store = Arc::new(open(&Disk::default()));
    let guard = PanicsWhenDropped;
    let spoils: WriteStep = Box::new(move |_: &RowsOf<'_>| {
        let _ = &guard;
        Ok(Vec::new())
    });
    let store_too = Arc::clone(&store);
    let grouped = tokio::spawn(async move { store_too.write(&cell(), spoils).await });
    let answer = grouped.await.expect("no panic of the caller's");
    assert!(matches!(answer, Err(PortError::Unavailable(_))), "{answer:?}");
    store.write(&cell(), submit("a".into())).await.expect("it goes on");
    assert_eq!(read(&store, |rows| Ok(rows.cell()?.ready)).await.expect("readable"), 1);
}

#[tokio::test]
async fn a_read_that_panics_hurts_nobody() {
    let store = Arc::new(open(&Disk::default()));
    let answer = store.read(&cell(), Box::new(|_: &RowsOf<'_>| panic!("unreadable"))).await;
    assert!(matches!(answer, Err(PortError::Unavailable(_))), "{answer:?}");
    assert_eq!(read(&store, |rows| Ok(rows.cell()?.ready)).await.expect("readable"), 0);
}

/// A row that cannot be encoded fails its step before anything of it is written.
#[tokio::test]
async fn a_step_that_cannot_be_written_down_is_refused_whole() {
    let store = Arc::new(open(&Disk::default()));
    let far: WriteStep = Box::new(|rows: &RowsOf<'_>| {
        let now = Timestamp(u64::MAX);
        Ok(backlog::submit(&rows, now, &[submission("far", ask("team", 100, 0))])?.1)
    });
    let answers = together(&store, vec![far, submit("near".into())]).await;
    assert!(matches!(answers[0], Err(PortError::Corrupt { .. })), "{answers:?}");
    assert!(answers[1].is_ok(), "{answers:?}");
    let found = read(&store, |rows| rows.container(&container("far"))).await.expect("readable");
    assert_eq!(found, None);
}

#[tokio::test]
async fn numbers_need_no_commit_and_keep_their_turn() {
    let store = Arc::new(open(&Disk::default()));
    let worker = WorkerId::new("w1").expect("a name");
    let number = |number| -> WriteStep {
        let worker = worker.clone();
        Box::new(move |_: &RowsOf<'_>| Ok(vec![Change::Number(worker.clone(), Some(domain::id::CallNumber(number)))]))
    };
    let seen = Arc::new(AtomicU64::new(0));
    let look = || -> WriteStep {
        let (worker, seen) = (worker.clone(), Arc::clone(&seen));
        Box::new(move |rows: &RowsOf<'_>| {
            seen.store(rows.number(&worker)?.0, Ordering::SeqCst);
            Ok(Vec::new())
        })
    };
    together(&store, vec![number(7), look(), number(9)]).await;
    assert_eq!(seen.load(Ordering::SeqCst), 7, "a step sees the numbers of those before it in its group");
    assert_eq!(store.commits(), 0);
    let worker = worker.clone();
    let kept = read(&store, move |rows| rows.number(&worker)).await.expect("readable");
    assert_eq!(kept.0, 9);
}

#[tokio::test]
async fn what_is_queued_is_written_before_the_store_closes() {
    let disk = Disk::default();
    let store = open(&disk);
    let queue = store.queue.clone().expect("open");
    for index in 0..50 {
        let (answer, _) = tokio::sync::oneshot::channel();
        let job = super::super::Job { cell: cell(), step: submit(format!("c{index}")), answer };
        queue.send(job).await.expect("open");
    }
    drop(queue);
    drop(store);
    let cell = read(&open(&disk), |rows| rows.cell()).await.expect("readable");
    assert_eq!(cell.ready, 50);
}
