//! Ports that are away now and then, by a plan that is drawn from a seed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::dice::Dice;
use crate::around::{Answering, Around, wrap};
use crate::{PortError, PortResult, Ports};

/// Of four calls one fails, and one is late.
///
/// A call fails before it is made, or after: it did what it was told, and says that the store is away. Calls whose repeat
/// answers otherwise than they did, if only by an `Already`, fail before they are made, so that whoever repeats each call
/// sees a store without a fault.
pub struct Faulty(Mutex<Dice>);

/// What happens to one call.
enum Fate {
    Before,
    After,
    Late(Duration),
    Well,
}

/// Calls that write, and answer the same when they are made again.
const REPEATABLE: &[&str] = &["register", "heartbeat", "take", "acquire", "renew", "resign"];
/// Calls that only read.
const READING: &[&str] =
    &["depth", "next", "backlog_wait", "beats", "look", "placements_wait", "get", "list", "export"];

impl Faulty {
    /// The same ports, with faults.
    pub fn over(ports: &Ports, seed: u64) -> Ports {
        wrap(ports, Self(Mutex::new(Dice(seed))))
    }

    fn fate(&self, operation: &str) -> Fate {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match dice.below(8) {
            0 if REPEATABLE.contains(&operation) || READING.contains(&operation) => Fate::After,
            0 | 1 => Fate::Before,
            2 | 3 => Fate::Late(Duration::from_micros(dice.below(2_000))),
            _ => Fate::Well,
        }
    }
}

impl Around for Faulty {
    async fn around<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        call: impl Fn() -> Answering<'a, T> + Send + Sync + 'a,
    ) -> PortResult<T> {
        match self.fate(operation) {
            Fate::Before => return Err(PortError::unavailable("it was not even asked")),
            Fate::After => {
                call().await?;
                return Err(PortError::unavailable("its answer was lost"));
            }
            Fate::Late(by) => tokio::time::sleep(by).await,
            Fate::Well => {}
        }
        call().await
    }
}
