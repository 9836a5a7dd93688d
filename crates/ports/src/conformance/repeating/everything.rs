//! All that can be read of a cell.

use domain::id::{CellName, ContainerId, Revision};
use domain::model::Filter;
use domain::model::workers::Look;

use crate::conformance::case::answered;
use crate::{PortResult, Ports};

/// How many rows are read at once.
const PAGE: usize = 5_000;

/// All that can be read of a cell, as lines of text; without its revision if that `may_move`.
pub(super) async fn of(ports: &Ports, cell: &CellName, may_move: bool) -> Vec<String> {
    let at = |revision: Revision| if may_move { Revision(0) } else { revision };
    let mut look = answered(ports.workers.look(cell, None, PAGE).await);
    if let Look::Page(page) = &mut look {
        page.upto.revision = at(page.upto.revision);
    }
    let mut export = answered(ports.containers.export(cell, None, PAGE).await);
    export.upto.revision = at(export.upto.revision);
    let depth = answered(ports.backlog.depth(cell).await);
    let beats = answered(ports.workers.beats(cell).await);
    let mut lines = vec![format!("{look:?}"), format!("{export:?}"), format!("{depth:?}"), format!("{beats:?}")];
    for id in all_ids(ports, cell).await {
        lines.push(shown(ports.containers.get(cell, vec![id]).await));
    }
    lines
}

async fn all_ids(ports: &Ports, cell: &CellName) -> Vec<ContainerId> {
    let page = answered(ports.containers.list(cell, Filter::All, None, PAGE).await);
    page.rows.into_iter().map(|row| row.id).collect()
}

/// What is kept of one container, or that its row cannot be decoded.
fn shown<T: std::fmt::Debug>(found: PortResult<T>) -> String {
    found.map_or_else(|error| error.to_string(), |found| format!("{found:?}"))
}
