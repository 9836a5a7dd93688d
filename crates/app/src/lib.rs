//! Stowplan, the program: a server, its agents, and the commands that talk to it.

pub mod agent;
pub mod api;
pub mod audit;
pub mod cli;
pub mod config;
pub mod embedded;
pub mod failpoints;
pub mod http;
pub mod observe;
pub mod providers;
pub mod scheduler;
pub mod serve;
pub mod wiring;
