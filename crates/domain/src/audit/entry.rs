//! Entries of indexes in words.

use super::finding::{LotName, PlaceInLine};
use crate::container::Phase;
use crate::id::{ContainerId, Revision, WorkerId, Workspace};
use crate::model::{FleetChange, FleetName, OrderMark};
use crate::request::OrderKey;
use crate::time::Timestamp;
use crate::wait::LotKey;

/// An entry of an index.
pub(super) trait Entry {
    /// What it says, as a person reads it.
    fn in_words(&self) -> String;
}

impl Entry for (OrderKey, ContainerId) {
    fn in_words(&self) -> String {
        format!("container {} at {}", self.1, PlaceInLine(&self.0))
    }
}

impl Entry for (LotKey, OrderKey, ContainerId) {
    fn in_words(&self) -> String {
        format!("container {} at {} in {}", self.2, PlaceInLine(&self.1), LotName(&self.0))
    }
}

impl Entry for (WorkerId, OrderMark) {
    fn in_words(&self) -> String {
        format!("container {} on worker {} since revision {}", self.1.container, self.0, self.1.revision)
    }
}

impl Entry for (Phase, ContainerId) {
    fn in_words(&self) -> String {
        format!("container {} as {}", self.1, self.0.as_str())
    }
}

impl Entry for (Workspace, ContainerId) {
    fn in_words(&self) -> String {
        format!("container {} of workspace {}", self.1, self.0)
    }
}

impl Entry for (Timestamp, ContainerId) {
    fn in_words(&self) -> String {
        format!("container {} at millisecond {}", self.1, self.0.0)
    }
}

impl Entry for (Revision, ContainerId) {
    fn in_words(&self) -> String {
        format!("container {} at revision {}", self.1, self.0)
    }
}

impl Entry for (Revision, FleetChange) {
    fn in_words(&self) -> String {
        format!("{} at revision {}", self.1.in_words(), self.0)
    }
}

impl Entry for FleetChange {
    fn in_words(&self) -> String {
        let name = |name: &FleetName| match name {
            FleetName::Worker(worker) => format!("worker {worker}"),
            FleetName::Lot(lot) => LotName(lot).to_string(),
            FleetName::Usage(workspace) => format!("the usage of {workspace}"),
        };
        match self {
            Self::Changed(changed) => name(changed),
            Self::Gone(gone) => format!("{}, gone", name(gone)),
        }
    }
}
