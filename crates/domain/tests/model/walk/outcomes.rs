//! What each step can answer, and how often a walk was answered so.

use std::collections::BTreeMap;
use std::fmt;

use domain::model::backlog::SubmitOutcome;
use domain::model::containers::StopOutcome;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{LossOutcome, Outcome, RemovalOutcome, ReportOutcome};
use domain::model::workers::{Look, RegisterOutcome, RemoveOutcome, StatusOutcome};
use domain::model::{Fence, Order};
use domain::worker::CallAnswer;

/// An outcome, by the name of its variant.
pub(crate) trait Named {
    const ALL: &[&str];

    fn name(&self) -> &'static str;
}

/// Names every variant of an enum; with one left out it does not compile.
macro_rules! named {
    ($($outcome:ident { $($variant:ident),+ })+) => {$(
        impl Named for $outcome {
            const ALL: &[&str] = &[$(stringify!($variant)),+];

            fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)+
                }
            }
        }
    )+};
}

named! {
    AcquireOutcome { Acquired, Held }
    CallAnswer { Ok, Register, Refused, Removed }
    Fence { StaleTerm, Rewound }
    Look { Page, Whole }
    LossOutcome { Done, More, Refused }
    Order { Start, Stop }
    Outcome { AlreadyDone, NotPending, WorkerGone, WorkerClosed, OverQuota, NoRoom, Settling, Done }
    RegisterOutcome { Registered, Raise, Replaced, KeyTaken }
    RemovalOutcome { Done, Owns }
    RemoveOutcome { Done, More, NoSuchWorker, Owns, Registered, Lives }
    ReportOutcome { Accepted, Dropped, Kill }
    StatusOutcome { Done, Already, NoSuchWorker }
    StopOutcome { Stopped, Stopping, Ended, NoSuchContainer }
    SubmitOutcome { Accepted, Already, Conflict, Invalid }
}

/// The answer of a step that answers nothing else.
pub(crate) struct Renewed;

impl Named for Renewed {
    const ALL: &[&str] = &["Renewed"];

    fn name(&self) -> &'static str {
        "Renewed"
    }
}

impl Named for bool {
    const ALL: &[&str] = &["no", "yes"];

    fn name(&self) -> &'static str {
        if *self { "yes" } else { "no" }
    }
}

/// Every step, or part of its answer, with what it can be.
const STEPS: &[(&str, &[&[&str]])] = &[
    ("submit", &[SubmitOutcome::ALL]),
    ("acquire", &[AcquireOutcome::ALL]),
    ("renew", &[Renewed::ALL, Fence::ALL]),
    ("look", &[Look::ALL]),
    ("commit", &[Outcome::ALL, Fence::ALL]),
    ("commit, removal", &[RemovalOutcome::ALL]),
    ("lose", &[LossOutcome::ALL, Fence::ALL]),
    ("register", &[RegisterOutcome::ALL]),
    ("register, kills", &[bool::ALL]),
    ("heartbeat", &[CallAnswer::ALL]),
    ("take", &[CallAnswer::ALL]),
    ("take, order", &[Order::ALL]),
    ("report", &[CallAnswer::ALL]),
    ("report, each", &[ReportOutcome::ALL]),
    ("set_status", &[StatusOutcome::ALL]),
    ("remove", &[RemoveOutcome::ALL]),
    ("stop", &[StopOutcome::ALL]),
    ("forget, more", &[bool::ALL]),
];

/// How often each step was answered each way.
pub(crate) struct Histogram(BTreeMap<(&'static str, &'static str), u64>);

impl Default for Histogram {
    fn default() -> Self {
        let cells =
            STEPS.iter().flat_map(|(step, outcomes)| outcomes.concat().into_iter().map(|name| ((*step, name), 0)));
        Self(cells.collect())
    }
}

impl Histogram {
    pub(crate) fn count(&mut self, step: &'static str, outcome: &impl Named) {
        *self.0.get_mut(&(step, outcome.name())).expect("a step and an outcome of the table") += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    /// What was never seen.
    pub(crate) fn never(&self) -> Vec<(&'static str, &'static str)> {
        self.0.iter().filter(|(_, count)| **count == 0).map(|(cell, _)| *cell).collect()
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|((step, outcome), count)| writeln!(f, "{count:8} {step}: {outcome}"))
    }
}
