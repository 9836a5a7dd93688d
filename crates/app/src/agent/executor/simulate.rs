//! Containers that are pretended: nothing is started, and each is over when its command would be.
//!
//! A command `sleep N` takes N seconds; any other ends at once. What is simulated is in the agent's memory alone, and
//! ends with the agent: one that starts again registers without it, and it runs again as the next attempt.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::process::{ProcessExecutor, Setting};
use super::{Executor, Found, Happening, StopRequest};
use crate::agent::clock;
use crate::agent::fuse::Fuse;
use crate::agent::record::{Lease, read_lease};
use crate::api::calls::{Event, PlacementName, Report, StartOrder};
use crate::api::period::millis;
use crate::api::worker::SIMULATE_RUNTIME;

/// The longest sleep: tokio's clock stands still while the machine is suspended.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Pretends to run containers. What an earlier agent of the same folder ran as processes is looked after to its end.
#[derive(Debug)]
pub struct SimulateExecutor {
    stage: Arc<Stage>,
    processes: ProcessExecutor,
    /// What an earlier agent left.
    left: BTreeSet<PlacementName>,
}

#[derive(Debug)]
struct Stage {
    containers: Mutex<Containers>,
    changed: Notify,
}

/// What is simulated.
#[derive(Debug)]
struct Containers {
    live: BTreeMap<PlacementName, Simulated>,
    /// When something happens to each of them, unless it is stopped before.
    due: BTreeSet<(u64, PlacementName)>,
    /// Not yet told.
    news: VecDeque<Happening>,
    leases: Leases,
}

#[derive(Debug)]
struct Simulated {
    ends_at_ms: u64,
    fuse: Fuse,
}

/// The agent's lease, read again only when the last one read runs out.
#[derive(Debug)]
struct Leases {
    data: PathBuf,
    key: String,
    boot: String,
    last: Option<Lease>,
}

impl SimulateExecutor {
    /// An executor that tells `happenings` what happens.
    pub fn new(setting: Setting, happenings: Sender<Happening>) -> anyhow::Result<Self> {
        let leases = Leases::of(&setting.data, &setting.key)?;
        let containers = Containers { live: BTreeMap::new(), due: BTreeSet::new(), news: VecDeque::new(), leases };
        let stage = Arc::new(Stage { containers: Mutex::new(containers), changed: Notify::new() });
        tokio::spawn(tell(Arc::clone(&stage), happenings.clone()));
        Ok(Self { stage, processes: ProcessExecutor::new(setting, happenings), left: BTreeSet::new() })
    }
}

impl Executor for SimulateExecutor {
    fn runtime(&self) -> &'static str {
        SIMULATE_RUNTIME
    }

    fn recover(&mut self, is_settled: &dyn Fn(&PlacementName) -> bool) -> anyhow::Result<Vec<Found>> {
        let found = self.processes.recover(is_settled)?;
        self.left.extend(found.iter().map(|found| match found {
            Found::Held(hold) => hold.placement.clone(),
            Found::Ended(end) => end.placement.clone(),
        }));
        Ok(found)
    }

    fn start(&mut self, order: &StartOrder, start_by_ms: u64) -> anyhow::Result<()> {
        self.stage.containers().start(clock::boot_ms(), order, start_by_ms);
        self.stage.changed.notify_one();
        Ok(())
    }

    fn stop(&mut self, placement: &PlacementName, request: &StopRequest) {
        if self.left.contains(placement) {
            return self.processes.stop(placement, request);
        }
        self.stage.containers().stop(clock::boot_ms(), placement, request);
        self.stage.changed.notify_one();
    }

    fn discard(&mut self, placement: &PlacementName) {
        if self.left.remove(placement) {
            self.processes.discard(placement);
        }
    }
}

/// Tells what happens, when it does, for as long as anybody listens.
async fn tell(stage: Arc<Stage>, happenings: Sender<Happening>) {
    loop {
        let (news, due_ms) = stage.containers().pass(clock::boot_ms());
        for happening in news {
            if happenings.send(happening).await.is_err() {
                return;
            }
        }
        let due_in = due_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(clock::boot_ms())));
        tokio::select! {
            () = stage.changed.notified() => {}
            () = sleep(due_in.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)) => {}
        }
    }
}

