//! How long, and how eagerly, what was not executed is asked again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::{Failure, Reaction};

/// The first pause and the longest: a server that loads or is busy answers a refusal at once, and often.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// How many times in sequence a failure that says how to go on is heeded at once. Two nodes that name each other, or a
/// script that is forgotten as fast as it is loaded, must not become a tight loop.
const AT_ONCE: u32 = 3;

/// In which part of a call's time attempts begin, as (4, 5) of it. What is sent just before the end may be executed
/// unheard, which would make an outcome unknown that is known.
const BEGINS: (u32, u32) = (4, 5);

/// The patience of one call.
pub(super) struct Patience {
    /// When the last attempt begins at the latest.
    last: Instant,
    pause: Duration,
    at_once: u32,
    /// Whether a lone server was already asked again after it said that it is a replica.
    was_read_only: bool,
}

impl Patience {
    /// For a call of so long, from now on.
    pub(super) fn of(whole: Duration) -> Self {
        Self { last: Instant::now() + whole * BEGINS.0 / BEGINS.1, pause: PAUSES.0, at_once: 0, was_read_only: false }
    }

    /// Whether to ask again after a failure; waits before it says yes, if it should.
    pub(super) async fn allows(&mut self, failure: &Failure, is_cluster: bool) -> bool {
        // A cluster elects another primary soon; behind a lone server's address there is another one now or not at all.
        if matches!(failure, Failure::ReadOnly { .. }) && !is_cluster {
            if self.was_read_only {
                return false;
            }
            self.was_read_only = true;
        }
        let goes_on = matches!(failure.reaction(), Reaction::Load | Reaction::Follow | Reaction::AskThere);
        if goes_on && self.at_once < AT_ONCE {
            self.at_once += 1;
            return Instant::now() < self.last;
        }
        let next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES.1);
        if next >= self.last {
            return false;
        }
        sleep_until(next).await;
        true
    }
}
