//! The placements' steps: a batch is committed, its containers taken and reported on, and what is lost goes back.

mod commit;
mod lose;
mod report;
mod take;

pub use commit::{Commit, CommitAnswer, Decision, DecisionKind, NewWorker, Outcome, RemovalOutcome, commit};
pub(crate) use lose::give_back_all;
pub use lose::{Loss, LossOutcome, lose};
pub use report::{ReportAnswer, ReportOutcome, report};
pub(crate) use report::{accept_end, conclude};
pub use take::{TAKE_BYTES_MAX, TakeAnswer, take};
