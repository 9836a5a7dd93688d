use std::sync::{Arc, Mutex as Record};

use domain::id::{Incarnation, WorkerKey};
use domain::model::workers::{Registration, RemoveHow, StatusChange};
use domain::resources::Capacity;
use domain::time::Timestamp;
use domain::worker::{Status, WorkerSpec};
use ports::rows::{MemoryStore, RowPorts};
use ports::{MockWorkerRepository, Ports};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn cell() -> CellName {
    CellName::new("main").unwrap()
}

fn worker(id: &str) -> WorkerId {
    WorkerId::new(id).unwrap()
}

async fn register(ports: &Ports, id: &str) {
    let capacity = Capacity { cpu_milli: 1_000, memory_mib: 1_024, gpu_type: None, gpu_count: 0 };
    let spec = WorkerSpec::plain("default".parse().unwrap(), "process".parse().unwrap(), capacity);
    let registration = Registration::plain(worker(id), Incarnation(1), WorkerKey::new(id).unwrap(), Arc::new(spec));
    ports.workers.register(&cell(), NOW, registration).await.unwrap();
}

async fn statuses(fleet: &Fleet, store: &dyn WorkerRepository) -> Vec<(String, Status)> {
    let of = |workers: &Workers| workers.iter().map(|(id, row)| (id.to_string(), row.status())).collect();
    fleet.read(store, &cell(), of).await.unwrap().expect("it is not overtaken")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_reading_reads_what_changed_and_knows_the_rest() {
    let ports = RowPorts::over(MemoryStore::new().unwrap());
    for id in ["w1", "w2", "w3"] {
        register(&ports, id).await;
    }
    let (looks, inner) = (Arc::new(Record::new(Vec::new())), Arc::clone(&ports.workers));
    let mut store = MockWorkerRepository::new();
    let noted = Arc::clone(&looks);
    store.expect_look().returning(move |cell, since, limit| {
        let look = block_in_place(|| Handle::current().block_on(inner.look(cell, since, limit)));
        if let Ok(Look::Page(page)) = &look {
            noted.lock().unwrap().push(page.workers.iter().map(|row| row.id.to_string()).collect::<Vec<_>>());
        }
        look
    });
    let fleet = Fleet::default();
    let open = |id: &str| (id.to_owned(), Status::Available);
    assert_eq!(statuses(&fleet, &store).await, [open("w1"), open("w2"), open("w3")]);
    ports.workers.set_status(&cell(), NOW, vec![(worker("w1"), StatusChange::Cordoned)]).await.unwrap();
    ports.workers.remove(&cell(), NOW, vec![(worker("w2"), RemoveHow::IfEmpty)], 1).await.unwrap();
    register(&ports, "w4").await;
    let left = [("w1".to_owned(), Status::Cordoned), open("w3"), open("w4")];
    assert_eq!(statuses(&fleet, &store).await, left);
    assert_eq!(statuses(&fleet, &store).await, left);
    assert_eq!(*looks.lock().unwrap(), [vec!["w1", "w2", "w3"], vec!["w1", "w4"], vec![]]);
}

#[tokio::test]
async fn a_new_history_is_read_from_its_beginning() {
    let (before, after) = (RowPorts::over(MemoryStore::new().unwrap()), RowPorts::over(MemoryStore::new().unwrap()));
    register(&before, "w1").await;
    for id in ["w2", "w3", "w4"] {
        register(&after, id).await;
    }
    let fleet = Fleet::default();
    assert_eq!(statuses(&fleet, &*before.workers).await.len(), 1);
    let ids: Vec<_> = statuses(&fleet, &*after.workers).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["w2", "w3", "w4"]);
}

#[tokio::test]
async fn a_reader_who_is_overtaken_again_and_again_gives_up() {
    let mut store = MockWorkerRepository::new();
    store.expect_look().times(ANEW_MAX + 1).returning(|_, _, _| Ok(Look::Whole));
    assert!(Fleet::default().read(&store, &cell(), Workers::len).await.unwrap().is_none());
}
