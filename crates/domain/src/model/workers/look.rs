//! The planner's look at the fleet: what changed since the last one.

use std::collections::BTreeMap;

use crate::id::{Mark, Revision, Workspace};
use crate::model::{CALL_ITEMS_MAX, FleetChange, FleetName, Rewind, Rows, legible};
use crate::quota::Usage;
use crate::wait::LotRow;
use crate::worker::WorkerRow;

/// What a look answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// What changed.
    Page(LookPage),
    /// The reader was away for too long: it must begin with nothing, and read all.
    Whole,
}

/// Rows changed after `since` up to `upto`, oldest change first. With no more to come, what was read is the state at
/// `upto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookPage {
    /// Workers, as they are.
    pub workers: Vec<WorkerRow>,
    /// What is no more, or was not for a while: a reader takes it away before it puts what else is on the page.
    pub gone: Vec<FleetName>,
    /// Usage, as it is.
    pub usage: BTreeMap<Workspace, Usage>,
    /// Lots, as they are.
    pub lots: Vec<LotRow>,
    /// How far this page goes.
    pub upto: Mark,
    /// Whether there is more.
    pub more: bool,
    /// How the history began, if writes were lost before it.
    pub rewind: Option<Rewind>,
    /// Whether the cell is settling.
    pub settling: bool,
    /// How many workers have not registered in this history.
    pub unregistered: u64,
}

/// Reads what changed after `since`; all that there is, for a reader who begins with nothing. A page holds at least
/// `limit` rows if there are so many, and ends with a whole revision. Rows that cannot be decoded are left out.
pub fn look<R: Rows>(rows: &R, since: Option<Revision>, limit: usize) -> Result<Look, R::Error> {
    let cell = rows.cell()?;
    if since.is_some_and(|since| since < cell.gone_floor || since > cell.revision) {
        return Ok(Look::Whole);
    }
    // Who begins with nothing reads beyond the removals that are forgotten at once: its next page must not begin there.
    let at_least = if since.is_none() { cell.gone_floor } else { Revision(0) };
    let since = since.unwrap_or(Revision(0));
    let mut page = LookPage {
        workers: Vec::new(),
        gone: Vec::new(),
        usage: BTreeMap::new(),
        lots: Vec::new(),
        upto: cell.mark(),
        more: false,
        rewind: cell.rewind,
        settling: cell.settling,
        unregistered: cell.unregistered,
    };
    let (changes, upto) = changes_of_whole_revisions(rows, since, at_least, limit.clamp(1, CALL_ITEMS_MAX))?;
    if let Some(upto) = upto {
        page.more = true;
        page.upto.revision = upto;
    }
    for change in changes {
        match change {
            FleetChange::Gone(name) => page.gone.push(name),
            FleetChange::Changed(FleetName::Worker(id)) => page.workers.extend(legible(rows, rows.worker(&id))?),
            FleetChange::Changed(FleetName::Lot(key)) => page.lots.extend(legible(rows, rows.lot(&key))?),
            FleetChange::Changed(FleetName::Usage(workspace)) => {
                page.usage.extend(legible(rows, rows.usage(&workspace))?.map(|row| (workspace, row.usage)));
            }
        }
    }
    Ok(Look::Page(page))
}

/// At least `limit` changes, up to the end of a revision not before `at_least`; and that revision, if there are changes
/// after it.
fn changes_of_whole_revisions<R: Rows>(
    rows: &R,
    since: Revision,
    at_least: Revision,
    limit: usize,
) -> Result<(Vec<FleetChange>, Option<Revision>), R::Error> {
    let mut read = rows.changed_fleet(since, limit + 1)?;
    if read.len() <= limit {
        return Ok((read.into_iter().map(|(_, change)| change).collect(), None));
    }
    let last = read[limit - 1].0.max(at_least);
    let mut size = limit;
    while read.last().is_some_and(|(revision, _)| *revision <= last) && read.len() > size {
        size = read.len();
        read = rows.changed_fleet(since, size * 2)?;
    }
    let more = read.last().is_some_and(|(revision, _)| *revision > last);
    let changes = read.into_iter().filter(|(revision, _)| *revision <= last).map(|(_, change)| change).collect();
    Ok((changes, more.then_some(last)))
}
