//! Calls at random, and all that they leave, as text: for tests that give two stores the same.

pub mod call;
pub mod dice;
pub mod script;

use domain::container::Phase;
use domain::id::{CellName, Revision, Workspace};
use domain::model::Filter;
use domain::model::workers::Look;

use crate::Ports;
use crate::conformance::case::{answered, wid};
use call::{Op, shown};
use script::all_containers;

/// All that can be read of a cell, in pages of `limit` that begin after `since` where a read allows it.
pub async fn read_all(ports: &Ports, cell: &CellName, since: Option<Revision>, limit: usize) -> String {
    let look = answered(ports.workers.look(cell, None, 100).await);
    let lots = match &look {
        Look::Page(page) => page.lots.iter().map(|lot| (lot.key.clone(), limit)).collect(),
        Look::Whole => Vec::new(),
    };
    let mut text = shown(&look);
    let ops = [Op::Depth, Op::Next(None, limit, lots), Op::Look(since, limit), Op::Beats, Op::Get(all_containers())];
    for op in ops {
        text += &op.call(ports, cell, &mut None).await;
    }
    for filter in filters() {
        let mut after = None;
        loop {
            let page = answered(ports.containers.list(cell, filter.clone(), after, limit).await);
            text += &shown(&page);
            after = page.after;
            if after.is_none() {
                break;
            }
        }
    }
    text + &exported(ports, cell, since, limit).await
}

async fn exported(ports: &Ports, cell: &CellName, mut since: Option<Revision>, limit: usize) -> String {
    let mut text = String::new();
    loop {
        let page = answered(ports.containers.export(cell, since, limit).await);
        text += &shown(&page);
        since = Some(page.upto.revision);
        if !page.more {
            return text;
        }
    }
}

fn filters() -> Vec<Filter> {
    let workspace = |text| Filter::Workspace(Workspace::new(text).expect("a name"));
    let worker = |text| Filter::Worker(wid(text));
    let named = [Filter::All, workspace("red"), workspace("none"), worker("w0"), worker("w1"), worker("w2")];
    named.into_iter().chain(Phase::ALL.map(Filter::Phase)).collect()
}
