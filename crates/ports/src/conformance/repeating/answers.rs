//! What a repeat may be answered after a first answer was lost, and what a caller means by both.

use std::collections::BTreeSet;
use std::fmt::Debug;

use domain::container::Phase;
use domain::id::{Mark, Revision};
use domain::model::Order;
use domain::model::backlog::SubmitOutcome;
use domain::model::containers::{Forgotten, StopOutcome};
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{CommitAnswer, LossOutcome, Outcome, ReportAnswer, TakeAnswer};
use domain::model::workers::{RegisterOutcome, RemoveOutcome, StatusOutcome};
use domain::worker::CallAnswer;

/// What must be known of a call to judge its answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// Whether it is a planner's, whose every call moves the stamp.
    pub(super) is_fenced: bool,
    /// Whether two of its items may be about the same: the one may undo the other.
    pub(super) names_one_twice: bool,
}

impl Asked {
    /// A call whose items are about these.
    pub(super) fn about<T: Ord>(names: impl IntoIterator<Item = T>) -> Self {
        let mut seen = BTreeSet::new();
        Self { is_fenced: false, names_one_twice: !names.into_iter().all(|name| seen.insert(name)) }
    }

    /// The same, by a planner.
    pub(super) fn by_planner(self) -> Self {
        Self { is_fenced: true, ..self }
    }
}

/// An answer to a write, or to one item of it. No repeat does anything anew.
pub(super) trait Answer: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// Whether a repeat is answered so, if this was answered first and nobody called in between.
    fn is_repeated_as(&self, again: &Self) -> bool {
        self == again
    }

    /// What a caller means who was answered `again` after this was lost: this, unless others came in between.
    fn meant_by(&self, again: &Self) -> Self {
        if self.is_repeated_as(again) { self.clone() } else { again.clone() }
    }

    /// The same, as of the last repeat.
    fn reaching(self, _last: &Self) -> Self {
        self
    }

    /// The same without revisions, which a repeat may find further on.
    fn timeless(&self) -> Self {
        self.clone()
    }

    /// Whether there is more to do, so that a repeat goes on with it.
    fn goes_on(&self) -> bool {
        false
    }
}

impl Answer for () {}

impl Answer for CallAnswer {}

impl Answer for AcquireOutcome {}

/// One answer an item, in order.
impl<T: Answer> Answer for Vec<T> {
    fn is_repeated_as(&self, again: &Self) -> bool {
        self.len() == again.len() && self.iter().zip(again).all(|(first, again)| first.is_repeated_as(again))
    }

    fn meant_by(&self, again: &Self) -> Self {
        assert_eq!(self.len(), again.len(), "as many answers as items");
        self.iter().zip(again).map(|(first, again)| first.meant_by(again)).collect()
    }

    fn goes_on(&self) -> bool {
        self.iter().any(Answer::goes_on)
    }
}

impl Answer for SubmitOutcome {
    fn is_repeated_as(&self, again: &Self) -> bool {
        match self {
            Self::Accepted => *again == Self::Already(Phase::Pending),
            _ => self == again,
        }
    }

    fn meant_by(&self, again: &Self) -> Self {
        // It may have been stopped since.
        let is_twin = *self == Self::Accepted && matches!(again, Self::Already(_));
        if is_twin { self.clone() } else { again.clone() }
    }
}

impl Answer for StopOutcome {
    fn is_repeated_as(&self, again: &Self) -> bool {
        match self {
            Self::Stopped => *again == Self::Ended(Phase::Stopped),
            _ => self == again,
        }
    }
}

impl Answer for StatusOutcome {
    fn is_repeated_as(&self, again: &Self) -> bool {
        match self {
            Self::Done => *again == Self::Already,
            _ => self == again,
        }
    }
}

