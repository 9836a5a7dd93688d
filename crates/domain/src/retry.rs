//! How long to wait before trying again: longer each time, and not all at once.

use std::time::Duration;

/// Delays that double from `base` up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most that is waited after the first failure.
    pub base: Duration,
    /// The most that is ever waited.
    pub max: Duration,
}

impl Backoff {
    /// How long to wait after failure number `attempt`, the first being 1; nothing was tried before 0.
    ///
    /// At least half of the doubled delay is kept, so that a failing peer is left alone; the other half is jitter, so
    /// that those who failed together do not come back together. It is drawn from `seed`, which the caller draws once
    /// for itself: the same seed and attempt give the same delay.
    pub fn delay(&self, attempt: u32, seed: u64) -> Duration {
        let Some(doublings) = attempt.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let whole = self.base.saturating_mul(factor).min(self.max);
        let half = whole / 2;
        half + part(whole.saturating_sub(half), mixed(seed, attempt))
    }
}

/// `random / 2^64` of `whole`.
fn part(whole: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let part = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

/// The number that `SplitMix64` (Steele, Lea, Flood) draws from `seed` the `attempt`-th time.
pub(crate) fn mixed(seed: u64, attempt: u32) -> u64 {
    let state = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let once = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    twice ^ (twice >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };

    #[test]
    fn delays_double_up_to_the_most() {
        for seed in 0..1000 {
            assert_eq!(BACKOFF.delay(0, seed), Duration::ZERO);
            for (attempt, most_ms) in [(1, 100), (2, 200), (3, 400), (6, 3200), (7, 5000), (40, 5000), (u32::MAX, 5000)]
            {
                let most = Duration::from_millis(most_ms);
                let delay = BACKOFF.delay(attempt, seed);
                assert!(most / 2 <= delay && delay <= most, "attempt {attempt}, seed {seed}: {delay:?}");
            }
        }
    }

    #[test]
    fn those_who_failed_together_come_back_apart_and_the_same_one_as_before() {
        let delays: std::collections::BTreeSet<_> = (0..1000).map(|seed| BACKOFF.delay(7, seed)).collect();
        assert_eq!(delays.len(), 1000);
        assert!(delays.first().unwrap() < &Duration::from_millis(2510));
        assert!(delays.last().unwrap() > &Duration::from_millis(4990));
        assert_eq!(BACKOFF.delay(7, 42), BACKOFF.delay(7, 42));
        assert_ne!(BACKOFF.delay(7, 42), BACKOFF.delay(8, 42));
    }

    #[test]
    fn no_setting_overflows() {
        let backoff = Backoff { base: Duration::MAX, max: Duration::MAX };
        assert!(backoff.delay(u32::MAX, u64::MAX) >= Duration::MAX / 2);
        assert_eq!(Backoff { base: Duration::ZERO, max: Duration::MAX }.delay(9, 9), Duration::ZERO);
    }
}
