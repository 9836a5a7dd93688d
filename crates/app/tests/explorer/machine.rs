//! A machine: the agent's core, what its data folder keeps, and its processes, each under a shim in a few lines.

use std::collections::BTreeMap;
use std::rc::Rc;

use app::agent::core::{Call, Core, Identity, Past, Ticket};
use app::api::calls::{Hold, Owns, PlacementName, Report};
use app::api::quantity::Quantity;
use app::api::worker::WorkerDocument;
use domain::id::WorkerId;

/// One machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) worker: &'static str,
    pub(crate) key: &'static str,
    pub(crate) cpu: u64,
    /// The agent, while one runs.
    pub(crate) core: Option<Core>,
    /// How many agents have run here; an answer to an earlier one finds nobody.
    pub(crate) run: u32,
    /// Its agent has left for good.
    pub(crate) is_gone: bool,
    /// It reaches no server.
    pub(crate) is_cut: bool,
    pub(crate) disk: Disk,
    /// The calls under way.
    pub(crate) flights: BTreeMap<Ticket, Flight>,
    /// The number of the last registration: answers to earlier calls are dropped.
    pub(crate) registered: u64,
}

/// A call under way.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    /// When the agent gives it up.
    pub(crate) until_ms: u64,
    pub(crate) call: Rc<Call>,
}

/// What outlives an agent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) incarnation: u64,
    pub(crate) deadline_ms: u64,
    pub(crate) processes: BTreeMap<PlacementName, Process>,
    pub(crate) settled: Vec<(u64, Report)>,
}

/// A container's process, or what is left of it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// It may outlive its worker's deadline.
    pub(crate) keep: bool,
    /// Its worker's deadline when it was ordered: what has not begun by then never does.
    pub(crate) start_by_ms: u64,
    pub(crate) owns: Owns,
    pub(crate) phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The intent is on disk.
    Intended,
    Live,
    Over(Report),
}

impl Process {
    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }
}

impl Machine {
    pub(crate) fn new(worker: &'static str, key: &'static str, cpu: u64) -> Self {
        Self {
            worker,
            key,
            cpu,
            core: None,
            run: 0,
            is_gone: false,
            is_cut: false,
            disk: Disk::default(),
            flights: BTreeMap::new(),
            registered: 0,
        }
    }

    /// Starts an agent with what is on the disk.
    pub(crate) fn start(&mut self) {
        let mut past = Past {
            incarnation: self.disk.incarnation,
            deadline_ms: self.disk.deadline_ms,
            settled: self.disk.settled.clone(),
            ..Past::default()
        };
        for (placement, process) in &self.disk.processes {
            match &process.phase {
                Phase::Over(end) => past.ends.push(end.clone()),
                Phase::Intended | Phase::Live => {
                    past.held.push(Hold { placement: placement.clone(), owns: process.owns.clone() });
                }
            }
        }
        let worker = WorkerDocument {
            id: self.worker.to_owned(),
            cpu_milli: Some(Quantity::integer(self.cpu * 1_000)),
            memory_mib: Some(Quantity::integer(1_024)),
            ..WorkerDocument::default()
        };
        self.core = Some(Core::new(Identity { worker, key: self.key.to_owned() }, past));
        self.run += 1;
    }

    /// The agent is gone; its processes live on.
    pub(crate) fn stop(&mut self) {
        self.core = None;
        self.flights.clear();
        self.registered = 0;
    }

    pub(crate) fn worker(&self) -> WorkerId {
        WorkerId::new(self.worker).unwrap()
    }

    /// The calls that nobody waits for any longer.
    pub(crate) fn overdue(&self, now_ms: u64) -> Vec<Ticket> {
        self.flights.iter().filter(|(_, flight)| flight.until_ms <= now_ms).map(|(ticket, _)| *ticket).collect()
    }

    /// The processes that live.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&PlacementName, &Process)> {
        self.disk.processes.iter().filter(|(_, process)| process.is_live())
    }

    /// Whether another attempt of the same container has not come to its end.
    pub(crate) fn holds_another(&self, placement: &PlacementName) -> bool {
        let is_another = |held: &PlacementName| held.container == placement.container && held != placement;
        let mut processes = self.disk.processes.iter();
        processes.any(|(held, process)| is_another(held) && !matches!(process.phase, Phase::Over(_)))
    }

    pub(crate) fn first_live(&self) -> Option<PlacementName> {
        self.live().next().map(|(placement, _)| placement.clone())
    }
}
