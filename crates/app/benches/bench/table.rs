//! A table as people read it in a terminal.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table as Printed};

use super::result::{Column, Table, Value};

/// The table under its title, with its notes.
pub(crate) fn text(table: &Table) -> String {
    let mut printed = Printed::new();
    printed.load_style(NOTHING).set_header(table.columns.iter().map(heading));
    printed.add_rows(table.rows.iter().map(|row| row.iter().map(shown)));
    for (place, column) in printed.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if table.rows.iter().any(|row| matches!(row.get(place), Some(Value::Count(_) | Value::Number(_)))) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("\n{}\n{}\n\n{}\n", table.title, table.about, printed.trim_fmt());
    for note in &table.notes {
        let _ = write!(text, "\n- {note}");
    }
    text
}

/// A column's name, and its unit below it.
fn heading(column: &Column) -> String {
    // Words stand below each other, so that many columns fit beside each other.
    format!("{}\n{}", column.name.replace(' ', "\n"), column.unit)
}

/// Three digits that count; thousands are set apart.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Count(count) => grouped(&count.to_string()),
        Value::Number(number) => match number.abs() {
            size if size >= 99.95 => grouped(&format!("{number:.0}")),
            size if size >= 9.995 => format!("{number:.1}"),
            _ => format!("{number:.2}"),
        },
        Value::Text(text) => text.clone(),
        Value::None => "-".to_owned(),
    }
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
