//! The Redis store: the five ports by hand, each step one script that reads, decides, and then writes.

mod config;
mod connection;
mod error;
mod keys;
mod scripts;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{BadConfig, RedisConfig};
