//! The answer as JSON, a row a line: two answers compare line by line.

use serde::Serialize;
use serde_json::Result;

use crate::api::plan::PlanAnswer;

/// The answer, with a line break at its end.
pub(super) fn rows(answer: &PlanAnswer) -> Result<String> {
    let PlanAnswer { version, placements, unplaced, new_workers } = answer;
    let fields = [
        format!("\"version\": {version}"),
        list("placements", placements)?,
        list("unplaced", unplaced)?,
        list("new_workers", new_workers)?,
    ];
    Ok(format!("{{\n  {}\n}}\n", fields.join(",\n  ")))
}

fn list<T: Serialize>(name: &str, rows: &[T]) -> Result<String> {
    let rows: Vec<String> = rows.iter().map(serde_json::to_string).collect::<Result<_>>()?;
    let rows = if rows.is_empty() { String::new() } else { format!("\n    {}\n  ", rows.join(",\n    ")) };
    Ok(format!("\"{name}\": [{rows}]"))
}
