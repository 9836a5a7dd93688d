//! Which answers are lost.

use std::collections::HashMap;

/// Which answers of scripts are to be lost, and how many have been.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// So many more, whichever comes.
    next: u64,
    /// Of each script the first; it is kept.
    each_once: bool,
    kept: HashMap<u64, Vec<u8>>,
    /// Whether what is kept is told, and nothing else is run.
    tells: bool,
    lost: u64,
}

/// What is told of a script whose answer was not lost.
const NOTHING_KEPT: &[u8] = b"-ERR no answer to this was lost\r\n";

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
        let is_lost = if self.each_once { self.keep(script, answer) } else { self.next > 0 };
        if is_lost {
            self.next = self.next.saturating_sub(1);
            self.lost += 1;
        }
        is_lost
    }

    /// Keeps the first answer of a script; answers whether this was it.
    fn keep(&mut self, script: u64, answer: &[u8]) -> bool {
        let is_first = !self.kept.contains_key(&script);
        if is_first {
            self.kept.insert(script, answer.to_vec());
        }
        is_first
    }

    pub(super) fn tell(&mut self) {
        self.tells = true;
    }

    pub(super) fn tells(&self) -> bool {
        self.tells
    }

    /// The answer of a script that was lost.
    pub(super) fn told(&self, script: u64) -> Vec<u8> {
        self.kept.get(&script).map_or_else(|| NOTHING_KEPT.to_vec(), Clone::clone)
    }
}
