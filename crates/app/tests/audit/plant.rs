//! Rows and entries of a stopped store's file, changed behind its back.

use std::path::Path;

use redb::{Database, Key, ReadableTable as _, TableDefinition, Value, WriteTransaction};

/// The cell that every store here holds.
pub(crate) const CELL: &str = "main";

/// Rows, each under its cell and name.
type Rows = TableDefinition<'static, (&'static str, &'static str), &'static [u8]>;

/// The file of a stopped store, in one transaction.
pub(crate) struct Plant<'t>(&'t WriteTransaction);

/// Changes a store's file.
pub(crate) fn plant(folder: &Path, change: impl FnOnce(&Plant)) {
    let database = Database::open(folder.join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&Plant(&transaction));
    transaction.commit().unwrap();
}

impl Plant<'_> {
    /// Changes a row as the JSON that it is behind its version.
    pub(crate) fn row(&self, table: &'static str, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let mut table = self.0.open_table(Rows::new(table)).unwrap();
        let bytes = table.get((CELL, name)).unwrap().unwrap().value().to_vec();
        table.insert((CELL, name), &*changed(&bytes, change)).unwrap();
    }

    /// Changes the cell's own row.
    pub(crate) fn cell(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut table = self.0.open_table(TableDefinition::<&str, &[u8]>::new("cells")).unwrap();
        let bytes = table.get(CELL).unwrap().unwrap().value().to_vec();
        table.insert(CELL, &*changed(&bytes, change)).unwrap();
    }

    /// Changes the only lot.
    pub(crate) fn lot(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut table = self.0.open_table(TableDefinition::<(&str, u8, &str), &[u8]>::new("lots")).unwrap();
        let (kind, text, bytes) = {
            let (key, row) = table.first().unwrap().unwrap();
            let (_, kind, text) = key.value();
            (kind, text.to_owned(), row.value().to_vec())
        };
        table.insert((CELL, kind, &*text), &*changed(&bytes, change)).unwrap();
    }

    /// Puts bytes that are no row in the place of one.
    pub(crate) fn spoil(&self, table: &'static str, name: &str) {
        self.0.open_table(Rows::new(table)).unwrap().insert((CELL, name), &b"1{\"id\":\"../..\"}"[..]).unwrap();
    }

    /// Takes a row away.
    pub(crate) fn take_row(&self, table: &'static str, name: &str) {
        assert!(self.0.open_table(Rows::new(table)).unwrap().remove((CELL, name)).unwrap().is_some());
    }

    /// Puts an entry into the index of what workers own.
    pub(crate) fn own(&self, worker: &str, container: &str) {
        let owned = TableDefinition::<(&str, &str, u64, &str), ()>::new("owned");
        self.0.open_table(owned).unwrap().insert((CELL, worker, 7, container), ()).unwrap();
    }

    /// Takes the one entry of an index away that is meant.
    pub(crate) fn unindex<K: Key + 'static, V: Value + 'static>(
        &self,
        index: &'static str,
        is_gone: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> bool,
    ) {
        let mut table = self.0.open_table(TableDefinition::<K, V>::new(index)).unwrap();
        let mut gone = 0;
        table
            .retain(|key, value| {
                let goes = is_gone(key, value);
                gone += u32::from(goes);
                !goes
            })
            .unwrap();
        assert_eq!(gone, 1, "there is one such entry of {index}");
    }
}

fn changed(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut row = serde_json::from_slice(&bytes[1..]).unwrap();
    change(&mut row);
    [&bytes[..1], &serde_json::to_vec(&row).unwrap()].concat()
}
