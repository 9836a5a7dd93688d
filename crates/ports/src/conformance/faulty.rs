//! Ports that are away now and then, by a plan that is drawn from a seed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::around::{Answering, Around, wrap};
use crate::random::dice::Dice;
use crate::{PortError, PortResult, Ports};

/// Of four calls one fails, and one is late.
///
/// A call fails before it is made, or after: it did what it was told, and says that the store is away. Calls that write
/// again when they are made again, or answer an `Already`, fail before they are made, so that whoever repeats what failed
/// sees a store without a fault.
pub struct Faulty(Mutex<Dice>);

/// What happens to one call.
enum Fate {
    Before,
    After,
    Late(Duration),
    Well,
}

/// Calls that change nothing when they are made again, and answer the same.
const REPEATABLE: &[&str] = &[
    "depth",
    "next",
    "backlog_wait",
    "beats",
    "heartbeat",
    "look",
    "take",
    "placements_wait",
    "get",
    "list",
    "export",
];

impl Faulty {
    /// The same ports, with faults.
    pub fn over(ports: &Ports, seed: u64) -> Ports {
        wrap(ports, Self(Mutex::new(Dice(seed))))
    }

    fn fate(&self, operation: &str) -> Fate {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match dice.below(8) {
            0 if REPEATABLE.contains(&operation) => Fate::After,
            0 | 1 => Fate::Before,
            2 | 3 => Fate::Late(Duration::from_micros(dice.below(2_000))),
            _ => Fate::Well,
        }
    }
}

impl Around for Faulty {
    async fn around<'a, T: Send + 'static>(
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
