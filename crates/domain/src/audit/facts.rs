//! Findings as plain facts.

use super::finding::LotName;
use super::{Amount, Corruption, Finding, Notice};

/// What a finding says, without its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Which kind of finding it is, in a word that never changes.
    pub kind: &'static str,
    /// What it is about.
    pub subject: String,
    /// Of what there is too much or too little.
    pub amount: Option<Amount>,
    /// What is written down, or may be had, and what follows from the containers.
    pub numbers: Option<(u64, u64)>,
}

impl Facts {
    fn of(kind: &'static str, subject: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), amount: None, numbers: None }
    }

    fn amount(self, amount: Amount) -> Self {
        Self { amount: Some(amount), ..self }
    }

    fn numbers(self, written: u64, follows: u64) -> Self {
        Self { numbers: Some((written, follows)), ..self }
    }

    /// Whether both are about the same, whatever the numbers: a cell that lives moves on between two readings.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.kind, &self.subject, self.amount) == (other.kind, &other.subject, other.amount)
    }
}

impl Finding {
    /// What it says, as plain facts.
    pub fn facts(&self) -> Facts {
        match self {
            Self::Corruption(corruption) => corruption.facts(),
            Self::Notice(notice) => notice.facts(),
        }
    }
}

impl Corruption {
    fn facts(&self) -> Facts {
        let of_container = |kind, container| Facts::of(kind, format!("container {container}"));
        match self {
            Self::Worker { worker, amount, booked, owned } => {
                Facts::of("worker_room", format!("worker {worker}")).amount(*amount).numbers(*booked, *owned)
            }
            Self::Usage { workspace, amount, booked, used } => {
                Facts::of("usage", format!("workspace {workspace}")).amount(*amount).numbers(*booked, *used)
            }
            Self::NoSuchWorker { container, .. } => of_container("no_such_worker", container),
            Self::Booking { container, amount, owned, asked } => {
                of_container("booking", container).amount(*amount).numbers(*owned, *asked)
            }
            Self::Devices { container } => of_container("devices", container),
            Self::NeverPlaced { container, .. } => of_container("never_placed", container),
            Self::NotClaimed { container, .. } => of_container("not_claimed", container),
            Self::EndUnknown { container } => of_container("end_unknown", container),
            Self::WrongLot { container, .. } => of_container("wrong_lot", container),
            Self::SamePlace { second, .. } => of_container("same_place", second),
            Self::NoBody { container } => of_container("no_body", container),
            Self::LotCount { lot, counted, parked } => {
                Facts::of("lot_count", LotName(lot).to_string()).numbers(*counted, *parked)
            }
            Self::LotFirst { lot, .. } => Facts::of("lot_first", LotName(lot).to_string()),
            Self::PhaseCount { phase, counted, found } => {
                Facts::of("phase_count", phase.as_str()).numbers(*counted, *found)
            }
            Self::ReadyCount { counted, found } => Facts::of("ready_count", "ready").numbers(*counted, *found),
            Self::UnregisteredCount { counted, found } => {
                Facts::of("unregistered_count", "workers").numbers(*counted, *found)
            }
            Self::GoneCount { counted, found } => Facts::of("gone_count", "removals").numbers(*counted, *found),
            Self::Future { what, .. } => Facts::of("future", what),
            Self::Undecodable { what } => Facts::of("undecodable", what),
            Self::IndexLacks { index, entry } => Facts::of("index_lacks", format!("{index}: {entry}")),
            Self::IndexStray { index, entry } => Facts::of("index_stray", format!("{index}: {entry}")),
        }
    }
}

impl Notice {
    fn facts(&self) -> Facts {
        match self {
            Self::OverCommitted { worker, amount, total, owned } => {
                Facts::of("over_committed", format!("worker {worker}")).amount(*amount).numbers(*total, *owned)
            }
            Self::AboveLimit { workspace, amount, limit, used } => {
                Facts::of("above_limit", format!("workspace {workspace}")).amount(*amount).numbers(*limit, *used)
            }
            Self::KeptByLost { worker, .. } => Facts::of("kept_by_lost", format!("worker {worker}")),
        }
    }
}
