//! How long the campaigns go on, and what chance decides in them: the same for the same seed.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// How many rounds were asked for.
pub(crate) fn rounds(default: u64) -> u64 {
    told("STOWPLAN_TORTURE_ROUNDS", default)
}

fn told(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Numbers that the seed and a name decide.
pub(crate) struct Dice {
    hasher: DefaultHasher,
}

impl Dice {
    pub(crate) fn new(name: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (told("STOWPLAN_TORTURE_SEED", 1), name).hash(&mut hasher);
        Self { hasher }
    }

    /// A number below this.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.hasher.write_u8(0);
        self.hasher.finish() % bound
    }
}