impl Stage {
    fn containers(&self) -> MutexGuard<'_, Containers> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Containers {
    fn start(&mut self, now_ms: u64, order: &StartOrder, start_by_ms: u64) {
        let placement = order.placement.clone();
        let lease = self.leases.now(now_ms).filter(|lease| now_ms < lease.deadline_ms.min(start_by_ms));
        let Some(lease) = lease else { return self.end(placement, Event::NotStarted) };
        let takes_ms = match duration(&order.command) {
            Ok(takes) => millis(takes),
            Err(event) => return self.end(placement, event),
        };
        if takes_ms == 0 {
            return self.end(placement, Event::Exited { code: 0 });
        }
        let container =
            Simulated { ends_at_ms: now_ms.saturating_add(takes_ms), fuse: Fuse::new(order, lease, now_ms) };
        self.news.push_back(Happening::Started(placement.clone()));
        self.due.insert((container.due_ms(), placement.clone()));
        self.live.insert(placement, container);
    }

    /// Nothing has to be told to end: TERM is the end.
    fn stop(&mut self, now_ms: u64, placement: &PlacementName, request: &StopRequest) {
        let Some(mut container) = self.live.remove(placement) else { return };
        self.due.remove(&(container.due_ms(), placement.clone()));
        container.fuse.ask(now_ms, request);
        self.end(placement.clone(), container.fuse.cause().unwrap_or(Event::Gone));
    }

    /// What has happened, and when something will.
    fn pass(&mut self, now_ms: u64) -> (VecDeque<Happening>, Option<u64>) {
        while let Some((due_ms, placement)) = self.due.pop_first() {
            if due_ms > now_ms {
                self.due.insert((due_ms, placement));
                break;
            }
            let Some(mut container) = self.live.remove(&placement) else { continue };
            if let Some(event) = container.burn(now_ms, due_ms, &mut self.leases) {
                self.end(placement, event);
            } else {
                self.due.insert((container.due_ms(), placement.clone()));
                self.live.insert(placement, container);
            }
        }
        (std::mem::take(&mut self.news), self.due.first().map(|(at_ms, _)| *at_ms))
    }

    fn end(&mut self, placement: PlacementName, event: Event) {
        self.news.push_back(Happening::Ended(Report { placement, event, output: None }));
    }
}

impl Simulated {
    fn due_ms(&self) -> u64 {
        self.fuse.due_at_ms().map_or(self.ends_at_ms, |at_ms| at_ms.min(self.ends_at_ms))
    }

    /// How it ended, if it did: by itself, or by what was due before.
    fn burn(&mut self, now_ms: u64, due_ms: u64, leases: &mut Leases) -> Option<Event> {
        if self.ends_at_ms == due_ms {
            return Some(Event::Exited { code: 0 });
        }
        self.fuse.burn(now_ms, || leases.read()).and_then(|_| self.fuse.cause())
    }
}

impl Leases {
    fn of(data: &Path, key: &str) -> std::io::Result<Self> {
        Ok(Self { data: data.to_owned(), key: key.to_owned(), boot: clock::boot_id()?, last: None })
    }

    fn now(&mut self, now_ms: u64) -> Option<Lease> {
        match &self.last {
            Some(lease) if now_ms < lease.deadline_ms => self.last.clone(),
            _ => self.read(),
        }
    }

    fn read(&mut self) -> Option<Lease> {
        self.last = read_lease(&self.data, &self.key, &self.boot).or(self.last.take());
        self.last.clone()
    }
}

/// How long the command is pretended to take.
fn duration(command: &[String]) -> Result<Duration, Event> {
    let [word, text] = command else { return Ok(Duration::ZERO) };
    if word.rsplit('/').next() != Some("sleep") {
        return Ok(Duration::ZERO);
    }
    match text.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        _ => {
            let detail = format!("sleep {text}: that is no number of seconds, which is all that can be simulated");
            Err(Event::Unstartable { code: 126, detail })
        }
    }
}
