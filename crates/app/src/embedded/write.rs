//! The changes of a step, made to the tables.

use domain::container::{ContainerRow, State, Waiting};
use domain::id::Revision;
use domain::model::{Change, FleetName, Replace};
use domain::wait::LotKey;
use ports::PortResult;
use ports::wire::Row;
use redb::{Key, StorageError, Table, Value};

use super::keys;
use super::tables::{Tables, Writing};

/// A change with the bytes that it writes, so that nothing but the file can fail once the first is made.
pub(super) struct Write {
    change: Change,
    bytes: Option<Vec<u8>>,
}

impl Write {
    /// Encodes what `change` writes.
    pub(super) fn of(change: Change) -> PortResult<Self> {
        let bytes = match &change {
            Change::Cell(row) => Some(row.encode()?),
            Change::Container(replace) => encode_after(replace)?,
            Change::Worker(replace) => encode_after(replace)?,
            Change::Lot(replace) => encode_after(replace)?,
            Change::Usage(replace) => encode_after(replace)?,
            Change::Body(_, body) => body.as_ref().map(|body| body.encode()).transpose()?,
            Change::Output(_, output) => output.as_ref().map(Row::encode).transpose()?,
            Change::Gone(..) | Change::ForgetGone(..) | Change::ParkCorrupt(..) | Change::Number(..) => None,
        };
        Ok(Self { change, bytes })
    }

    pub(super) fn change(&self) -> &Change {
        &self.change
    }
}

fn encode_after<T: Row>(replace: &Replace<T>) -> PortResult<Option<Vec<u8>>> {
    replace.after.as_ref().map(Row::encode).transpose()
}

/// The row that says under which key a replacement is made.
fn either<T>(replace: &Replace<T>) -> Option<&T> {
    replace.after.as_ref().or(replace.before.as_ref())
}

/// Puts a value under a key, or takes it away.
fn put<K: Key>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'_>,
    bytes: Option<&[u8]>,
) -> Result<(), StorageError> {
    match bytes {
        Some(bytes) => drop(table.insert(key, bytes)?),
        None => drop(table.remove(key)?),
    }
    Ok(())
}

/// Moves an entry of an index from where a row was to where it will be.
fn follow<'k, T, K: Key, V: Value>(
    index: &mut Table<'_, K, V>,
    replace: &'k Replace<T>,
    key: impl Fn(&'k T) -> Option<K::SelfType<'k>>,
    value: V::SelfType<'_>,
) -> Result<(), StorageError>
where
    K::SelfType<'k>: PartialEq,
{
    let (before, after) = (replace.before.as_ref().and_then(&key), replace.after.as_ref().and_then(&key));
    if before == after {
        return Ok(());
    }
    if let Some(before) = before {
        index.remove(before)?;
    }
    if let Some(after) = after {
        index.insert(after, value)?;
    }
    Ok(())
}

impl Tables<Writing<'_>> {
    /// Makes one change of a step on `cell`. Numbers are kept elsewhere.
    pub(super) fn make(&mut self, cell: &str, write: &Write) -> Result<(), StorageError> {
        let bytes = write.bytes.as_deref();
        match &write.change {
            Change::Cell(_) => put(&mut self.cells, cell, bytes),
            Change::Container(replace) => self.replace_container(cell, replace, bytes),
            Change::Worker(replace) => {
                let Some(row) = either(replace) else { return Ok(()) };
                let name = FleetName::Worker(row.id.clone());
                self.follow_change(cell, replace, |row| row.changed, &name)?;
                put(&mut self.workers, (cell, row.id.as_str()), bytes)
            }
            Change::Lot(replace) => {
                let Some(row) = either(replace) else { return Ok(()) };
                let name = FleetName::Lot(row.key.clone());
                self.follow_change(cell, replace, |row| row.changed, &name)?;
                let (kind, text) = keys::lot(&row.key);
                put(&mut self.lots, (cell, kind, text), bytes)
            }
            Change::Usage(replace) => {
                let Some(row) = either(replace) else { return Ok(()) };
                let name = FleetName::Usage(row.workspace.clone());
                self.follow_change(cell, replace, |row| row.changed, &name)?;
                put(&mut self.usage, (cell, row.workspace.as_str()), bytes)
            }
            Change::Body(id, _) => put(&mut self.bodies, (cell, id.as_str()), bytes),
            Change::Output(id, _) => put(&mut self.outputs, (cell, id.as_str()), bytes),
            Change::Gone(revision, name) => {
                let (kind, text) = keys::gone(name);
                self.fleet_changes.insert((cell, revision.0, kind, text), ()).map(drop)
            }
            Change::ForgetGone(revision, name) => {
                let (kind, text) = keys::gone(name);
                self.fleet_changes.remove((cell, revision.0, kind, text)).map(drop)
            }
            Change::ParkCorrupt(key, id) => {
                let (kind, text) = keys::lot(&LotKey::Corrupt);
                let (rank, revision, position) = keys::place(*key);
                self.ready.remove((cell, rank, revision, position))?;
                self.parked.insert((cell, kind, text, rank, revision, position), id.as_str()).map(drop)
            }
            Change::Number(..) => Ok(()),
        }
    }

    /// Moves what says when a row of the fleet changed.
    fn follow_change<T>(
        &mut self,
        cell: &str,
        replace: &Replace<T>,
        changed: impl Fn(&T) -> Revision,
        name: &FleetName,
    ) -> Result<(), StorageError> {
        let (kind, text) = keys::changed(name);
        follow(&mut self.fleet_changes, replace, |row| Some((cell, changed(row).0, kind, text)), ())
    }

    fn replace_container(
        &mut self,
        cell: &str,
        replace: &Replace<ContainerRow>,
        bytes: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let Some(row) = either(replace) else { return Ok(()) };
        let id = row.id.as_str();
        follow(&mut self.ready, replace, |row| ready(cell, row), id)?;
        follow(&mut self.parked, replace, |row| parked(cell, row), id)?;
        follow(&mut self.owned, replace, |row| owned(cell, row), ())?;
        follow(&mut self.by_phase, replace, |row| Some((cell, keys::phase(row.state.phase()), id)), ())?;
        follow(&mut self.by_workspace, replace, |row| Some((cell, row.ask.workspace.as_str(), id)), ())?;
        follow(&mut self.ended, replace, |row| ended(cell, row), ())?;
        follow(&mut self.container_changes, replace, |row| Some((cell, row.changed.0, id)), ())?;
        put(&mut self.containers, (cell, id), bytes)
    }
}

fn ready<'k>(cell: &'k str, row: &ContainerRow) -> Option<(&'k str, i64, u64, u32)> {
    let (rank, revision, position) = keys::place(row.key);
    matches!(row.state, State::Pending(Waiting::Ready)).then_some((cell, rank, revision, position))
}

fn parked<'k>(cell: &'k str, row: &'k ContainerRow) -> Option<(&'k str, u8, &'k str, i64, u64, u32)> {
    let (kind, text) = keys::lot(row.state.lot()?);
    let (rank, revision, position) = keys::place(row.key);
    Some((cell, kind, text, rank, revision, position))
}

fn owned<'k>(cell: &'k str, row: &'k ContainerRow) -> Option<(&'k str, &'k str, u64, &'k str)> {
    let place = row.state.placement()?;
    Some((cell, place.worker.as_str(), place.order.0, row.id.as_str()))
}

fn ended<'k>(cell: &'k str, row: &'k ContainerRow) -> Option<(&'k str, u64, &'k str)> {
    let end = row.last_end.as_ref()?;
    row.state.phase().is_ended().then_some((cell, end.at.0, row.id.as_str()))
}
