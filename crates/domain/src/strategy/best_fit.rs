//! The worker that is left with the least: what is whole stays whole, for requests that need it.

use super::{Amount, Yardstick};

pub(super) fn cost(left: Amount, yardstick: &Yardstick) -> u64 {
    yardstick.measure(left)
}
