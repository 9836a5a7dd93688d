//! When to give up a server that keeps dying.

use std::time::Duration;

/// A server that lived this long was fine: whatever ended it, a new start is likely to last.
const QUICK: Duration = Duration::from_secs(5);
const QUICK_DEATHS_MAX: u32 = 5;

/// Counts the quick deaths in a row.
#[derive(Default)]
pub(crate) struct Restarts {
    quick_deaths: u32,
}

impl Restarts {
    /// How long to pause before the next start after a life of that length; `None` gives up.
    pub(crate) fn after(&mut self, lived: Duration) -> Option<Duration> {
        if lived >= QUICK {
            self.quick_deaths = 0;
            return Some(Duration::ZERO);
        }
        self.quick_deaths += 1;
        (self.quick_deaths < QUICK_DEATHS_MAX).then(|| Duration::from_millis(100) * self.quick_deaths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_quick_deaths_in_a_row_are_enough() {
        let mut restarts = Restarts::default();
        let answers: Vec<bool> = (0..5).map(|_| restarts.after(Duration::from_secs(1)).is_some()).collect();
        assert_eq!(answers, [true, true, true, true, false]);
    }

    #[test]
    fn a_long_life_forgives_the_quick_deaths_before() {
        let mut restarts = Restarts::default();
        for _ in 0..20 {
            assert!(restarts.after(Duration::from_secs(1)).is_some());
            assert_eq!(restarts.after(QUICK), Some(Duration::ZERO));
        }
    }
}
