//! How names become parts of keys, so that keys sort as the domain sorts.
//!
//! These numbers and words are in files: they never change, whatever becomes of the domain's types.

use domain::container::Phase;
use domain::id::{BadName, WorkerId, Workspace};
use domain::model::{FleetChange, FleetName};
use domain::request::{OrderKey, Shape};
use domain::wait::LotKey;

const SHAPE: u8 = 0;
const QUOTA: u8 = 1;
const CORRUPT: u8 = 2;
/// 3 is left out: among changes it would read as `USAGE`.
const KEEP: u8 = 4;
const STOP: u8 = 5;

const WORKER: u8 = 0;
/// And so on, as above.
const LOT: u8 = 1;
const USAGE: u8 = 4;
/// What is gone sorts after what has changed.
const GONE: u8 = 16;

/// A key that nothing here has written.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadKey {
    /// No such kind.
    #[error("{0} is no kind of row")]
    Kind(u8),
    /// No such name.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// A place in line: rank, revision, position.
pub(super) type Place = (i64, u64, u32);

pub(super) fn place(key: OrderKey) -> Place {
    (key.rank, key.revision.0, key.position)
}

pub(super) fn phase(phase: Phase) -> &'static str {
    phase.as_str()
}

pub(super) fn lot(key: &LotKey) -> (u8, &str) {
    match key {
        LotKey::Shape(shape) => (SHAPE, shape.as_str()),
        LotKey::Quota(workspace) => (QUOTA, workspace.as_str()),
        LotKey::Corrupt => (CORRUPT, ""),
        LotKey::Keep => (KEEP, ""),
        LotKey::Stop => (STOP, ""),
    }
}

fn read_lot(kind: u8, text: &str) -> Result<LotKey, BadKey> {
    match kind {
        SHAPE => Ok(LotKey::Shape(Shape::from_text(text))),
        QUOTA => Ok(LotKey::Quota(Workspace::new(text)?)),
        CORRUPT => Ok(LotKey::Corrupt),
        KEEP => Ok(LotKey::Keep),
        STOP => Ok(LotKey::Stop),
        _ => Err(BadKey::Kind(kind)),
    }
}

pub(super) fn changed(name: &FleetName) -> (u8, &str) {
    match name {
        FleetName::Worker(worker) => (WORKER, worker.as_str()),
        FleetName::Lot(key) => {
            let (kind, text) = lot(key);
            (LOT + kind, text)
        }
        FleetName::Usage(workspace) => (USAGE, workspace.as_str()),
    }
}

pub(super) fn gone(name: &FleetName) -> (u8, &str) {
    let (kind, text) = changed(name);
    (GONE + kind, text)
}

pub(super) fn read_fleet_change(kind: u8, text: &str) -> Result<FleetChange, BadKey> {
    let name = match kind % GONE {
        WORKER => FleetName::Worker(WorkerId::new(text)?),
        USAGE => FleetName::Usage(Workspace::new(text)?),
        lot => FleetName::Lot(read_lot(lot - LOT, text)?),
    };
    match kind / GONE {
        0 => Ok(FleetChange::Changed(name)),
        1 => Ok(FleetChange::Gone(name)),
        _ => Err(BadKey::Kind(kind)),
    }
}
