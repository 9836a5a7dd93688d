//! Which answers are lost.

use std::collections::HashSet;

/// Which answers of scripts are to be lost, and how many have been.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// So many more, whichever comes.
    next: u64,
    /// Of each script the first.
    each_once: bool,
    seen: HashSet<u64>,
    lost: u64,
}

impl Losses {
    pub(super) fn next(count: u64) -> Self {
        Self { next: count, ..Self::default() }
    }

    pub(super) fn each_once() -> Self {
        Self { each_once: true, ..Self::default() }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether this answer of a script is lost now.
    pub(super) fn take(&mut self, script: u64, answer: &[u8]) -> bool {
        if answer.starts_with(b"-NOSCRIPT") {
            return false;
        }
        let is_lost = if self.each_once { self.seen.insert(script) } else { self.next > 0 };
        if is_lost {
            self.next = self.next.saturating_sub(1);
            self.lost += 1;
        }
        is_lost
    }
}
