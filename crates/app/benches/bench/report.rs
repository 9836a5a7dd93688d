//! One page of all that has been measured into a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plot;
use super::result::{Table, Value};
use super::table::shown;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}\
th,td{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:bottom}\
.number{text-align:right;font-variant-numeric:tabular-nums}small{color:#666}svg{max-width:100%;height:auto}";

/// Writes the page of all tables in `folder`; answers where it is.
pub(crate) fn write(folder: &Path) -> anyhow::Result<PathBuf> {
    let tables = read(folder)?;
    let path = folder.join("report.html");
    let page = page(&tables)?.into_string();
    fs::write(&path, page).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(path)
}

fn read(folder: &Path) -> anyhow::Result<Vec<Table>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let table = |path: PathBuf| {
        let table = serde_json::from_slice(&fs::read(&path)?);
        table.with_context(|| format!("{} holds no table of this version; remove it", path.display()))
    };
    paths.into_iter().map(table).collect()
}

fn page(tables: &[Table]) -> anyhow::Result<Markup> {
    let sections: Vec<Markup> = tables.iter().map(section).collect::<anyhow::Result<_>>()?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Stowplan, measured" } style { (STYLE) } }
            body {
                h1 { "Stowplan, measured" }
                ul { @for table in tables { li { a href={ "#" (table.name) } { (table.title) } } } }
                @for section in sections { (section) }
            }
        }
    })
}

fn section(table: &Table) -> anyhow::Result<Markup> {
    let plots: Vec<String> = table.plots.iter().map(plot::svg).collect::<anyhow::Result<_>>()?;
    let machine = &table.machine;
    Ok(html! {
        h2 id=(table.name) { (table.title) }
        p { (table.about) }
        p { small {
            (table.runs) " runs a row; " (machine.build) " build; " (machine.cpu) ", " (machine.cores) " cores, "
            (machine.memory_mib) " MiB; Linux " (machine.kernel) "; Redis " (machine.redis)
            "; load at the start " (machine.load)
        } }
        table {
            tr { @for column in &table.columns { th { (column.name) br; small { (column.unit) } } } }
            @for row in &table.rows { tr { @for value in row { (cell(value)) } } }
        }
        ul { @for note in &table.notes { li { (note) } } }
        @for plot in plots { (PreEscaped(plot)) }
    })
}

fn cell(value: &Value) -> Markup {
    let class = matches!(value, Value::Count(_) | Value::Number(_)).then_some("number");
    html! { td class=[class] { (shown(value)) } }
}
