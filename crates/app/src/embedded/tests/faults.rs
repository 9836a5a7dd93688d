//! Disks that fill up, hold back, or lose what was not synced.

use std::sync::Arc;
use std::time::Duration;

use domain::id::{CallNumber, WorkerId};
use domain::model::{Change, backlog};
use domain::time::Timestamp;
use ports::PortError;
use ports::rows::{RowStore, RowsOf, WriteStep};

use super::disk::Disk;
use super::{EmbeddedStore, ask, cell, container, open, read, submission};

/// Submits `id` and keeps a number for the worker `w`, in one step.
fn submit_and_count(id: &str, number: u64) -> WriteStep {
    let id = id.to_owned();
    Box::new(move |rows: &RowsOf<'_>| {
        let mut changes = backlog::submit(&rows, Timestamp(1), &[submission(&id, ask("team", 100, 0))])?.1;
        changes.push(Change::Number(worker(), Some(CallNumber(number))));
        Ok(changes)
    })
}

fn worker() -> WorkerId {
    WorkerId::new("w").expect("a name")
}

/// Who waits, and the number of the worker `w`.
async fn state(store: &EmbeddedStore) -> (u64, u64) {
    let both = |rows: &RowsOf<'_>| Ok((rows.cell()?.ready, rows.number(&worker())?.0));
    read(store, both).await.expect("readable")
}

#[tokio::test]
async fn a_commit_that_fails_keeps_nothing_and_the_next_one_works() {
    let disk = Disk::default();
    let store = open(&disk);
    store.write(&cell(), submit_and_count("a", 1)).await.expect("there is room");

    disk.fill(true);
    for _ in 0..3 {
        let refused = store.write(&cell(), submit_and_count("b", 2)).await;
        assert!(matches!(refused, Err(PortError::Unavailable(_))), "{refused:?}");
    }
    disk.fill(false);

    store.write(&cell(), submit_and_count("c", 3)).await.expect("there is room again");
    let found = read(&store, |rows| rows.container(&container("b"))).await.expect("readable");
    assert_eq!((found, state(&store).await), (None, (2, 3)));
}

#[tokio::test]
async fn numbers_of_a_commit_that_failed_are_not_kept() {
    let disk = Disk::default();
    let store = open(&disk);
    store.write(&cell(), submit_and_count("a", 1)).await.expect("there is room");
    disk.fill(true);
    store.write(&cell(), submit_and_count("b", 2)).await.expect_err("there is no room");
    disk.fill(false);
    let nothing: WriteStep = Box::new(|_: &RowsOf<'_>| Ok(Vec::new()));
    store.write(&cell(), nothing).await.expect("it opens again");
    assert_eq!(state(&store).await, (1, 1));
}

/// Until its sync returns, nobody sees a step; whoever reads numbers sees them with the rows of the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_only_what_is_durable() {
    let disk = Disk::default();
    let store = Arc::new(open(&disk));
    store.write(&cell(), submit_and_count("a", 1)).await.expect("there is room");

    let held = disk.hold_syncs();
    let writing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.write(&cell(), submit_and_count("b", 2)).await })
    };
    let counting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { state(&store).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!writing.is_finished(), "it is not answered before it is durable");
    let ready = read(&store, |rows| Ok(rows.cell()?.ready)).await.expect("readable");
    assert_eq!(ready, 1, "a read neither waits for the sync nor sees what it is about");

    drop(held);
    writing.await.expect("no panic").expect("it is made");
    let seen = counting.await.expect("no panic");
    assert!(seen == (1, 1) || seen == (2, 2), "rows and numbers of different moments: {seen:?}");
    assert_eq!(state(&store).await, (2, 2));
}

#[tokio::test]
async fn what_was_answered_survives_a_loss_of_power() {
    let disk = Disk::default();
    let store = open(&disk);
    for index in 0..20_u64 {
        store.write(&cell(), submit_and_count(&format!("c{index}"), index)).await.expect("there is room");
        let found = state(&open(&disk.after_power_loss())).await;
        assert_eq!(found, (index + 1, 0), "numbers begin anew with each opening");
    }
}
