//! The tables of the file: one a kind of row, and one an index. Every key begins with the name of its cell.

use std::marker::PhantomData;
use std::path::Path;

use ports::{PortResult, Source};
use redb::{
    Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError,
    Value, WriteTransaction,
};

use super::config::FORMAT;
use super::copied::Identity;
use super::error::{OpenError, unavailable};

/// What the file says of itself.
const ABOUT: TableDefinition<&str, u64> = TableDefinition::new("stowplan");
const FORMAT_KEY: &str = "format";
/// Which file was written last.
const INODE_KEY: &str = "inode";
/// See `INODE_KEY`.
const BORN_KEY: &str = "born";

/// How tables are opened: a transaction that reads and one that writes have types of their own.
pub(super) trait Access {
    type Table<K: Key + 'static, V: Value + 'static>: ReadableTable<K, V>;
}

/// Tables of a snapshot.
pub(super) enum Reading {}

/// Tables of the transaction `'t`.
pub(super) struct Writing<'t>(PhantomData<&'t ()>);

impl Access for Reading {
    type Table<K: Key + 'static, V: Value + 'static> = ReadOnlyTable<K, V>;
}

impl<'t> Access for Writing<'t> {
    type Table<K: Key + 'static, V: Value + 'static> = Table<'t, K, V>;
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $key:ty => $value:ty;)*) => {
        /// All tables, open in one transaction.
        pub(super) struct Tables<A: Access> {
            $($(#[$doc])* pub(super) $name: A::Table<$key, $value>,)*
        }

        impl Tables<Reading> {
            fn open_read(transaction: &ReadTransaction) -> Result<Self, TableError> {
                Ok(Self {
                    $($name: transaction.open_table(TableDefinition::<$key, $value>::new(stringify!($name)))?,)*
                })
            }
        }

        impl<'t> Tables<Writing<'t>> {
            fn open_write(transaction: &'t WriteTransaction) -> Result<Self, TableError> {
                Ok(Self {
                    $($name: transaction.open_table(TableDefinition::<$key, $value>::new(stringify!($name)))?,)*
                })
            }
        }
    };
}

/// Cell and name.
pub(super) type NameKey = (&'static str, &'static str);
/// Cell, kind of lot, its text.
pub(super) type LotRowKey = (&'static str, u8, &'static str);
/// Cell and place in line.
pub(super) type ReadyKey = (&'static str, i64, u64, u32);
/// Cell, lot and place in line.
pub(super) type ParkedKey = (&'static str, u8, &'static str, i64, u64, u32);
/// Cell, worker, revision of the order, container.
pub(super) type OwnedKey = (&'static str, &'static str, u64, &'static str);
/// Cell, phase or workspace, container.
pub(super) type GroupKey = (&'static str, &'static str, &'static str);
/// Cell, millisecond or revision, container.
pub(super) type WhenKey = (&'static str, u64, &'static str);
/// Cell, revision, kind of change, name.
pub(super) type FleetChangeKey = (&'static str, u64, u8, &'static str);

tables! {
    cells: &'static str => &'static [u8];
    containers: NameKey => &'static [u8];
    bodies: NameKey => &'static [u8];
    outputs: NameKey => &'static [u8];
    workers: NameKey => &'static [u8];
    lots: LotRowKey => &'static [u8];
    usage: NameKey => &'static [u8];
    ready: ReadyKey => &'static str;
    parked: ParkedKey => &'static str;
    owned: OwnedKey => ();
    by_phase: GroupKey => ();
    by_workspace: GroupKey => ();
    ended: WhenKey => ();
    fleet_changes: FleetChangeKey => ();
    container_changes: WhenKey => ();
}

impl Tables<Reading> {
    /// The tables as `snapshot` sees them.
    pub(super) fn of_read(snapshot: &ReadTransaction) -> PortResult<Self> {
        Self::open_read(snapshot).map_err(unavailable)
    }
}

impl<'t> Tables<Writing<'t>> {
    /// The tables, to be written to.
    pub(super) fn of_write(transaction: &'t WriteTransaction) -> PortResult<Self> {
        Self::open_write(transaction).map_err(unavailable)
    }
}

/// Makes the tables of a new file.
pub(super) fn create(database: &Database) -> Result<(), Source> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
    drop(Tables::open_write(&transaction)?);
    Ok(transaction.commit()?)
}

/// Refuses a file that another program made, or a later version of this one.
pub(super) fn check(database: &Database, path: &Path) -> Result<(), OpenError> {
    let path = path.to_owned();
    match read_format(database) {
        Ok(FORMAT) => Ok(()),
        Ok(found) => Err(OpenError::Newer { path, found, known: FORMAT }),
        Err(source) if source.is::<TableError>() => Err(OpenError::NotOurs { path, source }),
        Err(source) => Err(OpenError::Storage { path, source }),
    }
}

/// Which file was written last; none if nothing has been written but the tables.
pub(super) fn identity(transaction: &WriteTransaction) -> Result<Option<Identity>, Source> {
    let about = transaction.open_table(ABOUT)?;
    let read = |key| about.get(key).map(|found| found.map(|value| value.value()));
    Ok(read(INODE_KEY)?.zip(read(BORN_KEY)?).map(|(inode, born)| Identity { inode, born }))
}

/// Notes which file is written.
pub(super) fn set_identity(transaction: &WriteTransaction, identity: Identity) -> Result<(), Source> {
    let mut about = transaction.open_table(ABOUT)?;
    about.insert(INODE_KEY, identity.inode)?;
    about.insert(BORN_KEY, identity.born)?;
    Ok(())
}

fn read_format(database: &Database) -> Result<u64, Source> {
    let about = database.begin_read()?.open_table(ABOUT)?;
    let format = about.get(FORMAT_KEY)?.ok_or("it names no format")?;
    Ok(format.value())
}
