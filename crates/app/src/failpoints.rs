//! Named points at which a test kills, holds or delays this process in the middle of what it does.
//!
//! `STOWPLAN_FAILPOINTS` chooses from outside: `looked=kill@3,planned=hold:FILE,taken=delay:20` kills the process with
//! KILL at the third batch that it reads, holds the first that it has planned for as long as FILE is there (the point
//! makes it), and delays each answer to a `take` by 20 ms. All this is there only with the feature `failpoints`; without
//! it a point is an empty function, and the variable is unknown like any other.

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use armed::{BadPoints, Points, VARIABLE, in_hand, pass};

/// A place in the program. A passing counts if requests are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The planner has read a batch, and the fleet.
    Looked,
    /// It has planned the batch, and commits it next.
    Planned,
    /// It has the answer to the commit.
    Committed,
    /// The store has written a transaction that is not durable yet, while a batch is in hand.
    Writing,
    /// The transaction is durable, and nobody was told.
    Durable,
    /// Requests were accepted, and nobody was told.
    Submitted,
    /// Orders were handed over, and the worker does not know.
    Taken,
    /// Reports were written down, and the worker does not know.
    Reported,
}

/// The variable that chooses what happens.
#[cfg(not(feature = "failpoints"))]
pub const VARIABLE: Option<&str> = None;

/// Passes a point with so many requests.
#[cfg(not(feature = "failpoints"))]
pub fn pass(_: Point, _: usize) {}

/// How many requests the planner holds.
#[cfg(not(feature = "failpoints"))]
pub fn in_hand() -> usize {
    0
}