impl Answer for RemoveOutcome {
    fn is_repeated_as(&self, again: &Self) -> bool {
        match self {
            Self::Done => *again == Self::NoSuchWorker,
            Self::More(_) => matches!(again, Self::More(_) | Self::Done | Self::Owns(_)),
            _ => self == again,
        }
    }

    fn goes_on(&self) -> bool {
        matches!(self, Self::More(_))
    }
}

impl Answer for LossOutcome {
    fn is_repeated_as(&self, again: &Self) -> bool {
        match self {
            Self::Done(_) => *again == Self::Done(0),
            Self::More(_) => *again != Self::Refused,
            Self::Refused => *again == Self::Refused,
        }
    }

    fn goes_on(&self) -> bool {
        self.more().is_some()
    }
}

impl Answer for Forgotten {
    fn is_repeated_as(&self, again: &Self) -> bool {
        self.more || *again == Self { containers: 0, more: false }
    }

    fn goes_on(&self) -> bool {
        self.more
    }
}

/// A refusal may give way to one that comes before it: what the same batch did has taken room and quota, or the worker
/// itself. None gives way to `Done`.
impl Answer for Outcome {
    fn is_repeated_as(&self, again: &Self) -> bool {
        match self {
            Self::Done | Self::AlreadyDone => *again == Self::AlreadyDone,
            Self::NotPending | Self::Settling => self == again,
            Self::WorkerGone | Self::WorkerClosed => matches!(again, Self::WorkerGone | Self::WorkerClosed),
            Self::OverQuota(_) => !matches!(again, Self::Done | Self::AlreadyDone | Self::NoRoom(_)),
            Self::NoRoom(_) => !matches!(again, Self::Done | Self::AlreadyDone),
        }
    }
}

impl Answer for CommitAnswer {
    fn is_repeated_as(&self, again: &Self) -> bool {
        let goes_on = self.before < self.after && self.after <= again.before && again.before < again.after;
        goes_on && self.outcomes.is_repeated_as(&again.outcomes) && self.removals == again.removals
    }

    fn meant_by(&self, again: &Self) -> Self {
        Self { outcomes: self.outcomes.meant_by(&again.outcomes), ..self.clone() }
    }

    fn reaching(self, last: &Self) -> Self {
        Self { after: last.after, ..self }
    }

    fn timeless(&self) -> Self {
        Self { before: Revision(0), after: Revision(0), ..self.clone() }
    }
}

impl Answer for RegisterOutcome {
    fn is_repeated_as(&self, again: &Self) -> bool {
        let is_later = match (self, again) {
            (Self::Registered { mark, .. }, Self::Registered { mark: again, .. }) => is_at_or_after(mark, again),
            _ => true,
        };
        is_later && self.timeless() == again.timeless()
    }

    fn meant_by(&self, again: &Self) -> Self {
        // Another run of it may have registered since.
        let is_over = matches!((self, again), (Self::Registered { .. }, Self::Replaced));
        if is_over || self.is_repeated_as(again) { self.clone() } else { again.clone() }
    }

    fn timeless(&self) -> Self {
        match self.clone() {
            Self::Registered { mark, kills, unknown } => {
                Self::Registered { mark: Mark { revision: Revision(0), ..mark }, kills, unknown }
            }
            refused => refused,
        }
    }
}

fn is_at_or_after(mark: &Mark, again: &Mark) -> bool {
    mark.history == again.history && mark.revision <= again.revision
}

impl Answer for TakeAnswer {
    fn meant_by(&self, again: &Self) -> Self {
        // What was handed over may have been told to stop since: it is an order about the same.
        let is_twin = self.call == again.call && self.orders.iter().map(about).eq(again.orders.iter().map(about));
        if is_twin { self.clone() } else { again.clone() }
    }
}

/// Which container an order is about.
fn about(order: &Order) -> &domain::id::ContainerId {
    match order {
        Order::Start(start) => &start.placement.container,
        Order::Stop { placement, .. } => &placement.container,
    }
}

impl Answer for ReportAnswer {}
