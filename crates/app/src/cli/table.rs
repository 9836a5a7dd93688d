//! Rows as people read them.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::talk::printable;

/// A table with a line break at its end. Words of others cannot move the cursor.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

/// A word, or a dash where there is none.
pub(crate) fn or_dash(word: Option<&str>) -> String {
    word.unwrap_or("-").to_owned()
}
