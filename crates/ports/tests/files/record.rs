//! The changes of one step as text: a record of the log. Rows are written as `ports::wire` writes them.

use std::sync::Arc;

use domain::container::{ContainerRow, Output};
use domain::id::{ContainerId, Revision, WorkerId, Workspace};
use domain::model::{CellRow, Change, FleetName, Replace, UsageRow};
use domain::request::{Body, OrderKey, Shape};
use domain::wait::{LotKey, LotRow};
use domain::worker::WorkerRow;
use ports::wire::Row;
use ports::{PortError, PortResult, Source};
use serde::{Deserialize, Serialize};

/// A row, before and after. `ports::wire` writes text.
type Rewritten = (Option<String>, Option<String>);
/// The kind of what is gone, and its name.
type Gone = (String, String);

/// One change. Numbers are not written: they may begin at 0 when a store is opened.
#[derive(Serialize, Deserialize)]
enum Written {
    Cell(String),
    Container(Rewritten),
    Worker(Rewritten),
    Lot(Rewritten),
    Usage(Rewritten),
    Body(String, Option<String>),
    Output(String, Option<String>),
    Gone(u64, Gone),
    ForgetGone(u64, Gone),
    ParkCorrupt(i64, u64, u32, String),
}

/// The record of a step's changes; none if there is nothing to keep.
pub(crate) fn encode(changes: &[Change]) -> PortResult<Option<String>> {
    let written: Vec<_> = changes.iter().filter_map(|change| write(change).transpose()).collect::<PortResult<_>>()?;
    if written.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(&written).map(Some).map_err(|error| PortError::corrupt("a record", error))
}

/// The changes that a record holds.
pub(crate) fn decode(record: &str) -> PortResult<Vec<Change>> {
    let written: Vec<Written> = serde_json::from_str(record).map_err(|error| PortError::corrupt("a record", error))?;
    written.into_iter().map(read).collect()
}

fn write(change: &Change) -> PortResult<Option<Written>> {
    Ok(Some(match change {
        Change::Cell(row) => Written::Cell(text(row)?),
        Change::Container(replace) => Written::Container(texts(replace)?),
        Change::Worker(replace) => Written::Worker(texts(replace)?),
        Change::Lot(replace) => Written::Lot(texts(replace)?),
        Change::Usage(replace) => Written::Usage(texts(replace)?),
        Change::Body(id, body) => Written::Body(id.to_string(), body.as_deref().map(text).transpose()?),
        Change::Output(id, output) => Written::Output(id.to_string(), output.as_ref().map(text).transpose()?),
        Change::Gone(revision, name) => Written::Gone(revision.0, gone(name)),
        Change::ForgetGone(revision, name) => Written::ForgetGone(revision.0, gone(name)),
        Change::ParkCorrupt(key, id) => Written::ParkCorrupt(key.rank, key.revision.0, key.position, id.to_string()),
        Change::Number(..) => return Ok(None),
    }))
}

fn read(written: Written) -> PortResult<Change> {
    Ok(match written {
        Written::Cell(text) => Change::Cell(CellRow::decode("the cell's row", text.as_bytes())?),
        Written::Container(texts) => Change::Container(Box::new(rows::<ContainerRow>(texts)?)),
        Written::Worker(texts) => Change::Worker(Box::new(rows::<WorkerRow>(texts)?)),
        Written::Lot(texts) => Change::Lot(Box::new(rows::<LotRow>(texts)?)),
        Written::Usage(texts) => Change::Usage(rows::<UsageRow>(texts)?),
        Written::Body(id, text) => Change::Body(container(&id)?, row::<Body>(text)?.map(Arc::new)),
        Written::Output(id, text) => Change::Output(container(&id)?, row::<Output>(text)?),
        Written::Gone(revision, gone) => Change::Gone(Revision(revision), name(gone)?),
        Written::ForgetGone(revision, gone) => Change::ForgetGone(Revision(revision), name(gone)?),
        Written::ParkCorrupt(rank, revision, position, id) => {
            Change::ParkCorrupt(OrderKey { rank, revision: Revision(revision), position }, container(&id)?)
        }
    })
}

fn text(row: &impl Row) -> PortResult<String> {
    String::from_utf8(row.encode()?).map_err(|error| PortError::corrupt("a row", error))
}

fn texts<T: Row>(replace: &Replace<T>) -> PortResult<Rewritten> {
    let text = |row: &Option<T>| row.as_ref().map(text).transpose();
    Ok((text(&replace.before)?, text(&replace.after)?))
}

fn row<T: Row>(text: Option<String>) -> PortResult<Option<T>> {
    text.map(|text| T::decode("a row", text.as_bytes())).transpose()
}

fn rows<T: Row>((before, after): Rewritten) -> PortResult<Replace<T>> {
    Ok(Replace { before: row(before)?, after: row(after)? })
}

fn container(id: &str) -> PortResult<ContainerId> {
    ContainerId::new(id).map_err(no_name)
}

fn no_name(error: impl Into<Source>) -> PortError {
    PortError::corrupt("a name", error)
}

fn gone(name: &FleetName) -> Gone {
    let (kind, name) = match name {
        FleetName::Worker(worker) => ("worker", worker.as_str()),
        FleetName::Usage(workspace) => ("usage", workspace.as_str()),
        FleetName::Lot(LotKey::Shape(shape)) => ("shape", shape.as_str()),
        FleetName::Lot(LotKey::Quota(workspace)) => ("quota", workspace.as_str()),
        FleetName::Lot(LotKey::Corrupt) => ("corrupt", ""),
        FleetName::Lot(LotKey::Keep) => ("keep", ""),
        FleetName::Lot(LotKey::Stop) => ("stop", ""),
    };
    (kind.to_owned(), name.to_owned())
}

fn name((kind, name): Gone) -> PortResult<FleetName> {
    Ok(match kind.as_str() {
        "worker" => FleetName::Worker(WorkerId::new(&name).map_err(no_name)?),
        "usage" => FleetName::Usage(Workspace::new(&name).map_err(no_name)?),
        "shape" => FleetName::Lot(LotKey::Shape(Shape::from_text(&name))),
        "quota" => FleetName::Lot(LotKey::Quota(Workspace::new(&name).map_err(no_name)?)),
        "corrupt" => FleetName::Lot(LotKey::Corrupt),
        "keep" => FleetName::Lot(LotKey::Keep),
        "stop" => FleetName::Lot(LotKey::Stop),
        other => return Err(no_name(format!("{other} is nothing of a fleet"))),
    })
}
