//! The worker that is left with the most: neighbours disturb each other least, and a lost worker takes little with it.

use super::{Amount, Yardstick};

pub(super) fn cost(left: Amount, yardstick: &Yardstick) -> u64 {
    u64::MAX - yardstick.measure(left)
}
