//! What a cell holds, audited.

use adapters_redis::RedisConfig;
use adapters_redis::testing::Server;
use domain::audit::{self, Audit, Finding};
use domain::container::Phase;
use domain::id::CellName;
use ports::Ports;
use ports::rows::{RowStore, RowsOf};
use tokio::sync::mpsc;

/// How many workers and containers a page of an export has, about.
const PAGE: usize = 5_000;

/// How many containers are in each phase.
pub(crate) struct Phases([u64; Phase::ALL.len()]);

impl Phases {
    pub(crate) fn of(&self, phase: Phase) -> usize {
        usize::try_from(self.0[phase as usize]).unwrap()
    }
}

/// Audits the cell of a store, all its rows.
pub(crate) fn audited(store: &impl RowStore) -> Phases {
    let (sender, mut receiver) = mpsc::channel(1);
    let step = Box::new(move |rows: &RowsOf<'_>| {
        sender.try_send((audit::of_rows(&rows)?, rows.cell()?.phases)).unwrap();
        Ok(())
    });
    block_on(store.read(&cell(), step)).unwrap();
    let (found, phases) = receiver.try_recv().unwrap();
    clean(&found);
    Phases(phases)
}

/// Audits the cell on a redis-server while nobody writes there, by what it exports.
pub(crate) fn audited_on(redis: &Server) -> Phases {
    let ports = ports_of(redis);
    block_on(async {
        let (mut audit, mut since, mut more) = (Audit::default(), None, true);
        while more {
            let page = ports.containers.export(&cell(), since, PAGE).await.unwrap();
            page.workers.iter().for_each(|row| audit.worker(row));
            page.containers.iter().for_each(|row| audit.container(row));
            page.usage.iter().for_each(|row| audit.usage(row));
            assert_eq!(page.undecodable, []);
            (since, more) = (Some(page.upto.revision), page.more);
        }
        clean(&audit.books());
        Phases(ports.backlog.depth(&cell()).await.unwrap().phases)
    })
}

fn clean(found: &[Finding]) {
    assert!(!found.iter().any(Finding::is_corruption), "{found:#?}");
}

/// A client of a redis-server, for one runtime.
pub(crate) fn ports_of(redis: &Server) -> Ports {
    adapters_redis::open(RedisConfig::parse(&redis.url()).unwrap()).unwrap()
}

/// The cell that is planned.
pub(crate) fn cell() -> CellName {
    CellName::new("main").unwrap()
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
