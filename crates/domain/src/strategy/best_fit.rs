//! The worker that is left with the least: what is whole stays whole, for requests that need it.

use super::{Left, Yardstick};

pub(super) fn cost(left: Left, yardstick: &Yardstick) -> u64 {
    yardstick.measure(left)
}
