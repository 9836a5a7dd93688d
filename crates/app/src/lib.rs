//! Stowplan, the program: a server, its agents, and the commands that talk to it.

pub mod agent;
pub mod api;
pub mod observe;
pub mod scheduler;
