//! A cell to begin with, and what may go wrong in it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use domain::id::{Boot, ContainerId, History, Workspace};
use domain::model::{CellRow, MemoryRows, backlog};
use domain::request::{Ask, Body, IfSilent, Submission};
use domain::time::Timestamp;

use crate::checks::Witness;
use crate::choice::{Budget, Choice, Fault};
use crate::machine::Machine;
use crate::rules::Without;
use crate::world::World;

/// The word of the history in which everything begins.
pub(crate) const FIRST_HISTORY: u64 = 7;

pub(crate) const STOP: IfSilent = IfSilent::Stop;
pub(crate) const KEEP: IfSilent = IfSilent::Keep;

/// What there is at the beginning, and how much may go wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// Each machine's worker, its key, and whether it is there from the beginning.
    pub(crate) machines: &'static [(&'static str, &'static str, bool)],
    /// What happens to each container when its worker is cut off.
    pub(crate) containers: &'static [IfSilent],
    /// How many containers have room on one machine.
    pub(crate) room: u64,
    /// What has happened when the search begins, its faults beside the budget: where all ways there are too many.
    pub(crate) before: &'static [Choice],
    /// In ticks: later, nothing goes wrong any more.
    pub(crate) horizon: u64,
    /// Faults strike the first so many machines.
    pub(crate) struck: usize,
    pub(crate) budget: &'static [(Fault, u8)],
}

impl Scenario {
    /// One container, one machine, no faults.
    pub(crate) const ONE: Self = Self {
        machines: &[("w1", "k1", true)],
        containers: &[STOP],
        room: 1,
        before: &[],
        horizon: 8,
        struck: 1,
        budget: &[],
    };

    /// The beginning: a planner, agents that start, and containers that wait.
    pub(crate) fn begin(&self, without: Without, is_told: bool) -> World {
        let names = (1..=self.containers.len()).map(|number| ContainerId::new(&format!("c{number}")).unwrap());
        let mut world = World {
            without,
            now: 0,
            horizon: self.horizon,
            struck: self.struck,
            boots: 1,
            copy: None,
            store: Rc::new(MemoryRows::new(CellRow::new(History::from_random(FIRST_HISTORY)), Boot::from_random(1))),
            containers: names.collect(),
            machines: Vec::new(),
            planners: Vec::new(),
            due: VecDeque::new(),
            held: Vec::new(),
            parked: Vec::new(),
            budget: Budget::default(),
            witness: Witness::default(),
            violation: None,
            story: is_told.then(Vec::new),
        };
        let ask = Arc::new(Ask::plain(Workspace::new("default").unwrap(), 1_000, 1));
        let submissions: Vec<_> = world
            .containers
            .iter()
            .zip(self.containers)
            .map(|(id, if_silent)| {
                let body = Body { command: vec!["true".to_owned()], ..Body::default() };
                Submission::new(id.clone(), Ask::clone(&ask), body, *if_silent)
            })
            .collect();
        world.step(|rows| backlog::submit(rows, Timestamp(0), &submissions));
        world.take_over();
        let budget = Budget::new(self.budget);
        let faults_before: Vec<_> =
            self.before.iter().filter_map(|choice| choice.fault()).map(|fault| (fault, 1)).collect();
        world.budget = if self.before.is_empty() { budget } else { Budget::new(&faults_before) };
        for (at, (worker, key, is_there)) in self.machines.iter().enumerate() {
            world.machines.push(Rc::new(Machine::new(worker, key, self.room)));
            if *is_there {
                world.start_agent(at);
            }
        }
        world.settle();
        for choice in self.before {
            assert!(world.choices().contains(choice), "{choice:?} cannot happen before the search");
            world.take(*choice);
        }
        world.budget = budget;
        world
    }
}
