//! What tests share, held against real servers: each part does what its name says.

mod clusters;
mod monitors;
mod proxies;
mod servers;
