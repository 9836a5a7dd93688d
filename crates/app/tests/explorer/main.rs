//! The explorer of the protocol: the steps of `domain::model` and the agent's core, as they are, through every order of
//! faults that fits a budget.
//!
//! A [`world`] is one cell on `MemoryRows`, its planners, and machines with a core, a disk and processes. What an agent,
//! a planner or a user does is done at once, unless a fault comes between: a call is lost, its answer is lost, either is
//! late, or it is repeated; a process starts or dies late; an agent crashes between two actions. A [`planner`] is a few
//! lines, but the scheduler's own count tells it who is silent. Time is ticks of [`world::TICK_MS`] that pass only when
//! nothing is due. After each thing that happens the promises are [`checks`]ed.
//!
//! - [`search`] goes breadth first through all that a budget allows, so that what it finds is the shortest way there.
//!   Where the budget is spent, or the time is over, faults stop, and everything must come to its end.
//! - [`walk`] throws dice beyond that. A seed is a walk.
//! - [`rules`] breaks one rule of the protocol at a time, or two that cover each other: the explorer must find out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod agent;
mod checks;
mod choice;
mod identity;
mod machine;
mod planner;
mod rules;
mod scenario;
mod search;
mod server;
mod walk;
mod words;
mod world;
