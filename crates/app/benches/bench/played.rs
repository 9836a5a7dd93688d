//! Workers played over HTTP, with the agents' own client and calls, where processes of agents would be too many.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{bail, ensure};
use app::agent::client::Client;
use app::agent::core::{Answer, Call, TAKE_LIMIT};
use app::api::calls::{
    Caller, Event, Order, OrderMark, PlacementName, RegisterCall, Report, ReportCall, TakeAnswer, TakeCall,
};
use app::api::quantity::Quantity;
use app::api::worker::WorkerDocument;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long a take waits for its first order.
const WAIT_MS: u64 = 10_000;
/// How long a call may take, besides.
const CALL_MS: u64 = 30_000;
/// How many workers register at once.
const AT_ONCE: usize = 16;

/// A registered worker.
pub(crate) struct Played {
    client: Client,
    history: u64,
    calls: AtomicU64,
}

/// A container in the hands of its worker.
pub(crate) struct Handed {
    pub(crate) container: String,
    pub(crate) at: Instant,
}

/// What a worker of a measurement offers.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    /// The pool that requests must name to get it; none for the default pool.
    pub(crate) pool: Option<&'static str>,
    /// For so many containers of 1 cpu and 1 GiB.
    pub(crate) containers: u64,
}

impl Offer {
    fn document(self, id: &str) -> WorkerDocument {
        WorkerDocument {
            id: id.to_owned(),
            pool: self.pool.map(str::to_owned),
            requires_pool_selector: self.pool.is_some(),
            cpu: Some(Quantity::integer(self.containers)),
            memory_mib: Some(Quantity::integer(self.containers * 1024)),
            ..WorkerDocument::default()
        }
    }
}

/// Registers so many workers.
pub(crate) async fn register(url: &str, prefix: &str, count: usize, offer: Offer) -> anyhow::Result<Vec<Arc<Played>>> {
    let mut workers = Vec::with_capacity(count);
    for from in (0..count).step_by(AT_ONCE) {
        let mut registering = JoinSet::new();
        for index in from..count.min(from + AT_ONCE) {
            registering.spawn(Played::register(url.to_owned(), format!("{prefix}-{index:05}"), offer));
        }
        for worker in registering.join_all().await {
            workers.push(Arc::new(worker?));
        }
    }
    Ok(workers)
}

impl Played {
    async fn register(url: String, id: String, offer: Offer) -> anyhow::Result<Self> {
        let client = Client::new(slice::from_ref(&url), &id, None)?;
        let call = RegisterCall {
            worker: offer.document(&id),
            key: "key".to_owned(),
            incarnation: 1,
            ready: true,
            holds: Vec::new(),
            ends: Vec::new(),
            more: false,
        };
        match client.call(&Call::Register(Box::new(call)), CALL_MS).await {
            Answer::Registered(answer) => Ok(Self { client, history: answer.history, calls: AtomicU64::new(0) }),
            other => bail!("worker {id} was answered {other:?}"),
        }
    }

    fn caller(&self) -> Caller {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        Caller { incarnation: 1, number, history: self.history, revision: 0 }
    }

    async fn take(&self, after: Option<OrderMark>) -> anyhow::Result<TakeAnswer> {
        let call = TakeCall { caller: self.caller(), after, limit: TAKE_LIMIT, wait_ms: WAIT_MS };
        match self.client.call(&Call::Take(call), WAIT_MS + CALL_MS).await {
            Answer::Take(answer) => Ok(answer),
            other => bail!("a take was answered {other:?}"),
        }
    }

    async fn report_ended(&self, placements: Vec<PlacementName>) -> anyhow::Result<()> {
        let count = placements.len();
        let report = |placement| Report { placement, event: Event::Exited { code: 0 }, output: None };
        let call = ReportCall { caller: self.caller(), reports: placements.into_iter().map(report).collect() };
        match self.client.call(&Call::Report(call), CALL_MS).await {
            Answer::Report(answer) => {
                ensure!(answer.outcomes.len() == count, "a report of {count} was answered {answer:?}");
                Ok(())
            }
            other => bail!("a report was answered {other:?}"),
        }
    }

    /// Takes orders as they come, tells of each, and reports its end while the next take waits, as an agent does whose
    /// containers end at once.
    pub(crate) async fn work(self: Arc<Self>, handed: mpsc::Sender<Handed>) -> anyhow::Result<()> {
        let mut after = None;
        let mut reporting = JoinSet::new();
        loop {
            let answer = self.take(after.clone()).await?;
            let at = Instant::now();
            after = answer.upto.or(after);
            let mut placements = Vec::new();
            for order in answer.orders {
                if let Order::Start(start) = order {
                    let container = start.placement.container.clone();
                    placements.push(start.placement);
                    handed.send(Handed { container, at }).await?;
                }
            }
            while let Some(reported) = reporting.try_join_next() {
                reported??;
            }
            if !placements.is_empty() {
                let worker = Arc::clone(&self);
                reporting.spawn(async move { worker.report_ended(placements).await });
            }
        }
    }
}
